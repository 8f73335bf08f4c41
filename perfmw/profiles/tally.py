"""The few sums a score needs, so that judging a window never merges a sketch."""

from __future__ import annotations

from dataclasses import dataclass

from perfmw.profiles.apdex import apdex
from perfmw.profiles.reading import Reading
from perfmw.profiles.score import Observed


@dataclass(slots=True)
class Tally:
    """Requests, hits and errors; seconds of the requests that succeeded; Apdex counts."""

    count: int = 0
    hits: int = 0
    errors: int = 0
    seconds: float = 0.0
    satisfied: int = 0
    tolerating: int = 0

    def add(self, other: Tally) -> None:
        """Count what ``other`` counted as well."""
        self.count += other.count
        self.hits += other.hits
        self.errors += other.errors
        self.seconds += other.seconds
        self.satisfied += other.satisfied
        self.tolerating += other.tolerating

    def observed(self, elapsed: float, resource_utilization: float | None = None) -> Observed:
        """What the score looks at, for a tally over ``elapsed`` seconds."""
        succeeded = self.count - self.errors
        return Observed(
            requests=self.count,
            latency=self.seconds / succeeded if succeeded > 0 else 0.0,
            error_rate=self.errors / self.count if self.count else 0.0,
            throughput=self.count / elapsed if elapsed > 0.0 else None,
            apdex=(self.satisfied + self.tolerating / 2) / self.count if self.count else None,
            resource_utilization=resource_utilization,
        )


def tally_of(reading: Reading, apdex_t: float) -> Tally:
    """The tally of a reading for an Apdex threshold in seconds."""
    counts = apdex(reading, apdex_t)
    return Tally(
        count=reading.count,
        hits=reading.hits,
        errors=reading.errors,
        seconds=max(0.0, reading.seconds - reading.failed_sketch.sum),
        satisfied=counts.satisfied,
        tolerating=counts.tolerating,
    )
