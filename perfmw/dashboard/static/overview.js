// The first page: joins the event stream to the cards, the route table and the slower parts.
import { watchActions } from "./actions.js";
import { showCards, watchTables } from "./cards.js";
import { watchCharts } from "./charts.js";
import { watchCopies } from "./copy.js";
import { listen } from "./live.js";
import { due, refresh } from "./parts.js";
import { unfold } from "./rest.js";
import { showRoutes, watchRoutes } from "./routes.js";
import "./shell.js";

let version;

function onState(state) {
  showCards(state.overview);
  showRoutes(state.routes);
  const changed = version !== undefined && version !== state.parts;
  version = state.parts;
  if (changed || due()) refresh().catch(() => {});
  document.getElementById("start").disabled = state.running || document.body.dataset.role === "read";
}

addEventListener("perfmw:acted", () => refresh().catch(() => {}));
watchTables();
watchActions();
watchCharts();
watchCopies();
unfold().then(() => {
  watchRoutes();
  listen(onState);
});
