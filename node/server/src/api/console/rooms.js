// Rooms, and what is published at services.

import { call, get, may, me, path } from "./api.js";
import { ask, badge, facts, field, h, number, pages, table, time, toast } from "./dom.js";

/// A choice of services, in the address behind the section.
function choice(section, services, chosen) {
  const go = (event) => { location.hash = `#/${section}/${encodeURIComponent(event.target.value)}`; };
  return h("label", {}, h("span", {}, "Service"), h("select", { onchange: go }, services.map((it) => h("option", { value: it, selected: it === chosen }, it))));
}

export async function show(view) {
  const [first] = view.rest;
  if (first?.includes("@")) return one(view, first);
  const service = first ?? me().rooms[0];
  if (!service) return view.put(h("h1", {}, "Rooms"), h("p", {}, "No rooms are configured."));
  const columns = [
    ["Room", (it) => h("a", { href: `#/rooms/${encodeURIComponent(it.room)}` }, it.room)],
    ["Name", (it) => it.name],
    ["Listed", (it) => badge(it.public ? "public" : "hidden", it.public ? "" : "warm")],
    ["Entry", (it) => badge(it.open ? "open" : "restricted", it.open ? "" : "warm")],
  ];
  const shown = await pages((after) => get("/rooms", { service, after, limit: 50 }), (items) => table(columns, items, "There are no rooms."));
  view.put(h("h1", {}, "Rooms"), h("section", {}, choice("rooms", me().rooms, service)), h("section", {}, shown));
}

async function one(view, room) {
  const found = await get(path("rooms", room));
  const service = room.split("@")[1];
  const destroy = () => ask({
    title: `Destroy ${room}?`, text: "Its occupants are told why, and leave. This cannot be undone.", button: "Destroy", danger: true, word: room,
    fields: [field("reason", "Why (its occupants are told)", { required: false })],
    act: async ({ reason }) => {
      await call("DELETE", path("rooms", room), { query: { reason } });
      toast(`${room} is destroyed.`);
      location.hash = `#/rooms/${encodeURIComponent(service)}`;
    },
  });
  view.put(h("p", {}, h("a", { href: `#/rooms/${encodeURIComponent(service)}` }, "← Rooms")), h("h1", {}, room),
    h("section", {}, h("h2", {}, "Room"), facts(Object.entries(found.facts).map(([name, value]) => [name, value || "-"])),
      may("rooms") ? h("p", {}, h("button", { type: "button", class: "danger", onclick: destroy }, "Destroy")) : ""));
}

export async function pubsub(view) {
  const [first, node] = view.rest;
  if (node !== undefined) return published(view, first, node);
  const service = first ?? me().pubsub[0];
  if (!service) return view.put(h("h1", {}, "PubSub"), h("p", {}, "No services are configured; what accounts publish is shown with each account."));
  const there = (name) => h("a", { href: `#/pubsub/${encodeURIComponent(service)}/${encodeURIComponent(name)}` }, name);
  const shown = await pages((after) => get("/pubsub", { service, after, limit: 50 }), (items) => table([["Node", there]], items, "There are no nodes."));
  const services = me().pubsub.includes(service) ? me().pubsub : [service, ...me().pubsub];
  view.put(h("h1", {}, "PubSub"), h("section", {}, choice("pubsub", services, service)), h("section", {}, shown));
}

async function published(view, service, node) {
  const found = await get(path("pubsub", service, node));
  view.put(h("p", {}, h("a", { href: `#/pubsub/${encodeURIComponent(service)}` }, `← ${service}`)), h("h1", {}, node),
    h("section", {}, h("h2", {}, "Node"), facts([["Made", time(found.created_ms)], ["By", found.creator], ["Items", number(found.items)], ["Subscriptions", number(found.subscriptions)]])),
    h("section", {}, h("h2", {}, "Affiliations"), table([["Address", ([jid]) => jid], ["Affiliation", ([, it]) => badge(it)]], Object.entries(found.affiliations))),
    h("section", {}, h("h2", {}, "Configuration"), table([["Field", ([name]) => h("code", {}, name)], ["Value", ([, values]) => values.join(", ")]], Object.entries(found.config), "The usual one.")));
}
