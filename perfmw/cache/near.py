"""A layer in this process's memory, as the tiered cache uses it: it holds entries as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from perfmw.cache.entries import Entry
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.sizes import ENTRY_OVERHEAD, size_of
from perfmw.cache.softening import softened
from perfmw.contracts import CacheLayerInfo

_ENTRY_BYTES = 160
"""What an Entry object and its numbers weigh beyond its value and tags."""


class NearLayer:
    """A memory layer. None of its methods waits for anything."""

    def __init__(self, name: str, memory: MemoryLayer) -> None:
        self.name = name
        self.memory = self.cache = memory

    async def get(self, key: str) -> Entry | None:
        """What came since the caller looked for it in memory, whose miss counts already."""
        entry: Entry | None = self.memory.get_nowait(key) if key in self.memory else None
        return entry

    async def put(self, key: str, entry: Entry, now: float) -> bool:
        return self.store(key, entry, now)

    def store(self, key: str, entry: Entry, now: float) -> bool:
        remaining = entry.remaining(now)
        weight = entry.size + size_of(key) + sum(map(size_of, entry.tags)) + _ENTRY_BYTES + ENTRY_OVERHEAD
        ttl = math.inf if remaining is None else remaining
        return self.memory.set_nowait(key, entry, ttl, weight, entry.cost)

    async def delete(self, key: str, epoch: int) -> int:
        return int(self.memory.delete_nowait(key))

    def purge(self, kind: str, name: str, epoch: int) -> int:
        """Remove what a purge by ``key`` or ``prefix`` means, of before ``epoch``; how many."""
        doomed = [key for key, entry in self._meant(kind, name) if entry.epoch < epoch]
        return sum(self.memory.delete_nowait(key) for key in doomed)

    def soften(self, kind: str, name: str, epoch: int, now: float) -> int:
        """Make stale what a soft purge by ``key`` or ``prefix`` means; how many."""
        meant = [(key, entry) for key, entry in self._meant(kind, name) if entry.epoch < epoch]
        for key, entry in meant:
            self.soften_one(key, entry, epoch, now)
        return len(meant)

    def soften_one(self, key: str, entry: Entry, epoch: int, now: float) -> Entry | None:
        """Keep an entry as it is after a soft purge; None when nothing of it may be served."""
        stale = softened(entry, epoch, now)
        remaining = stale.remaining(now)
        if remaining is not None and remaining <= 0:
            self.memory.delete_nowait(key)
            return None
        self.store(key, stale, now)
        return stale

    def entries(self, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """Live entries under a prefix, as of now; neither counted nor told to the policy."""
        for key in self.memory.keys_nowait():
            if isinstance(key, str) and key.startswith(prefix):
                entry = self.memory.peek_nowait(key)
                if isinstance(entry, Entry):
                    yield key, entry

    def peek(self, key: str) -> Entry | None:
        entry = self.memory.peek_nowait(key)
        return entry if isinstance(entry, Entry) else None

    def _meant(self, kind: str, name: str) -> list[tuple[str, Entry]]:
        if kind == "prefix":
            return list(self.entries(name))
        entry = self.peek(name) if kind == "key" else None
        return [] if entry is None else [(name, entry)]

    async def close(self) -> None:
        await self.memory.close()

    def info(self) -> CacheLayerInfo:
        return self.memory.info(self.name)
