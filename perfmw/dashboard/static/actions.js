// What changes something: always a POST of JSON to our own origin.
const message = document.getElementById("message");

function tell(text, bad = false) {
  message.textContent = text;
  message.className = bad ? "bad" : "good";
  message.hidden = false;
}

async function post(url, body = {}) {
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
    blocks: number("blocks"),
    block_seconds: number("block_seconds"),
    dry_run: form.elements.dry_run.checked,
  };
}

async function act(button, done, work) {
  button.disabled = true;
  try {
    await work();
    tell(done);
  } catch (error) {
    tell(error.message, true);
  }
  button.disabled = false;
  dispatchEvent(new Event("perfmw:acted"));
}

export function watchActions() {
  const start = document.getElementById("start");
  start.addEventListener("click", () => {
    act(start, "The optimization has started; its verdict will stand in the ledger.", () =>
      post("api/v1/optimization/start", options()),
    );
  });
  document.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-post]");
    if (button) act(button, "Done.", () => post(button.dataset.post));
  });
}
