"""What is remembered of keys: columns of numbers, so that the features of many keys are made at once."""

from __future__ import annotations

import math
import random
import re
from array import array
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

FEATURES = (
    "age", "gap", "gap before", "gap before that", "reads", "recent reads", "due in", "size", "cost",
    "pattern", "hour",
)  # fmt: skip
"""Of a row. Times are counted in accesses, in units of the number of residents, as powers of 2."""
UNKNOWN = 64.0
"""In those units: a gap that there was none of."""
_MOST_PATTERNS = 1_024
_PATTERN_PRIOR = 8.0
_VARYING = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4,}){2,}|\d+")
_LEAST_GHOSTS, _GHOSTS, _MOST_GHOSTS = 256, 3, 200_000


class Table:
    """Residents, and lately evicted keys, each with its last accesses. Bounded by the number of residents."""

    def __init__(self) -> None:
        self.now = 0
        self.slots: dict[Hashable, int] = {}
        self.keys: list[Hashable] = []
        self.residents: list[int] = []
        self._place: list[int] = []  # in residents, or -1
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._free: list[int] = []
        self.last, self._gap, self._gap2, self._gap3 = (array("d") for _ in range(4))
        self._reads, self._recent, self.sizes, self._costs, self._patterns = (array("d") for _ in range(5))
        self._columns = (
            self.last, self._gap, self._gap2, self._gap3,
            self._reads, self._recent, self.sizes, self._costs, self._patterns,
        )  # fmt: skip
        self._numbers: dict[str, int] = {}
        self._pattern_sums = array("d")
        self._pattern_counts = array("d")

    @property
    def unit(self) -> float:
        """What times are counted in: as many accesses as there are residents."""
        return max(1.0, float(len(self.residents)))

    @property
    def ghosts(self) -> int:
        """The keys that are remembered and not resident."""
        return len(self._ghosts)

    def read(self, key: Hashable) -> int:
        """An access of ``key``; returns its slot, which is new if nothing was known of it."""
        self.now += 1
        slot = self.slots.get(key)
        if slot is None:
            return self._add(key)
        gap = self.now - self.last[slot]
        self._gap3[slot], self._gap2[slot], self._gap[slot] = self._gap2[slot], self._gap[slot], gap
        self.last[slot] = self.now
        self._reads[slot] += 1.0
        self._recent[slot] = 1.0 + self._recent[slot] * 0.5 ** (gap / (4.0 * self.unit))
        return slot

    def enter(self, slot: int, size: int, cost: float) -> None:
        """The key of ``slot`` is resident from now on."""
        self.change(slot, size, cost)
        self._ghosts.pop(slot, None)
        self._place[slot] = len(self.residents)
        self.residents.append(slot)

    def change(self, slot: int, size: int, cost: float) -> None:
        self.sizes[slot], self._costs[slot] = max(1, size), cost

    def leave(self, slot: int) -> None:
        """It is resident no more, and remembered for a while."""
        place, last = self._place[slot], self.residents.pop()
        if last != slot:
            self.residents[place] = last
            self._place[last] = place
        self._place[slot] = -1
        self._ghosts[slot] = None
        self._forget()

    def holds(self, slot: int) -> bool:
        """Whether it is resident."""
        return self._place[slot] >= 0

    def sample(self, most: int, chance: random.Random) -> list[int]:
        """So many residents, or all where there are fewer."""
        if len(self.residents) <= most:
            return list(self.residents)
        return chance.sample(self.residents, most)

    def rows(self, slots: list[int], hour: float) -> Rows:
        """The features of each of ``slots``, a row each."""
        at = np.array(slots, dtype=np.int64)
        last, gap, gap2, gap3, reads, recent, sizes, costs, patterns = (
            np.frombuffer(column)[at] for column in self._columns
        )
        unit = self.unit
        age = self.now - last
        rows = np.empty((len(slots), len(FEATURES)), dtype=np.float32)
        for place, times in enumerate((age + 1.0, gap, gap2, gap3)):
            rows[:, place] = np.log2(np.minimum(times / unit, UNKNOWN))
        rows[:, 4], rows[:, 5] = np.log2(reads), np.log2(recent)
        rows[:, 6] = np.clip((gap - age) / unit, -8.0, 8.0)
        rows[:, 7], rows[:, 8] = np.log2(sizes), np.log2(costs + 1e-4)
        sums, counts = np.frombuffer(self._pattern_sums), np.frombuffer(self._pattern_counts)
        number = patterns.astype(np.int64)
        rows[:, 9] = sums[number] / (counts[number] + _PATTERN_PRIOR)
        rows[:, 10] = hour
        return rows

    def found(self, slot: int, label: float) -> None:
        """When a key was asked for again became known: keys of its pattern may be like it."""
        number = int(self._patterns[slot])
        self._pattern_sums[number] += label
        self._pattern_counts[number] += 1.0
        if self._pattern_counts[number] > 1_000.0:
            self._pattern_sums[number] /= 2.0
            self._pattern_counts[number] /= 2.0

    def _add(self, key: Hashable) -> int:
        values = (self.now, math.inf, math.inf, math.inf, 1.0, 1.0, 1.0, 0.0, self._pattern(key))
        if self._free:
            slot = self._free.pop()
            self.keys[slot] = key
            for column, value in zip(self._columns, values, strict=True):
                column[slot] = value
        else:
            slot = len(self.keys)
            self.keys.append(key)
            self._place.append(-1)
            for column, value in zip(self._columns, values, strict=True):
                column.append(value)
        self.slots[key] = slot
        self._ghosts[slot] = None
        self._forget()
        return slot

    def _pattern(self, key: Hashable) -> int:
        """The number of its pattern: digits and long identifiers vary. Beyond the bound all share one."""
        name = _VARYING.sub("*", key) if isinstance(key, str) else type(key).__name__
        number = self._numbers.get(name)
        if number is None:
            if len(self._numbers) >= _MOST_PATTERNS:
                return 0
            number = self._numbers[name] = len(self._numbers)
            self._pattern_sums.append(0.0)
            self._pattern_counts.append(0.0)
        return number

    def _forget(self) -> None:
        most = min(_LEAST_GHOSTS + _GHOSTS * len(self.residents), _MOST_GHOSTS)
        while len(self._ghosts) > most:
            slot, _ = self._ghosts.popitem(last=False)
            del self.slots[self.keys[slot]]
            self.keys[slot] = None
            self._free.append(slot)
