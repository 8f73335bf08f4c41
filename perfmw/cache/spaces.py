"""Namespaces at work: caches of their own beside the one that all share, invalidated as one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perfmw.cache.coalescing import Coalescer
from perfmw.cache.entries import Entry
from perfmw.cache.scope import SpaceScope
from perfmw.cache.tiered import OnInvalidate, TieredCache
from perfmw.contracts import CacheLayerInfo

log = logging.getLogger("perfmw.cache")

SHARED = ""
"""The name of the cache that everything shares which has none of its own."""


class Spaces:
    """The caches of one application by namespace. They share one index of invalidations.

    :param caches: by namespace; ``SHARED`` is among them.
    """

    def __init__(self, caches: Mapping[str, TieredCache], coalescer: Coalescer) -> None:
        self.caches = dict(caches)
        self.shared = self.caches[SHARED]
        self.created_at = time.time()
        self._scopes = {name: SpaceScope(cache, coalescer) for name, cache in caches.items() if name}

    def find(self, name: str) -> SpaceScope | None:
        """The scope of a namespace, or of its type: ``session`` for ``session.carts``; None without one."""
        if not self._scopes:
            return None
        return self._scopes.get(name) or self._scopes.get(name.partition(".")[0])

    def on_invalidate(self, told: OnInvalidate) -> None:
        """Have ``told`` called at every invalidation."""
        for cache in self.caches.values():
            cache.on_invalidate.append(told)

    async def invalidate(
        self,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefix: str | None = None,
        *,
        soft: bool = False,
    ) -> dict[str, int]:
        """``TieredCache.invalidate`` of all; how many entries of each namespace."""
        keys, tags = tuple(keys), tuple(tags)
        removed = await asyncio.gather(
            *(cache.invalidate(keys, tags, prefix, soft=soft) for cache in self.caches.values())
        )
        return dict(zip(self.caches, removed, strict=True))

    async def count(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> dict[str, int | None]:
        """``TieredCache.count`` of all, by the names that layers have in ``infos``."""
        keys, tags = tuple(keys), tuple(tags)
        return {
            layer_name(space, layer): count
            for space, cache in self.caches.items()
            for layer, count in (await cache.count(keys, tags, prefix)).items()
        }

    async def sync(self) -> None:
        """Learn what other processes invalidated."""
        for cache in self.caches.values():
            await cache.sync()

    async def follow(self, seconds: float) -> None:
        """``sync`` now and then every so many seconds, until cancelled."""
        while True:
            try:
                await self.sync()
            except Exception:
                log.exception("asking what other processes invalidated failed")
            await asyncio.sleep(seconds)

    @property
    def all_memory(self) -> bool:
        return all(cache.all_memory for cache in self.caches.values())

    def infos(self) -> list[CacheLayerInfo]:
        """The layers of all: those that are shared first, those of namespaces as ``session.memory``."""
        return [
            info if not space else replace(info, name=layer_name(space, info.name), namespace=space)
            for space, cache in self.caches.items()
            for info in cache.infos()
        ]

    def live_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let code that is not async reach the layers through this event loop."""
        for cache in self.caches.values():
            cache.bridge.loop = None if cache.all_memory else loop

    async def close(self) -> None:
        for cache in self.caches.values():
            await cache.close()


def layer_name(space: str, layer: str) -> str:
    """``session.memory`` for a layer of a namespace; the layer's own name where all share it."""
    return f"{space}.{layer}" if space else layer


class ResponseCache:
    """Two caches for responses as one: those of an API, and all others.

    A response is kept where it belongs, and is looked for in both.

    :param is_api: whether a value belongs to the API's cache.
    """

    def __init__(self, content: TieredCache, api: TieredCache, is_api: Callable[[Any], bool]) -> None:
        self._content, self._api, self._is_api = content, api, is_api
        self.tags = content.tags
        self.all_memory = content.all_memory and api.all_memory

    def get_nowait(self, key: str) -> Entry | None:
        entry = self._content.get_nowait(key)
        return self._api.get_nowait(key) if entry is None else entry

    def forget_miss(self) -> None:
        self._content.forget_miss()
        self._api.forget_miss()

    async def get_entry(self, key: str) -> Entry | None:
        entry = await self._content.get_entry(key)
        return await self._api.get_entry(key) if entry is None else entry

    async def put(self, key: str, value: Any, **options: Any) -> bool:
        mine, other = (self._api, self._content) if self._is_api(value) else (self._content, self._api)
        if other.get_nowait(key) is not None:  # it was of the other kind until now
            await other.drop(key)
        return await mine.put(key, value, **options)

    async def invalidate(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> int:
        keys, tags = tuple(keys), tuple(tags)
        content = await self._content.invalidate(keys, tags, prefix)
        return content + await self._api.invalidate(keys, tags, prefix)

    async def invalidate_beyond(self, keys: Sequence[str]) -> int:
        return await self._content.invalidate_beyond(keys) + await self._api.invalidate_beyond(keys)

    def invalidate_nowait(
        self, keys: Iterable[str] = (), tags: Iterable[str] = (), prefix: str | None = None
    ) -> int:
        keys, tags = tuple(keys), tuple(tags)
        content = self._content.invalidate_nowait(keys, tags, prefix)
        return content + self._api.invalidate_nowait(keys, tags, prefix)
