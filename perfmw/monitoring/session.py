"""Watching one profile for a while: a session that can be awaited, streamed and cancelled."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmw.contracts import (
    Alert,
    OptimizationRecommendation,
    PerformanceMonitoringResult,
    PerformanceProfile,
)
from perfmw.monitoring.degradation import Finding, Tolerances, degradations
from perfmw.monitoring.watch import ProfileWatch

_KEPT = 1_000
_LIMITS = Tolerances(throughput_ratio=0.0)
"""A short while has as many requests as it has."""
_Look = Callable[[], PerformanceProfile]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a profile did since the sample before; times in unix seconds.

    ``profile``: its metrics are those of these ``seconds`` alone. ``alerts`` are new with this sample.
    """

    at: float
    seconds: float
    profile: PerformanceProfile
    alerts: Sequence[Alert] = ()

    @property
    def score(self) -> float | None:
        return self.profile.performance.current_score


@dataclass(slots=True)
class _Sums:
    samples: int = 0
    alerts: int = 0
    anomalies: int = 0
    scores: float = 0.0
    scored: int = 0
    recent: deque[Sample] = field(default_factory=lambda: deque(maxlen=_KEPT))


class MonitoringSession:
    """Samples a profile every ``frequency`` seconds for ``duration`` seconds, or until it is cancelled.

    ``await session`` gives the result at its end; ``async for sample in session`` each sample as it comes,
    from the first one that is kept (the last thousand are); ``cancel`` ends it early, with a result of what
    was seen until then. The last sample falls on the session's end.

    :param look: the profile, whose metrics are of the time since it was last called.
    :param findings: what is known of the profile beside: changes, anomalies.
    """

    def __init__(
        self,
        profile_id: str,
        look: _Look,
        *,
        duration: float | None,
        frequency: float,
        findings: Callable[[], Sequence[Finding]] = tuple,
        recommend: Callable[[], Sequence[OptimizationRecommendation]] = tuple,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not frequency > 0 or (duration is not None and not 0 < duration < float("inf")):
            raise ValueError(f"duration must be a positive number of seconds, not {duration!r}")
        self.id = uuid.uuid4().hex
        self.profile_id = profile_id
        self._look, self._findings, self._recommend = look, findings, recommend
        self._duration, self._frequency = duration, frequency
        self._clock, self._sleep = clock, sleep
        self._watch = ProfileWatch()
        self._sums = _Sums()
        self._began = clock()
        self._result: PerformanceMonitoringResult | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    def begin(self, spawn: Callable[..., asyncio.Task[Any]]) -> MonitoringSession:
        """Run in a task that ``spawn`` makes."""
        self._look()  # from here on
        self._task = spawn(self._run(), name=f"perfmw-monitor-{self.id[:8]}")
        self._task.add_done_callback(lambda _task: self._end())
        return self

    async def _run(self) -> None:
        done = 0.0
        while self._duration is None or self._duration - done > 1e-6 * self._frequency:
            until = done + self._frequency
            if self._duration is not None:
                until = min(until, self._duration)
            # by the clock, so that samples that take a while do not make the session longer
            await self._sleep(max(0.0, self._began + until - self._clock()))
            self._sample(until - done)
            done = until

    def _sample(self, seconds: float) -> None:
        now, profile, sums = self._clock(), self._look(), self._sums
        findings = [*degradations(profile, _LIMITS), *self._findings()]
        raised = self._watch.raised(findings, now)
        sample = Sample(now, seconds, profile, raised)
        sums.samples += 1
        sums.alerts += len(raised)
        sums.anomalies += sum(alert.type.startswith(("anomaly", "changed_")) for alert in raised)
        if sample.score is not None:
            sums.scores += sample.score
            sums.scored += 1
        sums.recent.append(sample)
        self._news.set()

    def _end(self) -> None:
        sums = self._sums
        self._result = PerformanceMonitoringResult(
            session_id=self.id,
            profile_id=self.profile_id,
            duration=self._clock() - self._began,
            metrics_collected=sums.samples,
            alerts_triggered=sums.alerts,
            anomalies_detected=sums.anomalies,
            average_performance_score=sums.scores / sums.scored if sums.scored else None,
            recommendations=list(self._recommend()),
        )
        self._news.set()

    @property
    def running(self) -> bool:
        return self._result is None

    def cancel(self) -> None:
        """End the session now; whoever awaits it gets the result of what was seen."""
        if self._task is not None:
            self._task.cancel()

    def __await__(self) -> Generator[Any, None, PerformanceMonitoringResult]:
        return self._wait().__await__()

    async def _wait(self) -> PerformanceMonitoringResult:
        assert self._task is not None, "the session has not begun"
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error
        await asyncio.sleep(0)  # its callback comes first
        assert self._result is not None
        return self._result

    async def __aiter__(self) -> AsyncIterator[Sample]:
        given = 0
        while True:
            kept = list(self._sums.recent)
            first = self._sums.samples - len(kept)
            for sample in kept[max(given - first, 0) :]:
                yield sample
            given = first + len(kept)
            if given < self._sums.samples:
                continue
            if not self.running:
                return
            self._news.clear()
            await self._news.wait()
