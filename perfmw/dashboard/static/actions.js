// What changes something: always a POST of JSON to our own origin.
const message = document.getElementById("message");

export function tell(text, bad = false) {
  message.textContent = text;
  message.className = bad ? "bad" : "good";
  message.hidden = false;
}

export async function post(url, body = {}) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `The server answered ${answer.status}.`);
  return said;
}

function options() {
  const form = document.getElementById("options");
  if (!form) return {};
  const number = (name) => Number(form.elements[name].value);
  return {
    level: form.elements.level.value,
    max_steps: number("max_steps"),
    at_once: number("at_once"),
    blocks: number("blocks"),
    block_seconds: number("block_seconds"),
    dry_run: form.elements.dry_run.checked,
    approval: form.elements.approval.checked,
  };
}

async function act(button, done, work) {
  button.disabled = true;
  let said;
  try {
    said = await work();
    if (done) tell(done);
    else message.hidden = true;
  } catch (error) {
    tell(error.message, true);
  }
  button.disabled = false;
  const node = button.closest("[data-next], [data-reload]");
  if (!said || !node) {
    const acted = () => dispatchEvent(new Event("perfmw:acted"));
    acted();
    setTimeout(acted, 3000); // by then the other workers know of it, one of which may have answered
  } else if ("reload" in node.dataset) location.reload();
  else location.assign(node.dataset.next.replace("{id}", encodeURIComponent(said.id)));
  return said;
}

function value(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.multiple) return [...field.selectedOptions].map((option) => option.value);
  if (field.type === "number") return Number(field.value) * Number(field.dataset.scale ?? 1);
  return field.value;
}

export function fields(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.value === "") continue;
    const [first, second] = field.name.split(".");
    if (second) (body[first] ??= {})[second] = value(field);
    else body[first] = value(field);
  }
  return body;
}

async function submit(form) {
  const explained = form.id === "explain";
  const button = form.querySelector("button");
  const said = await act(button, explained ? "" : "Done.", () => post(form.dataset.api, fields(form)));
  if (said) form.dispatchEvent(new CustomEvent("perfmw:answer", { detail: said }));
}

export function watchActions() {
  const start = document.getElementById("start");
  start.addEventListener("click", () => {
    act(start, "The optimization has started; its verdict will stand in the ledger.", () =>
      post("api/v1/optimization/start", options()),
    );
  });
  document.addEventListener("submit", (event) => {
    if ("go" in event.target.dataset) return;
    event.preventDefault();
    if (event.target.dataset.api) submit(event.target);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-post]");
    if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return;
    act(button, "Done.", () => post(button.dataset.post, JSON.parse(button.dataset.body ?? "{}")));
  });
}
