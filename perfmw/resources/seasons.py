"""What a series was like at this time of the day, and lately: the memory of a forecaster."""

from __future__ import annotations

from collections import deque
from math import exp
from typing import Final

SLOTS: Final = 288
"""A season is looked at in so many slots: five minutes of a day."""
SEASONS: Final = 15
_SLOT_MEMORY: Final = 0.2
_WIDE: Final = 6
_FAST: Final = 1200.0 / 86400.0
_SLOW: Final = 0.125
_LONGEST_GAP: Final = 3.0
_RECENT: Final = 400
"""Values that medians are taken of, at most."""


class Level:
    """The mean of a series and of its profile over the same past, weighed by how long ago it was.

    :param memory: seconds after which a value weighs 1/e.
    """

    __slots__ = ("_memory", "of_profile", "value")

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.value = self.of_profile = 0.0

    def update(self, value: float, profile: float, seconds: float | None) -> None:
        """Take in a value; ``seconds`` since the one before, None for the first."""
        share = 1.0 if seconds is None else 1.0 - exp(-seconds / self._memory)
        self.value += share * (value - self.value)
        self.of_profile += share * (profile - self.of_profile)

    def off(self) -> float:
        """How far the level is off its profile: 0.5 = half as much again. Bounded to [-0.9, 3]."""
        return max(-0.9, min(3.0, self.value / self.of_profile - 1.0)) if self.of_profile else 0.0


class Seasons:
    """A profile of the season, the means of the last 15 seasons' slots, and levels. Bounded memory."""

    def __init__(self, season: float) -> None:
        self.season = season
        self._slot_seconds = season / SLOTS
        self._profile: list[float | None] = [None] * SLOTS
        self._times_seen = [0] * SLOTS
        self._slots: dict[int, tuple[float, int]] = {}
        self._order: deque[int] = deque()
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._gap = self._slot_seconds
        self.now: float | None = None
        self.last = 0.0
        self.fast, self.slow, self.long = (Level(share * season) for share in (_FAST, _SLOW, 1.0))

    @property
    def gap(self) -> float:
        """Seconds between values, lately."""
        return self._gap

    @property
    def scale(self) -> float:
        """What errors are measured in: the long level."""
        return max(1e-9, abs(self.long.value))

    def update(self, now: float, value: float) -> None:
        """Take in the value at a time (unix seconds) later than the one before."""
        seconds = None if self.now is None else now - self.now
        if seconds is not None:
            usual = min(seconds, _LONGEST_GAP * max(self._gap, self._slot_seconds))
            self._gap += 0.1 * (usual - self._gap)
        self.now, self.last = now, value
        self._recent.append((now, value))
        self._keep(int(now // self._slot_seconds), value)
        usual_now = self.profile(now)
        for level in (self.fast, self.slow, self.long):
            level.update(value, value if usual_now is None else usual_now, seconds)

    def _keep(self, slot: int, value: float) -> None:
        if slot in self._slots:
            total, count = self._slots[slot]
            self._slots[slot] = total + value, count + 1
            return
        if self._order:
            self._learn(self._order[-1])
        self._slots[slot] = value, 1
        self._order.append(slot)
        while len(self._order) > SLOTS * SEASONS:
            del self._slots[self._order.popleft()]

    def _learn(self, slot: int) -> None:
        """A slot is over: its mean joins the profile."""
        total, count = self._slots[slot]
        index, mean = slot % SLOTS, total / count
        self._times_seen[index] += 1
        known = self._profile[index]
        share = max(1.0 / self._times_seen[index], _SLOT_MEMORY)
        self._profile[index] = mean if known is None else known + share * (mean - known)

    def profile(self, at: float) -> float | None:
        """What is usual at this time of the season: neighbouring slots' means, the nearer the heavier."""
        slot = int(at // self._slot_seconds)
        total = weights = 0.0
        for off in range(-_WIDE, _WIDE + 1):
            known = self._profile[(slot + off) % SLOTS]
            if known is not None:
                weight = _WIDE + 1 - abs(off)
                total += weight * known
                weights += weight
        return total / weights if weights else None

    def nearest(self, at: float) -> float | None:
        """The mean of the slot at a past time, or of the nearest as far off as values are apart."""
        slot = int(at // self._slot_seconds)
        for off in range(int(self._gap / self._slot_seconds / 2.0) + 2):
            for one in (slot - off, slot + off):
                if one in self._slots:
                    total, count = self._slots[one]
                    return total / count
        return None

    def around(self, at: float) -> float | None:
        """The mean of the slots around a past time, 1/48 of a season each way."""
        slot, reach = int(at // self._slot_seconds), SLOTS // 48
        found = [self._slots[one] for one in range(slot - reach, slot + reach + 1) if one in self._slots]
        return sum([total / count for total, count in found]) / len(found) if found else None

    def median(self, share: float) -> float:
        """The median of the values of the last ``share`` of a season, or as many of them as are kept."""
        since = (self.now or 0.0) - share * self.season
        return _median([value for at, value in self._recent if at > since] or [self.last])

    def usual(self, at: float, seasons: int) -> float | None:
        """The median of what was around this time in so many seasons before; None where nothing is known."""
        known = [self.around(at - number * self.season) for number in range(1, seasons + 1)]
        found = [one for one in known if one is not None]
        return _median(found) if found else None


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
