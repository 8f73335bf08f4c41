// Sections that the server renders again: those that changed are put in the place of the old ones.
import { parsed, spread } from "./rest.js";

const sections = (node) => [...node.querySelectorAll("section[id]")];
const pictures = (node) => new Map(sections(node).map((section) => [section.id, section.outerHTML]));
const shown = new Map(); // as last placed; at first what the page came with
const SOONEST = 5000;
let asked = Date.now();
let pause = SOONEST; // what takes the server long is asked for less often
let patience = SOONEST; // and so it is with many pages open

function inUse(section) {
  return section.contains(document.activeElement) && document.activeElement.matches("input, select");
}

function keepOpen(old, fresh) {
  const before = old.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((one, i) => (one.open = before[i]?.open ?? one.open));
}

const nameOf = (node) =>
  node.dataset.post ?? node.getAttribute("href") ?? node.getAttribute("aria-label") ?? node.textContent;

// What takes the place of the node that has the focus: the one of that name, of several the same one.
function heir(old, fresh) {
  const focused = document.activeElement;
  if (!old.contains(focused)) return undefined;
  const name = nameOf(focused);
  const alike = (node) =>
    [...node.querySelectorAll("a[href], button, summary, [tabindex]")].filter((one) => nameOf(one) === name);
  const found = alike(fresh);
  return found[alike(old).indexOf(focused)] ?? found[0];
}

function swap(old, fresh) {
  const left = [...old.querySelectorAll(".scroll")].map((node) => node.scrollLeft);
  const next = heir(old, fresh);
  keepOpen(old, fresh);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((node, i) => (node.scrollLeft = left[i] ?? 0));
  next?.focus({ preventScroll: true });
}

function place(root, fresh) {
  const now = pictures(fresh);
  const old = shown.get(root) ?? pictures(root);
  if ([...now.keys()].join() !== [...old.keys()].join()) {
    const next = heir(root, fresh);
    root.replaceChildren(...fresh.childNodes);
    next?.focus({ preventScroll: true });
  } else {
    for (const section of sections(fresh)) {
      const there = document.getElementById(section.id);
      if (old.get(section.id) === now.get(section.id)) continue;
      if (inUse(there)) now.set(section.id, old.get(section.id));
      else swap(there, section);
    }
  }
  shown.set(root, now);
}

const due = () => Date.now() - asked > Math.max(pause, patience);
const busy = () => document.querySelector("[data-parts] [data-busy]") != null;
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
let heard; // the state that the page shows

// What an event of the stream tells. Pages that heard of the same one do not all ask at once.
export async function follow(state) {
  const changed = heard !== undefined && heard !== state.parts;
  heard = state.parts;
  patience = 1000 * state.patience;
  if (changed || busy()) return refresh(heard);
  if (!due()) return;
  asked = Date.now();
  await wait(Math.random() * (patience - SOONEST));
  return refresh(heard);
}

// With a state that was heard of, an answer will do that the server made for another page.
export async function refresh(state) {
  const roots = [...document.querySelectorAll("[data-parts]")];
  if (!roots.length) return;
  asked = Date.now();
  const headers = state === undefined ? {} : { "perfmw-parts": state };
  const answer = await fetch(roots[0].dataset.url ?? location.href, { headers });
  if (!answer.ok) return;
  const page = spread(parsed(await answer.text()));
  pause = Math.min(Math.max(5000, 400 * (Date.now() - asked)), 30000);
  for (const root of roots) {
    const fresh = page.getElementById(root.id);
    if (fresh) place(root, fresh);
  }
  dispatchEvent(new Event("perfmw:placed"));
}
