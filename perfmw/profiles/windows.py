"""Sliding windows from slots of growing length, so that a day costs no more memory than a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perfmw.profiles.reading import Reading

LEVELS: Final = ((5.0, 12), (60.0, 5), (300.0, 12), (3600.0, 24))
"""Slot length in seconds and number of slots: windows of 1 minute, 5 minutes, 1 hour and 24 hours."""


@dataclass(slots=True)
class Slot:
    """What was counted between two moments (unix seconds)."""

    start: float
    end: float
    reading: Reading


class _Level:
    """Closed slots of one length, and the one being filled."""

    __slots__ = ("filling", "length", "slots", "start")

    def __init__(self, length: float, slots: int) -> None:
        self.length = length
        self.slots: deque[Slot] = deque(maxlen=slots)
        self.filling: Reading | None = None
        self.start: float | None = None

    def add(self, reading: Reading | None, start: float) -> None:
        if self.start is None:
            self.start = start
        if reading is None:
            return
        if self.filling is None:
            self.filling = reading.copy()
        else:
            self.filling.add(reading)

    def close(self, now: float) -> Slot | None:
        """End the slot being filled if it is old enough; None while it is not, or when it is empty."""
        if self.start is None or now - self.start < self.length:
            return None
        start, reading = self.start, self.filling
        self.start, self.filling = now, None
        if reading is None:
            return None
        slot = Slot(start, now, reading)
        self.slots.append(slot)
        return slot


class Windows:
    """Keeps deltas of one recorder; empty stretches take no memory. Pure: time is an argument."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels = [_Level(length, slots) for length, slots in LEVELS]

    def add(self, delta: Reading | None, start: float, now: float) -> Slot | None:
        """Count a delta that began at ``start`` and ended ``now``; gives the shortest slot if one closed."""
        first = self._levels[0]
        first.add(delta, start)
        closed = first.close(now)
        below = closed
        for level in self._levels[1:]:
            level.add(below.reading if below else None, below.start if below else now)
            below = level.close(now)
        return closed

    def view(self, seconds: float, now: float) -> Reading:
        """Everything since ``now - seconds``, at most 24 hours, on slot bounds."""
        total = Reading()
        for reading in self._since(now - seconds, seconds):
            total.add(reading)
        return total

    def _since(self, since: float, seconds: float) -> Iterator[Reading]:
        for level in self._levels:
            if level.filling is not None:
                yield level.filling
            if seconds <= level.length * (level.slots.maxlen or 0) or level is self._levels[-1]:
                yield from (slot.reading for slot in level.slots if slot.end > since)
                return

    def slots(self) -> list[Slot]:
        """The closed slots of the shortest length, oldest first."""
        return list(self._levels[0].slots)
