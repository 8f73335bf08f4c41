"""Write-behind: a far layer's writes wait in a bounded queue, so that no request waits for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from aiocache.base import BaseCache

from perfmw.cache.entries import Entry
from perfmw.cache.layers import FarLayer
from perfmw.contracts import CacheLayerInfo

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_ATTEMPTS = 3
_PAUSE = 0.1
"""Seconds between two looks at whether a layer that is down is back."""
_OVERHEAD = 400
Admits = Callable[[str, Iterable[str], int], bool]


@dataclass(frozen=True, slots=True)
class Queueing:
    """The bounds of a queue of writes, and how many seconds it has at the end to empty itself."""

    max_entries: int = 10_000
    max_bytes: int = 64 * 1024 * 1024
    flush_seconds: float = 5.0


@dataclass(slots=True)
class _Write:
    entry: Entry
    weight: int
    attempts: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class WriteBehindLayer(FarLayer):
    """A far layer whose writes return at once.

    A key that is written again while it waits is written once. Reads find what waits. An invalidation
    overtakes what waits and what is just being written. While the layer is down, writes stay in the queue;
    what finds no room there is dropped and counted, since a request that waited for a layer because it is
    slow would defeat the purpose. ``close`` gives the queue ``flush_seconds`` to empty itself.

    :param admits: whether an entry may still be stored: ``TagIndex.admits``.
    :param hear: learn which keys other processes invalidated.
    :param clock: unix time in seconds.
    """

    def __init__(
        self,
        name: str,
        cache: BaseCache,
        *,
        admits: Admits,
        hear: Callable[[FarLayer], Awaitable[None]],
        queueing: Queueing | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        super().__init__(name, cache, **options)
        self._admits = admits
        self._hear = hear
        self._bounds = queueing or Queueing()
        self._clock = clock
        self._waiting: dict[str, _Write] = {}
        self._writing: dict[str, _Write] = {}
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.dropped = self.written = self.coalesced = 0

    async def get(self, key: str) -> Entry | None:
        write = self._waiting.get(key) or self._writing.get(key)
        if write is None:
            return await super().get(key)
        self.hits += 1
        return write.entry

    async def put(self, key: str, entry: Entry, now: float) -> bool:
        """Queue the entry; False when there is no room for it."""
        self.coalesced += self._forget(key)
        accepted = self._enqueue(key, _Write(entry, entry.size + 2 * len(key) + _OVERHEAD))
        self._start()
        return accepted

    async def delete(self, key: str, epoch: int) -> int:
        waited = self._forget(key)
        write = self._writing.get(key)
        if write is not None:
            await write.done.wait()  # no longer than the layer's deadline, and it must not land after us
        return await super().delete(key, epoch) or int(waited)

    async def flush(self, seconds: float | None = None) -> int:
        """Write what waits, for at most ``seconds``; how many still wait after that."""
        self._start()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
        return len(self._waiting) + len(self._writing)

    async def close(self) -> None:
        self._closing = True
        try:
            left = await self.flush(self._bounds.flush_seconds)
        finally:
            if self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        if left:
            self.dropped += left
            logger.warning("cache layer %r: %d queued writes were given up at the end", self.name, left)
        self._waiting.clear()
        self._bytes = 0
        self._closing = False
        await super().close()

    def info(self) -> CacheLayerInfo:
        return replace(
            super().info(),
            queued=len(self._waiting) + len(self._writing),
            queued_bytes=self._bytes,
            dropped=self.dropped,
            written=self.written,
        )

    # ---- the queue

    def _enqueue(self, key: str, write: _Write) -> bool:
        bounds = self._bounds
        if len(self._waiting) >= bounds.max_entries or self._bytes + write.weight > bounds.max_bytes:
            self.dropped += 1
            return False
        self._waiting[key] = write
        self._bytes += write.weight
        return True

    def _forget(self, key: str) -> bool:
        write = self._waiting.pop(key, None)
        if write is None:
            return False
        self._bytes -= write.weight
        return True

    def _start(self) -> None:
        loop, task = asyncio.get_running_loop(), self._task
        if not self._waiting or (task is not None and not task.done() and task.get_loop() is loop):
            return
        self._task = loop.create_task(self._drain(), name=f"perfmw-write-behind-{self.name}")

    async def _drain(self) -> None:
        while self._waiting:
            if not self.available and not await self._recovered():
                return
            batch = list(islice(self._waiting.items(), _AT_ONCE))
            for key, write in batch:
                self._forget(key)
                self._writing[key] = write
            await asyncio.gather(*(self._write_one(key, write) for key, write in batch))

    async def _recovered(self) -> bool:
        """Wait until the layer is back; False when there is no time left for that."""
        while not self.available:
            if self._closing:
                await self._ask()
                return self.available
            self._look_after_it()
            await asyncio.sleep(_PAUSE)
        return True

    async def _write_one(self, key: str, write: _Write) -> None:
        entry = write.entry
        try:
            stored: bool | None = False
            if self._admits(key, entry.tags, entry.epoch):
                stored = await self.write(key, entry, self._clock())
            if stored:
                self.written += 1
                await self._hear(self)
                if not self._admits(key, entry.tags, entry.epoch):  # invalidated since, here or elsewhere
                    await super().delete(key, entry.epoch + 1)
        finally:
            del self._writing[key]
            write.done.set()
        if stored is None:
            self._try_again(key, write)

    def _try_again(self, key: str, write: _Write) -> None:
        if key in self._waiting:  # a newer value is there already
            return
        write.attempts += 1
        if write.attempts >= _ATTEMPTS and self.available:
            self.dropped += 1  # the layer works; it is this entry that it does not take
        else:
            self._enqueue(key, replace(write, done=asyncio.Event()))
