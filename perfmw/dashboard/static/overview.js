// The first page: joins the event stream to the cards, the route table and the slower parts.
import { watchActions } from "./actions.js";
import { showCards, watchTables } from "./cards.js";
import { watchCharts } from "./charts.js";
import { watchCopies } from "./copy.js";
import { listen } from "./live.js";
import { follow, refresh } from "./parts.js";
import { unfold } from "./rest.js";
import { showRoutes, watchRoutes } from "./routes.js";
import "./shell.js";

function onState(state) {
  showCards(state.overview);
  showRoutes(state.routes);
  follow(state).catch(() => {});
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
