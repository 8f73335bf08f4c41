"""All profiles of one process: bounded in number, cut into windows by the runtime's timer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from perfmw.contracts.profiles import (
    PerformanceBaseline,
    PerformanceProfile,
    PerformanceProfileConfig,
    PerformanceTargets,
    ProfileMetrics,
    ProfileOptimizations,
    ProfileType,
    ScorePart,
)
from perfmw.profiles import baseline as baselines
from perfmw.profiles.baseline import TargetFactors
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.score import total, weighted_mean
from perfmw.profiles.tracked import Tracked, profile_id

OTHER: Final = "other"
SERIES_POINTS: Final = 600


@dataclass(slots=True, frozen=True)
class SeriesPoint:
    """All profiles between two ticks. Durations are seconds; quantiles 0.0 without requests."""

    at: float
    seconds: float
    requests: int
    hits: int
    errors: int
    mean: float
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds > 0.0 else 0.0

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.requests if self.requests else None


class ProfileStore:
    """Recorders by name, and what is known about them.

    At most ``max_profiles`` names are kept apart; the requests of further ones are counted under
    ``other`` (one more profile a type). ``apdex_t`` is the Apdex threshold in seconds, ``clock`` gives unix
    seconds, ``factors`` make targets out of baselines.
    """

    def __init__(
        self,
        max_profiles: int = 1000,
        apdex_t: float = 0.5,
        clock: Callable[[], float] = time.time,
        factors: TargetFactors | None = None,
        series_points: int = SERIES_POINTS,
    ) -> None:
        self.max_profiles = max_profiles
        self.apdex_t = apdex_t
        self.factors = factors or TargetFactors()
        self._clock = clock
        self.started_at = clock()
        self._components: dict[str, Recorder] = {}
        self._by_type: dict[str, dict[str, Recorder]] = {"component": self._components}
        self._tracked: dict[str, Tracked] = {}
        self._apart = 0
        self._lock = threading.Lock()
        self._ticked_at = self.started_at
        self._series: deque[SeriesPoint] = deque(maxlen=series_points)
        self.refused = 0
        """How often a name was asked for that had to go to ``other``."""

    def recorder(self, name: str, type: ProfileType = "component") -> Recorder:
        """The recorder of a target, made when first asked for; ``other`` beyond the bound."""
        try:
            return self._by_type[type][name]
        except KeyError:
            return self._new(name, type)

    def _new(self, name: str, type: ProfileType) -> Recorder:
        with self._lock:  # spans end on any thread
            known = self._by_type.setdefault(type, {})
            if self._apart >= self.max_profiles and name not in known:
                self.refused += 1
                name = OTHER
            return known.get(name) or self._add(known, name, type)

    def _add(self, known: dict[str, Recorder], name: str, type: ProfileType) -> Recorder:
        recorder = Recorder(name, type)
        tracked = Tracked(recorder, self._clock(), self.apdex_t, self.factors)
        self._tracked[tracked.id] = tracked
        known[name] = recorder
        self._apart += name != OTHER
        return recorder

    def tick(self, now: float) -> None:
        """Cut windows and the series; called by a timer, about once a second. ``now`` in unix seconds."""
        whole = Reading()
        for tracked in list(self._tracked.values()):
            delta = tracked.tick(now)
            if delta is not None and tracked.recorder.type == "component":
                whole.add(delta)
        self._series.append(_point(whole, now, now - self._ticked_at))
        self._ticked_at = now

    def snapshot(self) -> list[PerformanceProfile]:
        """Every profile as of now, in the order of first appearance."""
        now = self._clock()
        return [tracked.profile(now) for tracked in list(self._tracked.values())]

    def get(self, profile_id: str) -> PerformanceProfile | None:
        """One profile by its id, None if there is none."""
        tracked = self._tracked.get(profile_id)
        return tracked.profile(self._clock()) if tracked else None

    def find(self, name: str, type: ProfileType = "component") -> PerformanceProfile | None:
        """One profile by its name, None if there is none."""
        return self.get(profile_id(type, name))

    def names(self) -> list[str]:
        """The names of all profiles."""
        return [tracked.recorder.name for tracked in list(self._tracked.values())]

    def metrics(self, name: str, type: ProfileType = "component") -> ProfileMetrics | None:
        """The metrics of one target since the start, None if it is not known."""
        profile = self.find(name, type)
        return profile.metrics if profile else None

    def reading(self, profile_id: str) -> Reading | None:
        """The cumulative reading of a profile; subtract an earlier one to see a block."""
        tracked = self._tracked.get(profile_id)
        return tracked.recorder.reading() if tracked else None

    def readings(self, type: ProfileType = "component") -> dict[str, Reading]:
        """The cumulative readings of all profiles of a type, by name; they are shared: not to be changed."""
        return {
            tracked.recorder.name: tracked.reading()
            for tracked in list(self._tracked.values())
            if tracked.recorder.type == type
        }

    def window(self, profile_id: str, seconds: float) -> Reading | None:
        """What a profile counted in the last ``seconds``, at most 24 hours."""
        tracked = self._tracked.get(profile_id)
        return tracked.window(seconds, self._clock()) if tracked else None

    def series(self, points: int | None = None) -> Sequence[SeriesPoint]:
        """All components together, one point a tick, oldest first; the last ``points`` of them."""
        listed = list(self._series)
        return listed if points is None else listed[-points:]

    def score(self) -> float | None:
        """One score 0..100 for all components as ``score.overall`` makes it, None while none has one."""
        now = self._clock()
        return weighted_mean(
            (total(tracked.current_parts(now)), tracked.weight())
            for tracked in list(self._tracked.values())
            if tracked.recorder.type == "component"
        )

    def parts(self, profile_id: str, reading: Reading, elapsed: float) -> list[ScorePart]:
        """The score's parts for any reading of a profile over ``elapsed`` seconds; empty while unknown."""
        tracked = self._tracked.get(profile_id)
        return tracked.parts(reading, elapsed) if tracked else []

    def pin_baseline(self, profile_id: str, baseline: PerformanceBaseline | None = None) -> None:
        """Measure a profile against ``baseline``, or against what it has done in the last minute.

        :raises KeyError: no such profile. :raises ValueError: nothing succeeded in the last minute.
        """
        tracked = self._tracked[profile_id]
        now = self._clock()
        if baseline is None:
            seconds, elapsed = tracked.recent(now)
            baseline = baselines.baseline_of(tracked.window(seconds, now), elapsed, now, source="pinned")
        tracked.set_baseline(baseline)

    def set_targets(self, profile_id: str, targets: PerformanceTargets | None) -> None:
        """Choose targets for a profile; None goes back to those derived from the baseline.

        :raises KeyError: no such profile.
        """
        tracked = self._tracked[profile_id]
        tracked.config.targets = targets
        tracked.configure(tracked.config)

    def configure(self, profile_id: str, config: PerformanceProfileConfig) -> None:
        """Apply what a user chose for a profile.

        :raises KeyError: no such profile.
        """
        self._tracked[profile_id].configure(config)

    def optimizations(self, profile_id: str) -> ProfileOptimizations:
        """The profile's own lists of optimizations, for the engine to fill; snapshots copy them.

        :raises KeyError: no such profile.
        """
        return self._tracked[profile_id].optimizations


def _point(whole: Reading, now: float, seconds: float) -> SeriesPoint:
    sketch = whole.sketch
    p50, p95, p99 = sketch.quantiles((0.5, 0.95, 0.99))
    return SeriesPoint(now, seconds, sketch.count, whole.hits, whole.errors, sketch.mean, p50, p95, p99)
