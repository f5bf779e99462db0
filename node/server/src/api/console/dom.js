// Elements, dialogs and words. Text is always put as text: nothing that a server or a user said becomes markup.

export function h(name, given = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((it) => it !== null && it !== undefined && it !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/// A line of values, the newest at the right.
export function sparkline(values, name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name);
  if (values.length > 1) {
    const [low, high] = [Math.min(...values, 0), Math.max(...values, 1e-9)];
    const x = (index) => (100 * index) / (values.length - 1);
    const y = (value) => 28 - (26 * (value - low)) / (high - low || 1);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", values.map((it, index) => `${x(index).toFixed(1)},${y(it).toFixed(1)}`).join(" "));
    svg.append(line);
  }
  return svg;
}

export const number = (value) => new Intl.NumberFormat("en").format(value);
export const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;

export function time(ms) {
  if (!ms) return "never";
  return new Date(ms).toISOString().replace("T", " ").slice(0, 16) + " UTC";
}

export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  return units.slice(first, first + 2).map(([unit, size], index) => {
    const value = Math.floor((index ? seconds % units[first][1] : seconds) / size);
    return `${value} ${unit}`;
  }).join(" ");
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
export const numbers = (pairs) => h("dl", { class: "numbers" }, pairs.map(([name, value, more]) => h("div", {}, h("dd", {}, value), h("dt", {}, name), more)));

/// A table that a phone shows as cards; a column is a name and what it shows of a row.
export function table(columns, rows, nothing = "There is nothing here.") {
  if (rows.length === 0) return h("p", { class: "faint" }, nothing);
  const cell = (row) => ([name, show]) => {
    const shown = h("div", {}, show(row));
    return h("td", { "data-label": name, class: !name ? "acts" : shown.textContent ? null : "none" }, shown);
  };
  return h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, columns.map(([name]) => h("th", { scope: "col" }, name || h("span", { "aria-hidden": "true" }))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(cell(row))))));
}

export function toast(text, isIll = false) {
  const shown = h("p", { class: isIll ? "ill" : null }, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), isIll ? 8000 : 4000);
}

function dialog(content) {
  const it = h("dialog", {}, content);
  document.body.append(it);
  it.addEventListener("close", () => it.remove());
  it.showModal();
  return it;
}

/// A form in a dialog: `fields` are made by `field`; `act` gets their values, and its error is shown beside them.
export function ask({ title, text, fields = [], button = "Save", danger = false, word, act }) {
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const working = h("progress", { hidden: true, "aria-label": "Working" });
  const go = h("button", { class: danger ? "main danger" : "main", disabled: Boolean(word) }, button);
  const typed = word && h("label", {}, h("span", {}, "Type ", h("code", {}, word), " to confirm"),
    h("input", { name: "confirm", autocomplete: "off", autocapitalize: "off", spellcheck: "false", oninput: (event) => { go.disabled = event.target.value !== word; } }));
  const cancel = h("button", { type: "button", onclick: () => it.close() }, "Cancel");
  const form = h("form", { method: "dialog" }, h("h2", {}, title), text && h("p", {}, text), fields, typed, wrong, working, h("div", { class: "row" }, cancel, go));
  const it = dialog(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    [go.disabled, working.hidden, wrong.hidden] = [true, false, true];
    try {
      await act(values);
      it.close();
    } catch (error) {
      [go.disabled, working.hidden, wrong.hidden] = [false, true, false];
      wrong.textContent = error.message;
    }
  });
  return it;
}

export const field = (name, label, given = {}) => h("label", {}, h("span", {}, label), h("input", { name, required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...given }));

/// A dialog that shows how far something is; `tell` changes it.
export function progress(title) {
  const bar = h("progress", { max: 100, "aria-label": title });
  const words = h("p", { role: "status" });
  const close = h("button", { type: "button", onclick: () => it.close() }, "Close");
  const it = dialog([h("h2", {}, title), bar, words, h("div", { class: "row" }, close)]);
  return {
    get isOpen() { return it.open; },
    tell(text, percent) {
      words.textContent = text;
      if (percent === undefined) bar.removeAttribute("value");
      else bar.value = percent;
    },
  };
}

/// A list that is shown page by page: `load` gets what the page before said in `next`.
export function pages(load, show) {
  const list = h("div");
  const more = h("p", { class: "more" });
  const all = [];
  async function next(after) {
    const page = await load(after);
    all.push(...page.items);
    list.replaceChildren(show(all, page));
    more.replaceChildren(...(page.next ? [h("button", { type: "button", onclick: (event) => { event.target.disabled = true; next(page.next).catch((error) => { event.target.disabled = false; toast(error.message, true); }); } }, "More")] : []));
  }
  return next().then(() => h("div", {}, list, more));
}
