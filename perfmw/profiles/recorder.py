"""The recorder of one target: the only part of the profiles that a request touches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from perfmw.contracts.profiles import ProfileType
from perfmw.profiles.reading import EXCEPTION, NO_STATUS, Reading
from perfmw.profiles.sketch import LatencySketch

MAX_OUTCOMES: Final = 64
"""Distinct pairs of status and reason that a recorder keeps apart."""


class Recorder:
    """Counts the requests of one target. Nothing here reads a clock; windows are cut by the store's timer.

    Each outcome (status and reason) has a sketch of its own, so that counting a request is one look-up and
    one ``record``; totals, failures and reasons are summed up when somebody reads.
    """

    __slots__ = ("_hits", "_outcomes", "_sketches", "hit", "name", "type")

    def __init__(self, name: str, type: ProfileType = "component") -> None:
        self.name = name
        self.type: ProfileType = type
        self._hits = LatencySketch()
        self._sketches: dict[tuple[int, str], LatencySketch] = {}
        self._outcomes: dict[tuple[int, str], Callable[[float], None]] = {}
        self.hit: Callable[[float], None] = self._hits.record
        """A request was answered from the cache in so many seconds."""

    def origin(self, seconds: float, status: int, reason: str) -> None:
        """A request reached the target; ``reason``, a Cache-Status word, says why it was forwarded."""
        try:
            record = self._outcomes[status, reason]
        except Exception:
            record = self._first(status, reason)
        record(seconds)

    def exception(self, seconds: float, reason: str) -> None:
        """A request reached the target and ended without a response."""
        try:
            record = self._outcomes[EXCEPTION, reason]
        except Exception:
            record = self._first(EXCEPTION, reason)
        record(seconds)

    def done(self, seconds: float) -> None:
        """Something that has no status, such as a query, succeeded."""
        self.origin(seconds, NO_STATUS, "")

    def _first(self, status: object, reason: object) -> Callable[[float], None]:
        """The sketch of an outcome not seen before; beyond the bound one a status class."""
        code = status if isinstance(status, int) else EXCEPTION
        outcome = (code, str(reason))
        if len(self._sketches) >= MAX_OUTCOMES:
            outcome = (code // 100 * 100 if 100 <= code < 600 else EXCEPTION, "other")
        sketch = self._sketches.setdefault(outcome, LatencySketch())
        if len(self._outcomes) < MAX_OUTCOMES:
            self._outcomes[outcome] = sketch.record
        return sketch.record

    def activity(self) -> tuple[float, int]:
        """Changes whenever a request was counted; far cheaper than a reading."""
        total, zeros = self._hits.sum, self._hits.zeros
        for sketch in self._sketches.copy().values():
            total += sketch.sum
            zeros += sketch.zeros
        return total, zeros

    def reading(self) -> Reading:
        """All that was counted so far, as copies."""
        reading = Reading(hit_sketch=self._hits.copy())
        for (status, reason), sketch in self._sketches.copy().items():
            reading.add_outcome(status, reason, sketch)
        return reading
