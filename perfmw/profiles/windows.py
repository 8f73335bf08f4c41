"""Sliding windows from slots of growing length, so that a day costs no more memory than a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.tally import Tally

LEVELS: Final = ((5.0, 12), (60.0, 5), (300.0, 12), (3600.0, 24))
"""Slot length in seconds and number of slots: windows of 1 minute, 5 minutes, 1 hour and 24 hours."""


@dataclass(slots=True)
class Filling:
    """A slot that has not ended."""

    start: float
    reading: Reading
    tally: Tally


@dataclass(slots=True)
class Slot:
    """What was counted between two moments (unix seconds), packed."""

    start: float
    end: float
    packed: bytes
    tally: Tally

    @property
    def reading(self) -> Reading:
        """Unpacked: the caller's own."""
        return unpack(self.packed)


class _Level:
    """Closed slots of one length, and the one being filled."""

    __slots__ = ("filling", "length", "slots", "start")

    def __init__(self, length: float, slots: int, now: float) -> None:
        self.length = length
        self.slots: deque[Slot] = deque(maxlen=slots)
        self.filling: Filling | None = None
        self.start = now

    @property
    def span(self) -> float:
        """Seconds that all slots together cover."""
        return self.length * (self.slots.maxlen or 0)

    def add(self, reading: Reading, tally: Tally, start: float) -> None:
        if self.filling is None:
            self.filling = Filling(start, Reading(), Tally())
        self.filling.reading.add(reading)
        self.filling.tally.add(tally)

    def close(self, now: float) -> Filling | None:
        """End the slot being filled if it is old enough; None while it is not, or when it is empty."""
        if now - self.start < self.length:
            return None
        filled, self.start, self.filling = self.filling, now, None
        if filled is not None:
            self.slots.append(Slot(filled.start, now, pack(filled.reading), filled.tally))
        return filled


class Windows:
    """Keeps deltas of one recorder; empty stretches take no memory. Pure: time is an argument."""

    __slots__ = ("_levels",)

    def __init__(self, now: float) -> None:
        self._levels = [_Level(length, slots, now) for length, slots in LEVELS]

    def add(self, delta: Reading, tally: Tally, start: float) -> None:
        """Count a delta that began at ``start``."""
        self._levels[0].add(delta, tally, start)

    def close(self, now: float) -> Filling | None:
        """End the slots that are old enough; gives the shortest one, if it ended and is not empty."""
        first = below = self._levels[0].close(now)
        for level in self._levels[1:]:
            if below is not None:
                level.add(below.reading, below.tally, below.start)
            below = level.close(now)
        return first

    def view(self, seconds: float, now: float) -> Reading:
        """Everything since ``now - seconds``, at most 24 hours, on slot bounds."""
        total = Reading()
        for slot in self._since(seconds, now):
            total.add(slot.reading)
        return total

    def tally(self, seconds: float, now: float) -> Tally:
        """The sums of ``view``, far cheaper."""
        total = Tally()
        for slot in self._since(seconds, now):
            total.add(slot.tally)
        return total

    def _since(self, seconds: float, now: float) -> Iterator[Slot | Filling]:
        for level in self._levels:
            if level.filling is not None:
                yield level.filling
            if seconds <= level.span or level is self._levels[-1]:
                yield from (slot for slot in level.slots if slot.end > now - seconds)
                return

    def slots(self) -> list[Slot]:
        """The closed slots of the shortest length, oldest first."""
        return list(self._levels[0].slots)
