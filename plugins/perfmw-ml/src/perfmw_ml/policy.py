"""Evicts what is expected to be asked for last: Belady's rule, with a learned guess of the future.

After "Learning Relaxed Belady for Content Distribution Network Caching" (Song, Berger, Li and Lloyd, NSDI
2020): a regression tells, for a sample of the residents, how long each will not be asked for; those it puts
farthest away leave. Here one batch of predictions serves several evictions, and newcomers since the last one
are always in the sample: they are on trial until then, and leave at once if the model does not admit them.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmw_ml import RIVALS
from perfmw_ml.brain import Brain
from perfmw_ml.table import Rows, Table

_WAITING = 256
_SAMPLE, _VICTIMS, _SAMPLE_A_VICTIM = 256, 16, 16
_EXAMPLES = 32
_MOST_PENDING = 8_192
_WINDOW = 4.0
"""In accesses for each resident: what was not asked for by then counts as asked for after twice that."""


@dataclass(slots=True)
class _Example:
    """Becomes one to learn from when its window is over: before, those asked for soon would be too many."""

    slot: int
    since: int
    row: npt.NDArray[np.float32]
    wait: int = 0


class LearnedPolicy:
    """A policy that predicts reuse, and that asks to be followed only where it does better than ``rivals``.

    Before the first model it evicts what was not read for longest, of a sample.

    :param capacity: the bound of the cache, in entries or bytes.
    :param brain: what learns; one of its own by default.
    :param clock: unix time in seconds, for the hour of the day.
    """

    lock_free_hits = True
    rivals: tuple[str, ...] = RIVALS

    def __init__(
        self, capacity: int, brain: Brain | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.brain = brain or Brain()
        self._clock = clock
        self._chance = random.Random(capacity)
        self._table = Table()
        self._waiting: deque[Hashable] = deque(maxlen=_WAITING)
        self.on_hit: Callable[[Hashable], object] = self._waiting.append
        self._victims: list[tuple[int, float]] = []  # slots with their last access; the first to go last
        self._fresh: list[int] = []
        self._pending: deque[_Example] = deque()
        self._open: dict[int, _Example] = {}

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._catch_up()
        slot = self._read(key)
        self._table.enter(slot, size, cost)
        self._fresh.append(slot)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        self._catch_up()
        self._table.change(self._read(key), size, cost)

    def on_remove(self, key: Hashable) -> None:
        self._catch_up()
        self._table.leave(self._table.slots[key])

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        """Raises LookupError when empty. A newcomer is let in on trial, until the next batch."""
        self._catch_up()
        if not self._table.residents:
            raise LookupError("nothing is resident")
        while True:
            while self._victims:
                slot, last = self._victims.pop()
                if self._table.holds(slot) and self._table.last[slot] == last:
                    key = self._table.keys[slot]
                    self._table.leave(slot)
                    return key
            self._choose()

    def resize(self, capacity: int) -> None:
        """What is learned does not depend on the capacity."""

    def anew(self, capacity: int) -> LearnedPolicy:
        """An empty one that goes on with what this one learned."""
        return LearnedPolicy(capacity, self.brain, self._clock)

    def keys(self) -> Iterable[Hashable]:
        """Those that the model expects last at the head."""
        self._catch_up()
        slots = sorted(self._table.residents)
        if not slots:
            return []
        order = np.argsort(-self._scores(slots, self._rows(slots)), kind="stable")
        return [self._table.keys[slots[at]] for at in order]

    def __len__(self) -> int:
        return len(self._table.residents)

    def _catch_up(self) -> None:
        waiting, table = self._waiting, self._table
        while waiting:
            key = waiting.popleft()
            slot = table.slots.get(key)
            if slot is not None and table.holds(slot):
                self._read(key)

    def _read(self, key: Hashable) -> int:
        slot = self._table.read(key)
        example = self._open.pop(slot, None)
        if example is not None:
            example.wait = self._table.now - example.since
        return slot

    def _choose(self) -> None:
        """One batch: who of a sample is expected last, and examples to learn from."""
        table = self._table
        fresh = [slot for slot in self._fresh if table.holds(slot)]
        self._fresh.clear()
        slots = list(dict.fromkeys([*fresh[-_SAMPLE:], *table.sample(_SAMPLE, self._chance)]))
        rows = self._rows(slots)
        scores = self._scores(slots, rows)
        few = max(1, min(_VICTIMS, len(slots) // _SAMPLE_A_VICTIM))
        worst = np.argpartition(scores, len(slots) - few)[-few:]
        ranked = sorted(worst.tolist(), key=scores.__getitem__)
        self._victims = [(slots[at], table.last[slots[at]]) for at in ranked]
        self._remember(slots, rows)

    def _rows(self, slots: list[int]) -> Rows:
        return self._table.rows(slots, self._clock() / 3_600.0 % 24.0)

    def _scores(self, slots: list[int], rows: Rows) -> npt.NDArray[np.float64]:
        """How much there is to gain, as a power of 2, by letting each go."""
        model = self.brain.model
        waits = rows[:, 0].astype(np.float64) if model is None else model.predict(rows)
        costs = rows[:, 8]
        known: npt.NDArray[np.float64] = waits + rows[:, 7] - np.where(costs > math.log2(2e-4), costs, 0.0)
        return known

    def _remember(self, slots: list[int], rows: Rows) -> None:
        table, pending = self._table, self._pending
        window = _WINDOW * table.unit
        while pending and (table.now - pending[0].since >= window or len(pending) >= _MOST_PENDING):
            example = pending.popleft()
            if self._open.get(example.slot) is example:
                del self._open[example.slot]
            if table.now - example.since >= window:
                label = math.log2((example.wait or 2 * window) / table.unit)
                table.found(example.slot, label)
                self.brain.learn(example.row, label)
        for at in self._chance.sample(range(len(slots)), min(_EXAMPLES, len(slots))):
            if slots[at] not in self._open:
                example = _Example(slots[at], table.now, rows[at].copy())
                self._open[slots[at]] = example
                pending.append(example)
