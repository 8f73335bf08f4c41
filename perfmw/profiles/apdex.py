"""Apdex: one number 0..1 for how content users can be with response times (apdex.org, specification 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from perfmw.profiles.reading import Reading

TOLERATED = 4
"""A request is tolerable up to this many times T."""


@dataclass(slots=True, frozen=True)
class Apdex:
    """Counts of requests: satisfied within T, tolerating within 4T, frustrated beyond or failed."""

    satisfied: int
    tolerating: int
    frustrated: int

    @property
    def value(self) -> float | None:
        """0..1, None without requests."""
        total = self.satisfied + self.tolerating + self.frustrated
        return (self.satisfied + self.tolerating / 2) / total if total else None


def apdex(reading: Reading, t: float) -> Apdex:
    """Apdex of a reading for a threshold ``t`` in seconds; failures are frustrated however fast they came."""
    satisfied = _succeeded_within(reading, t)
    tolerated = _succeeded_within(reading, TOLERATED * t)
    return Apdex(satisfied, tolerated - satisfied, max(0, reading.count - tolerated))


def _succeeded_within(reading: Reading, seconds: float) -> int:
    within = reading.hit_sketch.count_below(seconds) + reading.origin_sketch.count_below(seconds)
    return max(0, within - reading.failed_sketch.count_below(seconds))
