"""Exact LRU stack distances: how many distinct keys were used since a key was used last."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

BLOCK_BITS = 7
BLOCK = 1 << BLOCK_BITS
_GONE = object()


class LRUStack:
    """Keys in order of their last use, with the rank of each (Mattson et al., IBM Systems J. 9, 1970).

    Each use takes the next slot of a time line; a rank is a count of occupied slots, kept in blocks so
    that it is a sum over blocks and a count within one, both of which run in C.

    :param capacity: the least recently used key is dropped beyond this number.
    """

    __slots__ = ("_blocks", "_bottom", "_capacity", "_occupied", "_owners", "_slots", "_top", "_where")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots = -(-max(2 * capacity, 1_024) // BLOCK) * BLOCK
        self._top = self._bottom = 0
        self._lay_out([])

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def __iter__(self) -> Iterator[Hashable]:
        """The least recently used first."""
        return (owner for owner in self._owners if owner is not _GONE)

    def use(self, key: Hashable) -> int:
        """Put ``key`` on top. Returns its rank before: 1 on top, 0 if it was not in the stack."""
        slot = self._where.get(key)
        if slot is None:
            rank = 0
            if len(self._where) >= self._capacity:
                self._drop_oldest()
        else:
            block = slot >> BLOCK_BITS
            blocks = self._blocks
            rank = self._occupied.count(1, slot, (block + 1) << BLOCK_BITS) + sum(blocks[block + 1 :])
            self._occupied[slot] = 0
            blocks[block] -= 1
            self._owners[slot] = _GONE
        top = self._top
        if top == self._slots:
            self._lay_out(list(self))
            top = self._top
        self._where[key] = top
        self._owners.append(key)
        self._occupied[top] = 1
        self._blocks[top >> BLOCK_BITS] += 1
        self._top = top + 1
        return rank

    def discard(self, key: Hashable) -> None:
        slot = self._where.pop(key, None)
        if slot is not None:
            self._occupied[slot] = 0
            self._blocks[slot >> BLOCK_BITS] -= 1
            self._owners[slot] = _GONE

    def _drop_oldest(self) -> None:
        owners, slot = self._owners, self._bottom
        while owners[slot] is _GONE:
            slot += 1
        self._bottom = slot + 1
        self.discard(owners[slot])

    def _lay_out(self, keys: Iterable[Hashable]) -> None:
        """Start the time line anew with ``keys`` in its first slots."""
        self._owners: list[object] = list(keys)
        self._where = {key: slot for slot, key in enumerate(self._owners)}
        used = len(self._owners)
        self._occupied = bytearray(b"\1" * used + bytes(self._slots - used))
        self._blocks = [self._occupied.count(1, at, at + BLOCK) for at in range(0, self._slots, BLOCK)]
        self._top = used
        self._bottom = 0
