"""How often keys were seen lately, in a few bits a key: a count-min sketch that halves its counts."""

from __future__ import annotations

from collections.abc import Hashable
from zlib import crc32

_MASK = (1 << 64) - 1
_SEEDS = (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F, 0xCBF29CE484222325)
_MOST = 15
_LEAST_BITS = 14
"""For few keys too, 64 KiB in all: what a small cache is shown is mostly not in it, and would collide."""


class FrequencySketch:
    """Four counters up to 15 a key, the least of which is its estimate (Einziger, Friedman and Manes, 2017).

    After twenty times as many sightings as it has room for, every count is halved, so that what was popular
    once loses its rank.

    :param entries: how many keys to tell apart.
    """

    def __init__(self, entries: int) -> None:
        self._seeded: list[tuple[bytearray, int]] = []
        self._bits = self._shift = 0
        self._seen = 0
        self.resize(entries)

    def resize(self, entries: int) -> None:
        """Make room for ``entries`` keys; counts are kept where it grows, else they begin anew."""
        bits = max(_LEAST_BITS, (max(1, entries) - 1).bit_length() + 2)
        while self._seeded and self._bits < bits:  # the place of a key is the first bits of a number
            self._seeded = [(_twice(row), seed) for row, seed in self._seeded]
            self._bits += 1
        if bits != self._bits:
            self._bits, self._seen = bits, 0
            self._seeded = [(bytearray(1 << bits), seed) for seed in _SEEDS]
        self._shift = 64 - bits
        self._sample = 20 * max(1, entries)

    def see(self, key: Hashable) -> None:
        """Count ``key`` once."""
        shift = self._shift
        mixed = number_of(key) + 1
        counted = False
        for row, seed in self._seeded:
            place = (mixed * seed & _MASK) >> shift
            if row[place] < _MOST:
                row[place] += 1
                counted = True
        if counted:
            self._seen += 1
            if self._seen >= self._sample:
                self._halve()

    def estimate(self, key: Hashable) -> int:
        """How often ``key`` was seen, 0 to 15."""
        shift = self._shift
        mixed = number_of(key) + 1
        least = _MOST
        for row, seed in self._seeded:
            count = row[(mixed * seed & _MASK) >> shift]
            if count < least:
                least = count
        return least

    def _halve(self) -> None:
        self._seeded = [(row.translate(_HALVES), seed) for row, seed in self._seeded]
        self._seen //= 2


def number_of(key: Hashable) -> int:
    """The same in every process, unlike the hash of a text, so that a trace gives the same result again."""
    if isinstance(key, str):
        return crc32(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bytes):
        return crc32(key)
    if isinstance(key, tuple):
        return hash(tuple(map(number_of, key))) & _MASK
    return hash(key) & _MASK


def _twice(row: bytearray) -> bytearray:
    longer = bytearray(2 * len(row))
    longer[::2] = longer[1::2] = row
    return longer


_HALVES = bytes(count >> 1 for count in range(256))
