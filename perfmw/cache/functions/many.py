"""``@cached_many``: the batch form of ``@cached``, for functions that load many things at once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, overload

from perfmw.cache.coalescing import Flight, Leading, deadline, left
from perfmw.cache.functions.calls import MISSING
from perfmw.cache.functions.callspec import FunctionInfo, count_in, name_in, space_of, told, unique_name
from perfmw.cache.functions.identity import digest
from perfmw.cache.functions.options import Options, Seconds, Template, check_names, make_options
from perfmw.cache.isolation import isolate, release
from perfmw.cache.scope import Scope, current_scope, scope_of
from perfmw.cache.sizes import size_of

logger = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_ABSENT = ("perfmw.absent",)
"""What is kept of a key that the function did not find."""
_REMEDY = "give its class a __cache_key__() method"
_AT_ONCE = 32
"""How many keys are asked of layers beyond memory at one time."""


class _Landed(NamedTuple):
    """What the leader of a key hands to those who wait for it. ``kept`` is MISSING where it cannot be."""

    kept: Any
    epoch: int


class _Failed(NamedTuple):
    """The exception of a call for these items. Whoever did not want all of them has to ask again."""

    error: Exception
    items: frozenset[Any]


class _Batch(Generic[K, V]):
    """One call: what is wanted, and what of it has been found by now."""

    def __init__(self, scope: Scope, wanted: list[K], until: float | None) -> None:
        self.scope = scope
        self.wanted = wanted
        self.until = until
        self.found: dict[K, V] = {}


class CachedMany(Generic[K, V]):
    """A cached function from keys to a mapping of those it found. Call it with any keys, in any order."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Mapping[K, V]]], options: Options) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._tags = [Template(tag) for tag in options.tags]
        check_names("@cached_many", {name for tag in self._tags for name in tag.names}, ["key"])
        space = space_of(options.namespace)
        self._scope = current_scope if space is None else partial(scope_of, space)
        self._name = name_in(options.namespace, partial(unique_name, function))
        self._prefix = f"many:{self._name}:"
        self._owner: tuple[Any, ...] = ()
        self._info = _Counts()
        count_in(self._info.named(self._name))

    @property
    def hits(self) -> int:
        return self._info.hits

    @property
    def misses(self) -> int:
        return self._info.misses

    def info(self) -> FunctionInfo:
        """Counts of hits, misses and the like, key by key, in this process."""
        return self._info.info()

    def key(self, item: K) -> str:
        """The cache key of one item. Raises UnstableArgumentError for one without stable identity."""
        owner = {"self": self._owner[0]} if self._owner else {}
        return self._prefix + digest({**owner, "key": item}, _REMEDY)

    async def __call__(self, items: Iterable[K]) -> dict[K, V]:
        """What is known of ``items``: the cache is asked for each, the function once for all the rest.

        Of callers who miss an item at one time, one asks the function for it.
        """
        wanted = list(dict.fromkeys(items))
        batch: _Batch[K, V] = _Batch(self._scope(), wanted, deadline(self._options.wait))
        missing = await self._recall(batch)
        self._info.hits += len(wanted) - len(missing)
        while missing:
            missing = await self._ask(batch, missing)
        return {item: batch.found[item] for item in wanted if item in batch.found}

    async def refresh(self, items: Iterable[K]) -> dict[K, V]:
        """Ask the function for all of ``items`` now, and keep what it finds in place of what was kept."""
        wanted = list(dict.fromkeys(items))
        batch: _Batch[K, V] = _Batch(self._scope(), wanted, None)
        self._info.refreshes += 1
        await self._load(batch, wanted, {})
        return batch.found

    async def invalidate(self, *items: K) -> int:
        """Forget some items, in every layer; how many places had one."""
        return await self._scope().cache.invalidate(keys=[self.key(item) for item in items])

    async def invalidate_all(self) -> int:
        """Forget everything of this function; how many this process had in memory."""
        return await self._scope().cache.invalidate(prefix=self._prefix)

    # ---- what the cache has

    async def _recall(self, batch: _Batch[K, V]) -> list[K]:
        """Find what is kept; the items of which nothing is."""
        missing = [item for item in batch.wanted if not self._recall_near(batch, item)]
        if batch.scope.cache.all_memory:
            return missing
        get = batch.scope.cache.get_entry
        known: list[bool] = []
        for start in range(0, len(missing), _AT_ONCE):
            keys = [self.key(item) for item in missing[start : start + _AT_ONCE]]
            entries = await asyncio.gather(*map(get, keys))
            some = zip(missing[start:], entries, strict=False)
            known += [e is not None and self._take(batch, item, e.value) for item, e in some]
        return [item for item, is_known in zip(missing, known, strict=True) if not is_known]

    def _recall_near(self, batch: _Batch[K, V], item: K) -> bool:
        entry = batch.scope.cache.get_nowait(self.key(item))
        return entry is not None and self._take(batch, item, entry.value)

    def _take(self, batch: _Batch[K, V], item: K, kept: Any) -> bool:
        """Whether this tells what the item is, or that there is none."""
        if kept == _ABSENT:
            return True
        try:
            batch.found[item] = release(kept)
        except Exception as error:  # a class that no longer accepts what it once gave
            logger.debug("a kept value cannot be rebuilt: %r", error)
            return False
        return True

    # ---- what has to be asked for

    async def _ask(self, batch: _Batch[K, V], missing: list[K]) -> list[K]:
        """Load what nobody is loading, and wait for the rest; what is still missing then."""
        coalescer = batch.scope.coalescer
        led: dict[K, Flight] = {}
        followed: dict[K, Flight] = {}
        own = [item for item in missing if coalescer.holds(self.key(item))]
        for item in missing:
            if item not in own:
                flight = coalescer.enter(self.key(item))
                (led if flight.leader else followed)[item] = flight
        with Leading(*led.values()):
            for item in [item for item in led if self._recall_near(batch, item)]:
                led.pop(item).done("failed")  # somebody has stored it since we looked; others find it too
            if own or led:
                await self._load(batch, [*led, *own], led)
        return await self._follow(batch, followed)

    async def _follow(self, batch: _Batch[K, V], followed: dict[K, Flight]) -> list[K]:
        """Take what others load; what has to be asked for again.

        Leaders have loaded before they follow, so no two callers wait for each other.
        """
        again, alone = [], []
        for item, flight in followed.items():
            outcome = await flight.wait(left(batch.until))
            payload = flight.payload
            if outcome == "raised" and payload.items <= frozenset(batch.wanted):
                raise payload.error
            if outcome is None or (outcome == "returned" and payload.kept is MISSING):
                alone.append(item)
            elif outcome == "returned" and self._holds_still(batch, item, payload):
                self._info.coalesced += 1
            else:
                again.append(item)
        if alone:
            await self._load(batch, alone, {})
        return again

    def _holds_still(self, batch: _Batch[K, V], item: K, landed: _Landed) -> bool:
        """Take what a leader loaded, unless it was invalidated meanwhile."""
        admits = batch.scope.cache.tags.admits
        return admits(self.key(item), self._tags_of(item), landed.epoch) and self._take(
            batch, item, landed.kept
        )

    async def _load(self, batch: _Batch[K, V], items: list[K], flights: Mapping[K, Flight]) -> None:
        """Ask the function, keep what it says, and tell those who wait for it."""
        epoch, began = batch.scope.cache.tags.now(), time.perf_counter()
        self._info.misses += len(items)
        try:
            loaded = self._mapping(await self._function(*self._owner, list(items)))
        except Exception as error:
            self._info.errors += 1
            for flight in flights.values():
                flight.done("raised", _Failed(error, frozenset(items)))
            raise
        cost = (time.perf_counter() - began) / len(items)
        kept = {item: self._isolated(loaded[item]) if item in loaded else _ABSENT for item in items}
        batch.found.update({item: loaded[item] for item in items if item in loaded})
        try:
            for item in items:
                await self._keep(batch.scope, item, kept[item], cost, epoch)
        finally:  # also when this caller leaves: the others need not ask again
            for item, flight in flights.items():
                flight.done("returned", _Landed(kept[item], epoch))

    def _mapping(self, loaded: Any) -> Mapping[K, V]:
        if isinstance(loaded, Mapping):
            return dict(loaded)
        kind = type(loaded).__qualname__
        raise TypeError(f"{self._name} must return a mapping of the keys that it found; it returned {kind}")

    def _isolated(self, value: Any) -> Any:
        try:
            return isolate(value)
        except TypeError as error:
            logger.warning("@cached_many %s: a result is not kept: %s", self._name, error)
            return MISSING

    async def _keep(self, scope: Scope, item: K, kept: Any, cost: float, epoch: int) -> None:
        ttl = self._options.ttl
        if kept == _ABSENT:
            ttl = self._options.negative
            if not ttl:
                return
        if kept is MISSING or callable(ttl):
            return
        size = size_of(kept)
        self._info.filled(cost, size)
        tags = self._tags_of(item)
        await scope.cache.put(self.key(item), kept, ttl=ttl, tags=tags, cost=cost, epoch=epoch, size=size)

    def _tags_of(self, item: K) -> tuple[str, ...]:
        return tuple(tag.text_of({"key": item}) for tag in self._tags)

    # ---- as a method

    def __get__(self, instance: Any, owner: Any = None) -> Self:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._owner = (instance,)
        return bound


