// One crosshair for all charts of a page, and drag to zoom. The values come from the table behind them.
import { SPACE } from "./figures.js";

const WIDTH = 1000;
let zoom = null; // [start, end] in unix seconds, on all charts
let at = null; // where the crosshair stands
let drag = null;

const charts = () => [...document.querySelectorAll("figure[data-start]")];
const span = (figure) => zoom ?? [Number(figure.dataset.start), Number(figure.dataset.end)];
const whole = (figure) => [Number(figure.dataset.start), Number(figure.dataset.end)];
const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

function xOf(figure, time) {
  const [start, end] = whole(figure);
  return (WIDTH * (time - start)) / (end - start);
}

function timeOf(figure, event) {
  const box = figure.querySelector(".plot svg").getBoundingClientRect();
  const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  const [start, end] = span(figure);
  return start + share * (end - start);
}

function rows(figure) {
  const table = figure.closest("section").querySelector("details.data table");
  return [...(table?.tBodies[0].rows ?? [])].map((row) => [Date.parse(row.cells[0].textContent) / 1000, row]);
}

function read(figure) {
  const found = rows(figure).findLast(([start]) => start <= at) ?? rows(figure)[0];
  if (!found) return "";
  const heads = [...found[1].closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const values = [...found[1].cells].slice(2).map((cell, i) => `${heads[i + 2]}${SPACE}${cell.textContent}`);
  return `${clock(found[0])} UTC: ${values.join(", ")}`;
}

function draw() {
  for (const figure of charts()) {
    const [start, end] = span(figure);
    const left = xOf(figure, start);
    figure.querySelector(".plot svg").setAttribute("viewBox", `${left} 0 ${Math.max(xOf(figure, end) - left, 1)} 200`);
    const x = at == null ? null : xOf(figure, at);
    figure.querySelector(".cross").setAttribute("d", x == null ? "" : `M${x},0V200`);
    const [one, two] = drag ? [xOf(figure, drag), x].sort((a, b) => a - b) : [0, 0];
    figure.querySelector(".chosen").setAttribute("d", drag ? `M${one},0H${two}V200H${one}Z` : "");
    const labels = figure.querySelectorAll(".xs li");
    if (zoom) [start, (start + end) / 2, end].forEach((time, i) => (labels[i].textContent = clock(time)));
  }
  for (const node of document.querySelectorAll("[data-readout]")) {
    const figure = node.closest("section").querySelector("figure[data-start]");
    node.textContent = at == null || !figure ? node.dataset.readout : read(figure);
  }
  document.querySelectorAll("[data-unzoom]").forEach((button) => (button.hidden = !zoom));
}

function unzoom() {
  zoom = drag = null;
  for (const figure of charts()) {
    figure.querySelectorAll(".xs li").forEach((label) => (label.textContent = label.dataset.text ?? label.textContent));
  }
  draw();
}

function keep() {
  for (const label of document.querySelectorAll("figure[data-start] .xs li")) label.dataset.text ??= label.textContent;
}

function move(figure, event) {
  at = timeOf(figure, event);
  draw();
}

function release(figure, event) {
  const [one, two] = [drag, timeOf(figure, event)].sort((a, b) => a - b);
  const [start, end] = span(figure);
  drag = null;
  if (two - one > 0.01 * (end - start)) zoom = [one, two];
  draw();
}

function key(figure, event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key === "Escape") return unzoom();
  if (!(event.key in steps)) return;
  event.preventDefault();
  const known = rows(figure).map(([start]) => start);
  const now = known.findLastIndex((start) => at != null && start <= at);
  at = known[Math.min(Math.max(now + steps[event.key], 0), known.length - 1)] + 0.001;
  draw();
}

export function watchCharts() {
  const over = (work) => (event) => {
    const figure = event.target.closest?.("figure[data-start] .plot svg")?.closest("figure");
    if (figure) work(figure, event);
  };
  document.addEventListener("pointermove", over(move));
  document.addEventListener("pointerdown", over((figure, event) => {
    event.preventDefault();
    drag = timeOf(figure, event);
  }));
  document.addEventListener("pointerup", (event) => {
    const figure = drag && (event.target.closest?.("figure[data-start]") ?? charts()[0]);
    if (figure) release(figure, event);
  });
  document.addEventListener("keydown", over(key));
  document.addEventListener("click", (event) => event.target.closest("[data-unzoom]") && unzoom());
  addEventListener("perfmw:placed", () => {
    keep();
    if (zoom || at != null) draw();
  });
  keep();
}
