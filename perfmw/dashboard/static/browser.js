// The cache browser: keys, what is kept under one, and purging with a count beforehand.
import { post, tell } from "./actions.js";
import { count, duration } from "./figures.js";

const node = (tag, text = "", attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

async function get(url) {
  const answer = await fetch(url);
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `The server answered ${answer.status}.`);
  return said;
}

const guarded = (work) => (event) => {
  event?.preventDefault();
  work(event).catch((error) => tell(error.message, true));
};

function facts(entry) {
  const list = node("dl", "", { class: "facts" });
  const response = entry.response ?? {};
  const rows = [
    ["Key", entry.alike > 1 ? `${entry.key}\n${count(entry.alike)} keys look so without their secrets; this is one of them` : entry.key],
    ["Kind", entry.kind],
    ["Stored", new Date(entry.stored_at * 1000).toISOString()],
    ["Lives for", entry.ttl == null ? "ever" : duration(entry.ttl)],
    ["Size", entry.bytes == null ? "–" : `${count(entry.bytes)} bytes`],
    ["Tags", (entry.tags ?? []).join(", ") || "none"],
    ["Response", response.status == null ? "–" : `status ${response.status}`],
    ["Headers", (response.headers ?? []).map((pair) => (Array.isArray(pair) ? pair.join(": ") : pair)).join("\n") || "–"],
  ];
  for (const [name, value] of rows) list.append(node("dt", name), node("dd", value, { class: "lines" }));
  return list;
}

function row(item, body) {
  const line = node("tr");
  const look = node("button", "Look", { type: "button", "aria-label": `Look at ${item.key}` });
  const purge = node("button", "Purge", { type: "button", "aria-label": `Purge ${item.key}` });
  const actions = node("td");
  actions.append(look, " ", purge);
  const name = node("th", item.key, { scope: "row", class: "path why" });
  if (item.alike > 1) name.append(node("span", `${count(item.alike)} keys that differ in what is hidden`, { class: "dim" }));
  line.append(name, node("td", item.layers.join(", "), { class: "text" }), actions);
  const shown = node("tr");
  look.addEventListener("click", guarded(async () => {
    if (shown.isConnected) return shown.remove();
    const cell = node("td", "", { colspan: 3, class: "text" });
    cell.append(facts(await get(`api/v1/cache/entry?key=${encodeURIComponent(item.key)}`)));
    shown.replaceChildren(cell);
    line.after(shown);
  }));
  purge.addEventListener("click", guarded(async () => {
    const { removed } = await post("api/v1/cache/purge", { keys: [item.key] });
    tell(`${count(removed)} removed.`);
    shown.remove();
    line.remove();
  }));
  body.append(line);
}

const PAGE = 100;
const keys = (form, offset = 0) =>
  `api/v1/cache/keys?limit=${PAGE}&offset=${offset}&prefix=${encodeURIComponent(form.elements.prefix.value.trim())}`;

// Keys that look the same while their secrets are hidden are one row.
function grouped(items) {
  const rows = new Map();
  for (const { key, layers } of items) {
    const row = rows.get(key) ?? { key, layers: [], alike: 0 };
    rows.set(key, { key, layers: [...new Set([...row.layers, ...layers])], alike: row.alike + 1 });
  }
  return [...rows.values()];
}

function turning(form, offset, answer) {
  const line = node("p", "", { class: "dim" });
  const to = (text, where) => {
    const button = node("button", text, { type: "button" });
    button.addEventListener("click", guarded(() => list(form, where)));
    line.append(" ", button);
  };
  const { items, more } = answer;
  line.textContent = items.length ? `Keys ${count(offset + 1)} to ${count(offset + items.length)}${more ? "" : ", the last"}.` : "No further keys.";
  if (offset) to("Previous", Math.max(0, offset - PAGE));
  if (more) to("Next", offset + PAGE);
  return line;
}

async function list(form, offset = 0) {
  const place = document.getElementById("keys");
  const answer = await get(keys(form, offset));
  if (!answer.items.length && !offset) {
    return place.replaceChildren(node("p", "Nothing is kept under keys that begin so.", { class: "dim" }));
  }
  const table = node("table", "", { class: "list" });
  const head = table.createTHead().insertRow();
  for (const name of ["Key", "Layers", "Actions"]) head.append(node("th", name, { scope: "col", class: "text" }));
  const body = table.createTBody();
  for (const item of grouped(answer.items)) row(item, body);
  const scroll = node("div", "", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Keys" });
  scroll.append(table);
  place.replaceChildren(turning(form, offset, answer), scroll);
}

function target(form) {
  const what = form.elements.what.value;
  const value = form.elements.value.value.trim();
  const aim = what === "key" ? { keys: [value] } : what === "tag" ? { tags: [value] } : { [what]: value };
  return { ...aim, soft: form.elements.soft.checked };
}

async function purge(form, preview) {
  const said = await post("api/v1/cache/purge", { ...target(form), dry_run: preview });
  const done = form.elements.soft.checked ? "made stale" : "removed";
  tell(preview ? `${count(said.removed)} would be ${done}.` : `${count(said.removed)} ${done}.`);
}

export function watchBrowser() {
  const browse = document.getElementById("browse");
  if (!browse) return;
  browse.asks = () => [keys(browse)];
  browse.addEventListener("submit", guarded(() => list(browse)));
  const form = document.getElementById("purge");
  form.asks = () => ["api/v1/cache/purge", target(form)];
  form.addEventListener("submit", guarded((event) => purge(form, event.submitter?.value === "preview")));
}
