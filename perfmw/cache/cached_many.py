"""``@cached_many``: the batch form of ``@cached``, for functions that load many things at once."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from perfmw.cache.callspec import FunctionInfo, count_in, name_in, space_of
from perfmw.cache.identity import digest
from perfmw.cache.isolation import isolate, release
from perfmw.cache.scope import Scope, current_scope, scope_of
from perfmw.cache.sizes import size_of

logger = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_ABSENT = "perfmw.absent"
"""What is kept of a key that the function did not find, in a tuple of its own."""


class CachedMany(Generic[K, V]):
    """A cached function from keys to a mapping of those it found. Call it with any keys, in any order."""

    def __init__(
        self,
        function: Callable[[list[K]], Awaitable[Mapping[K, V]]],
        ttl: float | None,
        tags: tuple[str, ...],
        namespace: str | None,
        negative: float | None,
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._ttl, self._tags, self._negative = ttl, tags, negative
        own = f"{function.__module__}.{getattr(function, '__qualname__', 'function')}"
        name, space = name_in(namespace, lambda: own), space_of(namespace)
        self._scope = current_scope if space is None else functools.partial(scope_of, space)
        self._name, self._prefix = name, f"many:{name}:"
        self.hits = self.misses = 0
        self._fills = self._stored_bytes = 0
        self._seconds = 0.0
        count_in(self)

    def info(self) -> FunctionInfo:
        """Counts of hits and misses, key by key, in this process."""
        counts = (self._fills, self._seconds, self._stored_bytes)
        return FunctionInfo(self._name, self.hits, self.misses, 0, 0, 0, *counts)

    def key(self, item: K) -> str:
        """The cache key of one item. Raises UnstableArgumentError for one without stable identity."""
        return self._prefix + digest({"key": item})

    async def __call__(self, items: Iterable[K]) -> dict[K, V]:
        """What is known of ``items``: the cache is asked for each, the function once for all the rest."""
        scope, wanted = self._scope(), list(dict.fromkeys(items))
        found: dict[K, V] = {}
        missing = [item for item in wanted if not await self._recall(scope, item, found)]
        self.hits += len(wanted) - len(missing)
        self.misses += len(missing)
        if missing:
            found.update(await self._load(scope, missing))
        return {item: found[item] for item in wanted if item in found}

    async def invalidate(self, *items: K) -> int:
        """Forget some items, in every layer; how many places had one."""
        return await self._scope().cache.invalidate(keys=[self.key(item) for item in items])

    async def invalidate_all(self) -> int:
        """Forget everything of this function; how many this process had in memory."""
        return await self._scope().cache.invalidate(prefix=self._prefix)

    async def _recall(self, scope: Scope, item: K, found: dict[K, V]) -> bool:
        key = self.key(item)
        entry = scope.cache.get_nowait(key)
        if entry is None and not scope.cache.all_memory:
            entry = await scope.cache.get_entry(key)
        if entry is None:
            return False
        if entry.value == (_ABSENT,):
            return True
        try:
            found[item] = release(entry.value)
        except Exception as error:  # a class that no longer accepts what it once gave
            logger.debug("a kept value cannot be rebuilt: %r", error)
            return False
        return True

    async def _load(self, scope: Scope, missing: list[K]) -> dict[K, V]:
        epoch, began = scope.cache.tags.now(), time.perf_counter()
        loaded = dict(await self._function(list(missing)))
        cost = (time.perf_counter() - began) / len(missing)
        for item in missing:
            if item in loaded:
                await self._keep(scope, item, loaded[item], self._ttl, cost, epoch)
            elif self._negative is not None:
                await self._keep(scope, item, (_ABSENT,), self._negative, cost, epoch)
        return loaded

    async def _keep(
        self, scope: Scope, item: K, value: Any, ttl: float | None, cost: float, epoch: int
    ) -> None:
        try:
            kept = isolate(value)
        except TypeError as error:
            logger.warning("@cached_many %s: a result is not kept: %s", self._prefix, error)
            return
        tags = [tag.format(key=item) for tag in self._tags]
        size = size_of(kept)
        self._fills += 1
        self._seconds += cost
        self._stored_bytes += size
        await scope.cache.put(self.key(item), kept, ttl=ttl, tags=tags, cost=cost, epoch=epoch, size=size)


def cached_many(
    *,
    ttl: float | None = None,
    tags: Iterable[str] = (),
    namespace: str | None = None,
    negative: float | None = None,
) -> Callable[[Callable[[list[K]], Coroutine[Any, Any, Mapping[K, V]]]], CachedMany[K, V]]:
    """Keep what an async function of a list of keys finds, key by key; it is asked only for what is missing.

    :param ttl: seconds to keep what was found; None until it is evicted or invalidated.
    :param tags: names to invalidate by, with ``{key}`` filled in: ``"user:{key}"``.
    :param namespace: a name in place of the module and qualified name.
    :param negative: seconds to remember that a key was not found; None asks again each time.
    :raises TypeError: for a function that is not async.

    Example::

        @cached_many(ttl=60, tags=["user:{key}"])
        async def load_users(ids: list[int]) -> dict[int, User]: ...

        users = await load_users([1, 2, 3])
    """

    def decorate(function: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, V]]]) -> CachedMany[K, V]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@cached_many decorates async functions, not {function!r}")
        return CachedMany(function, ttl, tuple(tags), namespace, negative)

    return decorate
