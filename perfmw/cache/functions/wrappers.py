"""Cached functions, as their callers see them: one class for async functions, one for the others."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from perfmw.cache.coalescing import Flight, deadline, left
from perfmw.cache.functions.calls import MISSING, Call, Fill, Result, released
from perfmw.cache.functions.callspec import CallSpec, FunctionInfo
from perfmw.cache.scope import Scope, current_scope, scope_of

logger = logging.getLogger(__name__)
P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")
W = TypeVar("W", bound="_Bindable")
_ATTEMPTS = 3
"""How often a caller waits for others whose results are invalidated before it has them."""


class Cached(Generic[P, T]):
    """What sync and async cached functions share."""

    def __init__(self, spec: CallSpec) -> None:
        self._spec = spec
        self._prefix: tuple[Any, ...] = ()
        self._scope = current_scope if spec.space is None else partial(scope_of, spec.space)
        wrapper: Any = self
        functools.update_wrapper(wrapper, spec.function)

    def info(self) -> FunctionInfo:
        """Counts of this function's hits, misses and the like, in this process."""
        return self._spec.info()

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The cache key of a call with these arguments."""
        return self._spec.key(self._prefix + args, kwargs)

    def bound_to(self, instance: object) -> Self:
        """This function with its first argument given."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._prefix = (instance,)
        return bound

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        return Call(self._spec, self._scope(), self._prefix + args, kwargs)

    def _recall(self, call: Call) -> Any:
        """What the request or the nearest layer has, or MISSING."""
        if call.memo is not None and (value := call.remembered()) is not MISSING:
            return value
        entry = call.cache.get_nowait(call.key)
        if entry is None:
            return MISSING
        if self._spec.ages and self._spec.due(entry, call.cache.now()):
            self._renew(call)
            entry = call.cache.get_nowait(call.key) or entry
        if call.memo is not None:
            result = call.found(entry)
            return MISSING if result is None else result.value
        value = released(entry.value)
        if value is not MISSING:
            self._spec.hits += 1
        return value

    def _renew(self, call: Call) -> None:
        """Compute anew what is still served, unless somebody is at it."""
        raise NotImplementedError

    def _renewal_failed(self, error: Exception) -> None:
        logger.warning("@cached %s: a refresh failed: %r", self._spec.name, error)

    def _forget(self, call: Call) -> list[str]:
        """The keys to invalidate for a call, which the request forgets at once."""
        if call.memo is not None:
            call.memo.forget(call.key)
        return [call.key]


