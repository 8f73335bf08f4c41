"""Optimizing as time goes by: looking, trying, measuring again what was kept, and the switch that ends it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from perfmw.contracts import Alert, OptimizationLevel, OptimizationRequest, PerformanceProfile
from perfmw.profiles import Reading, profile_id
from perfmw.runtime.allotting import ADMISSION, Admission
from perfmw.runtime.opportunities import HostOpportunities
from perfmw.runtime.preparing import Preparing
from perfmw.runtime.runs import Runs

if TYPE_CHECKING:
    from perfmw.optimization import PerformanceOptimizationEngine
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

LOOK_SECONDS = 30.0
"""Between two looks at what could be done, for profiles and pages."""
QUIET_SECONDS = 600.0
"""The same while nobody asks for anything: little else changes what could be done."""
OPTIMIZE_SECONDS = 300.0
"""Between two runs of ``auto_optimization``, if there is anything to try."""
RECHECK_SECONDS = 6 * 3600.0
"""Between two measurements of what was kept."""
BLOCK_REQUESTS = 1_000
"""What a block waits for in a run that nobody watches: harm to the slowest hundredth then shows in two."""
ALARM_SECONDS = 60.0
"""The least time between two reactions to alerts."""


def make_engine(runtime: Runtime) -> PerformanceOptimizationEngine:
    """The engine of a runtime."""
    from perfmw.monitoring import ProfileWatch
    from perfmw.optimization import EngineHost, PerformanceOptimizationEngine
    from perfmw.runtime.sessions import monitor_performance

    host = EngineHost(
        snapshot=runtime.snapshot,
        reading=lambda name: reading_of(runtime, name),
        controls=runtime.controls,
        ensure_profile=runtime.profiles.recorder,
        watch=ProfileWatch,
        monitor=partial(monitor_performance, runtime),
        on_event=runtime.heard,
        memory=lambda: runtime.rounds.resource_usage().memory_bytes,
    )
    return PerformanceOptimizationEngine(host, runtime.plugins.optimizers, runtime.ledger)


def reading_of(runtime: Runtime, name: str) -> Reading | Admission:
    """What was counted of a route, or of ``all`` of them together; ``admission``: as clients see it.

    :raises KeyError: for a route without a profile.
    """
    if name == ADMISSION:
        return Admission(_total(runtime))
    if name != "all":
        reading = runtime.profiles.reading(profile_id("component", name))
        if reading is None:
            raise KeyError(f"no profile {name!r}")
        return reading
    return _total(runtime)


def _total(runtime: Runtime) -> Reading:
    total = Reading()
    for route in runtime.profiles.counts():
        one = runtime.profiles.reading(profile_id("component", route))
        if one is not None:
            total.add(one)
    return total


def _by_itself(level: OptimizationLevel) -> OptimizationRequest:
    return OptimizationRequest(level=level, requested_by="auto_optimization", block_requests=BLOCK_REQUESTS)


class Switch(msgspec.Struct, frozen=True):
    """Whether perfmw optimizes by itself; ``ended``: not even for profiles that ask for it.

    ``at``: when that was chosen, in unix seconds; 0 where only the setting spoke. Of two switches the later
    holds, so the workers of a host come to the same.
    """

    on: bool
    ended: bool = False
    at: float = 0.0


class Optimizing:
    """The regular work of the engine of one runtime, one step at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.switch = Switch(runtime.settings.auto_optimization)
        """The setting says how it begins. Profiles may have one of their own."""
        self._looked_at = self._alarmed_at = 0.0
        self._seen = -1
        """How often requests had been counted at the last look."""
        self._optimized_at = self._rechecked_at = time.time()
        self.preparing = Preparing(runtime)
        self.runs = Runs(runtime)
        self.opportunities = HostOpportunities(runtime)
        runtime.words.about("automatic", Switch, lambda: self.switch, self.take_over)
        runtime.listen(self._heard)

    @property
    def automatic(self) -> bool:
        return self.switch.on

    def turn(self, on: bool) -> None:
        """Optimize by itself from now on, or not; the other workers of the host follow."""
        self.switch = Switch(on, self.switch.ended and not on, time.time())

    def take_over(self, others: Iterable[Switch]) -> None:
        """What another worker of the host was told, if that was later."""
        switch = max(others, key=lambda one: one.at, default=self.switch)
        if switch.at <= self.switch.at:
            return
        self.switch = switch
        if switch.ended:
            self._runtime.cancel_optimization()
            self.preparing.revert("kill switch")

    def start(self) -> None:
        """Apply again what was kept before a restart; or undo it, where optimizations are off."""
        runtime = self._runtime
        if not runtime.settings.optimizations_enabled:
            if runtime.settings.state_dir is not None:
                runtime.engine.revert_all(who="perfmw", why="optimizations_enabled is false")
            return
        if runtime.settings.state_dir is not None:
            runtime.engine.restore()

    def tick(self, now: float) -> None:
        """What is due at unix time ``now``. Only one thing is done in one round."""
        for _ in self.steps(now):
            pass

    def steps(self, now: float) -> Iterator[None]:
        """``tick`` in steps, between which requests are answered."""
        runtime = self._runtime
        if not runtime.settings.optimizations_enabled:
            return
        if runtime.settings.state_dir is not None and not self.runs.own:
            self._follow()
        if self._due(now):
            self._looked_at, self._seen = now, runtime.profiles.whole.stamp
            yield from runtime.profiles.describing()
            yield from runtime.engine.survey()
            runtime.engine.withdraw()
        elif self.runs.own:
            return
        elif self.automatic:
            self.preparing.tick(now)
            if self._my_turn():
                self._work(now)
        elif not self.switch.ended and now - self._optimized_at >= OPTIMIZE_SECONDS and self._my_turn():
            self._work_for_some(now)

    def _my_turn(self) -> bool:
        """Of a host's workers one tries things unasked: two at a time would spoil both measurements."""
        return self._runtime.leads and self._runtime.optimization_state()["status"] != "running"

    def _follow(self) -> None:
        """Do here what another worker of the host kept or undid: a change stands in all or in none."""
        runtime = self._runtime
        for entry in runtime.ledger.news():
            change = entry.opportunity
            try:
                optimizer = runtime.engine.optimizers[change.optimizer]
                (optimizer.apply if entry.kind == "kept" else optimizer.revert)(change, runtime.controls)
            except Exception as error:
                log.warning("what another worker did to %s could not be done here: %r", change.id, error)

    def _due(self, now: float) -> bool:
        """Whether to look what could be done."""
        news = self._runtime.profiles.whole.stamp != self._seen
        return now - self._looked_at >= (LOOK_SECONDS if news else QUIET_SECONDS)

    def end(self) -> None:
        """The kill switch: nothing is done by itself any more, and what was done for a forecast is undone."""
        self.switch = Switch(on=False, ended=True, at=time.time())
        self.preparing.revert("kill switch")

    def _work(self, now: float) -> None:
        runtime = self._runtime
        if now - self._rechecked_at >= RECHECK_SECONDS and runtime.ledger.kept():
            self._rechecked_at = now
            runtime.spawn(runtime.engine.recheck(), name="perfmw-optimization")
        elif now - self._optimized_at >= OPTIMIZE_SECONDS and runtime.engine.surveyed.identified:
            self._optimized_at = now
            level = runtime.settings.optimization_level
            runtime.start_optimization(_by_itself(level))

    def _work_for_some(self, now: float) -> None:
        """Optimize the first profile whose own ``auto_optimization`` is on, within its own level."""
        targets = dict.fromkeys(one.target for one in self._runtime.engine.surveyed.identified)
        for profile in filter(None, map(self._automatic_one, targets)):
            self._optimized_at = now
            level = profile.metadata.optimization_level
            self._runtime.start_optimization(_by_itself(level), profile.id)
            return

    def _automatic_one(self, target: str) -> PerformanceProfile | None:
        """The profile of that name, if ``auto_optimization`` is on for it."""
        found = None if self.switch.ended else self._runtime.profiles.find(target)
        profile = self._runtime.engine.configured(found) if found is not None else None
        return profile if profile is not None and profile.metadata.auto_optimization else None

    def _heard(self, name: str, detail: object) -> None:
        if name == "finished":
            self._looked_at = 0.0  # what could be done is another now
        elif name == "alert" and isinstance(detail, Alert):
            try:
                self.alerted(detail, time.time())
            except Exception:
                log.exception("reacting to an alert failed")

    def alerted(self, alert: Alert, now: float) -> None:
        """A degradation was told of. When it is grave, what was changed there is looked at at once."""
        runtime = self._runtime
        if alert.severity != "high" or alert.resolved_at is not None:
            return
        if not runtime.settings.optimizations_enabled or now - self._alarmed_at < ALARM_SECONDS:
            return
        self._alarmed_at = now
        targets = {entry.opportunity.target for entry in runtime.ledger.kept()}
        if runtime.engine.withdraw(alert.target):
            return
        if not self.automatic and self._automatic_one(alert.target) is None:
            return
        if alert.target in targets and runtime.optimization_state()["status"] != "running":
            request = OptimizationRequest(requested_by=f"alert: {alert.key}")
            runtime.spawn(runtime.engine.recheck(request, alert.target), name="perfmw-optimization")
        else:
            self._optimized_at = 0.0  # try at once what may help
