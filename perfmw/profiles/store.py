"""All profiles of one process: bounded in number, cut into windows by the runtime's timer."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
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
from perfmw.profiles.recorder import Counts, Recorder
from perfmw.profiles.score import total, weighted_mean
from perfmw.profiles.tally import tally_of
from perfmw.profiles.topk import Candidates
from perfmw.profiles.tracked import Tracked, profile_id
from perfmw.profiles.traffic import Traffic
from perfmw.profiles.windows import COARSE, LEVELS, Windows

OTHER: Final = "other"
MANY: Final = 2_000
"""Above so many profiles, totals are kept as bytes and windows have fewer slots."""
REVIEW_SECONDS: Final = 10.0
"""Between two looks at whether a busier target should take the place of an idle one."""
COOLING: Final = 0.94
"""Activity halves in about two minutes."""
PATIENCE: Final = 0.005
"""Seconds that a snapshot of many profiles may take for describing those that changed."""
FEW: Final = 32
"""Profiles that a snapshot describes however long it takes."""
_STEP: Final = 64
_FEW_NEW: Final = 4
SERIES_POINTS: Final = 600
WHOLE: Final = ((5.0, 12), (15.0, 20), (60.0, 60), (600.0, 144))
"""Slots of what all routes did together: finer than those of one profile, as there is only one of them."""


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
    ``other`` (one more profile a type), until such a name has been busier for a while than the least busy
    one that is kept, and takes its place. ``apdex_t`` is the Apdex threshold in seconds, ``clock`` gives unix
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
        self._compact = max_profiles > MANY
        self._by_type: dict[str, dict[str, Recorder]] = {"component": {}}
        self._tracked: dict[str, Tracked] = {}
        self._apart = 0
        self._lock = threading.Lock()
        self._ticked_at = self._reviewed_at = self.started_at
        self._series: deque[SeriesPoint] = deque(maxlen=series_points)
        self.whole = Windows(self.started_at, WHOLE)
        """The last day of all components together, since this process started."""
        self._traffic: dict[str, Traffic] = {}
        self._candidates: Candidates[tuple[ProfileType, str]] = Candidates()
        self._retired: list[tuple[Recorder, Recorder]] = []
        self._turn = 0
        self.detailed = False
        """Set by who needs the sketches of each status; see ``Recorder.statuses``."""
        self.refused = 0
        """How often a name was asked for that had to go to ``other``."""
        self.replaced = 0
        """How often a busier target took the place of another."""

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
                self._candidates.add((type, name))
                name = OTHER
            return known.get(name) or self._add(known, name, type)

    def _add(self, known: dict[str, Recorder], name: str, type: ProfileType) -> Recorder:
        recorder = Recorder(name, type, self._compact)
        if self.detailed:
            recorder.detailed = {}
        levels = COARSE if self._compact else LEVELS
        tracked = Tracked(recorder, self._clock(), self.apdex_t, self.factors, levels)
        self._tracked[tracked.id] = tracked
        known[name] = recorder
        self._apart += name != OTHER
        return recorder

    def tracked(self, profile_id: str) -> Tracked | None:
        """What is known of a profile, for the rooms beside; None if there is none."""
        return self._tracked.get(profile_id)

    def everything(self) -> list[Tracked]:
        """What is known of every profile, in the order of first appearance."""
        return list(self._tracked.values())

    @property
    def full(self) -> bool:
        """Whether new names go to ``other``."""
        return self._apart >= self.max_profiles

    def keep_details(self) -> None:
        """From now on keep the sketches of each status."""
        self.detailed = True
        for tracked in self.everything():
            if tracked.recorder.detailed is None:
                tracked.recorder.detailed = {}

    def delete(self, profile_id: str) -> bool:
        """Forget a profile; the next request of its target begins a new one. False if there is none."""
        with self._lock:
            return self._remove(profile_id) is not None

    def _remove(self, profile_id: str) -> Tracked | None:
        tracked = self._tracked.pop(profile_id, None)
        self._traffic.pop(profile_id, None)
        if tracked is not None:
            recorder = tracked.recorder
            self._by_type[recorder.type].pop(recorder.name, None)
            self._apart -= recorder.name != OTHER
        return tracked

    def tick(self, now: float) -> None:
        """Cut windows and the series; called by a timer, about once a second. ``now`` in unix seconds."""
        for _ in self.steps(now):
            pass

    def steps(self, now: float) -> Iterator[None]:
        """``tick`` in steps of a fraction of a millisecond or so, for an event loop that has better to do."""
        whole = Reading()
        for number, tracked in enumerate(self.everything()):
            delta = tracked.tick(now)
            if delta is not None and tracked.recorder.type == "component":
                whole.add(delta)
                whole.traffic.add(self._new_traffic(tracked))
            if number % _STEP == _STEP - 1:
                yield
        self._series.append(_point(whole, now, now - self._ticked_at))
        if whole.count:
            self.whole.add(whole, tally_of(whole, self.apdex_t), self._ticked_at)
        self.whole.close(now)
        self._ticked_at = now
        if now - self._reviewed_at >= REVIEW_SECONDS:
            self._reviewed_at = now
            self._review()

    def _new_traffic(self, tracked: Tracked) -> Traffic:
        """What the cache did for a target since it was last asked: recorders only ever add to that."""
        now = tracked.recorder.traffic.copy()
        before = self._traffic.get(tracked.id)
        self._traffic[tracked.id] = now
        return now - before if before is not None else now.copy()

    def _review(self) -> None:
        """Let busy targets that were refused take the places of idle ones."""
        with self._lock:
            for recorder, into in self._retired:
                late = recorder.drain()
                if late is not None:
                    into.absorb(late)
            self._retired.clear()
            idle = sorted(
                ((tracked.cool(COOLING), tracked) for tracked in self._tracked.values()),
                key=lambda one: one[0],
            )
            places = [(heat, one) for heat, one in idle if one.replaceable and one.recorder.name != OTHER]
            for ((type, name), count), (heat, tracked) in zip(self._candidates.take(), places, strict=False):
                if count <= 2.0 * heat + 1.0:
                    break
                self._replace(tracked, name, type)

    def _replace(self, tracked: Tracked, name: str, type: ProfileType) -> None:
        old = tracked.recorder
        known = self._by_type.setdefault(old.type, {})
        other = known.get(OTHER) or self._add(known, OTHER, old.type)
        self._remove(tracked.id)
        old.drain()
        other.absorb(old.reading())
        self._retired.append((old, other))  # a request under way may still count there
        self._add(self._by_type.setdefault(type, {}), name, type)
        self.replaced += 1

    def describing(self) -> Iterator[None]:
        """Describe what never was, in steps of some milliseconds, for an event loop that has better to do.

        A snapshot has to tell of every profile, so one that finds a thousand new ones would take longer.
        """
        for number, tracked in enumerate(one for one in self.everything() if one.last is None):
            tracked.profile(self._clock())
            if number % _FEW_NEW == _FEW_NEW - 1:
                yield

    def snapshot(self, patience: float = PATIENCE) -> list[PerformanceProfile]:
        """Every profile as of now, in the order of first appearance.

        Those that changed are described anew for at most ``patience`` seconds; of the rest the last
        description is given, and the next call begins with them. Few profiles are always up to date, however
        long the process is kept from the processor meanwhile.
        """
        now, tracked, described = self._clock(), self.everything(), 0
        deadline = perf_counter() + patience
        turn = self._turn % len(tracked) if tracked else 0
        found: list[PerformanceProfile | None] = [None] * len(tracked)
        for place in (*range(turn, len(tracked)), *range(turn)):
            one = tracked[place]
            profile = one.known(now)
            if profile is None and described >= FEW and perf_counter() > deadline:
                profile = one.last
            elif profile is None:
                self._turn, described = place + 1, described + 1
            found[place] = profile or one.profile(now)
        return [profile for profile in found if profile is not None]

    def get(self, profile_id: str) -> PerformanceProfile | None:
        """One profile by its id, None if there is none."""
        tracked = self._tracked.get(profile_id)
        return tracked.profile(self._clock()) if tracked else None

    def find(self, name: str, type: ProfileType = "component") -> PerformanceProfile | None:
        """One profile by its name, None if there is none."""
        return self.get(profile_id(type, name))

    def names(self) -> list[str]:
        """The names of all profiles."""
        return [tracked.recorder.name for tracked in self.everything()]

    def metrics(self, name: str, type: ProfileType = "component") -> ProfileMetrics | None:
        """The metrics of one target since the start, None if it is not known."""
        profile = self.find(name, type)
        return profile.metrics if profile else None

    def reading(self, profile_id: str) -> Reading | None:
        """What this process counted for a profile; subtract an earlier one to see a block."""
        tracked = self._tracked.get(profile_id)
        return tracked.recorder.reading() if tracked else None

    def readings(self, type: ProfileType = "component") -> dict[str, Reading]:
        """The cumulative readings of all profiles of a type, by name; the caller's own."""
        return {one.recorder.name: one.reading() for one in self.everything() if one.recorder.type == type}

    def counts(self, type: ProfileType = "component") -> dict[str, Counts]:
        """What this process counted for all profiles of a type, by name, without any sketch."""
        return {
            one.recorder.name: one.recorder.counts() for one in self.everything() if one.recorder.type == type
        }

    def status_counts(self) -> dict[str, int]:
        """How often each outcome was given: ``hit``, and the Cache-Status words for forwarding."""
        total: Counter[str] = Counter()
        for one in self.everything():
            if one.recorder.type != "component":
                continue
            one.recorder.count_words(total)
            if one.foreign is not None:
                total.update(one.foreign.reasons)
                total["hit"] += one.foreign.hits
        return dict(total)

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
            for tracked in self.everything()
            if tracked.recorder.type == "component"
        )

    def parts(self, profile_id: str, reading: Reading, elapsed: float) -> list[ScorePart]:
        """The score's parts for any reading of a profile over ``elapsed`` seconds; empty while unknown."""
        tracked = self._tracked.get(profile_id)
        return tracked.parts(reading, elapsed) if tracked else []

    def pin_baseline(self, profile_id: str, baseline: PerformanceBaseline | None = None) -> None:
        """Measure a profile against ``baseline``, or against what it has done of late (``recent``).

        :raises KeyError: no such profile. :raises ValueError: nothing succeeded of late.
        """
        tracked = self._tracked[profile_id]
        now = self._clock()
        if baseline is None:
            seconds, elapsed = tracked.recent(now)
            reading = tracked.window(seconds, now)
            used = tracked.utilization(reading.count / elapsed) if elapsed > 0.0 else None
            baseline = baselines.baseline_of(reading, elapsed, now, used, source="pinned")
        tracked.chosen = True
        tracked.set_baseline(baseline)

    def set_targets(self, profile_id: str, targets: PerformanceTargets | None) -> None:
        """Choose targets for a profile; None goes back to those derived from the baseline.

        :raises KeyError: no such profile.
        """
        tracked = self._tracked[profile_id]
        tracked.chosen = True
        tracked.config.targets = targets
        tracked.configure(tracked.config)

    def configure(self, profile_id: str, config: PerformanceProfileConfig) -> None:
        """Apply what a user chose for a profile.

        :raises KeyError: no such profile.
        """
        tracked = self._tracked[profile_id]
        tracked.chosen = True
        tracked.configure(config)

    def optimizations(self, profile_id: str) -> ProfileOptimizations:
        """The profile's own lists of optimizations, for the engine to fill; snapshots copy them.

        :raises KeyError: no such profile.
        """
        return self._tracked[profile_id].optimizations


def _point(whole: Reading, now: float, seconds: float) -> SeriesPoint:
    sketch = whole.sketch
    p50, p95, p99 = sketch.quantiles((0.5, 0.95, 0.99))
    return SeriesPoint(now, seconds, sketch.count, whole.hits, whole.errors, sketch.mean, p50, p95, p99)
