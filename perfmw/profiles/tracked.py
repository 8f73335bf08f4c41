"""One profile as the store keeps it: its recorder, windows, baseline, targets and what the user chose."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import replace
from typing import Final

from perfmw.contracts.profiles import (
    PerformanceBaseline,
    PerformanceProfile,
    PerformanceProfileConfig,
    PerformanceState,
    PerformanceTargets,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    ScorePart,
)
from perfmw.profiles import baseline as baselines
from perfmw.profiles.baseline import TargetFactors
from perfmw.profiles.metrics import error_metrics, experience_metrics, latency_metrics, throughput_metrics
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.score import score_parts, total
from perfmw.profiles.tally import Tally, tally_of
from perfmw.profiles.trend import STEADY, Trend, trend
from perfmw.profiles.windows import Windows

COURSE_POINTS: Final = 128
"""Slots (of five seconds) that the trend looks back on."""
ENOUGH_FOR_SCORE: Final = 20
WINDOWS: Final = (60.0, 300.0, 3600.0, 86_400.0)
NOTICEABLE: Final = 0.01
"""Share of Apdex T below which nobody notices a difference in latency."""


def profile_id(type: str, name: str) -> str:
    """The id of a profile, the same in every process and after every restart."""
    return hashlib.sha256(f"{type}\0{name}".encode()).hexdigest()[:16]


class Tracked:
    """Not on the request path: only the recorder is."""

    def __init__(self, recorder: Recorder, now: float, apdex_t: float, factors: TargetFactors) -> None:
        self.recorder = recorder
        self.id = profile_id(recorder.type, recorder.name)
        self.created_at = now
        self.analyzed_at = now
        self.apdex_t = apdex_t
        self.factors = factors
        self.config = PerformanceProfileConfig(name=recorder.name)
        self.baseline: PerformanceBaseline | None = None
        self.targets: PerformanceTargets | None = None
        self.optimizations = ProfileOptimizations()
        self.windows = Windows(now)
        self._mark = Reading()
        self._mark_at = now
        self._mark_activity = recorder.activity()
        self._reading = self._mark
        self._reading_activity = self._mark_activity
        self._described: tuple[Reading, ProfileMetrics] | None = None
        self._course: deque[tuple[float, float]] = deque(maxlen=COURSE_POINTS)
        self._trend: Trend | None = STEADY

    def reading(self) -> Reading:
        """The recorder's reading, shared until something new is counted: not to be changed."""
        activity = self.recorder.activity()
        if activity != self._reading_activity:
            self._reading, self._reading_activity = self.recorder.reading(), activity
        return self._reading

    def tick(self, now: float) -> Reading | None:
        """Cut what came since the last tick into the windows; None when nothing came."""
        delta = None
        if self.recorder.activity() != self._mark_activity:
            current = self.reading()
            delta = current - self._mark
            self._mark, self._mark_activity = current, self._reading_activity
            self.windows.add(delta, tally_of(delta, self.apdex_t), self._mark_at)
        self._mark_at = now
        closed = self.windows.close(now)
        if closed is not None and closed.tally.count:
            self._course.append(((closed.start + now) / 2, closed.reading.mean))
            self._trend = None
        if delta is not None and self.baseline is None:
            self.learn(now)
        return delta

    def learn(self, now: float) -> None:
        """Take the requests so far as the baseline, once there are enough of them."""
        reading, elapsed = self.reading(), now - self.created_at
        if baselines.ready(reading, elapsed):
            self.set_baseline(baselines.baseline_of(reading, elapsed, now))

    def set_baseline(self, baseline: PerformanceBaseline) -> None:
        """Measure against ``baseline`` from now on; targets follow it unless the user chose them."""
        self.baseline = baseline
        self.targets = self.config.targets or baselines.targets_of(baseline, self.factors)

    def configure(self, config: PerformanceProfileConfig) -> None:
        self.config = config
        if config.targets is not None:
            self.targets = config.targets
        elif self.baseline is not None:
            self.targets = baselines.targets_of(self.baseline, self.factors)

    def window(self, seconds: float, now: float) -> Reading:
        """What was counted in the last ``seconds``, up to this moment."""
        view = self.windows.view(seconds, now)
        if self.reading() is not self._mark:
            view.add(self.reading() - self._mark)
        return view

    def recent(self, now: float, enough: int = ENOUGH_FOR_SCORE) -> tuple[float, float]:
        """The shortest window with enough requests for a score: its length, and the seconds it covers."""
        age = max(now - self.created_at, 0.0)
        for seconds in WINDOWS:
            if age <= seconds or self.tally(seconds, now).count >= enough:
                return seconds, min(seconds, age)
        return WINDOWS[-1], WINDOWS[-1]

    def tally(self, seconds: float, now: float) -> Tally:
        """The sums of ``window``."""
        total = self.windows.tally(seconds, now)
        if self.recorder.activity() != self._mark_activity:
            total.add(tally_of(self.reading() - self._mark, self.apdex_t))
        return total

    def parts(self, reading: Reading, elapsed: float) -> list[ScorePart]:
        """The score's parts for any reading of this profile, such as one block of an experiment."""
        return self._judge(tally_of(reading, self.apdex_t), elapsed)

    def current_parts(self, now: float) -> list[ScorePart]:
        """The score's parts as of now."""
        if self.baseline is None:
            return []
        seconds, elapsed = self.recent(now)
        return self._judge(self.tally(seconds, now), elapsed)

    def _judge(self, tally: Tally, elapsed: float) -> list[ScorePart]:
        if self.baseline is None or self.targets is None:
            return []
        floor = 0.0 if self.config.targets is not None else NOTICEABLE * self.apdex_t
        return score_parts(tally.observed(elapsed), self.baseline, self.targets, floor)

    def weight(self) -> float:
        """What the profile counts in the score of all: the time its requests would take at the baseline."""
        return self.reading().count * self.baseline.latency if self.baseline else 0.0

    def trend(self) -> Trend:
        if self._trend is None:
            self._trend = trend(list(self._course))
        return self._trend

    def profile(self, now: float) -> PerformanceProfile:
        """The profile as of ``now``: metrics since the start, score and trend of the recent windows."""
        if self.baseline is None:
            self.learn(now)
        self.analyzed_at = now
        return PerformanceProfile(
            id=self.id,
            name=self.recorder.name,
            type=self.recorder.type,
            metrics=self._metrics(now),
            performance=self._state(now),
            optimizations=self._optimizations(),
            monitoring=self._monitoring(),
            metadata=self._metadata(),
        )

    def _metrics(self, now: float) -> ProfileMetrics:
        reading, age = self.reading(), max(now - self.created_at, 0.0)
        if self._described is None or self._described[0] is not reading:
            described = ProfileMetrics(
                latency=latency_metrics(reading.sketch),
                error_rates=error_metrics(reading),
                user_experience=experience_metrics(reading, self.apdex_t),
            )
            self._described = (reading, described)
        known = self._described[1]
        minute = min(60.0, age)
        recent = self.tally(60.0, now).count / minute if minute > 0.0 else 0.0
        return ProfileMetrics(
            latency=replace(known.latency),
            throughput=throughput_metrics(reading, age, recent),
            error_rates=replace(known.error_rates),
            user_experience=replace(known.user_experience),
        )

    def _state(self, now: float) -> PerformanceState:
        parts = self.current_parts(now)
        course = self.trend()
        return PerformanceState(
            baseline=self.baseline,
            targets=self.targets,
            current_score=total(parts),
            trend_direction=course.direction,
            trend_confidence=course.confidence,
            score_parts=parts,
        )

    def _optimizations(self) -> ProfileOptimizations:
        kept = self.optimizations
        return ProfileOptimizations(
            list(kept.identified), list(kept.applied), list(kept.potential), list(kept.recommendations)
        )

    def _monitoring(self) -> ProfileMonitoring:
        config = self.config
        return ProfileMonitoring(
            enabled=config.monitoring_enabled,
            frequency=config.monitoring_frequency,
            alert_thresholds=list(config.alert_thresholds),
            reporting_schedule=config.reporting_schedule,
        )

    def _metadata(self) -> ProfileMetadata:
        return ProfileMetadata(
            created_at=self.created_at,
            last_analyzed=self.analyzed_at,
            optimization_level=self.config.optimization_level,
            auto_optimization=self.config.auto_optimization,
        )
