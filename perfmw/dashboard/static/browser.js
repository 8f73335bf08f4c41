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
    ["Key", entry.key],
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
  line.append(node("th", item.key, { scope: "row", class: "path why" }), node("td", item.layers.join(", "), { class: "text" }), actions);
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

const keys = (form) => `api/v1/cache/keys?limit=100&prefix=${encodeURIComponent(form.elements.prefix.value.trim())}`;

async function list(form) {
  const place = document.getElementById("keys");
  const { items, limit } = await get(keys(form));
  if (!items.length) return place.replaceChildren(node("p", "Nothing is kept under keys that begin so.", { class: "dim" }));
  const table = node("table", "", { class: "list" });
  const head = table.createTHead().insertRow();
  for (const name of ["Key", "Layers", "Actions"]) head.append(node("th", name, { scope: "col", class: "text" }));
  const body = table.createTBody();
  for (const item of items) row(item, body);
  const scroll = node("div", "", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Keys" });
  scroll.append(table);
  const more = items.length === limit ? `The first ${limit}; a longer beginning shows others.` : `${items.length} keys.`;
  place.replaceChildren(node("p", more, { class: "dim" }), scroll);
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
