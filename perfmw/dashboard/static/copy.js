// A panel as curl, as JSON, or as the settings behind it in Python.
import { fields, tell } from "./actions.js";

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

const SECRET = "********";

async function settings(names) {
  const { items } = await json("api/v1/settings?limit=1000");
  const chosen = (item) => (names[0] === "*" ? item.origin !== "default" : names.includes(item.name));
  const line = ({ name, value, origin }) =>
    JSON.stringify(value ?? "").includes(SECRET)
      ? `    # ${name} is a secret, from ${origin}`
      : `    ${name}=${python(value)},  # from ${origin}`;
  return `from perfmw import Settings\n\nsettings = Settings(\n${items.filter(chosen).map(line).join("\n")}\n)\n`;
}

// What a panel asks: its resource, or what its form would post.
function asked(place) {
  if (place.dataset.api) return [place.dataset.api];
  const form = place.closest("section").querySelector("form");
  return form.asks?.() ?? [form.dataset.api, fields(form)];
}

function curl([api, body]) {
  const lines = [`curl -H "Authorization: Bearer $PERFMW_DASHBOARD_TOKEN"`, quote(absolute(api))];
  if (body) lines.splice(1, 0, `-H 'Origin: ${location.origin}' -H 'Content-Type: application/json' -d ${quote(JSON.stringify(body))}`);
  return lines.join(" "); // on loopback there is no token: what changes something tells its origin
}

const texts = {
  curl: (place) => curl(asked(place)),
  json: async (place) => {
    const [api, body] = asked(place);
    return JSON.stringify(body ?? (await json(api)), null, 2);
  },
  python: (place) => settings(place.dataset.settings.split(" ")),
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
  await put(await texts[button.dataset.copy](place));
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
