"""What a recorder counted up to one moment; the difference of two readings is what happened between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from perfmw.profiles.sketch import LatencySketch
from perfmw.profiles.traffic import Traffic

K = TypeVar("K")

EXCEPTION: Final = 0
"""Stands for a status where a request ended without a response."""
NO_STATUS: Final = 1
"""Stands for a status of what has none and succeeded."""


def _minus(later: Mapping[K, int], earlier: Mapping[K, int]) -> dict[K, int]:
    return {key: n - earlier.get(key, 0) for key, n in later.items() if n > earlier.get(key, 0)}


def _plus(one: Mapping[K, int], two: Mapping[K, int]) -> dict[K, int]:
    total = dict(one)
    for key, n in two.items():
        total[key] = total.get(key, 0) + n
    return total


@dataclass(slots=True)
class Reading:
    """Requests of one target. Durations are seconds.

    ``hit_sketch`` holds requests answered from the cache, ``origin_sketch`` those that reached the app,
    failures included; ``failed_sketch`` the failures alone. ``statuses`` and ``reasons`` (Cache-Status
    words) count requests that reached the app; ``exceptions`` those that ended without a response.
    ``traffic`` is what the cache did for the target.
    """

    hit_sketch: LatencySketch = field(default_factory=LatencySketch)
    origin_sketch: LatencySketch = field(default_factory=LatencySketch)
    failed_sketch: LatencySketch = field(default_factory=LatencySketch)
    statuses: dict[int, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    exceptions: int = 0
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def hits(self) -> int:
        return self.hit_sketch.count

    @property
    def origin_calls(self) -> int:
        return self.origin_sketch.count

    @property
    def count(self) -> int:
        """All requests, hits included."""
        return self.hit_sketch.count + self.origin_sketch.count

    @property
    def errors(self) -> int:
        """Server errors: 5xx responses and exceptions."""
        return self.failed_sketch.count

    @property
    def client_errors(self) -> int:
        return sum(n for status, n in self.statuses.items() if 400 <= status < 500)

    @property
    def seconds(self) -> float:
        """Total time of all requests."""
        return self.hit_sketch.sum + self.origin_sketch.sum

    @property
    def mean(self) -> float:
        """Mean seconds a request, hits included; 0.0 without requests."""
        count = self.count
        return self.seconds / count if count else 0.0

    @property
    def hit_rate(self) -> float | None:
        count = self.count
        return self.hits / count if count else None

    @property
    def error_rate(self) -> float:
        count = self.count
        return self.errors / count if count else 0.0

    @property
    def sketch(self) -> LatencySketch:
        """All requests, hits included, as a sketch of its own."""
        merged = self.origin_sketch.copy()
        merged.merge(self.hit_sketch)
        return merged

    def __sub__(self, earlier: Reading) -> Reading:
        """What was counted since ``earlier``, a reading of the same recorder."""
        return Reading(
            self.hit_sketch - earlier.hit_sketch,
            self.origin_sketch - earlier.origin_sketch,
            self.failed_sketch - earlier.failed_sketch,
            _minus(self.statuses, earlier.statuses),
            _minus(self.reasons, earlier.reasons),
            max(0, self.exceptions - earlier.exceptions),
            self.traffic - earlier.traffic,
        )

    def __add__(self, other: Reading) -> Reading:
        """Both together, such as the readings of two routes; neither is changed."""
        total = self.copy()
        total.add(other)
        return total

    def add(self, other: Reading) -> None:
        """Count what ``other`` counted as well."""
        self.hit_sketch.merge(other.hit_sketch)
        self.origin_sketch.merge(other.origin_sketch)
        self.failed_sketch.merge(other.failed_sketch)
        self.statuses = _plus(self.statuses, other.statuses)
        self.reasons = _plus(self.reasons, other.reasons)
        self.exceptions += other.exceptions
        self.traffic.add(other.traffic)

    def add_outcome(self, status: int, reason: str, sketch: LatencySketch) -> None:
        """Count what ``sketch`` holds as origin requests with this status and reason."""
        count = sketch.count
        self.origin_sketch.merge(sketch)
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        if status > NO_STATUS:
            self.statuses[status] = self.statuses.get(status, 0) + count
        elif status == EXCEPTION:
            self.exceptions += count
        if status >= 500 or status == EXCEPTION:
            self.failed_sketch.merge(sketch)

    def copy(self) -> Reading:
        return Reading(
            self.hit_sketch.copy(),
            self.origin_sketch.copy(),
            self.failed_sketch.copy(),
            dict(self.statuses),
            dict(self.reasons),
            self.exceptions,
            self.traffic.copy(),
        )
