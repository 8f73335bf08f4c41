// Numbers as people read them. figures.py writes the same text; change both.
export const NONE = "–";
export const SPACE = "\u202f";
// not Intl.NumberFormat: to make one takes a slow processor some 60 ms of a page's first load
const plain = (value) => value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");

export function number(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return plain(value);
  if (size < 0.005) return value > 0 ? "<0.01" : "0";
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

export function count(value) {
  if (value == null) return NONE;
  if (value < 100000) return plain(value);
  return value < 999500 ? `${number(value / 1e3)}k` : `${number(value / 1e6)}M`;
}

export function duration(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (!seconds) return `0${SPACE}s`;
  if (seconds < 0.0009995) return `${number(seconds * 1e6)}${SPACE}µs`;
  if (seconds < 0.9995) return `${number(seconds * 1e3)}${SPACE}ms`;
  if (seconds < 119.5) return `${number(seconds)}${SPACE}s`;
  if (seconds < 7170) return `${number(seconds / 60)}${SPACE}min`;
  return `${number(seconds / 3600)}${SPACE}h`;
}

export const percent = (share) => (share == null ? NONE : `${number(share * 100)}${SPACE}%`);
export const rate = (perSecond) => (perSecond == null ? NONE : `${number(perSecond)}/s`);

const SECONDS = { s: 1, ms: 1e-3 };

export function statFigure({ value, unit }) {
  if (value == null) return [NONE, ""];
  if (unit === "/100") return [value.toFixed(0), unit];
  if (unit in SECONDS) return duration(value * SECONDS[unit]).split(SPACE);
  return [number(value), unit];
}

export function trend({ trend: change, better }) {
  if (change == null) return { text: "", word: "no trend yet", arrow: "" };
  if (Math.abs(change) < 0.005) return { text: "", word: "steady", arrow: "→" };
  const word = change > 0 === (better === "up") ? "better" : "worse";
  return { text: `${(Math.abs(change) * 100).toFixed(0)}${SPACE}%`, word, arrow: change > 0 ? "▲" : "▼" };
}

export function spark(series, width = 240, height = 56) {
  if (series.length < 2) return ["", ""];
  const low = Math.min(...series);
  const high = Math.max(...series);
  const middle = (low + high) / 2;
  const span = Math.max(high - low, 0.2 * Math.max(Math.abs(low), Math.abs(high))) || 1;
  const step = width / (series.length - 1);
  const y = (value) => 3 + (height - 6) * (0.5 - (value - middle) / span);
  const line = series.map((value, i) => `${(i * step).toFixed(1)},${y(value).toFixed(1)}`).join("L");
  return [`M${line}`, `M${line}V${height}H0Z`];
}
