"""The tiered cache: memory near, other layers behind it, one set of tags over all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Required, TypedDict, Unpack

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from perfmw.cache.bridge import Bridge
from perfmw.cache.bulletin import Bulletin, News
from perfmw.cache.counting import count_far, count_near, meant_by
from perfmw.cache.entries import Entry
from perfmw.cache.layers import FarLayer
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.near import NearLayer
from perfmw.cache.sizes import size_of
from perfmw.cache.softening import softened
from perfmw.cache.tags import TagIndex
from perfmw.cache.write_behind import Queueing, WriteBehindLayer
from perfmw.contracts import CacheLayerInfo, Codec

OnInvalidate = Callable[[Collection[str], Collection[str], str | None, bool], None]


class Storing(TypedDict, total=False):
    """How a value is stored.

    :param ttl: seconds to live; None takes the cache's default, which is for ever if none was given.
    :param tags: what it can be invalidated by.
    :param size: bytes of the value; None estimates them.
    :param cost: seconds that computing it took.
    :param epoch: ``tags.now()`` of when computing it began.
    :param grace: seconds that it may still be served after a soft purge.
    """

    ttl: Required[float | None]
    tags: Iterable[str]
    size: int | None
    cost: float
    epoch: int | None
    grace: float


class TieredCache(BaseCache):  # type: ignore[misc]  # aiocache is untyped
    """Layers from near to far, as one aiocache backend.

    A read goes from near to far, and what it finds is filled into the nearer layers for as long as it has
    left. A write goes from far to near; to layers that are written behind, by a queue. A layer that fails or
    is late is a miss; it never raises.

    :param layers: name and backend of each, the nearest first. Memory layers hold entries as they are; any
        other aiocache backend holds their binary (or text) form.
    :param tags: the invalidations to honour; a fresh index by default.
    :param codec: compresses or encrypts entries that leave the process.
    :param deadline: seconds that one operation of a far layer may take.
    :param clock: unix time in seconds.
    :param write_behind: names of far layers whose writes are queued.
    :param queueing: the bounds of each such queue.
    :param default_ttl: seconds that an entry lives when a write does not say; None is for ever.
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
        write_behind: Collection[str] = (),
        queueing: Queueing | None = None,
        default_ttl: float | None = None,
    ) -> None:
        super().__init__(serializer=NullSerializer(), namespace=namespace, timeout=None)
        self.tags = TagIndex() if tags is None else tags
        self._clock = clock
        self._default_ttl = default_ttl
        self.on_invalidate: list[OnInvalidate] = []
        """Told of every invalidation: keys, tags, prefix, and whether it is a soft one. Must not raise."""

        def layer_of(name: str, cache: BaseCache) -> NearLayer | FarLayer:
            if isinstance(cache, MemoryLayer):
                return NearLayer(name, cache)
            if name not in write_behind:
                return FarLayer(name, cache, codec=codec, deadline=deadline)
            behind = partial(WriteBehindLayer, name, cache, codec=codec, deadline=deadline, clock=clock)
            return behind(admits=self.tags.admits, hear=self._hear, queueing=queueing)

        self._layers = [layer_of(name, cache) for name, cache in layers]
        self._near = [layer for layer in self._layers if isinstance(layer, NearLayer)]
        self._far = [layer for layer in self._layers if isinstance(layer, FarLayer)]
        first = layers[0][1] if layers else None
        self.memory = first if isinstance(first, MemoryLayer) else None
        """The nearest layer, if it is in memory: what the synchronous methods work on."""
        self._nearest: Callable[[str], Any] = self.memory.get_nowait if self.memory is not None else _nothing
        self._plain: Callable[[str], Any] = self._nearest
        self.all_memory = not self._far
        self.bridge = Bridge()
        """For code that is not async: the way to layers beyond memory."""

    def now(self) -> float:
        """Unix time, as entries are dated."""
        return self._clock()

    # ---- reading

    def get_nowait(self, key: str) -> Entry | None:
        """The valid entry of the nearest layer, if that is in memory. Never blocks."""
        entry: Entry | None = self._nearest(key)
        if entry is None or entry.checked == self.tags.epoch or self.tags.valid(entry):
            return entry
        return self._look_closer(key, entry)

    def forget_miss(self) -> None:
        """Do not count that ``get_nowait`` found nothing just now."""
        if self.memory is not None:
            self.memory.forget_miss()

    def _look_closer(self, key: str, entry: Entry) -> Entry | None:
        """Of an entry in memory: what there is to serve of it after what was invalidated meanwhile."""
        near = self._near[0]
        if not self.tags.fresh(entry):
            near.memory.delete_nowait(key)
            return None
        at = self.tags.softened_at(key, entry)
        return near.soften_one(key, entry, at, self._clock()) if at else entry

    async def get_entry(self, key: str) -> Entry | None:
        """The valid entry of the nearest layer that has one, filled into those before it."""
        for depth, layer in enumerate(self._layers):
            entry = await layer.get(key)
            if entry is None or not self._usable(key, entry):
                continue
            if isinstance(layer, FarLayer) and not await self._heed(layer, key, entry):
                continue
            entry = self._after_soft_purges(key, entry)
            if entry is None:
                continue
            for nearer in reversed(self._layers[:depth]):
                await self._fill(nearer, key, entry)
            return entry
        return None

    async def peek(self, key: str) -> Entry | None:
        """``get_entry`` that counts for nothing, fills nothing, and does not ask what others invalidated."""
        for layer in self._layers:
            entry = layer.peek(key) if isinstance(layer, NearLayer) else await layer.peek(key)
            if entry is not None and self._usable(key, entry):
                return entry
        return None

    async def drop(self, key: str) -> None:
        """Remove an entry that is not wrong but in the way; nobody is told."""
        for layer in self._layers:
            await layer.delete(key, self.tags.epoch)

    async def _heed(self, layer: FarLayer, key: str, entry: Entry) -> bool:
        """Learn what other processes invalidated; whether the entry is still usable then."""
        marks = await layer.marks(entry.tags)
        if marks is None or not await self._catch_up(layer, layer.board, marks.head):
            return False
        for tag, epoch in marks.tags.items():
            if epoch > entry.epoch:
                self.tags.observe(tag, epoch)
        return entry.epoch >= layer.trusted_since and self._usable(key, entry)

    def _after_soft_purges(self, key: str, entry: Entry) -> Entry | None:
        at = self.tags.softened_at(key, entry)
        if not at:
            return entry
        now = self._clock()
        stale = softened(entry, at, now)
        remaining = stale.remaining(now)
        return stale if remaining is None or remaining > 0 else None

    def _usable(self, key: str, entry: Entry) -> bool:
        remaining = entry.remaining(self._clock())
        return (remaining is None or remaining > 0) and self.tags.admits(key, entry.tags, entry.epoch)

    # ---- writing

    async def put(self, key: str, value: Any, **facts: Unpack[Storing]) -> bool:
        """Store ``value`` in every layer, the farthest first.

        :return: whether the nearest layer kept it; False if it was invalidated since ``epoch``.
        """
        entry = self._entry(value, **facts)
        stored = False
        for layer in reversed(self._layers):
            stored = await self._fill(layer, key, entry)
        return stored

    def put_nowait(self, key: str, value: Any, **facts: Unpack[Storing]) -> bool:
        """``put`` for the nearest layer alone, which must be in memory. Never blocks."""
        if self.memory is None:
            return False
        entry = self._by_now(key, self._entry(value, **facts))
        return entry is not None and self._near[0].store(key, entry, self._clock())

    def _entry(
        self,
        value: Any,
        *,
        ttl: float | None,
        tags: Iterable[str] = (),
        size: int | None = None,
        cost: float = 0.0,
        epoch: int | None = None,
        grace: float = 0.0,
    ) -> Entry:
        now = self._clock()
        born = self.tags.now() if epoch is None else epoch
        ttl = self._default_ttl if ttl is None else ttl
        expires_at = None if ttl is None else now + ttl
        weight = size_of(value) if size is None else size
        return Entry(value, expires_at, now, tuple(tags), cost, weight, born, grace=grace)

    def _admits(self, key: str, entry: Entry) -> bool:
        return self.tags.admits(key, entry.tags, entry.epoch)

    def _by_now(self, key: str, entry: Entry) -> Entry | None:
        """What may be stored of an entry after what was purged since its fill began."""
        return self._after_soft_purges(key, entry) if self._admits(key, entry) else None

    async def _fill(self, layer: NearLayer | FarLayer, key: str, entry: Entry) -> bool:
        left = self._by_now(key, entry)
        if left is None:
            return False
        stored = await layer.put(key, left, self._clock())
        if stored and isinstance(layer, FarLayer) and not isinstance(layer, WriteBehindLayer):
            await self._hear(layer)
        if stored and not self._admits(key, entry):  # invalidated since, here or by another process
            await layer.delete(key, self.tags.epoch)
            return False
        return stored

    async def _hear(self, layer: FarLayer) -> None:
        """Know what others have invalidated by now. They leave word before they delete.

        So of what is written late either the word is found here, or the deletion finds it there.
        """
        for board, head in await layer.heads():
            await self._catch_up(layer, board, head)

    # ---- invalidating

    async def invalidate(
        self,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefix: str | None = None,
        *,
        soft: bool = False,
    ) -> int:
        """Make keys, everything under tags, and everything under a key prefix invalid in every layer.

        It holds when this returns, also for fills that are under way, and for whoever reads a shared layer;
        what other processes hold in memory goes when they next look for notices (``sync``).

        :param soft: make it stale instead: it may be served as stale responses and results may.
        :return: how many entries were removed, or made stale; those under tags, and in layers beyond memory
            under a prefix, are found when they are next asked for and are not counted.
        """
        keys, tags = tuple(keys), tuple(tags)
        removed = self.invalidate_nowait(keys, tags, prefix, soft=soft)
        return removed + await self.invalidate_beyond(keys, tags, prefix, soft=soft)

    async def invalidate_beyond(
        self,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str | None = None,
        *,
        soft: bool = False,
    ) -> int:
        """What ``invalidate_nowait`` leaves to do: the layers beyond this process."""
        removed, epoch = 0, self.tags.epoch
        for layer in self._far:
            if soft:
                await layer.notify("tag", tags, epoch, soft=True)
                await layer.notify("key", keys, epoch, soft=True)
            else:
                await asyncio.gather(layer.mark(tags, epoch), layer.tell(tags, keys, epoch))
                removed += await _all_deleted(layer, keys, epoch)
            if prefix is not None:
                await layer.notify("prefix", (prefix,), epoch, soft=soft)
        return removed

    def invalidate_nowait(
        self,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefix: str | None = None,
        *,
        soft: bool = False,
    ) -> int:
        """``invalidate`` for this process: its memory layers, its tags, and its fills under way."""
        keys, tags = tuple(keys), tuple(tags)
        epoch = self.tags.invalidate(*tags, keys=keys, prefix=prefix, soft=soft)
        removed = sum(self._purge_near("key", key, epoch, soft) for key in keys)
        if prefix is not None:
            removed += self._purge_near("prefix", prefix, epoch, soft)
        for told in self.on_invalidate:
            told(keys, tags, prefix, soft)
        return removed

    def _purge_near(self, kind: str, name: str, epoch: int, soft: bool) -> int:
        if soft:
            return sum(near.soften(kind, name, epoch, self._clock()) for near in self._near)
        return sum(near.purge(kind, name, epoch) for near in self._near)

    async def count(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> dict[str, int | None]:
        """How many entries of each layer an invalidation would concern; nothing is touched.

        It looks at every entry. None for a layer that cannot list what it holds.
        """
        meant = meant_by(keys, tags, prefix)
        counts: dict[str, int | None] = {}
        for layer in self._layers:
            if isinstance(layer, NearLayer):
                counts[layer.name] = count_near(layer, meant, self.tags.fresh)
            else:
                counts[layer.name] = await count_far(layer, meant, self._usable)
        return counts

    # ---- hearing of other processes

    async def sync(self) -> None:
        """Learn what other processes invalidated, for what this one holds in memory. Never raises."""
        for layer in self._far:
            if layer.in_arrears:
                await layer.make_up()
            await self._hear(layer)

    async def _catch_up(self, layer: FarLayer, board: Bulletin, head: int) -> bool:
        if head == board.seen:
            return True
        news = await board.news(head)
        if news is None:
            return False
        self._learn(news)
        if news.lost and board is layer.board:
            layer.trusted_since = max(layer.trusted_since, self.tags.now())
        if news.lost or news.missed:
            for near in self._near:
                near.purge("prefix", "", self.tags.now())
        return True

    def _learn(self, news: News) -> None:
        self.tags.raise_floors(news.hard_floor, news.soft_floor)
        for notice in news.notices:
            for name in notice.names:
                if self.tags.observe_any(notice.kind, name, notice.epoch, soft=notice.soft):
                    self._purge_near(notice.kind, name, notice.epoch, notice.soft)

    # ---- inspecting

    def far_layers(self) -> list[FarLayer]:
        """The layers beyond this process's memory, the nearest first."""
        return [layer for layer in self._layers if isinstance(layer, FarLayer)]

    def watch_reads(self, see: Callable[[str, Entry | None, float], None], times: int) -> None:
        """Tell ``see`` of the next reads of the nearest layer: key, what was found, seconds.

        For that long, reads are wrapped; all others pay nothing. ``see`` must not raise.
        """
        plain, left = self._plain, times
        if self.memory is None:
            return

        def read(key: str) -> Entry | None:
            nonlocal left
            began = time.perf_counter()
            entry: Entry | None = plain(key)
            seconds = time.perf_counter() - began
            left -= 1
            if left <= 0:
                self._nearest = self._plain
            see(key, entry, seconds)
            return entry

        self._nearest = read

    def hear_reads(self, wrap: Callable[[Callable[[str], Any]], Callable[[str], Any]]) -> None:
        """Have the nearest layer read by what ``wrap`` makes of the function that does."""
        self._plain = self._nearest = wrap(self._plain)

    def infos(self) -> list[CacheLayerInfo]:
        """Every layer as it runs, the nearest first."""
        return [layer.info() for layer in self._layers]

    # ---- what aiocache asks of a backend

    def build_key(self, key: Any, namespace: str | None = None) -> Any:
        """The key with its namespace, as aiocache builds it."""
        return self._build_key(key, namespace)

    async def _get(self, key: str, encoding: Any = None, _conn: Any = None) -> Any:
        entry = self.get_nowait(key) or await self.get_entry(key)
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
            key,
            entry.value,
            ttl=ttl or None,
            tags=entry.tags,
            cost=entry.cost,
            epoch=entry.epoch,
            grace=entry.grace,
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
        await self.bridge.close()
        for layer in self._layers:
            await layer.close()


async def _all_deleted(layer: FarLayer, keys: Iterable[str], epoch: int) -> int:
    return sum([await layer.delete(key, epoch) for key in keys])


def _nothing(key: Any) -> None:
    return None
