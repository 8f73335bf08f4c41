"""What lifetimes that are too long cost: memory held after an entry's last read until it ends. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Final
from zlib import crc32

_MOST: Final = 2000
_PAUSE: Final = 10.0
_MEMORY: Final = 3600.0
"""Seconds after which what was seen weighs 1/e."""


class _Entry:
    __slots__ = ("ends", "read", "size", "stored")

    def __init__(self, now: float, ends: float, size: int) -> None:
        self.stored = self.read = now
        self.ends = ends
        self.size = size


class Tails:
    """Of the memory that entries of a cache took over time, the share that nobody read any more.

    Follows at most 2,000 entries: with more of them a sample of keys, by their hash. Times in unix seconds.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._one_in = 1
        self._held = self._idle = 0.0
        self._at: float | None = None

    def stored(self, key: str, size: int, ends: float, now: float) -> None:
        """An entry of ``size`` bytes was stored, fresh until ``ends``."""
        if crc32(key.encode("utf-8", "surrogatepass")) % self._one_in:
            return
        if (before := self._entries.pop(key, None)) is not None:
            self._settle(before, now)
        self._entries[key] = _Entry(now, ends, size)
        while len(self._entries) > _MOST:
            self._one_in *= 2
            self._entries = {
                name: one
                for name, one in self._entries.items()
                if not crc32(name.encode("utf-8", "surrogatepass")) % self._one_in
            }

    def read(self, key: str, now: float) -> None:
        """An entry answered somebody."""
        if (entry := self._entries.get(key)) is not None:
            entry.read = max(entry.read, now)

    def tick(self, now: float, there: Callable[[str], bool]) -> None:
        """Settle what has ended, every 10 s; ``there`` tells whether an entry is still held."""
        if self._at is not None:
            if now - self._at < _PAUSE:
                return
            fade = exp((self._at - now) / _MEMORY)
            self._held, self._idle = self._held * fade, self._idle * fade
        self._at = now
        for key, entry in list(self._entries.items()):
            if now >= entry.ends or not there(key):
                del self._entries[key]
                self._settle(entry, now)

    def _settle(self, entry: _Entry, now: float) -> None:
        end = min(entry.ends, now)
        self._held += entry.size * max(0.0, end - entry.stored)
        self._idle += entry.size * max(0.0, end - entry.read)

    @property
    def share(self) -> float | None:
        """Idle over held byte-seconds of what ended lately, 0..1; None before anything did."""
        return self._idle / self._held if self._held > 0.0 else None
