// The stat cards: figure, trend, sparkline, and the table behind it.
import { count, spark, statFigure, trend } from "./figures.js";

const MARKS = 1000; // a table is drawn only while it is open

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function drawTable(card, stat) {
  const body = card.querySelector("[data-series]");
  if (!card.querySelector("details").open) return;
  const rows = stat.series.slice(-MARKS).map((value, i) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = i + 1;
    row.insertCell().textContent = statFigure({ value, unit: stat.unit }).join(" ");
    return row;
  });
  body.replaceChildren(...rows);
}

function drawTrend(chip, stat) {
  const { text, word, arrow } = trend(stat);
  const label = [text, word].filter(Boolean).join(" ");
  chip.className = `trend ${word}`;
  const mark = document.createElement("span");
  mark.ariaHidden = "true";
  mark.textContent = arrow;
  chip.replaceChildren(mark, arrow ? ` ${label}` : label);
}

export function showCards(overview) {
  for (const card of document.querySelectorAll("[data-card]")) {
    const stat = overview[card.dataset.card];
    if (!stat) continue;
    const [value, unit] = statFigure(stat);
    put(card.querySelector("[data-value]"), value);
    put(card.querySelector("[data-unit]"), unit);
    put(card.querySelector("[data-samples]"), `${count(stat.samples)} ${stat.samples === 1 ? "sample" : "samples"}`);
    drawTrend(card.querySelector("[data-trend]"), stat);
    const [line, area] = spark(stat.series);
    card.querySelector(".line").setAttribute("d", line);
    card.querySelector(".area").setAttribute("d", area);
    card.toggleAttribute("data-empty", stat.value == null);
    card.stat = stat;
    drawTable(card, stat);
  }
}

export function watchTables() {
  for (const card of document.querySelectorAll("[data-card]")) {
    const body = card.querySelector("[data-series]");
    card.stat = { series: JSON.parse(body.dataset.series), unit: body.dataset.unit };
    card.querySelector("details").addEventListener("toggle", () => drawTable(card, card.stat));
  }
}
