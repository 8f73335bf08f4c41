"""``@cached``: a function's results, kept in the application's cache, computed once for all who ask."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from perfmw.cache.callspec import TTL, CallSpec, FunctionInfo, Key, Options
from perfmw.cache.coalescing import Flight
from perfmw.cache.isolation import isolate, release
from perfmw.cache.scope import Scope, current_scope, scope_of, set_provider
from perfmw.cache.sizes import size_of

__all__ = ["AsyncCached", "FunctionInfo", "SyncCached", "cached", "set_provider"]

logger = logging.getLogger(__name__)
P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")
_NOT_KEPT: Any = object()
_ATTEMPTS = 3


class _Call(NamedTuple):
    """One call of a cached function, bound."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    key: str
    tags: tuple[str, ...]


class _Filled(NamedTuple):
    """A result as its leader hands it to followers: the isolated value and when computing it began."""

    kept: Any
    epoch: int


class _Failure:
    """An exception that is kept for a while, in this process alone: it has no binary form."""

    __slots__ = ("error",)
    size = 500

    def __init__(self, error: Exception) -> None:
        self.error = error.with_traceback(None)


class _Wrapper(Generic[P, T]):
    """What sync and async cached functions share."""

    def __init__(self, spec: CallSpec, prefix: tuple[Any, ...] = ()) -> None:
        self._spec = spec
        self._prefix = prefix
        self._scope = current_scope if spec.space is None else functools.partial(scope_of, spec.space)
        wrapper: Any = self
        functools.update_wrapper(wrapper, spec.function)

    def info(self) -> FunctionInfo:
        """Counts of this function's hits, misses and the like, in this process."""
        return self._spec.info()

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The cache key of a call with these arguments."""
        return self._bind(args, kwargs).key

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Call:
        args = self._prefix + args
        bound = self._spec.bind(args, kwargs)
        tags = self._spec.tags(bound) if self._spec.options.tags else ()
        return _Call(args, kwargs, self._spec.key(args, kwargs, bound), tags)

    def _recall(self, scope: Scope, call: _Call) -> Any:
        """The value in the nearest layer, or _NOT_KEPT."""
        entry = scope.cache.get_nowait(call.key)
        if entry is None:
            return _NOT_KEPT
        if self._spec.ages and self._spec.due(entry, scope.cache.now()):
            self._renew(scope, call)
            entry = scope.cache.get_nowait(call.key) or entry
        return _release(entry.value)

    def _renew(self, scope: Scope, call: _Call) -> None:
        """Compute anew what is still served, unless somebody is at it."""
        raise NotImplementedError

    def _keep_error(self, scope: Scope, call: _Call, error: Exception, epoch: int) -> None:
        self._spec.errors += 1
        seconds = self._spec.options.errors
        if seconds is not None and scope.cache.get_nowait(call.key) is None:
            failure = _Failure(error)
            scope.cache.put_nowait(call.key, failure, ttl=seconds, tags=call.tags, epoch=epoch)

    def _keep(self, value: Any) -> Any:
        if inspect.isawaitable(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
            raise TypeError(
                f"{self._spec.name} returned a {type(value).__name__}, which can be used only once"
            )
        try:
            return isolate(value)
        except TypeError as error:
            logger.warning("@cached %s: its result is not kept: %s", self._spec.name, error)
            return _NOT_KEPT

    def _storing(self, call: _Call, kept: Any, value: Any, began: float, epoch: int) -> dict[str, Any] | None:
        """The arguments of ``put``; None when the value is not to be stored."""
        if kept is _NOT_KEPT or not self._spec.keeps(value):
            return None
        ttl = self._spec.lifetime(value)
        if ttl is not None and not ttl > 0:
            return None
        cost, size = time.perf_counter() - began, size_of(kept)
        self._spec.filled(cost, size)
        grace = self._spec.options.stale
        return {"ttl": ttl, "tags": call.tags, "cost": cost, "epoch": epoch, "size": size, "grace": grace}

    def _outdated(self, scope: Scope, call: _Call, filled: _Filled) -> bool:
        """Whether a follower must not have this result: it was invalidated while it was computed."""
        return filled.kept is _NOT_KEPT or not scope.cache.tags.admits(call.key, call.tags, filled.epoch)


class AsyncCached(_Wrapper[P, T]):
    """A cached async function."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        scope, call = self._scope(), self._bind(args, kwargs)
        value = self._recall(scope, call)
        if value is not _NOT_KEPT:
            self._spec.hits += 1
            return value  # type: ignore[no-any-return]
        return await self._miss(scope, call)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the result of a call with these arguments, in every layer; how many layers had it."""
        return await self._scope().cache.invalidate(keys=[self._bind(args, kwargs).key])

    async def invalidate_all(self) -> int:
        """Forget every result of this function; how many this process had in memory."""
        return await self._scope().cache.invalidate(prefix=self._spec.prefix)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function now, and keep the result in place of what was kept."""
        self._spec.refreshes += 1
        return (await self._compute(self._scope(), self._bind(args, kwargs)))[0]

    async def _miss(self, scope: Scope, call: _Call) -> T:
        self._spec.learn_types()
        mine: list[T] = []

        async def work() -> _Filled:
            value, filled = await self._look_further(scope, call)
            mine.append(value)
            return filled

        for _ in range(_ATTEMPTS):
            filled = await scope.coalescer.run(call.key, work, timeout=self._spec.options.wait)
            if mine:
                return mine[0]
            value = _NOT_KEPT if self._outdated(scope, call, filled) else _release(filled.kept)
            if value is not _NOT_KEPT:
                self._spec.coalesced += 1
                return value  # type: ignore[no-any-return]
        return (await self._compute(scope, call))[0]

    def _renew(self, scope: Scope, call: _Call) -> None:
        """In the background; should it fail, what is kept is served as long as it may be."""
        flight = scope.coalescer.enter(("renew", call.key))
        if not flight.leader:
            return

        async def renew() -> None:
            with flight:
                try:
                    await self._compute(scope, call)
                    self._spec.refreshes += 1
                except Exception as error:
                    logger.warning("@cached %s: a refresh failed: %r", self._spec.name, error)

        _in_background(scope, renew(), flight)

    async def _look_further(self, scope: Scope, call: _Call) -> tuple[T, _Filled]:
        entry = await scope.cache.get_entry(call.key)
        value = _NOT_KEPT if entry is None else _release(entry.value)
        if entry is None or value is _NOT_KEPT:
            self._spec.misses += 1
            return await self._compute(scope, call)
        self._spec.hits += 1
        return value, _Filled(entry.value, entry.epoch)

    async def _compute(self, scope: Scope, call: _Call) -> tuple[T, _Filled]:
        epoch, began = scope.cache.tags.now(), time.perf_counter()
        try:
            value = await self._spec.function(*call.args, **call.kwargs)
        except Exception as error:
            self._keep_error(scope, call, error, epoch)
            raise
        kept = self._keep(value)
        storing = self._storing(call, kept, value, began, epoch)
        if storing is not None:
            await scope.cache.put(call.key, kept, **storing)
        return value, _Filled(kept, epoch)

    @overload
    def __get__(self, instance: None, owner: Any = None) -> AsyncCached[P, T]: ...

    @overload
    def __get__(
        self: AsyncCached[Concatenate[S, Q], T], instance: S, owner: Any = None
    ) -> AsyncCached[Q, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> AsyncCached[Any, T]:
        return self if instance is None else _mark_async(AsyncCached(self._spec, (instance,)))


class SyncCached(_Wrapper[P, T]):
    """A cached function that is not async; it uses the nearest layer, which is in memory."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        scope, call = self._scope(), self._bind(args, kwargs)
        value = self._recall(scope, call)
        if value is not _NOT_KEPT:
            self._spec.hits += 1
            return value  # type: ignore[no-any-return]
        return self._miss(scope, call)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the result of a call with these arguments; how many layers had it."""
        return self._scope().cache.invalidate_nowait(keys=[self._bind(args, kwargs).key])

    def invalidate_all(self) -> int:
        """Forget every result of this function; how many this process had in memory."""
        return self._scope().cache.invalidate_nowait(prefix=self._spec.prefix)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function now, and keep the result in place of what was kept."""
        self._spec.refreshes += 1
        return self._compute(self._scope(), self._bind(args, kwargs))[0]

    def _miss(self, scope: Scope, call: _Call) -> T:
        mine: list[T] = []

        def work() -> _Filled:
            value, filled = self._look_again(scope, call)
            mine.append(value)
            return filled

        for _ in range(_ATTEMPTS):
            filled = scope.coalescer.run_blocking(call.key, work, timeout=self._spec.options.wait)
            if mine:
                return mine[0]
            value = _NOT_KEPT if self._outdated(scope, call, filled) else _release(filled.kept)
            if value is not _NOT_KEPT:
                self._spec.coalesced += 1
                return value  # type: ignore[no-any-return]
        return self._compute(scope, call)[0]

    def _renew(self, scope: Scope, call: _Call) -> None:
        """By the caller who finds it due, while others are served; should it fail, so is the caller."""
        with scope.coalescer.enter(("renew", call.key)) as flight:
            if flight.leader:
                try:
                    self._compute(scope, call)
                    self._spec.refreshes += 1
                except Exception as error:
                    logger.warning("@cached %s: a refresh failed: %r", self._spec.name, error)

    def _look_again(self, scope: Scope, call: _Call) -> tuple[T, _Filled]:
        """Another thread may have finished between our look and our becoming the leader."""
        entry = scope.cache.get_nowait(call.key)
        value = _NOT_KEPT if entry is None else _release(entry.value)
        if entry is None or value is _NOT_KEPT:
            self._spec.misses += 1
            return self._compute(scope, call)
        self._spec.hits += 1
        return value, _Filled(entry.value, entry.epoch)

    def _compute(self, scope: Scope, call: _Call) -> tuple[T, _Filled]:
        epoch, began = scope.cache.tags.now(), time.perf_counter()
        try:
            value = self._spec.function(*call.args, **call.kwargs)
        except Exception as error:
            self._keep_error(scope, call, error, epoch)
            raise
        kept = self._keep(value)
        storing = self._storing(call, kept, value, began, epoch)
        if storing is not None:
            scope.cache.put_nowait(call.key, kept, **storing)
        return value, _Filled(kept, epoch)

    @overload
    def __get__(self, instance: None, owner: Any = None) -> SyncCached[P, T]: ...

    @overload
    def __get__(
        self: SyncCached[Concatenate[S, Q], T], instance: S, owner: Any = None
    ) -> SyncCached[Q, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> SyncCached[Any, T]:
        return self if instance is None else SyncCached(self._spec, (instance,))


class _Decorator(Protocol):
    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine is a T as well; the first match is meant
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> AsyncCached[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, T]) -> SyncCached[P, T]: ...


@overload
def cached(  # type: ignore[overload-overlap]  # as above
    function: Callable[P, Coroutine[Any, Any, T]], /
) -> AsyncCached[P, T]: ...


@overload
def cached(function: Callable[P, T], /) -> SyncCached[P, T]: ...


@overload
def cached(
    *,
    ttl: TTL = None,
    tags: Iterable[str] = (),
    key: Key = None,
    namespace: str | None = None,
    exclude: Iterable[str] = (),
    condition: Callable[[Any], bool] | None = None,
    wait: float | None = 10.0,
    stale: float = 0.0,
    early: float = 0.0,
    negative: float | None = None,
    errors: float | None = None,
) -> _Decorator: ...


def cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    ttl: TTL = None,
    tags: Iterable[str] = (),
    key: Key = None,
    namespace: str | None = None,
    exclude: Iterable[str] = (),
    condition: Callable[[Any], bool] | None = None,
    wait: float | None = 10.0,
    stale: float = 0.0,
    early: float = 0.0,
    negative: float | None = None,
    errors: float | None = None,
) -> Any:
    """Keep a function's results; of all who call it with equal arguments at one time, one computes.

    Works for functions and methods, sync and async. Callers never share a mutable result: each gets its own
    copy. Exceptions are not kept unless asked for. Inside an application its cache is used, elsewhere the
    process's own.

    :param ttl: seconds to keep a result, or a function of the result that says so; None keeps it until it is
        evicted or invalidated. A lifetime of 0 or less is not kept.
    :param tags: names to invalidate by, with parameters filled in: ``"user:{user_id}"``.
    :param key: a template such as ``"{user_id}"``, or a function of the arguments, in place of all of them.
    :param namespace: a name in place of the module and qualified name, stable across renames.
    :param exclude: parameters that do not change the result, such as a session.
    :param condition: keep only the results for which this is true.
    :param wait: seconds that a caller waits for another's call before it calls too; None waits on.
    :param stale: seconds after ``ttl`` in which the old result is served while a new one is computed: in the
        background for an async function, by the caller who finds it old for a sync one.
    :param early: compute anew before ``ttl`` ends, by chance, so that no one has to wait then; 1.0 is usual.
    :param negative: seconds to keep a result of None, in place of ``ttl``.
    :param errors: seconds to keep an exception, in this process, and raise it again; None keeps none.
    :raises TypeError: for generator functions; at a call, for an argument without stable identity.
    :raises ValueError: for names that are no parameters, and for a ``ttl`` of 0 or less.

    Example::

        @cached(ttl=60, tags=["user:{user_id}"])
        async def load_user(user_id: int) -> User: ...

        await load_user.invalidate(7)
    """
    options = Options(
        ttl=ttl,
        tags=tuple(tags),
        key=key,
        namespace=namespace,
        exclude=frozenset(exclude),
        condition=condition,
        wait=wait,
        stale=stale,
        early=early,
        negative=negative,
        errors=errors,
    )

    def decorate(target: Callable[..., Any]) -> Any:
        spec = CallSpec(target, options)
        if inspect.iscoroutinefunction(target):
            return _mark_async(AsyncCached(spec))
        return SyncCached(spec)

    return decorate if function is None else decorate(function)


def _mark_async(wrapper: AsyncCached[P, T]) -> AsyncCached[P, T]:
    """Let frameworks that ask whether a callable is async see that it is."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(wrapper)
    else:
        vars(wrapper)["_is_coroutine"] = getattr(asyncio.coroutines, "_is_coroutine", None)
    return wrapper


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


def _release(kept: Any) -> Any:
    """The caller's own copy; _NOT_KEPT when a class no longer accepts what it once gave.

    :raises Exception: what the function raised, where exceptions are kept.
    """
    if type(kept) is _Failure:
        raise kept.error.with_traceback(None)
    try:
        return release(kept)
    except Exception as error:
        logger.debug("a kept value cannot be rebuilt: %r", error)
        return _NOT_KEPT
