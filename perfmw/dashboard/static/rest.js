// What lies below the first screen comes within <noscript>. A page without scripts shows it as it is; here it is
// text at first, so that the browser need not parse it and lay it out before its first picture.
const places = (page) => [...page.querySelectorAll("noscript:not(.note)")];
const turn = () => new Promise((done) => setTimeout(done));
const pictured = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

// the text is our own template's, escaped there; a parsed document runs no scripts
export const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

// A document that was parsed without scripts has the rest as elements already.
export function spread(page) {
  for (const place of places(page)) place.replaceWith(...place.childNodes);
  return page;
}

export async function unfold() {
  await pictured();
  performance.mark("drawn");
  for (const place of places(document)) {
    place.replaceWith(...parsed(place.textContent).body.childNodes);
    await turn();
  }
  document.body.classList.add("whole");
  performance.mark("whole");
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  dispatchEvent(new Event("perfmw:placed"));
}
