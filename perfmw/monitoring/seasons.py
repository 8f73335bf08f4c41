"""What a figure usually is at this time of day. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

_SLOTS: Final = 48
_SLOT_SECONDS: Final = 1800.0
_DAYS: Final = 7
_LEAST_DAYS: Final = 2
_MARGIN: Final = 1.1
"""A value up to a tenth beyond what other days had is what they had."""


class DayCourse:
    """The median and the extremes of each half hour of the day (UTC), of up to seven days; at most 25 KB."""

    def __init__(self) -> None:
        self._days: list[deque[tuple[float, float, float]]] = [deque(maxlen=_DAYS) for _ in range(_SLOTS)]
        self._slot = -1
        self._values: deque[float] = deque(maxlen=120)

    def update(self, at: float, value: float) -> None:
        """The value of a bucket that began at ``at`` (unix seconds)."""
        slot = _slot(at)
        if slot != self._slot:
            self._close()
            self._slot = slot
        self._values.append(value)

    def _close(self) -> None:
        if self._values:
            values = sorted(self._values)
            self._days[self._slot].append((values[0], median(values), values[-1]))
            self._values.clear()

    def explains(self, at: float, value: float) -> bool:
        """Whether most of the earlier days, two at least, had such a value at this time of day."""
        days = self._days[_slot(at)]
        if len(days) < _LEAST_DAYS:
            return False
        alike = sum(low / _MARGIN <= value <= high * _MARGIN for low, _, high in days)
        return 2 * alike > len(days)

    def usual(self, at: float) -> float | None:
        """The median of earlier days at this time of day; None without two of them."""
        days = self._days[_slot(at)]
        return median(middle for _, middle, _ in days) if len(days) >= _LEAST_DAYS else None

    def state(self) -> dict[str, list[tuple[float, float, float]]]:
        """What is known, to be kept over a restart."""
        return {str(slot): [*days] for slot, days in enumerate(self._days) if days}

    def restore(self, state: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Take up what ``state`` gave."""
        for slot, days in state.items():
            self._days[int(slot) % _SLOTS].extend((low, middle, high) for low, middle, high in days)


def _slot(at: float) -> int:
    return int(at % 86_400.0 / _SLOT_SECONDS) % _SLOTS
