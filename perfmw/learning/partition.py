"""Should namespaces share one cache, or have a part each? By the marginal utility of their curves."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from perfmw.learning.curves import MissRatioCurve

_STEPS = 200
_WORTH = 0.01
_RISK = 5.0
"""The more is hit already, the more there is to lose should the traffic change."""
_NEAR, _BUDGET = 4_096, 2_048


@dataclass(frozen=True, slots=True)
class Claim:
    """What a namespace may be given, and what its misses cost.

    :param floor: it gets at least this share of the cache, 0..1.
    :param cap: and at most this one.
    :param weight: the cost of one of its misses per byte of an entry, relative to the others'.
    """

    floor: float = 0.0
    cap: float = 1.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.cap <= 1 or self.weight < 0:
            raise ValueError("0 <= floor <= cap <= 1 and weight >= 0 must hold")


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """Entries by namespace; ``parts`` is None where one shared pool is to stay.

    ``shared`` and ``split`` are the predicted hit ratios, weighted by what misses cost; ``beyond`` counts the
    entries of the plan (or of the shared pool) that no hit is expected from.
    """

    parts: Mapping[str, int] | None
    shared: float
    split: float
    beyond: int = 0

    @property
    def gain(self) -> float:
        """Predicted, 0..1; what the plan is or would be better by."""
        return self.split - self.shared

    def in_words(self) -> str:
        """One sentence for people."""
        points = f"{self.gain * 100:+.1f} points"
        if self.parts is None:
            return f"One pool for all: parts of their own would change the hit ratio by {points} only."
        sizes = ", ".join(f"{name} {size:,}" for name, size in self.parts.items())
        return f"Parts of their own ({sizes} entries) are predicted to change the hit ratio by {points}."


@dataclass(slots=True)
class _Need:
    name: str
    hits: list[float]
    """Weighted hits by steps of the cache."""
    low: int
    high: int
    has: int = field(default=0)

    def best_step(self, left: int) -> tuple[float, int]:
        """The most hits a step, looking ahead over flat stretches; and over how many steps."""
        now, most = self.hits[self.has], min(self.high, self.has + left)
        slopes = [
            ((self.hits[at] - now) / (at - self.has), self.has - at) for at in range(self.has + 1, most + 1)
        ]
        slope, steps = max(slopes, default=(-1.0, 0))
        return slope, -steps


class Partitioner:
    """Learns a curve for each namespace and one for all of them, and says who should have how much.

    The allocation is greedy by marginal utility with a look-ahead for curves that are flat first (Qureshi
    and Patt, "Utility-based cache partitioning", MICRO 2006). A split is only recommended where it is
    predicted to be worth it: one shared LRU is hard to beat when there is room.

    :param claims: by namespace; those not named have no floor, no cap and weight 1.
    :param max_namespaces: further ones are told to share with ``"other"``.
    :param worth: the least predicted gain in hit ratio, 0..1, that a split is recommended for where hardly
        anything is hit; it rises to six times that where nearly everything is.
    """

    def __init__(
        self,
        claims: Mapping[str, Claim] | None = None,
        *,
        max_namespaces: int = 32,
        worth: float = _WORTH,
        near: int = _NEAR,
        budget: int = _BUDGET,
    ) -> None:
        if sum(claim.floor for claim in (claims or {}).values()) > 1:
            raise ValueError("the floors of all claims together must not exceed 1")
        self._claims = dict(claims or {})
        self._max, self._worth = max_namespaces, worth
        self._near, self._budget = near, budget
        self._curves: dict[str, MissRatioCurve] = {}
        self._shared = MissRatioCurve(near, budget)

    @property
    def curves(self) -> Mapping[str, MissRatioCurve]:
        """The curve of each namespace."""
        return self._curves

    def access(self, namespace: str, key: Hashable) -> None:
        """Take in a read. About 3 µs."""
        curve = self._curves.get(namespace)
        if curve is None:
            if len(self._curves) >= self._max:
                namespace = "other"
            curve = self._curves.setdefault(namespace, MissRatioCurve(self._near, self._budget))
        curve.access(key)
        self._shared.access((namespace, key))

    def plan(self, capacity: int) -> PartitionPlan:
        """The best use of ``capacity`` entries.

        :raises ValueError: for a capacity below 1.
        """
        if capacity < 1:
            raise ValueError("the capacity must be at least 1 entry")
        steps = min(_STEPS, capacity)
        sizes = [capacity * at // steps for at in range(steps + 1)]
        needs = [self._need(name, curve, sizes) for name, curve in self._curves.items()]
        total = sum(curve.accesses * self._claim(name).weight for name, curve in self._curves.items())
        if len(needs) < 2 or not total:
            shared = self._shared.curve([capacity])[0]
            return PartitionPlan(None, shared, shared, self._beyond(capacity))
        _allot(needs, steps)
        split = sum(need.hits[need.has] for need in needs) / total
        shared = self._shared_ratio(capacity, total)
        if split - shared < self._worth * (1 + _RISK * shared * shared):
            return PartitionPlan(None, shared, split, self._beyond(capacity))
        parts = {need.name: sizes[need.has] for need in needs}
        beyond = sum(parts[need.name] - sizes[_enough(need.hits, need.has)] for need in needs)
        return PartitionPlan(parts, shared, split, beyond)

    def _claim(self, name: str) -> Claim:
        return self._claims.get(name, Claim())

    def _need(self, name: str, curve: MissRatioCurve, sizes: Sequence[int]) -> _Need:
        claim, steps = self._claim(name), len(sizes) - 1
        hits = [ratio * curve.accesses * claim.weight for ratio in curve.curve(sizes)]
        low = round(claim.floor * steps)
        return _Need(name, hits, low, max(low, round(claim.cap * steps)), low)

    def _shared_ratio(self, capacity: int, total: float) -> float:
        """The weighted hit ratio of one pool: each namespace has hits as with the part it takes by itself.

        Within one LRU everybody's entries live equally long. So the part of each is what it asks for within
        one time, which the distances of all together tell; scaled so that the hits add up to the pool's.
        """
        weights = {self._claim(name).weight for name in self._curves}
        ratio = self._shared.curve([capacity])[0]
        if len(weights) == 1:
            return ratio
        taken = _equal_age(list(self._curves.values()), capacity)
        hits = [
            curve.curve([size])[0] * curve.accesses
            for curve, size in zip(self._curves.values(), taken, strict=True)
        ]
        scale = ratio * self._shared.accesses / sum(hits) if sum(hits) else 0.0
        named = zip(self._curves, hits, strict=True)
        return sum(count * scale * self._claim(name).weight for name, count in named) / total

    def _beyond(self, capacity: int) -> int:
        sizes = [capacity * at // _STEPS for at in range(_STEPS + 1)]
        return capacity - sizes[_enough(self._shared.curve(sizes), _STEPS)]


def _equal_age(curves: Sequence[MissRatioCurve], capacity: int) -> list[int]:
    """Parts of one LRU in proportion to the misses of each, which is what brings entries in."""
    sizes = [capacity / len(curves)] * len(curves)
    for _ in range(20):
        misses = [
            curve.accesses * (1 - curve.curve([round(size)])[0]) + 1e-9
            for curve, size in zip(curves, sizes, strict=True)
        ]
        wanted = [capacity * count / sum(misses) for count in misses]
        sizes = [(old + new) / 2 for old, new in zip(sizes, wanted, strict=True)]
    return [round(size) for size in sizes]


def _allot(needs: Sequence[_Need], steps: int) -> None:
    left = steps - sum(need.has for need in needs)
    while left > 0:
        (_, taken), need = max(((need.best_step(left), need) for need in needs), key=lambda one: one[0])
        if taken <= 0:
            return
        need.has += taken
        left -= taken


def _enough(hits: Sequence[float], at: int) -> int:
    """The first place from which on there are hardly more hits than at ``at``."""
    wanted = hits[at] - 0.001 * max(hits[-1], 1e-12)
    return next(place for place in range(at + 1) if hits[place] >= wanted)
