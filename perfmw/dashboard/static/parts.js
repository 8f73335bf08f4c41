// Sections that the server renders again: those that changed are put in the place of the old ones.
const root = document.getElementById("parts");
const sections = (node) => [...node.querySelectorAll("section[id]")];
const pictures = (node) => new Map(sections(node).map((section) => [section.id, section.outerHTML]));
let shown = root ? pictures(root) : new Map();
let asked = Date.now();
let pause = 5000; // what takes the server long is asked for less often

function inUse(section) {
  return section.contains(document.activeElement) && document.activeElement.matches("input, select");
}

function keepOpen(old, fresh) {
  const before = old.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((one, i) => (one.open = before[i]?.open ?? one.open));
}

function swap(old, fresh) {
  const left = [...old.querySelectorAll(".scroll")].map((node) => node.scrollLeft);
  const focused = old.contains(document.activeElement) && document.activeElement.dataset.post;
  keepOpen(old, fresh);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((node, i) => (node.scrollLeft = left[i] ?? 0));
  if (focused) fresh.querySelector(`[data-post="${CSS.escape(focused)}"]`)?.focus();
}

function place(fresh) {
  const now = pictures(fresh);
  if ([...now.keys()].join() !== [...shown.keys()].join()) {
    root.replaceChildren(...fresh.childNodes);
  } else {
    for (const section of sections(fresh)) {
      const old = document.getElementById(section.id);
      if (shown.get(section.id) === now.get(section.id)) continue;
      if (inUse(old)) now.set(section.id, shown.get(section.id));
      else swap(old, section);
    }
  }
  shown = now;
  dispatchEvent(new Event("perfmw:placed"));
}

export const due = () => Date.now() - asked > pause;
export const busy = () => root?.querySelector("[data-busy]") != null;

export async function refresh() {
  if (!root) return;
  asked = Date.now();
  const answer = await fetch(root.dataset.url ?? location.href);
  if (!answer.ok) return;
  // the text is our own template's, escaped there; a parsed document runs no scripts
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  pause = Math.min(Math.max(5000, 300 * (Date.now() - asked)), 30000);
  place(page.getElementById("parts") ?? page.body);
}
