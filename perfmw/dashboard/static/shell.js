// What all pages have: the theme, and the tabs by keyboard.
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = dark === "dark" ? "light" : "dark";
  // told to the server, which draws the next page in it from the start; in a cookie of these pages alone
  document.cookie = `perfmw-theme=${root.dataset.theme}; SameSite=Strict; Max-Age=31536000`;
});

const KEYS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
const tablist = document.querySelector('[role="tablist"]');
const tabs = [...tablist.querySelectorAll('[role="tab"]')];

// arrows move the focus, Enter and Space open: a page is loaded, so it must not happen in passing
tablist.addEventListener("keydown", (event) => {
  const at = tabs.indexOf(document.activeElement);
  if (event.key === " " && at >= 0) {
    event.preventDefault();
    tabs[at].click();
  }
  if (!(event.key in KEYS) || at < 0) return;
  event.preventDefault();
  const to = at + KEYS[event.key];
  const next = Number.isFinite(to) ? (to + tabs.length) % tabs.length : to < 0 ? 0 : tabs.length - 1;
  for (const tab of tabs) tab.tabIndex = tab === tabs[next] ? 0 : -1;
  tabs[next].focus();
});
const chosen = tablist.querySelector('[aria-selected="true"]');
// with the next picture: asked for here, the page would be laid out once more than it is anyway
requestAnimationFrame(() => chosen?.scrollIntoView?.({ block: "nearest", inline: "nearest" }));
