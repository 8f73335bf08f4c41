"""The tiered cache: memory near, other layers behind it, one set of tags over all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from perfmw.cache.entries import Entry
from perfmw.cache.layers import FarLayer
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.sizes import ENTRY_OVERHEAD, size_of
from perfmw.cache.tags import TagIndex
from perfmw.contracts import CacheLayerInfo, Codec

_ENTRY_BYTES = 160
"""What an Entry object and its numbers weigh beyond its value and tags."""


class TieredCache(BaseCache):  # type: ignore[misc]  # aiocache is untyped
    """Layers from near to far, as one aiocache backend.

    A read goes from near to far, and what it finds is filled into the nearer layers for as long as it has
    left. A write goes from far to near. A layer that fails or is late is a miss; it never raises.

    :param layers: name and backend of each, the nearest first. Memory layers hold entries as they are; any
        other aiocache backend holds their binary (or text) form.
    :param tags: the invalidations to honour; a fresh index by default.
    :param codec: compresses or encrypts entries that leave the process.
    :param deadline: seconds that one operation of a far layer may take.
    :param clock: unix time in seconds.
    :raises ValueError: when a far layer's serializer carries neither bytes nor text.
    """

    NAME = "perfmw-tiered"

    def __init__(
        self,
        layers: Sequence[tuple[str, BaseCache]],
        tags: TagIndex | None = None,
        codec: Codec | None = None,
        *,
        deadline: float = 0.25,
        clock: Callable[[], float] = time.time,
        namespace: str | None = None,
    ) -> None:
        super().__init__(serializer=NullSerializer(), namespace=namespace, timeout=None)
        self.tags = TagIndex() if tags is None else tags
        self._clock = clock
        self._layers: list[_Near | FarLayer] = [
            _Near(name, layer)
            if isinstance(layer, MemoryLayer)
            else FarLayer(name, layer, codec=codec, deadline=deadline)
            for name, layer in layers
        ]
        first = layers[0][1] if layers else None
        self.memory = first if isinstance(first, MemoryLayer) else None
        """The nearest layer, if it is in memory: what the synchronous methods work on."""
        self._nearest: Callable[[str], Any] = self.memory.get_nowait if self.memory is not None else _nothing
        self.all_memory = all(isinstance(layer, _Near) for layer in self._layers)

    def now(self) -> float:
        """Unix time, as entries are dated."""
        return self._clock()

    # ---- reading

    def get_nowait(self, key: str) -> Entry | None:
        """The valid entry of the nearest layer, if that is in memory. Never blocks."""
        entry: Entry | None = self._nearest(key)
        if entry is None or entry.checked == self.tags.epoch or self.tags.valid(entry):
            return entry
        self._drop(key)
        return None

    async def get_entry(self, key: str) -> Entry | None:
        """The valid entry of the nearest layer that has one, filled into those before it."""
        for depth, layer in enumerate(self._layers):
            entry = await layer.get(key)
            if entry is None or not self._usable(key, entry):
                continue
            if isinstance(layer, FarLayer) and entry.tags and not await self._heed(layer, key, entry):
                continue
            for nearer in reversed(self._layers[:depth]):
                await self._fill(nearer, key, entry)
            return entry
        return None

    async def _heed(self, layer: FarLayer, key: str, entry: Entry) -> bool:
        """Learn what other processes invalidated; whether the entry is still usable then."""
        marks = await layer.marks(entry.tags)
        if marks is None:
            return False
        for tag, epoch in marks.items():
            if epoch > entry.epoch:
                self.tags.observe(tag, epoch)
        return self._usable(key, entry)

    def _usable(self, key: str, entry: Entry) -> bool:
        remaining = entry.remaining(self._clock())
        return (remaining is None or remaining > 0) and self.tags.admits(key, entry.tags, entry.epoch)

    # ---- writing

    async def put(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None,
        tags: Iterable[str] = (),
        size: int | None = None,
        cost: float = 0.0,
        epoch: int | None = None,
    ) -> bool:
        """Store ``value`` in every layer, the farthest first.

        :param ttl: seconds to live; None is for ever.
        :param size: bytes of the value; None estimates them.
        :param cost: seconds that computing it took.
        :param epoch: ``tags.now()`` of when computing it began.
        :return: whether the nearest layer kept it; False if it was invalidated since ``epoch``.
        """
        entry = self._entry(value, ttl, tags, size, cost, epoch)
        stored = False
        for layer in reversed(self._layers):
            stored = await self._fill(layer, key, entry)
        return stored

    def put_nowait(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None,
        tags: Iterable[str] = (),
        size: int | None = None,
        cost: float = 0.0,
        epoch: int | None = None,
    ) -> bool:
        """``put`` for the nearest layer alone, which must be in memory. Never blocks."""
        if self.memory is None:
            return False
        entry = self._entry(value, ttl, tags, size, cost, epoch)
        return self._admits(key, entry) and _store(self.memory, key, entry, self._clock())

    def _entry(
        self,
        value: Any,
        ttl: float | None,
        tags: Iterable[str],
        size: int | None,
        cost: float,
        epoch: int | None,
    ) -> Entry:
        now = self._clock()
        born = self.tags.now() if epoch is None else epoch
        expires_at = None if ttl is None else now + ttl
        weight = size_of(value) if size is None else size
        return Entry(value, expires_at, now, tuple(tags), cost, weight, born)

    def _admits(self, key: str, entry: Entry) -> bool:
        return self.tags.admits(key, entry.tags, entry.epoch)

    async def _fill(self, layer: _Near | FarLayer, key: str, entry: Entry) -> bool:
        if not self._admits(key, entry):
            return False
        stored = await layer.put(key, entry, self._clock())
        if stored and not self._admits(key, entry):  # invalidated while the layer was writing
            await layer.delete(key, self.tags.epoch)
            return False
        return stored

    # ---- invalidating

    async def invalidate(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> int:
        """Make keys, everything under tags, and everything under a key prefix invalid in every layer.

        It holds when this returns, also for fills that are under way.

        :return: how many entries were removed; those under tags go when they are next asked for and are not
            counted.
        """
        keys, tags = tuple(keys), tuple(tags)
        removed = self.invalidate_nowait(keys, tags, prefix)
        epoch = self.tags.epoch
        for layer in self._layers:
            if isinstance(layer, FarLayer):
                await layer.mark(tags, epoch)
                removed += sum([await layer.delete(key, epoch) for key in keys])
        return removed

    def invalidate_nowait(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> int:
        """``invalidate`` for this process: its memory layers, its tags, and its fills under way."""
        keys = tuple(keys)
        self.tags.invalidate(*tags, keys=keys, prefix=prefix)
        removed = 0
        for layer in self._layers:
            if isinstance(layer, _Near):
                removed += sum(layer.memory.delete_nowait(key) for key in keys)
                if prefix is not None:
                    removed += layer.memory.clear_nowait(prefix)
        return removed

    def _drop(self, key: str) -> None:
        if self.memory is not None:
            self.memory.delete_nowait(key)

    # ---- inspecting

    def watch_reads(self, see: Callable[[str, Entry | None, float], None], times: int) -> None:
        """Tell ``see`` of the next reads of the nearest layer: key, what was found, seconds.

        For that long, reads are wrapped; all others pay nothing. ``see`` must not raise.
        """
        memory, left = self.memory, times
        if memory is None:
            return

        def read(key: str) -> Entry | None:
            nonlocal left
            began = time.perf_counter()
            entry: Entry | None = memory.get_nowait(key)
            seconds = time.perf_counter() - began
            left -= 1
            if left <= 0:
                self._nearest = memory.get_nowait
            see(key, entry, seconds)
            return entry

        self._nearest = read

    def infos(self) -> list[CacheLayerInfo]:
        """Every layer as it runs, the nearest first."""
        return [layer.info() for layer in self._layers]

    # ---- what aiocache asks of a backend

    def build_key(self, key: Any, namespace: str | None = None) -> Any:
        """The key with its namespace, as aiocache builds it."""
        return self._build_key(key, namespace)

    async def _get(self, key: str, encoding: Any = None, _conn: Any = None) -> Any:
        entry = await self.get_entry(key)
        return None if entry is None else entry.value

    async def _gets(self, key: str, encoding: Any = None, _conn: Any = None) -> Any:
        return await self._get(key)

    async def _multi_get(self, keys: Iterable[str], encoding: Any = None, _conn: Any = None) -> list[Any]:
        return [await self._get(key) for key in keys]

    async def _set(
        self, key: str, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        if _cas_token is not None and await self._get(key) != _cas_token:
            return 0
        return await self.put(key, value, ttl=ttl or None)

    async def _multi_set(
        self, pairs: Iterable[tuple[str, Any]], ttl: float | None = None, _conn: Any = None
    ) -> bool:
        return all([await self.put(key, value, ttl=ttl or None) for key, value in pairs])

    async def _add(self, key: str, value: Any, ttl: float | None = None, _conn: Any = None) -> bool:
        if await self.get_entry(key) is not None:
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        return await self.put(key, value, ttl=ttl or None)

    async def _delete(self, key: str, _conn: Any = None) -> int:
        return int(await self.invalidate(keys=[key]) > 0)

    async def _exists(self, key: str, _conn: Any = None) -> bool:
        return await self.get_entry(key) is not None

    async def _increment(self, key: str, delta: int, _conn: Any = None) -> int:
        entry = await self.get_entry(key)
        try:
            value = delta if entry is None else int(entry.value) + delta
        except ValueError:
            raise TypeError("Value is not an integer") from None
        await self.put(key, value, ttl=None if entry is None else entry.remaining(self._clock()))
        return value

    async def _expire(self, key: str, ttl: float, _conn: Any = None) -> bool:
        entry = await self.get_entry(key)
        if entry is None:
            return False
        return await self.put(
            key, entry.value, ttl=ttl or None, tags=entry.tags, cost=entry.cost, epoch=entry.epoch
        )

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        prefix = self.namespace if namespace is None else namespace
        await self.invalidate(prefix=prefix or "")
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: Any = None, _conn: Any = None, **kwargs: Any
    ) -> Any:
        """Sent to the nearest layer."""
        return await self._layers[0].cache.raw(command, *args, **kwargs)

    async def _redlock_release(self, key: str, value: Any) -> int:
        return await self._delete(key) if await self._get(key) == value else 0

    async def _close(self, *args: Any, **kwargs: Any) -> None:
        for layer in self._layers:
            await layer.close()


class _Near:
    """A memory layer: holds entries as they are."""

    def __init__(self, name: str, memory: MemoryLayer) -> None:
        self.name = name
        self.memory = self.cache = memory

    async def get(self, key: str) -> Entry | None:
        entry: Entry | None = self.memory.get_nowait(key)
        return entry

    async def put(self, key: str, entry: Entry, now: float) -> bool:
        return _store(self.memory, key, entry, now)

    async def delete(self, key: str, epoch: int) -> int:
        return int(self.memory.delete_nowait(key))

    async def close(self) -> None:
        await self.memory.close()

    def info(self) -> CacheLayerInfo:
        return self.memory.info(self.name)


def _store(memory: MemoryLayer, key: str, entry: Entry, now: float) -> bool:
    remaining = entry.remaining(now)
    weight = entry.size + size_of(key) + sum(map(size_of, entry.tags)) + _ENTRY_BYTES + ENTRY_OVERHEAD
    ttl = math.inf if remaining is None else remaining
    return memory.set_nowait(key, entry, ttl, weight, entry.cost)


def _nothing(key: Any) -> None:
    return None
