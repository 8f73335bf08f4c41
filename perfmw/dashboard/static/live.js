// One event stream a page; closed while nobody sees the page.
const label = document.getElementById("live");

function say(state, text) {
  if (label.dataset.state === state) return;
  label.dataset.state = state;
  label.textContent = text;
}

export function listen(onState) {
  const button = document.getElementById("pause");
  let source;
  let paused = false;
  const open = () => {
    source = new EventSource("api/v1/events");
    source.addEventListener("state", (event) => {
      say("live", "Live");
      onState(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      say("lost", "Reconnecting");
      // a browser gives up when the server answers with an error; a restart must not end the stream
      if (source.readyState === EventSource.CLOSED) setTimeout(turn, 3000);
    });
  };
  const turn = () => {
    source?.close();
    if (document.hidden || paused) say("paused", "Paused");
    else open();
  };
  button.addEventListener("click", () => {
    paused = !paused;
    button.ariaPressed = String(paused);
    turn();
  });
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && turn());
  turn();
}
