// The route table: live values, sorting, filtering, and all routes on demand.
import { count, duration, percent, rate } from "./figures.js";

let table, body, filter, more, empty; // below the first screen: there once the page is whole
const rows = new Map();
let sorted = { column: 6, down: true };
let everything = false;

const columns = [
  null,
  [(r) => r.rate, rate],
  [(r) => r.p50, duration],
  [(r) => r.p95, duration],
  [(r) => r.hit_rate, percent],
  [(r) => r.errors, count],
  [(r) => r.total, duration],
  [(r) => r.score, (score) => (score == null ? "–" : score.toFixed(0))],
];

function newRow(route) {
  const row = document.getElementById("route-row").content.firstElementChild.cloneNode(true);
  row.dataset.id = route.id;
  const [method, ...rest] = route.name.split(" ");
  row.querySelector(".method").textContent = rest.length ? method : "";
  const link = row.querySelector(".path");
  link.textContent = rest.join(" ") || method;
  link.href = `profile?id=${encodeURIComponent(route.id)}`;
  rows.set(route.id, row);
  body.append(row);
  return row;
}

function setCell(cell, value, text) {
  const known = String(value ?? -1);
  if (cell.dataset.v === known) return;
  cell.dataset.v = known;
  const last = cell.lastChild;
  if (last?.nodeType === Node.TEXT_NODE) last.data = text;
  else cell.append(text);
}

const bar = (share) => `M0,3H${(40 * share).toFixed(1)}`;

function fill(row, route, most) {
  columns.forEach((column, i) => column && setCell(row.cells[i], column[0](route), column[1](column[0](route))));
  row.cells[5].className = route.errors ? "bad" : "";
  row.cells[4].querySelector("path").setAttribute("d", bar(route.hit_rate ?? 0));
  row.cells[6].querySelector("path").setAttribute("d", bar(most ? route.total / most : 0));
}

function value(row) {
  const cell = row.cells[sorted.column];
  return sorted.column ? Number(cell.dataset.v) : cell.textContent.trim();
}

function sort() {
  const sign = sorted.down ? -1 : 1;
  const order = [...rows.values()].map((row) => [value(row), row]);
  order.sort(([a], [b]) => sign * (typeof a === "string" ? a.localeCompare(b) : a - b));
  if (order.some(([, row], i) => body.rows[i] !== row)) body.append(...order.map(([, row]) => row));
}

function hide() {
  const wanted = filter.value.trim().toLowerCase();
  for (const row of rows.values()) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
}

function busy() {
  // rows must not move away under a pointer or from under the keyboard
  return body.matches(":hover") || body.contains(document.activeElement);
}

function drop(routes) {
  const kept = new Set(routes.map((route) => route.id));
  for (const [id, row] of rows) {
    if (kept.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
}

export function showRoutes({ items, total }, whole = false) {
  const most = items[0]?.total ?? 0;
  for (const route of items) fill(rows.get(route.id) ?? newRow(route), route, most);
  if (whole || !everything) drop(items);
  if (!busy()) sort();
  hide();
  empty.hidden = total > 0;
  table.hidden = filter.hidden = !total;
  table.dataset.total = total;
}

async function loadAll() {
  const items = [];
  let total = 1;
  while (items.length < total) {
    const answer = await fetch(`api/v1/routes?limit=1000&offset=${items.length}`);
    if (!answer.ok) return;
    const page = await answer.json();
    if (!page.items.length) break;
    total = page.total;
    items.push(...page.items);
  }
  everything = true;
  document.querySelector("[data-routes-note]").textContent = `All ${count(items.length)}`;
  more?.remove();
  showRoutes({ items, total: items.length }, true);
}

function find() {
  table = document.getElementById("routes");
  body = table.tBodies[0];
  filter = document.getElementById("filter");
  more = document.getElementById("all-routes");
  empty = document.querySelector("[data-routes-empty]");
  for (const row of body.rows) rows.set(row.dataset.id, row);
}

export function watchRoutes() {
  find();
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    cell.firstElementChild.addEventListener("click", () => {
      const same = sorted.column === column;
      sorted = { column, down: same ? !sorted.down : column > 0 };
      for (const other of table.tHead.rows[0].cells) other.ariaSort = "none";
      cell.ariaSort = sorted.down ? "descending" : "ascending";
      sort();
    });
  });
  filter.addEventListener("input", () => {
    if (!everything && Number(table.dataset.total) > rows.size) loadAll().catch(() => {});
    hide();
  });
  more?.addEventListener("click", () => loadAll().catch(() => {}));
  setInterval(() => everything && !document.hidden && loadAll().catch(() => {}), 5000);
}
