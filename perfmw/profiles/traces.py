"""Slow and failed requests worth a look, and a trace for each bucket of a route's durations. Bounded."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import frexp
from typing import Final, NamedTuple

import msgspec

from perfmw.profiles.breakdown import Breakdown, Part

ROUTES: Final = 200
SLOWEST: Final = 5
"""Slow traces kept of a route, and as many failed ones."""
MOST_TOLD: Final = 20
"""Traces that a worker tells the others of at a time; of more, the last."""
FRESH: Final = 3600.0
"""Seconds after which a slow trace makes way for whatever comes."""


@dataclass(slots=True, frozen=True)
class Trace:
    """One request: who it was, how long it took in seconds, and what it did when.

    ``breakdown`` and ``parts`` are None and empty where the request was found to be slow or failed only
    at its end.
    """

    trace_id: str
    span_id: str
    route: str
    at: float
    seconds: float
    status: int
    breakdown: Breakdown | None = None
    parts: Sequence[Part] = ()


class Exemplar(NamedTuple):
    """A request that stands for a bucket of durations: ``at`` in unix seconds, ids as numbers.

    ``kept``: its trace is among those that are kept.
    """

    trace_id: int
    span_id: int
    seconds: float
    at: float
    kept: bool = False


class Traces:
    """The slowest and the last failed traces of each route, and exemplars by powers of two.

    The workers of a host tell each other of theirs, so that each keeps the slowest of all.
    """

    def __init__(self, routes: int = ROUTES, slowest: int = SLOWEST) -> None:
        self._routes = routes
        self._most = slowest
        self._slow: dict[str, list[tuple[float, float, Trace]]] = {}
        self._failed: dict[str, list[Trace]] = {}
        self._exemplars: dict[str, dict[int, Exemplar]] = {}
        self._untold: deque[Trace] = deque(maxlen=MOST_TOLD)

    def wants(self, route: str, seconds: float, failed: bool, at: float) -> bool:
        """Whether a trace of so many seconds, which began ``at`` (unix seconds), would be kept."""
        if failed:
            return True
        kept = self._slow.get(route)
        return kept is None or len(kept) < self._most or seconds > kept[0][0] or at - kept[0][1] >= FRESH

    def keep(self, trace: Trace) -> None:
        """Keep a trace if it is among the slowest of its route, or failed; and let other workers know it."""
        self._untold.append(trace)
        self._keep(trace)

    def untold(self) -> list[bytes]:
        """The traces kept since the last call, for other workers to ``hear``."""
        told = [msgspec.json.encode(trace) for trace in self._untold]
        self._untold.clear()
        return told

    def hear(self, told: Iterable[bytes]) -> None:
        """Keep what is worth it of what other workers kept.

        :raises ValueError: it is damaged.
        """
        for data in told:
            self._keep(msgspec.json.decode(data, type=Trace))

    def _keep(self, trace: Trace) -> None:
        if trace.status >= 500 or trace.status == 0:
            failed = _of(self._failed, trace.route, self._routes)
            failed.append(trace)
            failed.sort(key=lambda one: one.at)  # workers hear of them in another order
            del failed[: -self._most]
            return
        kept = _of(self._slow, trace.route, self._routes)
        kept[:] = [one for one in kept if trace.at - one[1] < FRESH]
        heapq.heapify(kept)
        heapq.heappush(kept, (trace.seconds, trace.at, trace))
        if len(kept) > self._most:
            heapq.heappop(kept)

    def point_at(self, route: str, exemplar: Exemplar) -> None:
        """Let a request stand for its bucket of the route's durations: the last kept, else the last."""
        kept = self._exemplars.get(route)
        if kept is None:
            if len(self._exemplars) >= self._routes:
                self._exemplars.pop(next(iter(self._exemplars)))
            kept = self._exemplars[route] = {}
        bucket = frexp(max(exemplar.seconds, 1e-9))[1]
        known = kept.get(bucket)
        if known is None or exemplar.kept or not known.kept or exemplar.at - known.at > FRESH:
            kept[bucket] = exemplar

    def pointed(self, route: str, seconds: float, at: float) -> bool:
        """Whether another request of the last second stands for the bucket already."""
        kept = self._exemplars.get(route)
        known = kept.get(frexp(max(seconds, 1e-9))[1]) if kept is not None else None
        return known is not None and at - known.at < 1.0

    def slow(self, route: str | None = None) -> list[Trace]:
        """The slowest traces of a route, or of all, the slowest first."""
        kept = self._slow.values() if route is None else (self._slow.get(route, []),)
        found = [trace for one in kept for _, _, trace in one]
        return sorted(found, key=lambda trace: -trace.seconds)

    def failed(self, route: str | None = None) -> list[Trace]:
        """The last failed traces of a route, or of all, the newest first."""
        kept = self._failed.values() if route is None else (self._failed.get(route, []),)
        return sorted((trace for one in kept for trace in one), key=lambda trace: -trace.at)

    def find(self, trace_id: str) -> Trace | None:
        """A kept trace by its id."""
        return next((one for one in (*self.slow(), *self.failed()) if one.trace_id == trace_id), None)

    def exemplars(self, route: str) -> list[Exemplar]:
        """A request for each bucket of the route's durations that a sampled one fell into."""
        return [one for _, one in sorted(self._exemplars.get(route, {}).items())]


def _of(
    kept: dict[str, list[Trace]] | dict[str, list[tuple[float, float, Trace]]], route: str, most: int
) -> list:  # type: ignore[type-arg]
    if route not in kept and len(kept) >= most:
        kept.pop(next(iter(kept)))
    return kept.setdefault(route, [])
