"""Exact LRU stack distances: how many distinct keys were used since a key was used last."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

BLOCK_BITS = 8
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
        self._slots = -(-max(3 * capacity, 1_024) // BLOCK) * BLOCK
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
        where, blocks = self._where, self._blocks
        top = self._top
        if top == self._slots:
            self._lay_out([owner for owner in self._owners if owner is not _GONE])
            where, blocks, top = self._where, self._blocks, self._top
        slot = where.get(key)
        if slot is None:
            rank = 0
            if len(where) >= self._capacity:
                self._drop_oldest()
        else:
            block = slot >> BLOCK_BITS
            occupied = self._occupied
            rank = occupied.count(1, slot, (block + 1) << BLOCK_BITS)
            if block < top >> BLOCK_BITS:
                rank += sum(blocks[block + 1 : (top >> BLOCK_BITS) + 1])
            occupied[slot] = 0
            blocks[block] -= 1
            self._owners[slot] = _GONE
        where[key] = top
        self._owners.append(key)
        self._occupied[top] = 1
        blocks[top >> BLOCK_BITS] += 1
        self._top = top + 1
        return rank

    def discard(self, key: Hashable) -> None:
        slot = self._where.pop(key, None)
        if slot is not None:
            self._occupied[slot] = 0
            self._blocks[slot >> BLOCK_BITS] -= 1
            self._owners[slot] = _GONE

    def _drop_oldest(self) -> None:
        slot = self._occupied.index(1, self._bottom)
        self._bottom = slot + 1
        del self._where[self._owners[slot]]
        self._occupied[slot] = 0
        self._blocks[slot >> BLOCK_BITS] -= 1
        self._owners[slot] = _GONE

    def _lay_out(self, keys: list[object]) -> None:
        """Start the time line anew with ``keys`` in its first slots."""
        self._owners: list[object] = keys
        self._where: dict[object, int] = dict(zip(keys, range(len(keys)), strict=True))
        used = len(keys)
        self._occupied = bytearray(b"\1" * used + bytes(self._slots - used))
        self._blocks = [self._occupied.count(1, at, at + BLOCK) for at in range(0, self._slots, BLOCK)]
        self._top = used
        self._bottom = 0
