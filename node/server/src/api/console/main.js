// The frame: who is signed in, which section is shown.

import { hasToken, may, me, signIn, signOut } from "./api.js";
import { h, toast } from "./dom.js";
import * as accounts from "./accounts.js";
import * as audit from "./audit.js";
import * as cluster from "./cluster.js";
import * as metrics from "./metrics.js";
import * as rooms from "./rooms.js";

// Name in the address, in the navigation, what a token needs for it, who shows it.
const SECTIONS = [
  ["", "Cluster", ["metrics", "read", "cluster"], cluster.show],
  ["accounts", "Accounts", ["read", "accounts"], accounts.show],
  ["sessions", "Sessions", ["read", "sessions"], accounts.online],
  ["rooms", "Rooms", ["read", "rooms"], rooms.show],
  ["pubsub", "PubSub", ["read"], rooms.pubsub],
  ["metrics", "Metrics", ["metrics", "read"], metrics.show],
  ["audit", "Audit", ["audit"], audit.show],
];

const [main, nav, where, leave] = ["main", "nav", "where", "leave"].map((id) => document.getElementById(id));
// What a view that goes away has to stop; its number tells who is late.
let stop = [];
let turn = 0;

function signedIn() {
  where.textContent = me().node ? `${me().domains[0]} · node ${me().node.slice(0, 8)}` : me().domains[0];
  [nav.hidden, leave.hidden] = [false, false];
  const seen = SECTIONS.filter(([, , scopes]) => may(...scopes));
  nav.replaceChildren(...seen.map(([name, title]) => h("a", { href: `#/${name}` }, title)));
}

function login(reason) {
  stop.splice(0).forEach((it) => it());
  turn += 1;
  [nav.hidden, leave.hidden, where.textContent] = [true, true, ""];
  const wrong = h("p", { class: "wrong", role: "alert" }, reason ?? "");
  const token = h("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false", placeholder: "starling_…" });
  const button = h("button", { class: "main" }, "Sign in");
  const form = h("form", { class: "card login" }, h("h1", {}, "Sign in"),
    h("p", { class: "faint" }, "The console needs a token. On a machine of the cluster:"),
    h("p", {}, h("code", {}, "starling token create --scope all")),
    h("label", {}, h("span", {}, "Token"), token), wrong, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await signIn(token.value.trim());
      signedIn();
      show();
    } catch (error) {
      wrong.textContent = error.message;
      button.disabled = false;
      token.select();
    }
  });
  main.replaceChildren(form);
  token.focus();
}

/// What is drawn anew while somebody is about to press something keeps it in reach.
function put(content) {
  const all = () => [...main.querySelectorAll("a, button, input, select")];
  const at = all().indexOf(document.activeElement);
  const text = document.activeElement?.textContent;
  main.replaceChildren(...content);
  const now = at < 0 ? null : all()[at];
  if (now?.textContent === text) now.focus({ preventScroll: true });
}

async function show() {
  if (!me()) return login();
  stop.splice(0).forEach((it) => it());
  const mine = ++turn;
  const hash = location.hash;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const section = SECTIONS.find(([it, , scopes]) => it === name && may(...scopes)) ?? SECTIONS.find(([, , scopes]) => may(...scopes));
  for (const link of nav.children) {
    if (section && link.getAttribute("href") === `#/${section[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = section ? `${section[1]} - Starling` : "Starling";
  if (!section) return main.replaceChildren(h("p", {}, "This token may see nothing here."));
  main.setAttribute("aria-busy", "true");
  // A view shows itself as often as it likes, as long as it is the one that is looked at.
  const view = {
    rest: section[0] === name ? rest : [],
    get isShown() { return mine === turn; },
    put: (...content) => { if (mine === turn) put(content); },
    every(ms, look) {
      const timer = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, ms);
      stop.push(() => clearInterval(timer));
    },
    // What was pressed may stand in a drawing that was just replaced.
    again: () => { if (location.hash === hash) show(); },
  };
  try {
    await section[3](view);
  } catch (error) {
    if (me()) view.put(h("section", { class: "troubles" }, h("h2", {}, "That did not work"), h("p", {}, error.message), h("button", { type: "button", onclick: view.again }, "Try again")));
  } finally {
    if (mine === turn) main.removeAttribute("aria-busy");
  }
}

leave.addEventListener("click", () => { signOut(); login(); });
window.addEventListener("signed-out", (event) => { signOut(); login(event.detail); });
window.addEventListener("hashchange", show);

if (hasToken()) {
  try {
    await signIn();
    signedIn();
    show();
  } catch (error) {
    login(error.status === 401 ? "The token is no longer good." : error.message);
    if (error.status !== 401) toast(error.message, true);
  }
} else {
  login();
}
