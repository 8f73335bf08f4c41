// A panel as curl, as JSON, or as the settings behind it in Python.
import { tell } from "./actions.js";

const absolute = (url) => new URL(url, location.href).href;
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function json(url) {
  const answer = await fetch(url);
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `The server answered ${answer.status}.`);
  return said;
}

export function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${python(name)}: ${python(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

async function settings(names) {
  const { items } = await json("api/v1/settings");
  const chosen = (item) => (names[0] === "*" ? item.origin !== "default" : names.includes(item.name));
  const known = items.filter(chosen);
  const lines = known.map((item) => `    ${item.name}=${python(item.value)},  # from ${item.origin}`);
  return `Settings(\n${lines.join("\n")}\n)`;
}

const texts = {
  curl: ({ api }) => `curl -H "Authorization: Bearer $PERFMW_DASHBOARD_TOKEN" ${quote(absolute(api))}`,
  json: async ({ api }) => JSON.stringify(await json(api), null, 2),
  python: ({ settings: names }) => settings(names.split(" ")),
};

async function put(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // pages without TLS have no clipboard of their own
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

async function copy(button) {
  const place = button.closest("details");
  await put(await texts[button.dataset.copy]({ ...place.dataset }));
  place.open = false;
  place.querySelector("summary").focus();
  tell("Copied.");
}

export function watchCopies() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button).catch((error) => tell(error.message, true));
  });
}
