// What was changed by whom.

import { get } from "./api.js";
import { badge, h, pages, table, time } from "./dom.js";

const KINDS = { done: "well", unknown: "warm" };

export async function show(view) {
  const columns = [
    ["When", (it) => time(it.at_ms)],
    ["Who", (it) => [it.who, it.peer ? h("div", { class: "small faint" }, it.peer) : ""]],
    ["What", (it) => h("code", {}, it.operation)],
    ["To", (it) => it.target ?? ""],
    ["Outcome", (it) => badge(it.outcome, KINDS[it.outcome] ?? "ill")],
  ];
  const shown = await pages((before) => get("/audit", { before, limit: 50 }), (items) => table(columns, items, "Nothing was changed yet."));
  view.put(h("h1", {}, "Audit log"), h("section", {}, shown));
}
