"""One profile as the store keeps it: its recorder, windows, baseline, targets and what the user chose."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
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
from perfmw.profiles.breakdown import Breakdown
from perfmw.profiles.extras import Extras
from perfmw.profiles.metrics import error_metrics, experience_metrics, latency_metrics, throughput_metrics
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.score import score_parts, total
from perfmw.profiles.tally import Tally, tally_of
from perfmw.profiles.trend import STEADY, Trend, trend
from perfmw.profiles.windows import LEVELS, Levels, LevelState, Windows

COURSE_POINTS: Final = 128
"""Shortest slots (of five seconds, or twenty) that the trend looks back on."""
STILL_GOOD: Final = 1.0
"""Seconds for which an idle profile is not described anew."""
ENOUGH_FOR_SCORE: Final = 20
WINDOWS: Final = (60.0, 300.0, 3600.0, 86_400.0)
NOTICEABLE: Final = 0.01
"""Share of Apdex T below which nobody notices a difference in latency."""


def profile_id(type: str, name: str) -> str:
    """The id of a profile, the same in every process and after every restart."""
    return hashlib.sha256(f"{type}\0{name}".encode()).hexdigest()[:16]


class Tracked:
    """Not on the request path: only the recorder is.

    What other processes counted of the same target is ``foreign``: it is part of every figure here, of the
    baseline and of the windows, so that all workers of a host tell the same.
    """

    __slots__ = (
        "_apdex_t",
        "_arrived",
        "_config",
        "_course",
        "_described",
        "_foreign_stamp",
        "_last",
        "_last_activity",
        "_mark_at",
        "_optimizations",
        "_trend",
        "analyzed_at",
        "baseline",
        "chosen",
        "created_at",
        "extras",
        "factors",
        "foreign",
        "foreign_extras",
        "heat",
        "id",
        "recent_count",
        "recorder",
        "revision",
        "targets",
        "windows",
    )  # fmt: skip

    def __init__(
        self,
        recorder: Recorder,
        now: float,
        apdex_t: float,
        factors: TargetFactors,
        levels: Levels = LEVELS,
    ) -> None:
        self.recorder = recorder
        self.id = profile_id(recorder.type, recorder.name)
        self.created_at = now
        self.analyzed_at = now
        self._apdex_t = apdex_t
        self.factors = factors
        self._config: PerformanceProfileConfig | None = None
        self.chosen = False
        """Somebody asked for this profile by name or chose something for it: it is never given up."""
        self.revision = 0
        """Grows with every change of baseline, targets or configuration."""
        self.baseline: PerformanceBaseline | None = None
        self.targets: PerformanceTargets | None = None
        self._optimizations: ProfileOptimizations | None = None
        self.windows = Windows(now, levels)
        self.foreign: Reading | None = None
        self._foreign_stamp = 0
        self.extras: Extras | None = None
        self.foreign_extras: Extras | None = None
        self.heat = 0.0
        self.recent_count = 0
        self._arrived: Reading | None = None
        self._mark_at = now
        self._described: tuple[object, ProfileMetrics] | None = None
        self._last: PerformanceProfile | None = None
        self._last_activity: object = None
        self._course = array("f")  # mean seconds of each slot, the oldest first: a sixth of a list's memory
        self._trend: Trend | None = STEADY

    def reading(self) -> Reading:
        """Everything counted so far, here and by other processes: the caller's own."""
        reading = self.recorder.reading()
        if self.foreign is not None:
            reading.add(self.foreign)
        return reading

    def adopt(self, foreign: Reading, delta: Reading | None) -> None:
        """``foreign`` is what other processes counted by now, ``delta`` what of it is new to the windows."""
        self.foreign = foreign
        self._foreign_stamp += 1
        if delta is not None and delta.count:
            self._arrived = delta if self._arrived is None else self._arrived + delta

    def counted(self) -> Reading:
        """Everything that is part of the windows by now: what came since the last tick is not."""
        reading = self.reading()
        for late in (self.recorder.live(), self._arrived):
            if late is not None:
                reading = reading - late
        return reading

    def take_up(self, state: Sequence[LevelState], counted: Reading, at: float, now: float) -> bool:
        """Go on with windows that were kept at ``at``, when ``counted`` was part of them.

        What was counted by others since then, but not kept in windows, is put between.
        """
        if not self.windows.restore(state, now, at):
            return False
        missed = (self.foreign or Reading()) - counted
        if missed.count:
            self.windows.add(missed, tally_of(missed, self.apdex_t), at)
        return True

    def _activity(self) -> object:
        return self.recorder.activity(), self._foreign_stamp, self.revision

    def tick(self, now: float) -> Reading | None:
        """Cut what came since the last tick into the windows; None when nothing came."""
        delta, arrived = self.recorder.drain(), self._arrived
        self._arrived = None
        if arrived is not None:
            delta = arrived if delta is None else delta + arrived
        if delta is not None:
            tally = tally_of(delta, self.apdex_t)
            self.recent_count += tally.count
            self.windows.add(delta, tally, self._mark_at)
        self._mark_at = now
        closed = self.windows.close(now)
        if closed is not None and closed.tally.count:
            del self._course[: 1 - COURSE_POINTS]
            self._course.append(closed.mean)
            self._trend = None
        if delta is not None and self.baseline is None:
            self.learn(now)
        return delta

    def more(self) -> Extras:
        """What is known beside requests, made when first asked for."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    def known_extras(self) -> Extras | None:
        """What this worker and all others know beside requests; None if that is nothing."""
        if self.foreign_extras is None or self.extras is None:
            return self.extras or self.foreign_extras
        total = Extras()
        total.usage = self.extras.usage
        total.add(self.extras)
        total.add(self.foreign_extras)
        return total

    def account(self, breakdown: Breakdown) -> None:
        """Count where the time of a sampled request went."""
        self.more().sample(breakdown)
        baseline = self.baseline
        if baseline is None or baseline.source != "learned" or baseline.resource_utilization is not None:
            return
        used = self.utilization(baseline.throughput)
        if used is not None:  # requests are counted sooner than enough of them are sampled
            self.set_baseline(replace(baseline, resource_utilization=used))

    def utilization(self, rate: float) -> float | None:
        """The share of a core that ``rate`` requests a second would use; None while that is not known."""
        extras = self.known_extras()
        return extras.utilization(rate) if extras is not None else None

    def cool(self, factor: float) -> float:
        """The recent activity by which profiles are compared when one must go; halves at every review."""
        self.heat, self.recent_count = self.heat * factor + self.recent_count, 0
        return self.heat

    @property
    def optimizations(self) -> ProfileOptimizations:
        """The profile's own lists, for the engine to fill."""
        if self._optimizations is None:
            self._optimizations = ProfileOptimizations()
        return self._optimizations

    @property
    def replaceable(self) -> bool:
        """Whether a busier target may take this one's place."""
        kept = self._optimizations
        return not (self.chosen or (kept is not None and (kept.applied or kept.identified)))

    def learn(self, now: float) -> None:
        """Take the requests so far as the baseline, once there are enough of them."""
        reading, elapsed = self.reading(), now - self.created_at
        if baselines.ready(reading, elapsed):
            used = self.utilization(reading.count / elapsed) if elapsed > 0.0 else None
            self.set_baseline(baselines.baseline_of(reading, elapsed, now, used))

    def set_baseline(self, baseline: PerformanceBaseline) -> None:
        """Measure against ``baseline`` from now on; targets follow it unless the user chose them."""
        self.baseline = baseline
        self.targets = self._chosen_targets() or baselines.targets_of(baseline, self.factors)
        self.revision += 1

    @property
    def config(self) -> PerformanceProfileConfig:
        """What the user chose, by default nothing."""
        if self._config is None:
            self._config = PerformanceProfileConfig(name=self.recorder.name)
        return self._config

    @property
    def apdex_t(self) -> float:
        """The response time, in seconds, that satisfies users; what was judged by another one stays so."""
        chosen = self._config.apdex_t if self._config is not None else None
        return chosen or self._apdex_t

    def _chosen_targets(self) -> PerformanceTargets | None:
        return self._config.targets if self._config is not None else None

    def configure(self, config: PerformanceProfileConfig) -> None:
        self._config = config
        self.revision += 1
        if config.targets is not None:
            self.targets = config.targets
        elif self.baseline is not None:
            self.targets = baselines.targets_of(self.baseline, self.factors)

    def window(self, seconds: float, now: float) -> Reading:
        """What was counted in the last ``seconds``, up to this moment."""
        view = self.windows.view(seconds, now)
        live = self.recorder.live()
        if live is not None:
            view.add(live)
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
        live = self.recorder.live()
        if live is not None:
            total.add(tally_of(live, self.apdex_t))
        return total

    def parts(self, reading: Reading, elapsed: float) -> list[ScorePart]:
        """The score's parts for any reading of this profile, such as one block of an experiment, but without
        resources: what a block used is not known.
        """
        return self._judge(tally_of(reading, self.apdex_t), elapsed)

    def current_parts(self, now: float) -> list[ScorePart]:
        """The score's parts as of now."""
        if self.baseline is None:
            return []
        seconds, elapsed = self.recent(now)
        # What the baseline's load would use by now: more visitors are no waste.
        used = self.utilization(self.baseline.throughput)
        return self._judge(self.tally(seconds, now), elapsed, used)

    def _judge(self, tally: Tally, elapsed: float, used: float | None = None) -> list[ScorePart]:
        if self.baseline is None or self.targets is None:
            return []
        floor = 0.0 if self._chosen_targets() is not None else NOTICEABLE * self.apdex_t
        return score_parts(tally.observed(elapsed, used), self.baseline, self.targets, floor)

    def weight(self) -> float:
        """What the profile counts in the score of all: the time its requests would take at the baseline."""
        if self.baseline is None:
            return 0.0
        foreign = self.foreign.count if self.foreign is not None else 0
        return (self.recorder.count() + foreign) * self.baseline.latency

    def trend(self) -> Trend:
        if self._trend is None:
            self._trend = trend(self._course)
        return self._trend

    def known(self, now: float) -> PerformanceProfile | None:
        """The profile as last described, if nothing was counted since and it is no second old."""
        if (
            self._last is None
            or now - self.analyzed_at >= STILL_GOOD
            or self._last_activity != self._activity()
        ):
            return None
        return self._last

    @property
    def last(self) -> PerformanceProfile | None:
        """The profile as last described, however long ago."""
        return self._last

    def profile(self, now: float) -> PerformanceProfile:
        """The profile as of ``now``: metrics since the start, score and trend of the recent windows."""
        activity = self._activity()
        if self.baseline is None:
            self.learn(now)
        self.analyzed_at = now
        described = PerformanceProfile(
            id=self.id,
            name=self.recorder.name,
            type=self.recorder.type,
            metrics=self._metrics(now),
            performance=self._state(now),
            optimizations=self._listed(),
            monitoring=self._monitoring(),
            metadata=self._metadata(),
        )
        self._last, self._last_activity = described, activity
        return described

    def _metrics(self, now: float) -> ProfileMetrics:
        activity = self._activity()
        reading, age = self.reading(), max(now - self.created_at, 0.0)
        if self._described is None or self._described[0] != activity:
            described = ProfileMetrics(
                latency=latency_metrics(reading.sketch),
                error_rates=error_metrics(reading),
                user_experience=experience_metrics(reading, self.apdex_t),
            )
            self._described = (activity, described)
        known = self._described[1]
        minute = min(60.0, age)
        recent = self.tally(60.0, now).count / minute if minute > 0.0 else 0.0
        metrics = ProfileMetrics(
            latency=replace(known.latency),
            throughput=throughput_metrics(reading, age, recent),
            error_rates=replace(known.error_rates),
            user_experience=replace(known.user_experience),
        )
        extras = self.known_extras()
        if extras is not None:
            extras.fill(metrics)
        if self.recorder.type == "query":
            metrics.resource_usage.database_seconds = reading.seconds
        return metrics

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

    def _listed(self) -> ProfileOptimizations:
        kept = self._optimizations
        if kept is None:
            return ProfileOptimizations()
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
