"""The durations of all targets, for exporters that tell them bucket by bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from perfmw.contracts.snapshot import Distribution
from perfmw.profiles.recorder import HIT
from perfmw.profiles.sketch import GAMMA, LatencySketch
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.traces import Exemplar
from perfmw.profiles.tracked import Tracked

Exemplars = Callable[[str], Iterable[Exemplar]]


def by_status(store: ProfileStore, exemplars: Exemplars | None = None) -> list[Distribution]:
    """What this process counted, by status, once the store ``keep_details``; exemplars go to the first."""
    found = []
    for tracked in store.everything():
        outcomes = sorted(tracked.recorder.statuses(), key=lambda one: -one.sketch.count)
        pointers = _pointers(tracked, exemplars)
        for number, one in enumerate(outcomes):
            found.append(
                _distribution(tracked, one.status, one.sketch, store.started_at, () if number else pointers)
            )
    return found


def _pointers(tracked: Tracked, exemplars: Exemplars | None) -> Sequence[tuple[int, int, float, float]]:
    if exemplars is None or tracked.recorder.type != "component":
        return ()
    return [(one.trace_id, one.span_id, one.seconds, one.at) for one in exemplars(tracked.recorder.name)]


def by_outcome(store: ProfileStore, exemplars: Exemplars | None = None) -> list[Distribution]:
    """What all workers counted: of each target the cache's answers, the app's, and failures.

    Exemplars, of this worker's requests, go to the first.
    """
    found = []
    for tracked in store.everything():
        reading = tracked.reading()
        good = reading.origin_sketch - reading.failed_sketch
        pointers = _pointers(tracked, exemplars)
        for status, sketch in ((HIT, reading.hit_sketch), (1, good), (0, reading.failed_sketch)):
            if not sketch.untouched():
                found.append(_distribution(tracked, status, sketch, tracked.created_at, pointers))
                pointers = ()
    return found


def _distribution(
    tracked: Tracked,
    status: int,
    sketch: LatencySketch,
    since: float,
    exemplars: Sequence[tuple[int, int, float, float]],
) -> Distribution:
    return Distribution(
        profile_id=tracked.id,
        type=tracked.recorder.type,
        name=tracked.recorder.name,
        status=status,
        growth=GAMMA,
        buckets=sketch.buckets(),
        zeros=sketch.zeros,
        count=sketch.count,
        sum=sketch.sum,
        min=sketch.min,
        max=sketch.max,
        since=since,
        exemplars=exemplars,
    )
