// The first page: joins the event stream to the cards, the route table and the slower parts.
import { watchActions } from "./actions.js";
import { showCards, watchTables } from "./cards.js";
import { listen } from "./live.js";
import { showRoutes, watchRoutes } from "./routes.js";

const parts = document.getElementById("parts");
const SLOW = 5000;
let version;
let asked = 0;

function sections(root) {
  return [...root.querySelectorAll("section[id]")];
}

let shown = new Map(sections(parts).map((section) => [section.id, section.outerHTML]));

function swap(old, fresh) {
  const left = old.querySelector(".scroll")?.scrollLeft ?? 0;
  const focused = old.contains(document.activeElement) && document.activeElement.dataset.post;
  old.replaceWith(fresh);
  const scroll = fresh.querySelector(".scroll");
  if (scroll) scroll.scrollLeft = left;
  if (focused) fresh.querySelector(`[data-post="${CSS.escape(focused)}"]`)?.focus();
}

function place(fresh) {
  const now = new Map(sections(fresh).map((section) => [section.id, section.outerHTML]));
  if ([...now.keys()].join() !== [...shown.keys()].join()) {
    parts.replaceChildren(...fresh.childNodes);
  } else {
    for (const section of sections(fresh)) {
      if (shown.get(section.id) !== now.get(section.id)) swap(document.getElementById(section.id), section);
    }
  }
  shown = now;
}

async function refresh() {
  asked = Date.now();
  const answer = await fetch(parts.dataset.url);
  // the text is our own template's, escaped there; a parsed document runs no scripts
  if (answer.ok) place(new DOMParser().parseFromString(await answer.text(), "text/html").body);
}

function onState(state) {
  showCards(state.overview);
  showRoutes(state.routes);
  const changed = version !== undefined && version !== state.parts;
  version = state.parts;
  if (changed || Date.now() - asked > SLOW) refresh().catch(() => {});
  document.getElementById("start").disabled = state.running;
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = dark === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("perfmw-theme", root.dataset.theme);
  } catch {
    // then it holds for this page only
  }
});
addEventListener("perfmw:acted", () => refresh().catch(() => {}));
asked = Date.now();
watchTables();
watchRoutes();
watchActions();
listen(onState);
