"""Cached functions, as their callers see them: one class for async functions, one for the others."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from perfmw.cache.coalescing import Flight, deadline, left
from perfmw.cache.entries import Entry
from perfmw.cache.functions.calls import MISSING, Call, Fill, Result, as_raised, released
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


class Cached(ABC, Generic[P, T]):
    """What sync and async cached functions share.

    How a miss is met is written once, as coroutines. For an async function they wait where they must. For
    another one nothing in them ever waits for an event loop, so that they end at the first step.
    """

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

    def _forget(self, call: Call) -> list[str]:
        """The keys to invalidate for a call, which the request forgets at once."""
        if call.memo is not None:
            call.memo.forget(call.key)
        return [call.key]

    # ---- a miss

    async def _miss(self, call: Call) -> T:
        self._spec.learn_types()
        until = deadline(self._spec.options.wait)
        for _ in range(_ATTEMPTS):
            result = await self._alone(call, left(until))
            if result.call is call:
                return result.value  # type: ignore[no-any-return]
            if result.kept is MISSING:
                break
            value = call.shared(result)
            if value is not MISSING:
                return value  # type: ignore[no-any-return]
        return (await self._compute(call)).value  # type: ignore[no-any-return]

    async def _find(self, call: Call) -> Result:
        """In a layer further away, or where another caller has put it just now; else by computing it."""
        found = call.found(await self._look(call))
        if found is None:
            self._spec.misses += 1
        return found or await self._compute(call)

    async def _compute(self, call: Call) -> Result:
        with Fill(call) as fill:
            value = await self._value(call)
        result, storing = fill.finished(value)
        if storing is not None:
            await self._keep(call, result.kept, storing)
        return result

    async def _renewal(self, call: Call, flight: Flight) -> None:
        """Compute anew what is still served; should it fail, what is kept is served as long as it may be."""
        with flight:
            try:
                await self._compute(call)
                self._spec.refreshes += 1
            except Exception as error:
                logger.warning("@cached %s: a refresh failed: %r", self._spec.name, error)

    @abstractmethod
    def _renew(self, call: Call) -> None:
        """Have a ``_renewal``, unless somebody is at it."""

    @abstractmethod
    async def _alone(self, call: Call, timeout: float | None) -> Result:
        """``_find``, or the result of another caller who is at it."""

    @abstractmethod
    async def _look(self, call: Call) -> Entry | None:
        """What the layers have."""

    @abstractmethod
    async def _value(self, call: Call) -> Any:
        """What the function returns."""

    @abstractmethod
    async def _keep(self, call: Call, kept: Any, storing: dict[str, Any]) -> None:
        """Put it into the layers."""


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

    def _renew(self, call: Call) -> None:
        """In the background."""
        flight = call.scope.coalescer.enter(("renew", call.key))
        if flight.leader:
            _in_background(call.scope, self._renewal(call, flight), flight)

    async def _alone(self, call: Call, timeout: float | None) -> Result:
        return await call.scope.coalescer.run(call.key, partial(self._find, call), timeout=timeout)

    async def _look(self, call: Call) -> Entry | None:
        return await call.cache.get_entry(call.key)

    async def _value(self, call: Call) -> Any:
        return await self._spec.function(*call.args, **call.kwargs)

    async def _keep(self, call: Call, kept: Any, storing: dict[str, Any]) -> None:
        await call.cache.put(call.key, kept, **storing)

    @overload  # a class method: its first argument is the owner
    def __get__(
        self: Callable[Concatenate[S, Q], Coroutine[Any, Any, T]], instance: Any, owner: S
    ) -> AsyncCached[Q, T]: ...

    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], Coroutine[Any, Any, T]], instance: S, owner: Any = None
    ) -> AsyncCached[Q, T]: ...

    @overload  # through the class, and static methods
    def __get__(self, instance: Any, owner: Any = None) -> AsyncCached[P, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> AsyncCached[Any, T]:
        return self if instance is None else self.bound_to(instance)


class SyncCached(Cached[P, T]):
    """A cached function that is not async.

    In a thread it uses every layer. On an event loop it must not wait, so there it reads memory alone, and
    what goes to further layers goes there in the background.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        call = self._call(args, kwargs)
        value = self._recall(call)
        return value if value is not MISSING else _at_once(self._miss(call))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the result of a call with these arguments, in every layer; how many layers had it.

        On an event loop, how many memory layers: it holds in this process at once, elsewhere a moment later.
        """
        call = self._call(args, kwargs)
        keys = self._forget(call)
        removed = call.cache.invalidate_nowait(keys=keys)
        return removed + call.cache.bridge.tell(partial(call.cache.invalidate_beyond, keys), 0)

    def invalidate_all(self) -> int:
        """Forget every result of this function; how many this process had in memory."""
        cache, prefix = self._scope().cache, self._spec.prefix
        removed = cache.invalidate_nowait(prefix=prefix)
        return removed + cache.bridge.tell(partial(cache.invalidate_beyond, prefix=prefix), 0)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function now, and keep the result in place of what was kept."""
        self._spec.refreshes += 1
        return _at_once(self._compute(self._call(args, kwargs))).value  # type: ignore[no-any-return]

    def _renew(self, call: Call) -> None:
        """By the caller who finds it due, while others are served."""
        with call.scope.coalescer.enter(("renew", call.key)) as flight:
            if flight.leader:
                _at_once(self._renewal(call, flight))

    async def _alone(self, call: Call, timeout: float | None) -> Result:
        run = call.scope.coalescer.run_blocking
        return run(call.key, lambda: _at_once(self._find(call)), timeout=timeout)

    async def _look(self, call: Call) -> Entry | None:
        near = call.cache.get_nowait(call.key)
        return near or call.cache.bridge.ask(partial(call.cache.get_entry, call.key), None)

    async def _value(self, call: Call) -> Any:
        return self._spec.function(*call.args, **call.kwargs)

    async def _keep(self, call: Call, kept: Any, storing: dict[str, Any]) -> None:
        near = call.cache.put_nowait(call.key, kept, **storing)
        call.cache.bridge.tell(partial(call.cache.put, call.key, kept, **storing), near, must=False)

    @overload  # a class method: its first argument is the owner
    def __get__(self: Callable[Concatenate[S, Q], T], instance: Any, owner: S) -> SyncCached[Q, T]: ...

    @overload
    def __get__(self: Callable[Concatenate[S, Q], T], instance: S, owner: Any = None) -> SyncCached[Q, T]: ...

    @overload  # through the class, and static methods
    def __get__(self, instance: Any, owner: Any = None) -> SyncCached[P, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> SyncCached[Any, T]:
        return self if instance is None else self.bound_to(instance)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits for an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except RuntimeError as error:
        if (raised := as_raised(error)) is error:
            raise
        raise raised from None
    work.close()
    raise RuntimeError("a function that is not async waited for an event loop")


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
    spawn = getattr(scope, "spawn", None) or getattr(current_scope(), "spawn", None)
    if spawn is not None:
        task = spawn(work, name="perfmw-refresh")
    else:
        task = asyncio.get_running_loop().create_task(work)
        _background.add(task)
        task.add_done_callback(_background.discard)
    task.add_done_callback(lambda _: flight.done("failed"))  # also if it was cancelled before it began
