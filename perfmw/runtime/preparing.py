"""Preparing for load that is due within the hour, and going back when it has passed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from perfmw.contracts import OptimizationOpportunity, ResizablePool

if TYPE_CHECKING:
    from perfmw.optimization.forecasting import ForecastOptimizer
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

LOOK_SECONDS = 60.0
"""Between two looks at the forecast, which is made anew once a minute."""
HOLD_SECONDS = 2 * 3600.0
"""What was prepared stands for so long after the load was last foreseen: it comes, and stays for a while."""


class Preparing:
    """Does what the forecast asks for, once for each rise, and writes it into the ledger."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._looked_at = 0.0
        self._due_at = 0.0
        self._prepared: set[str] = set()
        """What was done for the rise that is due: also what somebody has undone since is not done again."""

    @property
    def standing(self) -> list[OptimizationOpportunity]:
        """What was prepared and can be undone, also before a restart."""
        kept = (entry.opportunity for entry in self._runtime.ledger.kept())
        return [one for one in kept if one.optimizer == "forecast"]

    def tick(self, now: float) -> None:
        """Look at the forecast, if it is time; prepare, or go back."""
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at, self._due_at = now, self._due_at or now
        from perfmw.optimization.forecasting import load_due

        due = load_due(self._runtime.rounds.scaling.state())
        if due is not None:
            self._due_at = now
            self._prepare(str(due))
        elif now - self._due_at >= HOLD_SECONDS:
            self.revert("the load has passed")

    def revert(self, why: str) -> None:
        """Undo all that was prepared."""
        for opportunity in reversed(self.standing):
            self._do(opportunity, "reverted", why)
        self._prepared.clear()

    def _prepare(self, why: str) -> None:
        runtime = self._runtime
        optimizer = runtime.plugins.optimizers.get("forecast")
        if optimizer is None:
            return
        forecast: ForecastOptimizer = optimizer  # type: ignore[assignment]
        pools = runtime.plugins.resource_pools
        resizable = {name for name, pool in pools.items() if isinstance(pool, ResizablePool)}
        done = self._prepared | {one.id for one in self.standing} | runtime.ledger.rejected()
        for opportunity in forecast.prepare(runtime.snapshot(), resizable):
            if opportunity.id not in done:
                self._prepared.add(opportunity.id)
                self._do(opportunity, "kept" if "before" in opportunity.parameters else "applied", why)

    def _do(
        self, opportunity: OptimizationOpportunity, kind: Literal["applied", "kept", "reverted"], why: str
    ) -> None:
        runtime = self._runtime
        optimizer = runtime.plugins.optimizers["forecast"]
        act = optimizer.revert if kind == "reverted" else optimizer.apply
        try:
            act(opportunity, runtime.controls)
        except Exception as error:
            log.warning("%s: could not be done: %s", opportunity.title, error)
            runtime.ledger.append("failed", opportunity, who="forecast", why=str(error))
            return
        runtime.ledger.append(kind, opportunity, who="forecast", why=why)
        runtime.annotate("forecast", f"{opportunity.title}: {why}")
