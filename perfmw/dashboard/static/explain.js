// What the cache makes of a URL, in words.
import { duration } from "./figures.js";

const rows = (said) => [
  ["Cached", said.cacheable ? `yes, ${said.reason}` : `no, ${said.reason}`],
  ["Why", said.meaning],
  ["What to change", said.change || "nothing"],
  ["Status", said.status],
  ["Key", said.key],
  ["Varies on", Object.entries(said.vary ?? {}).map(([name, value]) => `${name}: ${value}`).join(", ") || "nothing"],
  ["Rule", said.rule || "none"],
  ["Lifetime", said.lifetime == null ? "–" : duration(said.lifetime)],
  ["Stored now", said.stored?.length ? `${said.stored.length} response${said.stored.length > 1 ? "s" : ""}` : "nothing"],
];

function draw(said) {
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [name, value] of rows(said)) {
    const term = document.createElement("dt");
    const fact = document.createElement("dd");
    term.textContent = name;
    fact.textContent = value ?? "–";
    list.append(term, fact);
  }
  return list;
}

export function watchExplain() {
  const form = document.getElementById("explain");
  form?.addEventListener("perfmw:answer", ({ detail }) => {
    document.getElementById("explained").replaceChildren(draw(detail));
  });
}
