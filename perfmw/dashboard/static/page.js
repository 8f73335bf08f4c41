// Every page but the first: its sections are kept up to date, its forms answered.
import { watchActions } from "./actions.js";
import { watchBrowser } from "./browser.js";
import { watchCharts } from "./charts.js";
import { watchCopies } from "./copy.js";
import { showCurve, watchCurve } from "./curve.js";
import { watchExplain } from "./explain.js";
import { listen } from "./live.js";
import { follow, refresh } from "./parts.js";
import { unfold } from "./rest.js";
import "./shell.js";

function onState(state) {
  follow(state).catch(() => {});
  document.getElementById("start").disabled = state.running || document.body.dataset.role === "read";
}

addEventListener("perfmw:acted", () => refresh().catch(() => {}));
addEventListener("perfmw:placed", showCurve);
watchActions();
watchCharts();
watchCopies();
watchCurve();
unfold().then(() => {
  watchExplain();
  watchBrowser();
  listen(onState);
});