class _Counts:
    """What a batch function did, key by key."""

    def __init__(self) -> None:
        self.name = ""
        self.hits = self.misses = self.coalesced = self.errors = self.refreshes = 0
        self.fills = self.stored_bytes = 0
        self.seconds = 0.0

    def named(self, name: str) -> _Counts:
        self.name = name
        return self

    def filled(self, seconds: float, size: int) -> None:
        self.fills += 1
        self.seconds += seconds
        self.stored_bytes += size

    def info(self) -> FunctionInfo:
        counts = (self.hits, self.misses, self.coalesced, self.errors, self.refreshes)
        return FunctionInfo(self.name, *counts, self.fills, self.seconds, self.stored_bytes)


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, V]]]
    ) -> CachedMany[K, V]: ...

    @overload
    def __call__(
        self, function: Callable[[Any, list[K]], Coroutine[Any, Any, Mapping[K, V]]]
    ) -> CachedMany[K, V]: ...


def cached_many(
    *,
    ttl: Seconds | None = None,
    tags: Iterable[str] = (),
    namespace: str | None = None,
    negative: Seconds | None = None,
    wait: Seconds | None = 10.0,
) -> _Decorator:
    """Keep what an async function of a list of keys finds, key by key; it is asked only for what is missing.

    Works for functions and methods. Of callers whose keys overlap, one asks for each key and the others wait
    for it. When that call fails, those who wanted everything it was asked for get its exception; the others
    ask again without the rest. Times are in seconds, as numbers or timedeltas.

    :param ttl: how long to keep what was found; None until it is evicted or invalidated.
    :param tags: names to invalidate by, with ``{key}`` filled in: ``"user:{key}"``.
    :param namespace: a name in place of the module and qualified name.
    :param negative: how long to remember that a key was not found; None asks again each time.
    :param wait: how long a caller waits for others before it asks itself; None waits on.
    :raises TypeError: for a function that is not async, or takes more than the keys.
    :raises ValueError: for a time that is none, and for a tag that names something other than ``key``.

    Example::

        @cached_many(ttl=60, tags=["user:{key}"])
        async def load_users(ids: list[int]) -> dict[int, User]: ...

        users = await load_users([1, 2, 3])
    """
    given = {"ttl": ttl, "tags": tags, "namespace": namespace, "negative": negative, "wait": wait}
    options = make_options(given)
    if callable(ttl):
        raise TypeError("ttl: seconds as a number or a timedelta; @cached takes a function as well")

    def decorate(function: Any) -> CachedMany[Any, Any]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@cached_many decorates async functions, and {told(function)} is none")
        if len(inspect.signature(function).parameters) not in (1, 2):
            raise TypeError(f"{told(function)} must take a list of keys and nothing else")
        return CachedMany(function, options)

    return decorate
