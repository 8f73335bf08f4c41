"""What the runtime's timer does: sample, look for degradations, tell people, export, optimize."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from perfmw.contracts import (
    Exporter,
    Overview,
    PoolSample,
    ProcessHealth,
    ResourceUsageMetrics,
)
from perfmw.monitoring.history import History
from perfmw.monitoring.overview import overview_of
from perfmw.monitoring.scoring import Explained, ScoreSum
from perfmw.resources import ProcessUsage, ResourceManagementSystem, ResourceSampler, efficiency
from perfmw.resources.manager import ManagerRecord
from perfmw.runtime.allocating import Allocation
from perfmw.runtime.fleet import Fleet
from perfmw.runtime.guarding import Guard
from perfmw.runtime.owncost import OwnCost
from perfmw.runtime.purges import Purges
from perfmw.runtime.scaling import Scaling
from perfmw.runtime.watching import Watching
from perfmw.runtime.workers import Answer, briefly_heard, merged_pools

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

CHECK_SECONDS = 5.0
"""Between two looks at every profile, for its score and for degradations."""
_HISTORY = 300
_STEP = 8
_SHARE = 0.002
"""Of a core, what judging all routes may take: it comes less often where it takes long."""
_SELDOM = 60.0
_CALM = 30.0
"""Between two looks while nobody asks for anything."""


class Rounds:
    """The regular work of one runtime. Everything it remembers is bounded."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        pools = list(runtime.plugins.resource_pools.values())
        self._sampler = ResourceSampler(pools, merge=self._with_other_workers)
        self._efficiencies: deque[tuple[float, float | None]] = deque(maxlen=_HISTORY)
        self._scores: deque[tuple[float, float | None]] = deque(maxlen=_HISTORY)
        self._checked_at = 0.0
        self._exported_at = time.time()
        self.watching = Watching(runtime)
        self.guard = Guard(runtime)
        self.scaling = Scaling(runtime)
        self._usage = ProcessUsage(runtime.settings.state_dir or ".")
        self._process: ProcessHealth | None = None
        self._process_at = 0.0
        self._used = ResourceUsageMetrics()
        self.pools: Sequence[PoolSample] = ()
        self.history = History(time.time())
        """How busy each pool of the host was over the last day, as a share."""
        self.cost = OwnCost()
        self._judge_at = 0.0
        self._stamps: dict[str, int] = {}
        self.score: Explained | None = None
        """The score of all routes as of the last check, and why."""
        self.fleet = Fleet(runtime)
        self.purges = Purges(runtime)
        self.answers: dict[str, Answer] = {}
        """What pages were told by this worker, for those of the others."""
        self.resources = system = ResourceManagementSystem(self._sampler, host=Allocation(runtime))
        runtime.words.about_each("managers", ManagerRecord, system.records, system.take_over)

    async def run(self) -> None:
        """Tick until cancelled; a round that fails is logged and the next one comes all the same."""
        await self.watching.start()
        self._runtime.spawn(self.fleet.run(), name="perfmw-fleet")
        while True:
            await asyncio.sleep(self._runtime.settings.sample_interval)
            try:
                for _ in self.cost.timed(self.steps(time.time())):
                    await asyncio.sleep(0)  # requests go first
            except Exception:
                log.exception("a round of sampling failed")

    @property
    def host_pools(self) -> Sequence[PoolSample]:
        """The pools of all workers of the host, as of the last round."""
        return self._sampler.kept

    @property
    def busiest_pools(self) -> Sequence[PoolSample]:
        """Of the last samples of each pool of this process, that in which most wait."""
        return self._sampler.busiest()

    def _with_other_workers(self, own: list[PoolSample]) -> list[PoolSample]:
        others = briefly_heard(self._runtime)
        self._runtime.words.hear([said.words for said in others])
        return merged_pools(own, [said.pools for said in others])

    def tick(self, now: float) -> None:
        """One round at unix time ``now``."""
        for _ in self.steps(now):
            pass

    def steps(self, now: float) -> Iterator[None]:
        """``tick`` in steps, so that a round over many profiles does not hold up the event loop."""
        self.pools = self._sampler.sample(now)
        self.history.add(now, {pool.name: pool.utilization for pool in self.host_pools})
        self._used = self._usage.sample(now)
        self._runtime.watch_process()
        self._efficiencies.append((now, efficiency(self.host_pools)))
        self._runtime.caching.tick(now)
        self.guard.tick(now, self.pools, self._used)
        self.scaling.tick(now, self._used)
        yield from self._runtime.profiles.steps(now)
        self._runtime.loop.calm = not self._news("round")
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            yield from self._check(now)
        if now - self._exported_at >= self._runtime.settings.export_interval:
            self._exported_at = now
            self._export()
        yield from self._runtime.optimizing.steps(now)

    def _news(self, who: str) -> bool:
        """Whether requests were counted since ``who`` last asked."""
        before, stamp = self._stamps.get(who), self._runtime.profiles.whole.stamp
        self._stamps[who] = stamp
        return stamp != before

    def overview(self) -> Overview:
        """The dashboard's four figures."""
        now, scores = time.time(), list(self._scores)
        if not scores or now >= self._judge_at + CHECK_SECONDS:  # nobody checks: there is no timer yet
            scores.append((now, self._runtime.profiles.score()))
        return overview_of(self._runtime.profiles.series(), scores, list(self._efficiencies), now)

    def resource_usage(self) -> ResourceUsageMetrics:
        """What this process used, as of the last round."""
        return replace(self._used)

    def process(self) -> ProcessHealth:
        """The event loop and what the process used, as of some seconds ago: every task is looked at."""
        now = time.time()
        if self._process is None or now - self._process_at >= CHECK_SECONDS:
            self._process, self._process_at = self._look_at_process(), now
        return self._process

    def _look_at_process(self) -> ProcessHealth:
        health, used, runtime = self._runtime.loop.health(), self._used, self._runtime
        known = health.lag.count > 0
        p50, p99 = health.lag.quantiles((0.5, 0.99))
        return ProcessHealth(
            pid=os.getpid(),
            loop_lag_p50=p50 if known else None,
            loop_lag_p99=p99 if known else None,
            loop_lag_max=health.lag.max if known else None,
            slow_callbacks=[asdict(one) for one in health.slow],
            tasks=health.tasks,
            active_requests=health.active_requests,
            gc_collections=health.gc.count,
            gc_seconds=health.gc.sum,
            gc_longest=health.gc.max,
            cpu_seconds=used.cpu_seconds,
            memory_bytes=used.memory_bytes,
            started_at=runtime.profiles.started_at,
        )

    def _check(self, now: float) -> Iterator[None]:
        runtime = self._runtime
        runtime.spans.watch()
        if now >= self._judge_at:
            judging = OwnCost()
            yield from judging.timed(self._judge(now))
            least = CHECK_SECONDS if self._news("judge") else _CALM
            self._judge_at = now + min(max(least, judging.seconds / _SHARE), _SELDOM)
        yield from self.watching.steps(now)

    def _judge(self, now: float) -> Iterator[None]:
        """The score of all routes, in steps: a thousand take longer than a request may wait."""
        total = ScoreSum()
        for number, one in enumerate(self._runtime.profiles.everything()):
            if one.recorder.type == "component":
                total.add(one.id, one.recorder.name, one.weight(), one.current_parts(now))
            if number % _STEP == _STEP - 1:
                yield
        self.score = total.explained()
        self._scores.append((now, self.score.score if self.score is not None else None))

    def _export(self) -> None:
        runtime = self._runtime
        pushing = [one for one in runtime.exporters.values() if isinstance(one, Exporter)]
        if pushing:
            snapshot = runtime.snapshot()
            own = replace(snapshot, layers=runtime.caching.infos(), processes=snapshot.processes[:1])
            for exporter in pushing:
                by_itself = getattr(exporter, "each_process", False)
                if by_itself or runtime.leads:
                    told = own if by_itself else snapshot
                    runtime.spawn(exporter.export(told), name=f"perfmw-export-{exporter.name}")
