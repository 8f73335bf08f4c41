"""Why the score is what it is: its parts over all routes, and which route loses most of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heappush, heapreplace
from typing import Final

from perfmw.contracts.profiles import ScorePart

MOVERS: Final = 6
_LEAST: Final = 0.05
"""Points; less is not worth a line."""


@dataclass(frozen=True, slots=True)
class PartScore:
    """A part of the score over all routes: 0..100, its weight 0..1, and the points it takes off the whole."""

    name: str
    score: float
    weight: float
    lost: float


@dataclass(frozen=True, slots=True)
class Mover:
    """What one part of one route takes off the score of all, in points; ``reason`` in words."""

    id: str
    route: str
    part: str
    score: float
    lost: float
    reason: str


@dataclass(frozen=True, slots=True)
class Explained:
    """``score`` 0..100; ``score`` and all ``lost`` of the parts add up to 100. ``routes`` have a score."""

    score: float
    routes: int
    parts: list[PartScore]
    movers: list[Mover]


Judged = tuple[str, str, float, list[ScorePart]]
"""Id and name of a route, its weight in the score of all, and the parts of its own score."""


class ScoreSum:
    """Adds up routes one by one; what is kept does not grow with them.

    Weights are those of ``perfmw.profiles.score.overall``.
    """

    def __init__(self) -> None:
        self._routes = 0
        self._count = 0
        self._whole = 0.0
        self._parts: dict[str, tuple[float, float]] = {}
        self._movers: list[tuple[float, int, Mover]] = []

    def add(self, id: str, name: str, weight: float, parts: Sequence[ScorePart]) -> None:
        """A route without parts has no score, and counts for nothing."""
        if not parts:
            return
        weight = max(weight, 1e-12)
        self._routes += 1
        self._whole += weight
        for part in parts:
            share = weight * part.weight
            points, shares = self._parts.get(part.name, (0.0, 0.0))
            self._parts[part.name] = points + share * part.score, shares + share
            self._move(id, name, part, share * (100.0 - part.score))

    def _move(self, id: str, name: str, part: ScorePart, lost: float) -> None:
        if len(self._movers) == MOVERS and lost <= self._movers[0][0]:
            return
        mover = Mover(id, name, part.name, part.score, lost, part.reason)
        self._count += 1
        entry = lost, -self._count, mover  # the count settles ties, so that movers are never compared
        (heappush if len(self._movers) < MOVERS else heapreplace)(self._movers, entry)

    def explained(self) -> Explained | None:
        """None while no route has a score."""
        whole = self._whole
        if not self._routes:
            return None
        rows = [
            PartScore(name, points / share, share / whole, (100.0 * share - points) / whole)
            for name, (points, share) in self._parts.items()
        ]
        movers = [replace(one, lost=lost / whole) for lost, _, one in sorted(self._movers, reverse=True)]
        return Explained(
            score=sum(points for points, _ in self._parts.values()) / whole,
            routes=self._routes,
            parts=sorted(rows, key=lambda row: -row.lost),
            movers=[one for one in movers if one.lost >= _LEAST],
        )


def explain_score(routes: Iterable[Judged]) -> Explained | None:
    """The score of all routes; None while none has one."""
    total = ScoreSum()
    for route in routes:
        total.add(*route)
    return total.explained()
