"""Why the score is what it is: its parts over all routes, and which route loses most of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


def explain_score(routes: Iterable[Judged]) -> Explained | None:
    """None while no route has a score. Weights are those of ``perfmw.profiles.score.overall``."""
    known = [(id, name, max(weight, 1e-12), parts) for id, name, weight, parts in routes if parts]
    whole = sum(weight for _, _, weight, _ in known)
    if not known:
        return None
    scores: dict[str, list[float]] = {}
    movers: list[Mover] = []
    for id, name, weight, parts in known:
        for part in parts:
            share = weight / whole * part.weight
            sums = scores.setdefault(part.name, [0.0, 0.0])
            sums[0], sums[1] = sums[0] + share * part.score, sums[1] + share
            movers.append(Mover(id, name, part.name, part.score, share * (100.0 - part.score), part.reason))
    rows = [
        PartScore(name, points / share, share, 100.0 * share - points)
        for name, (points, share) in scores.items()
    ]
    return Explained(
        score=sum(points for points, _ in scores.values()),
        routes=len(known),
        parts=sorted(rows, key=lambda row: -row.lost),
        movers=sorted((one for one in movers if one.lost >= _LEAST), key=lambda one: -one.lost)[:MOVERS],
    )
