"""Means of named values over time, such as how busy each pool was. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEVELS: Final = ((5.0, 12), (15.0, 20), (60.0, 60), (600.0, 144))
"""Slot length in seconds and number of slots: a minute, five minutes, an hour, a day."""
MOST_NAMES: Final = 32


@dataclass(frozen=True, slots=True)
class Means:
    """Mean values between ``at`` (unix seconds) and ``at + seconds``; a name without samples is left out."""

    at: float
    seconds: float
    values: Mapping[str, float]


class _Level:
    """Slots of one length, and the sums of the one being filled."""

    __slots__ = ("length", "slots", "start", "sums")

    def __init__(self, length: float, most: int, now: float) -> None:
        self.length = length
        self.slots: deque[Means] = deque(maxlen=most)
        self.start = now
        self.sums: dict[str, tuple[float, int]] = {}

    def add(self, now: float, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None and (name in self.sums or len(self.sums) < MOST_NAMES):
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + value, count + 1
        if now - self.start >= self.length:
            self.slots.append(self.open(now))
            self.start, self.sums = now, {}

    def open(self, now: float) -> Means:
        means = {name: total / count for name, (total, count) in self.sums.items()}
        return Means(self.start, now - self.start, means)

    @property
    def span(self) -> float:
        return self.length * (self.slots.maxlen or 0)


class History:
    """The last day in slots of growing length; at most ``MOST_NAMES`` names are kept apart."""

    def __init__(self, now: float) -> None:
        self._levels = [_Level(length, most, now) for length, most in LEVELS]

    def add(self, now: float, values: Mapping[str, float | None]) -> None:
        """Take one sample of each value at unix time ``now``; None is no sample."""
        for level in self._levels:
            level.add(now, values)

    def course(self, seconds: float, now: float) -> list[Means]:
        """The last ``seconds``, oldest first, in the shortest slots that reach so far back."""
        level = next((one for one in self._levels if seconds <= one.span), self._levels[-1])
        found = [one for one in level.slots if one.at + one.seconds > now - seconds]
        return [*found, level.open(now)] if level.sums else found
