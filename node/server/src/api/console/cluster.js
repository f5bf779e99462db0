// The node that is asked, the cluster, and what is done to its nodes.

import { call, get, may, path } from "./api.js";
import { ask, badge, facts, h, number, numbers, plural, progress, span, table, toast } from "./dom.js";

const LOOK = 1000;
const STATES = { ready: "well", up: "warm", draining: "warm" };

export async function show(view) {
  async function look() {
    const [status, online] = await Promise.all([get("/cluster"), may("read", "sessions") ? get("/sessions", { limit: 1 }) : null]);
    view.put(...draw(status, online, view));
  }
  await look();
  view.every(5000, look);
}

function draw(status, online, view) {
  const cluster = status.cluster;
  const troubles = [...status.not_ready, ...(status.store_trouble ? [status.store_trouble] : []),
    ...(online?.silent ?? []).map((node) => `node ${node} does not answer: who is there is not counted`)];
  const title = cluster ? `${cluster.name} in ${cluster.cluster}` : status.domains[0];
  const counts = online
    ? [["sessions", number(online.sessions)], ["accounts online", number(online.accounts)], ["sessions here", number(status.sessions)]]
    : [["sessions here", number(status.sessions)], ["accounts here", number(status.accounts)]];
  return [
    h("h1", {}, title, " ", badge(troubles.length ? "in trouble" : cluster?.phase ?? "ready", troubles.length ? "ill" : "well")),
    troubles.length > 0 && h("section", { class: "troubles" }, h("h2", {}, "What is wrong"), h("ul", {}, troubles.map((it) => h("li", {}, it)))),
    numbers([...counts, ["homes here", number(status.homes)], ["wait to be resumed", number(status.parked)], ["up", span(status.uptime_s)]]),
    ...(cluster ? members(cluster, view) : [h("section", {}, h("h2", {}, "Cluster"), h("p", {}, "This node is alone: no cluster is configured."))]),
    h("section", {}, h("h2", {}, "This node"), facts([
      ["Serves", status.domains.join(", ")],
      ["Version", status.version],
      ["Store", status.store_trouble ?? "takes writes"],
      ...(cluster ? [["Directory", `${cluster.directory.kind}, ${cluster.directory.role}`], ["Epoch", number(cluster.epoch)], ["Pipes", number(cluster.pipes)]] : []),
      ...(status.secret ? [["Secret", status.secret.rotation]] : []),
    ])),
  ].filter(Boolean);
}

function members(cluster, view) {
  const link = (member) => cluster.links.find((it) => it.node === member.node);
  // Nodes of one machine may have one name.
  const isAlone = (member) => member.name && cluster.members.every((it) => it === member || it.name !== member.name);
  const called = (member) => isAlone(member) ? member.name : `${member.name} ${member.node.slice(0, 8)}`.trim();
  const columns = [
    ["Node", (it) => [h("strong", {}, called(it)), it.is_me ? " (this one)" : "", h("div", { class: "small faint mono" }, it.node)]],
    ["State", (it) => badge(it.state, STATES[it.state] ?? "ill")],
    ["Address", (it) => h("span", { class: "mono" }, it.address)],
    ["Zone", (it) => it.zone],
    ["Link", (it) => it.is_me ? "" : [badge(link(it)?.state ?? "none", link(it)?.state === "up" ? "well" : "ill"), link(it)?.latency_us ? ` ${(link(it).latency_us / 1000).toFixed(1)} ms` : ""]],
    ["Version", (it) => it.version],
  ];
  if (may("cluster")) {
    columns.push(["", (it) => [
      h("button", { type: "button", disabled: it.state === "draining", onclick: () => drain(it, called(it), view) }, "Drain"),
      h("button", { type: "button", class: "danger", onclick: () => fence(it, called(it), view) }, "Fence"),
    ]]);
  }
  const leaving = cluster.leaving;
  return [
    leaving && h("section", {}, h("h2", {}, "This node leaves"), h("progress", { max: Math.max(leaving.accounts, 1), value: leaving.accounts - leaving.left }),
      h("p", {}, `${leaving.step.replaceAll("_", " ")}: ${plural(leaving.left, "account")} of ${number(leaving.accounts)} left`)),
    h("section", {}, h("h2", {}, plural(cluster.members.length, "member")), table(columns, cluster.members)),
    may("cluster") && h("section", {}, h("h2", {}, "Secret of the cluster"), h("p", { class: "faint" }, "Replaced while nodes run; it takes some minutes by itself."),
      h("button", { type: "button", onclick: rotate }, "Replace the secret")),
  ];
}

function drain(member, name, view) {
  ask({
    title: `Drain ${name}?`,
    text: "It hands over its accounts and rooms to the others, moves its sessions, and stops.",
    button: "Drain", danger: true,
    act: async () => {
      await call("POST", path("cluster", "nodes", member.node, "drain"));
      follow(member, name, view);
    },
  });
}

/// Shows how far a node is that leaves.
async function follow(member, name, view) {
  const shown = progress(`${name} drains`);
  shown.tell("It has begun.");
  let silence = 0;
  while (shown.isOpen) {
    await new Promise((done) => setTimeout(done, LOOK));
    try {
      const { cluster } = await get("/cluster");
      silence = 0;
      const it = cluster?.members.find((it) => it.node === member.node);
      if (!it) {
        shown.tell(`${name} has left.`, 100);
        toast(`${name} has left.`);
        view.again();
        return;
      }
      const mine = it.is_me ? cluster.leaving : null;
      if (mine) shown.tell(`${mine.step.replaceAll("_", " ")}: ${plural(mine.left, "account")} left`, 100 * (1 - mine.left / Math.max(mine.accounts, 1)));
      else shown.tell(it.state === "draining" ? "It hands over what it has." : `It is ${it.state}.`);
    } catch (error) {
      silence += 1;
      if (error.status !== 0 || silence < 3) continue;
      shown.tell(member.is_me ? "The node has stopped. Open the console at another node." : error.message, member.is_me ? 100 : undefined);
      return;
    }
  }
}

function fence(member, name, view) {
  ask({
    title: `Fence ${name}?`,
    text: "It is declared dead without being asked: what it has in memory only is lost, and the others take over at once. Only for a node that cannot be reached.",
    button: "Fence", danger: true, word: name,
    act: async () => {
      await call("POST", path("cluster", "nodes", member.node, "fence"));
      toast(`${name} is fenced.`);
      view.again();
    },
  });
}

function rotate() {
  ask({
    title: "Replace the secret?", button: "Replace",
    act: async () => {
      await call("POST", "/cluster/secret/rotate");
      toast("A new secret is announced; the former one is dropped when all prove with it.");
    },
  });
}
