// Accounts: the list, one with all that can be done to it, and who is online.

import { call, get, may, me, path } from "./api.js";
import { ask, badge, bytes, facts, field, h, number, numbers, pages, plural, table, time, toast } from "./dom.js";

const link = (account) => h("a", { href: `#/accounts/${encodeURIComponent(account)}` }, account);
const state = (disabled) => disabled ? badge("disabled", "ill") : badge("enabled", "well");

export async function show(view) {
  const [first, second] = view.rest;
  return first?.includes("@") ? one(view, first) : list(view, first ?? me().domains[0], second);
}

async function list(view, domain, after) {
  const go = (domain, name) => { location.hash = `#/accounts/${encodeURIComponent(domain)}${name ? "/" + encodeURIComponent(name) : ""}`; };
  const chosen = h("select", { name: "domain", onchange: (event) => go(event.target.value) }, me().domains.map((it) => h("option", { value: it, selected: it === domain }, it)));
  const find = h("form", { class: "row" },
    h("label", {}, h("span", {}, "Domain"), chosen),
    h("label", {}, h("span", {}, "Address, or names from here on"), h("input", { name: "name", autocapitalize: "off", spellcheck: "false", value: after ?? "" })),
    h("button", {}, "Find"),
    may("accounts") && h("button", { type: "button", class: "main", onclick: () => add(view, domain) }, "Add account"));
  find.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = new FormData(find).get("name").trim();
    if (name.includes("@")) location.hash = `#/accounts/${encodeURIComponent(name)}`;
    else go(domain, name);
  });
  const columns = [
    ["Account", (it) => link(`${it.name}@${domain}`)],
    ["State", (it) => state(it.disabled)],
    ["Made", (it) => time(it.times?.created_ms)],
    ["Last there", (it) => time(it.times?.last_active_ms)],
  ];
  // Names from `after` on: the list is asked for what comes behind a name.
  const before = after ? after.slice(0, -1) + String.fromCodePoint(Math.max(after.codePointAt(after.length - 1) - 1, 33)) + "\u{ffff}" : undefined;
  const shown = await pages((next) => get("/accounts", { domain, after: next ?? before, limit: 50, times: true }), (items) => table(columns, items, "There are no accounts."));
  view.put(h("h1", {}, "Accounts"), h("section", {}, find), h("section", {}, shown));
}

function add(view, domain) {
  ask({
    title: "Add an account", button: "Add",
    fields: [field("name", `Name, before @${domain}`), field("password", "Password", { type: "password", autocomplete: "new-password" })],
    act: async ({ name, password }) => {
      const account = name.includes("@") ? name : `${name}@${domain}`;
      await call("POST", "/accounts", { body: { account, password } });
      toast(`${account} is there.`);
      location.hash = `#/accounts/${encodeURIComponent(account)}`;
    },
  });
}

async function one(view, account) {
  const found = await get(path("accounts", account));
  const parts = [
    h("p", {}, h("a", { href: `#/accounts/${encodeURIComponent(account.split("@")[1])}` }, "← Accounts")),
    h("h1", {}, account, " ", state(found.disabled)),
    numbers([["sessions", number(found.sessions)], ["messages wait", number(found.waiting)], ["contacts", number(found.contacts)]]),
    h("section", {}, h("h2", {}, "Account"), facts([["Made", time(found.created_ms)], ["Last there", found.sessions ? "now" : time(found.last_active_ms)]]), buttons(view, account, found)),
  ];
  if (may("read", "sessions")) parts.push(await sessions(view, account));
  if (may("read")) {
    const [roster, queue, nodes] = await Promise.all([contacts(account), waiting(account), published(account)]);
    parts.push(roster, queue, nodes);
  }
  view.put(...parts);
}