class AsyncCached(Cached[P, T]):
    """A cached async function."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        call = self._call(args, kwargs)
        value = self._recall(call)
        return value if value is not MISSING else await self._miss(call)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the result of a call with these arguments, in every layer; how many layers had it."""
        call = self._call(args, kwargs)
        return await call.cache.invalidate(keys=self._forget(call))

    async def invalidate_all(self) -> int:
        """Forget every result of this function; how many this process had in memory."""
        return await self._scope().cache.invalidate(prefix=self._spec.prefix)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function now, and keep the result in place of what was kept."""
        self._spec.refreshes += 1
        return (await self._compute(self._call(args, kwargs))).value  # type: ignore[no-any-return]

    async def _miss(self, call: Call) -> T:
        self._spec.learn_types()
        until = deadline(self._spec.options.wait)
        for _ in range(_ATTEMPTS):
            find = partial(self._find, call)
            result = await call.scope.coalescer.run(call.key, find, timeout=left(until))
            if result.call is call:
                return result.value  # type: ignore[no-any-return]
            if result.kept is MISSING:
                break
            value = call.shared(result)
            if value is not MISSING:
                return value  # type: ignore[no-any-return]
        return (await self._compute(call)).value  # type: ignore[no-any-return]

    async def _find(self, call: Call) -> Result:
        """In a layer further away, else by computing it."""
        found = call.found(await call.cache.get_entry(call.key))
        if found is None:
            self._spec.misses += 1
        return found or await self._compute(call)

    async def _compute(self, call: Call) -> Result:
        with Fill(call) as fill:
            value = await self._spec.function(*call.args, **call.kwargs)
        result, storing = fill.finished(value)
        if storing is not None:
            await call.cache.put(call.key, result.kept, **storing)
        return result

    def _renew(self, call: Call) -> None:
        """In the background; should it fail, what is kept is served as long as it may be."""
        flight = call.scope.coalescer.enter(("renew", call.key))
        if flight.leader:
            _in_background(call.scope, self._renewal(call, flight), flight)

    async def _renewal(self, call: Call, flight: Flight) -> None:
        with flight:
            try:
                await self._compute(call)
                self._spec.refreshes += 1
            except Exception as error:
                self._renewal_failed(error)

    @overload
    def __get__(self, instance: None, owner: Any = None) -> AsyncCached[P, T]: ...

    @overload
    def __get__(
        self: AsyncCached[Concatenate[S, Q], T], instance: S, owner: Any = None
    ) -> AsyncCached[Q, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> AsyncCached[Any, T]:
        return self if instance is None else self.bound_to(instance)


class SyncCached(Cached[P, T]):
    """A cached function that is not async; it uses the nearest layer, which is in memory."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        call = self._call(args, kwargs)
        value = self._recall(call)
        return value if value is not MISSING else self._miss(call)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the result of a call with these arguments; how many layers had it."""
        call = self._call(args, kwargs)
        return call.cache.invalidate_nowait(keys=self._forget(call))

    def invalidate_all(self) -> int:
        """Forget every result of this function; how many this process had in memory."""
        return self._scope().cache.invalidate_nowait(prefix=self._spec.prefix)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function now, and keep the result in place of what was kept."""
        self._spec.refreshes += 1
        return self._compute(self._call(args, kwargs)).value  # type: ignore[no-any-return]

    def _miss(self, call: Call) -> T:
        until = deadline(self._spec.options.wait)
        for _ in range(_ATTEMPTS):
            find = partial(self._find, call)
            result = call.scope.coalescer.run_blocking(call.key, find, timeout=left(until))
            if result.call is call:
                return result.value  # type: ignore[no-any-return]
            if result.kept is MISSING:
                break
            value = call.shared(result)
            if value is not MISSING:
                return value  # type: ignore[no-any-return]
        return self._compute(call).value  # type: ignore[no-any-return]

    def _find(self, call: Call) -> Result:
        """Another thread may have finished between our look and our becoming the leader."""
        found = call.found(call.cache.get_nowait(call.key))
        if found is None:
            self._spec.misses += 1
        return found or self._compute(call)

    def _compute(self, call: Call) -> Result:
        with Fill(call) as fill:
            value = self._spec.function(*call.args, **call.kwargs)
        result, storing = fill.finished(value)
        if storing is not None:
            call.cache.put_nowait(call.key, result.kept, **storing)
        return result

    def _renew(self, call: Call) -> None:
        """By the caller who finds it due, while others are served; should it fail, so is the caller."""
        with call.scope.coalescer.enter(("renew", call.key)) as flight:
            if flight.leader:
                try:
                    self._compute(call)
                    self._spec.refreshes += 1
                except Exception as error:
                    self._renewal_failed(error)

    @overload
    def __get__(self, instance: None, owner: Any = None) -> SyncCached[P, T]: ...

    @overload
    def __get__(
        self: SyncCached[Concatenate[S, Q], T], instance: S, owner: Any = None
    ) -> SyncCached[Q, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> SyncCached[Any, T]:
        return self if instance is None else self.bound_to(instance)


class _Bindable(Protocol):
    def bound_to(self, instance: object) -> Self: ...


class OfClass(Generic[W]):
    """A cached class method or static method, found through the class or through an instance."""

    def __init__(self, method: W, *, takes_class: bool) -> None:
        self._method = method
        self._takes_class = takes_class

    def __get__(self, instance: Any, owner: Any = None) -> W:
        if not self._takes_class:
            return self._method
        return self._method.bound_to(type(instance) if owner is None else owner)


def wrap(spec: CallSpec) -> Cached[Any, Any]:
    """The wrapper that fits the function."""
    if not inspect.iscoroutinefunction(spec.function):
        return SyncCached(spec)
    wrapper: AsyncCached[Any, Any] = AsyncCached(spec)
    mark_async(wrapper)
    return wrapper


def mark_async(wrapper: Any) -> None:
    """Let frameworks that ask whether a callable is async see that it is."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(wrapper)
    else:
        vars(wrapper)["_is_coroutine"] = getattr(asyncio.coroutines, "_is_coroutine", None)


_background: set[asyncio.Task[None]] = set()
"""Refreshes of a process without a Runtime; the event loop itself holds tasks weakly."""


def _in_background(scope: Scope, work: Coroutine[Any, Any, None], flight: Flight) -> None:
    spawn = getattr(scope, "spawn", None)
    if spawn is not None:
        task = spawn(work, name="perfmw-refresh")
    else:
        task = asyncio.get_running_loop().create_task(work)
        _background.add(task)
        task.add_done_callback(_background.discard)
    task.add_done_callback(lambda _: flight.done("failed"))  # also if it was cancelled before it began
