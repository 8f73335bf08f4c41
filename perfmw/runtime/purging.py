"""Invalidation from the outside: URLs and routes become keys and tags, and CDNs are told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from perfmw.cache.cdn import purges_of
from perfmw.cache.purging import PurgeQueue
from perfmw.cache.softening import register_softener
from perfmw.contracts import CacheLayerInfo, Purged, Purger
from perfmw.http.keys import request_key
from perfmw.http.messages import StoredResponse
from perfmw.http.variants import VariantIndex
from perfmw.runtime.purges import is_passed_on

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime
    from perfmw.settings import Settings

_FLUSH_SECONDS = 5.0
_SHORT_FLUSH_SECONDS = 0.5


def _stale_since(stored: StoredResponse, at: float) -> StoredResponse:
    """What RFC 5861 and the validators allow of a stale response, it still allows."""
    return replace(stored, fresh_until=min(stored.fresh_until, at))


register_softener(StoredResponse, _stale_since)
register_softener(VariantIndex, lambda index, at: index)  # its responses are made stale, each by itself


class CdnPurges:
    """The CDNs of one runtime, as layers of their own kind: each is told of invalidations."""

    def __init__(self, purgers: Iterable[Purger], settings: Settings) -> None:
        room = settings.cdn.queue if settings.cdn is not None else 10_000
        self.queues = [PurgeQueue(purger, room=room) for purger in purgers]

    def __bool__(self) -> bool:
        return bool(self.queues)

    def told(self, keys: Collection[str], tags: Collection[str], prefix: str | None, soft: bool) -> None:
        """Of an invalidation; never waits. One that another worker of the host passed on, that one tells."""
        if is_passed_on():
            return
        purges = list(purges_of(keys, tags, prefix, soft=soft))
        for queue in self.queues if purges else ():
            queue.offer(purges)

    def infos(self) -> list[CacheLayerInfo]:
        return [queue.info() for queue in self.queues]

    async def flush(self) -> None:
        """Give what waits a while to be told; a CDN that does not answer gets a short one."""
        times = [_FLUSH_SECONDS if queue.healthy else _SHORT_FLUSH_SECONDS for queue in self.queues]
        await asyncio.gather(
            *(queue.flush(seconds) for queue, seconds in zip(self.queues, times, strict=True))
        )

    async def close(self) -> None:
        for queue in self.queues:
            await queue.close()


async def purge(
    runtime: Runtime,
    keys: Iterable[str],
    tags: Iterable[str],
    prefix: str | None,
    url: str | None,
    route: str | None,
    soft: bool,
    dry_run: bool,
) -> Purged:
    """``Runtime.invalidate``."""
    keys, tags = list(keys), list(tags)
    if url is not None:
        keys.append(key_of(url))
    if route is not None:
        tags.append(f"route:{route}")
    if prefix is not None and prefix.startswith(("http://", "https://")):
        prefix = f"GET {prefix}"
    keys += await _variants(runtime, keys)
    if dry_run:
        counts = await runtime.spaces.count(keys, tags, prefix)
        return Purged(counts, soft=soft, dry_run=True)
    removed = await runtime.spaces.invalidate(keys, tags, prefix, soft=soft)
    runtime.plugins.fire("perfmw_invalidated", keys=keys, tags=tags)
    return Purged({name or "shared": count for name, count in removed.items()}, soft=soft)


async def _variants(runtime: Runtime, keys: Iterable[str]) -> list[str]:
    """The keys of the responses that are kept apart since they vary, under the keys of their URLs.

    None of them is served once the list of variants is gone, but they would still take room.
    """
    found = []
    for key in (key for key in keys if key.startswith("GET ")):
        for cache in runtime.spaces.caches.values():
            entry = await cache.peek(key)
            if entry is not None and isinstance(entry.value, VariantIndex):
                found += entry.value.keys()
    return found


def key_of(url: str) -> str:
    """The cache key of an absolute URL. Raises ValueError for another."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"url must be absolute, such as https://example.org/items/1, not {url!r}")
    path, query = parts.path.encode("utf-8") or b"/", parts.query.encode("utf-8")
    host = parts.netloc.encode("ascii" if parts.netloc.isascii() else "idna")
    return request_key(parts.scheme, host, path, query)
