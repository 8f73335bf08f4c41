"""Monitoring sessions: one profile, watched for a while."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perfmw.contracts import (
    OptimizationRecommendation,
    PerformanceProfile,
    ProfileMetrics,
    UserExperienceMetrics,
)
from perfmw.monitoring.degradation import Finding
from perfmw.monitoring.session import MonitoringSession
from perfmw.profiles.metrics import error_metrics, latency_metrics, throughput_metrics
from perfmw.profiles.score import total

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime


def monitor_performance(
    runtime: Runtime, profile_id: str, duration: float | None = None, *, frequency: float | None = None
) -> MonitoringSession:
    """Watch a profile for ``duration`` seconds, or until the session is cancelled.

    ``await`` it for its result, iterate over it for its samples; the runtime's ``stop`` ends it.

    :param frequency: seconds between samples, by default the profile's own, and ten samples at least.
    :raises KeyError: no such profile.
    :raises ValueError: the duration is not positive and finite.
    """
    tracked = runtime.profiles.tracked(profile_id)
    if tracked is None:
        raise KeyError(f"no profile {profile_id!r}")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"duration must be a positive number of seconds, not {duration!r}")
    name = tracked.recorder.name
    if frequency is None:
        frequency = tracked.config.monitoring_frequency
        frequency = min(frequency, duration / 10.0) if duration is not None else frequency
    session = MonitoringSession(
        profile_id,
        _Look(runtime, profile_id),
        duration=duration,
        frequency=frequency,
        findings=lambda: _known(runtime, name),
        recommend=lambda: _advice(runtime, name),
        clock=time.time,
    )
    return session.begin(runtime.spawn)


class _Look:
    """The profile with the metrics of what was counted since the last look."""

    def __init__(self, runtime: Runtime, profile_id: str) -> None:
        self._runtime, self._id = runtime, profile_id
        self._before = runtime.profiles.reading(profile_id)
        self._at = time.monotonic()

    def __call__(self) -> PerformanceProfile:
        runtime = self._runtime
        profile, reading = runtime.profiles.get(self._id), runtime.profiles.reading(self._id)
        if profile is None or reading is None:
            raise KeyError(f"the profile {self._id!r} was deleted")
        now = time.monotonic()
        elapsed = max(now - self._at, 1e-3)
        fresh = reading - self._before if self._before is not None else reading
        self._before, self._at = reading, now
        parts = runtime.profiles.parts(self._id, fresh, elapsed) if fresh.count else []
        metrics = ProfileMetrics(
            latency=latency_metrics(fresh.sketch),
            throughput=throughput_metrics(fresh, elapsed, fresh.count / elapsed),
            resource_usage=profile.metrics.resource_usage,
            error_rates=error_metrics(fresh),
            user_experience=UserExperienceMetrics(),
        )
        state = replace(profile.performance, current_score=total(parts), score_parts=parts)
        return runtime.engine.configured(replace(profile, metrics=metrics, performance=state))


def _known(runtime: Runtime, name: str) -> Sequence[Finding]:
    return [one for one in runtime.rounds.watching.series.findings() if one.target == name]


def _advice(runtime: Runtime, name: str) -> Sequence[OptimizationRecommendation]:
    return runtime.engine.recommendations(name)
