"""Watching one profile for a while."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from perfmw.contracts import OptimizationRecommendation, PerformanceMonitoringResult, PerformanceProfile
from perfmw.optimization.host import EngineHost, Watch


@dataclass(slots=True)
class MonitoringSession:
    """Samples a profile at its own frequency; the last sample falls on the session's end.

    ``profile`` reads the profile anew at each call.
    """

    host: EngineHost
    profile: Callable[[], PerformanceProfile]
    duration: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    samples: int = 0
    alerts: int = 0
    anomalies: int = 0
    scores: list[float] = field(default_factory=list)

    async def run(
        self, recommend: Callable[[], Sequence[OptimizationRecommendation]]
    ) -> PerformanceMonitoringResult:
        """Returns at the session's end, not before."""
        began = self.host.clock()
        watch = self.host.watch()
        profile = self.profile()
        interval = profile.monitoring.frequency if profile.monitoring.frequency > 0 else self.duration
        slept = 0.0
        for tick in range(1, math.ceil(self.duration / interval) + 1):
            until = min(tick * interval, self.duration)
            await self.host.sleep(until - slept)
            slept = until
            self._sample(watch)
        return self._result(profile.id, self.host.clock() - began, recommend())

    def _sample(self, watch: Watch) -> None:
        profile = self.profile()
        raised = watch(profile, self.host.clock())
        self.samples += 1
        self.alerts += len(raised)
        self.anomalies += sum(alert.type == "anomaly" for alert in raised)
        if profile.performance.current_score is not None:
            self.scores.append(profile.performance.current_score)

    def _result(
        self, profile_id: str, duration: float, recommendations: Sequence[OptimizationRecommendation]
    ) -> PerformanceMonitoringResult:
        return PerformanceMonitoringResult(
            session_id=self.id,
            profile_id=profile_id,
            duration=duration,
            metrics_collected=self.samples,
            alerts_triggered=self.alerts,
            anomalies_detected=self.anomalies,
            average_performance_score=sum(self.scores) / len(self.scores) if self.scores else None,
            recommendations=list(recommendations),
        )