function buttons(view, account, found) {
  const button = (text, onclick, kind) => h("button", { type: "button", class: kind, onclick }, text);
  const done = (text) => { toast(text); view.again(); };
  const act = (title, text, label, method, what, told) => () => ask({ title, text, button: label, danger: true, act: async () => { await call(method, path("accounts", account, ...what)); done(told); } });
  const password = () => ask({
    title: `Password of ${account}`, text: "Sessions end, and tokens for fast reconnection fall.",
    fields: [field("username", "Account", { value: account, readonly: true, autocomplete: "username" }), field("password", "New password", { type: "password", autocomplete: "new-password" })],
    act: async ({ password }) => { await call("PUT", path("accounts", account, "password"), { body: { password } }); done("The password is set."); },
  });
  const remove = () => ask({
    title: `Remove ${account}?`, text: "With all it has: roster, messages, what it published. This cannot be undone.",
    button: "Remove", danger: true, word: account,
    act: async () => {
      await call("DELETE", path("accounts", account));
      toast(`${account} is gone.`);
      location.hash = `#/accounts/${encodeURIComponent(account.split("@")[1])}`;
    },
  });
  const end = act("End all sessions?", "The account may log in again.", "End sessions", "DELETE", ["sessions"], "The sessions end.");
  return h("p", { class: "row" },
    may("accounts") && [
      button("Set password", password),
      found.disabled
        ? button("Enable", async () => { try { await call("POST", path("accounts", account, "enable")); done(`${account} is enabled.`); } catch (error) { toast(error.message, true); } })
        : button("Disable", act(`Disable ${account}?`, "Its sessions end and nobody logs in to it. Nothing is removed.", "Disable", "POST", ["disable"], `${account} is disabled.`)),
    ],
    may("accounts", "sessions") && found.sessions > 0 && button("End sessions", end),
    may("accounts") && button("Remove", remove, "danger"));
}

async function sessions(view, account) {
  const { items } = await get(path("accounts", account, "sessions"));
  const columns = [["Resource", (it) => it.resource]];
  if (may("accounts", "sessions")) {
    columns.push(["", (it) => h("button", { type: "button", onclick: () => ask({
      title: `End ${it.resource}?`, text: "Its client may log in again.", button: "End", danger: true,
      act: async () => { await call("DELETE", path("accounts", account, "sessions", it.resource)); toast("The session ends."); view.again(); },
    }) }, "End")]);
  }
  return h("section", {}, h("h2", {}, "Sessions"), table(columns, items, "Nobody is there."));
}

async function contacts(account) {
  const columns = [
    ["Contact", (it) => it.jid],
    ["Name", (it) => it.name ?? ""],
    ["Groups", (it) => it.groups.join(", ")],
    ["Subscription", (it) => [badge(it.subscription), it.ask ? " asked" : ""]],
  ];
  const shown = await pages((after) => get(path("accounts", account, "roster"), { after, limit: 50 }), (items) => table(columns, items, "There are no contacts."));
  return h("section", {}, h("h2", {}, "Roster"), shown);
}

async function waiting(account) {
  const columns = [
    ["Number", (it) => number(it.number)],
    ["Came", (it) => time(it.time_ms)],
    ["From", (it) => it.from],
    ["Size", (it) => bytes(it.bytes)],
  ];
  const shown = await pages((after) => get(path("accounts", account, "offline"), { after, limit: 50 }), (items) => table(columns, items, "Nothing waits."));
  return h("section", {}, h("h2", {}, "Offline queue"), shown);
}

async function published(account) {
  const there = (node) => h("a", { href: `#/pubsub/${encodeURIComponent(account)}/${encodeURIComponent(node)}` }, node);
  const shown = await pages((after) => get("/pubsub", { service: account, after, limit: 50 }), (items) => table([["Node", there]], items, "Nothing is published."));
  return h("section", {}, h("h2", {}, "Published"), shown);
}

export async function online(view) {
  let counted = null;
  const shown = await pages((after) => get("/sessions", { after, limit: 100 }), (items, page) => {
    counted = page;
    return table([["Account", link]], items, "Nobody is there.");
  });
  view.put(...[h("h1", {}, "Sessions"),
    counted.silent.length > 0 && h("section", { class: "troubles" }, plural(counted.silent.length, "node does", "nodes do") + " not answer: who is there is not shown."),
    numbers([["sessions", number(counted.sessions)], ["accounts online", number(counted.accounts)]]),
    h("section", {}, shown)].filter(Boolean));
}
