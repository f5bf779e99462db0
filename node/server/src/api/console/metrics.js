// Live metrics of the node that is asked.

import { get } from "./api.js";
import { bytes, h, number, numbers, sparkline, table } from "./dom.js";

const EVERY = 2000;
const KEPT = 60;
const short = (value) => number(Math.round(value * 10) / 10);

// Title, metric, how it is shown; a rate is what it grew in a second.
const SHOWN = [
  ["sessions", "xmpp_c2s_sessions", number],
  ["messages a second", "xmpp_stanzas_messages_total", short, true],
  ["IQs a second", "xmpp_stanzas_iqs_total", short, true],
  ["presences a second", "xmpp_stanzas_presences_total", short, true],
  ["logins a second", "xmpp_c2s_logins_total", short, true],
  ["homes", "xmpp_home_loaded", number],
  ["memory", "process_resident_memory_bytes", bytes],
  ["processor, %", "process_cpu_seconds_total", (value) => short(100 * value), true],
];

const sum = (family) => family?.samples.reduce((all, it) => all + (it.value ?? 0), 0) ?? null;

export async function show(view) {
  const history = new Map();
  let before = null;
  let filter = "";
  const live = h("div");
  const all = h("div");
  const wanted = h("input", { type: "search", "aria-label": "Filter", placeholder: "Filter", spellcheck: "false", autocapitalize: "off", oninput: (event) => { filter = event.target.value.toLowerCase(); draw(); } });
  let families = [];

  function draw() {
    const rows = families.filter((it) => it.name.includes(filter)).flatMap((family) => family.samples.map((sample) => ({ family, sample })));
    const labels = (it) => Object.entries(it.sample.labels).map(([name, value]) => `${name}=${value}`).join(" ");
    all.replaceChildren(table([
      ["Metric", (it) => h("span", { class: "mono", title: it.family.help }, it.family.name)],
      ["Labels", (it) => h("span", { class: "small faint" }, labels(it))],
      ["Value", (it) => it.sample.count === null ? short(it.sample.value ?? NaN) : `${number(it.sample.count)} × ⌀ ${it.sample.count ? (it.sample.value / it.sample.count).toPrecision(3) : 0}`],
    ], rows, "No metric is called so."));
  }

  async function look() {
    const { items } = await get("/metrics");
    const now = performance.now();
    families = items;
    const found = new Map(items.map((it) => [it.name, sum(it)]));
    const cards = [];
    for (const [title, name, show, isRate] of SHOWN) {
      let value = found.get(name) ?? null;
      if (value === null) continue;
      if (isRate) value = before ? Math.max(0, (value - before.found.get(name)) / ((now - before.now) / 1000)) : null;
      const kept = history.get(name) ?? [];
      if (value !== null) kept.push(value);
      history.set(name, kept.slice(-KEPT));
      cards.push([title, value === null ? "…" : show(value), sparkline(history.get(name), `${title}, the last two minutes`)]);
    }
    before = { found, now };
    live.replaceChildren(numbers(cards));
    draw();
  }

  await look();
  view.put(h("h1", {}, "Metrics"), h("p", { class: "faint" }, "Of the node that answers, every two seconds."), live, h("section", {}, h("h2", {}, "All"), wanted, all));
  view.every(EVERY, look);
}
