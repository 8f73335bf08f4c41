"""Sliding windows from slots of growing length, so that a day costs no more memory than a minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

import msgspec

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.tally import Tally

Levels = tuple[tuple[float, int], ...]

LEVELS: Final[Levels] = ((5.0, 12), (60.0, 5), (300.0, 12), (3600.0, 24))
"""Slot length in seconds and number of slots: windows of 1 minute, 5 minutes, 1 hour and 24 hours."""
COARSE: Final[Levels] = ((20.0, 3), (100.0, 3), (900.0, 4), (10_800.0, 8))
"""The same windows in fewer slots, for stores of many thousands of profiles."""

_HEAD: Final = Struct("<ddIIIddII")
_MOST_PARTS: Final = 6


class LevelState(msgspec.Struct, array_like=True):
    """A level as it is kept over a restart; ``start`` in unix seconds."""

    length: float
    most: int
    start: float
    slots: list[bytes]
    parts: list[bytes]


class Slot:
    """What was counted between two moments (unix seconds), unpacked when looked at."""

    __slots__ = ("_data", "end", "start", "tally", "total_seconds")

    def __init__(self, data: bytes) -> None:
        self._data = data
        start, end, count, hits, errors, seconds, total, satisfied, tolerating = _HEAD.unpack_from(data)
        self.start: float = start
        self.end: float = end
        self.tally = Tally(count, hits, errors, seconds, satisfied, tolerating)
        self.total_seconds: float = total

    @property
    def reading(self) -> Reading:
        """The caller's own."""
        return unpack(self._data[_HEAD.size :])

    @property
    def mean(self) -> float:
        """Mean seconds a request; 0.0 without requests."""
        return self.total_seconds / self.tally.count if self.tally.count else 0.0


def _encode(start: float, end: float, tally: Tally, reading: Reading) -> bytes:
    head = _HEAD.pack(
        start, end, tally.count, tally.hits, tally.errors, tally.seconds, reading.seconds,
        tally.satisfied, tally.tolerating,
    )  # fmt: skip
    return head + pack(reading)


def _joined(parts: Sequence[bytes], end: float) -> bytes:
    """Neighbouring slots as one that ends at ``end``."""
    if len(parts) == 1:
        # A part that has its end already is shared with the level below.
        slot = Slot(parts[0])
        return parts[0] if slot.end > slot.start else _with_end(parts[0], end)
    slots = [Slot(part) for part in parts]
    tally, reading = Tally(), slots[0].reading
    for slot in slots[1:]:
        reading.add(slot.reading)
    for slot in slots:
        tally.add(slot.tally)
    return _encode(slots[0].start, end, tally, reading)


def _with_end(data: bytes, end: float) -> bytes:
    head = list(_HEAD.unpack_from(data))
    head[1] = end
    return _HEAD.pack(*head) + data[_HEAD.size :]


class _Level:
    """Closed slots of one length, and the parts of the one being filled."""

    __slots__ = ("length", "most", "parts", "slots", "start")

    def __init__(self, length: float, most: int, now: float) -> None:
        self.length = length
        self.most = most
        self.slots: tuple[bytes, ...] = ()
        self.parts: tuple[bytes, ...] = ()
        self.start = now

    @property
    def span(self) -> float:
        """Seconds that all slots together cover."""
        return self.length * self.most

    def add(self, part: bytes) -> None:
        self.parts += (part,)

    def close(self, now: float) -> bytes | None:
        """End the slot being filled if it is old enough; None while it is not, or when it is empty."""
        if now - self.start < self.length:
            return None
        parts, self.start, self.parts = self.parts, now, ()
        if not parts:
            return None
        slot = _joined(parts, now)
        self.slots = (*self.slots, slot)[-self.most :]
        return slot

    def take_up(self, state: LevelState, now: float, until: float) -> bytes | None:
        """Go on from where ``state`` ended at ``until``; the slot that ended in between, if any."""
        fresh = [slot for slot in state.slots if Slot(slot).end > now - self.span]
        if now - state.start < self.length:
            self.slots = (*fresh, *self.slots)[-self.most :]
            self.parts, self.start = (*state.parts, *self.parts), state.start
            return None
        ended = _joined(state.parts, until) if state.parts else None
        if ended is not None and until > now - self.span:
            fresh.append(ended)
        self.slots = (*fresh, *self.slots)[-self.most :]
        return ended


class Windows:
    """Keeps deltas of one recorder; empty stretches take no memory. Pure: time is an argument.

    Slots are bytes: of the thousands that a store keeps, hardly any is looked at again.
    """

    __slots__ = ("_due", "_levels", "stamp")

    def __init__(self, now: float, levels: Levels = LEVELS) -> None:
        self.stamp = 0
        """Grows with every delta."""
        self._due = 0.0
        self._levels = [_Level(length, slots, now) for length, slots in levels]

    def add(self, delta: Reading, tally: Tally, start: float) -> None:
        """Count a delta that began at ``start``."""
        self.stamp += 1
        first = self._levels[0]
        first.add(_encode(start, start, tally, delta))
        if len(first.parts) > _MOST_PARTS:
            first.parts = (_joined(first.parts, start),)

    def close(self, now: float) -> Slot | None:
        """End the slots that are old enough; gives the shortest one, if it ended and is not empty."""
        if now < self._due:
            return None
        first = below = self._levels[0].close(now)
        for level in self._levels[1:]:
            if below is not None:
                level.add(below)
            below = level.close(now)
        self._due = min([level.start + level.length for level in self._levels])
        return None if first is None else Slot(first)

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

    def _since(self, seconds: float, now: float) -> Iterator[Slot]:
        for level in self._levels:
            yield from map(Slot, level.parts)
            if seconds <= level.span or level is self._levels[-1]:
                yield from (slot for slot in map(Slot, level.slots) if slot.end > now - seconds)
                return

    def minutes(self) -> list[Slot]:
        """The closed slots of the second length, a minute or some more, oldest first."""
        return [Slot(data) for data in self._levels[1].slots]

    def slots(self) -> list[Slot]:
        """The closed slots of the shortest length, oldest first."""
        return [Slot(data) for data in self._levels[0].slots]

    def course(self, seconds: float, now: float) -> list[Slot]:
        """The last ``seconds`` slot by slot, oldest first, in the shortest slots that reach so far back.

        What is not yet in such a slot comes last.
        """
        found: list[Slot] = []
        recent: list[bytes] = []
        for level in self._levels:
            recent = [*level.parts, *recent]
            if seconds <= level.span or level is self._levels[-1]:
                found = [slot for slot in map(Slot, level.slots) if slot.end > now - seconds]
                break
        return [*found, Slot(_joined(recent, now))] if recent else found

    def state(self) -> list[LevelState]:
        """Everything, to be kept over a restart."""
        return [
            LevelState(one.length, one.most, one.start, list(one.slots), list(one.parts))
            for one in self._levels
        ]

    def restore(self, state: Sequence[LevelState], now: float, until: float) -> bool:
        """Put what was kept at unix time ``until`` before what was counted since; False if it does not fit.

        What is too old by ``now`` is left out. Slots of other lengths, of a store for more or fewer
        profiles, do not fit.
        """
        if [(one.length, one.most) for one in state] != [(one.length, one.most) for one in self._levels]:
            return False
        ended: bytes | None = None
        self._due = 0.0
        for level, kept in zip(self._levels, state, strict=True):
            if ended is not None:
                kept.parts.append(ended)
            ended = level.take_up(kept, now, until)
        return True
