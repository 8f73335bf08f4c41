"""Durations in the shapes of others: OpenTelemetry's exponential histograms, Prometheus' classic. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, log2
from typing import Final

from perfmw.contracts.snapshot import Distribution

MAX_SCALE: Final = 6
MAX_BUCKETS: Final = 160
"""What the SDK of OpenTelemetry keeps at most, and what back-ends are prepared for."""
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: what the semantic conventions advise for ``http.server.request.duration``."""


@dataclass(slots=True, frozen=True)
class Exponential:
    """Bucket ``i`` counts values above ``base ** (offset + i)``, with ``base = 2 ** (2 ** -scale)``.

    From the data model of OpenTelemetry, "ExponentialHistogram".
    """

    scale: int
    zero_count: int
    offset: int
    counts: tuple[int, ...]


def exponential(one: Distribution, max_buckets: int = MAX_BUCKETS) -> Exponential:
    """The finest exponential histogram of at most ``max_buckets``; every count moves by at most 1.1%."""
    return combined((one,), max_buckets)


def combined(parts: Sequence[Distribution], max_buckets: int = MAX_BUCKETS) -> Exponential:
    """The same for several distributions together."""
    zeros = sum(one.zeros for one in parts)
    counts: dict[float, int] = {}
    for one in parts:
        width = log2(one.growth)
        for key, count in one.buckets.items():
            middle = (key + 0.5) * width
            counts[middle] = counts.get(middle, 0) + count
    return _placed(counts, zeros, max_buckets)


def _placed(counts: Mapping[float, int], zeros: int, max_buckets: int) -> Exponential:
    """``counts`` by the logarithm (to base 2) of their seconds."""
    if not counts:
        return Exponential(MAX_SCALE, zeros, 0, ())
    lowest, highest = min(counts), max(counts)
    scale = MAX_SCALE
    while _index(highest, scale) - _index(lowest, scale) >= max_buckets and scale > -10:
        scale -= 1
    placed: dict[int, int] = {}
    for middle, count in counts.items():
        index = _index(middle, scale)
        placed[index] = placed.get(index, 0) + count
    low, high = min(placed), max(placed)
    return Exponential(scale, zeros, low, tuple(placed.get(index, 0) for index in range(low, high + 1)))


def _index(log2_of_value: float, scale: int) -> int:
    return ceil(log2_of_value * 2.0**scale) - 1


def classic(one: Distribution, bounds: tuple[float, ...] = BOUNDS) -> list[int]:
    """How many durations were at most each bound, within 1%; the count of all comes last."""
    counts = [0] * (len(bounds) + 1)
    width = log(one.growth)
    limits = [log(bound) / width for bound in bounds]
    for key, count in one.buckets.items():
        counts[bisect_left(limits, key + 0.5)] += count
    counts[0] += one.zeros
    total = 0
    for place, count in enumerate(counts):
        total += count
        counts[place] = total
    return counts
