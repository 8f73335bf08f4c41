"""``@cached``: a function's results, kept in the application's cache, computed once for all who ask."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from perfmw.cache.functions.callspec import CallSpec, FunctionInfo
from perfmw.cache.functions.options import CachedOptions, make_options
from perfmw.cache.functions.wrappers import AsyncCached, Cached, OfClass, SyncCached, wrap
from perfmw.cache.scope import set_provider

__all__ = ["AsyncCached", "CachedOptions", "FunctionInfo", "SyncCached", "cached", "set_provider"]

P = ParamSpec("P")
T = TypeVar("T")


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
def cached(**options: Unpack[CachedOptions]) -> _Decorator: ...


def cached(function: Callable[..., Any] | None = None, /, **options: Unpack[CachedOptions]) -> Any:
    """Keep a function's results; of all who call it with equal arguments at one time, one computes.

    Works for functions and methods, sync and async; class methods and static methods have it above their own
    decorator. Callers never share a mutable result: each gets its own copy. Exceptions are not kept unless
    asked for. Inside an application its cache is used, elsewhere the process's own. A function that is not
    async has its layers beyond memory in threads; on the event loop it reads memory alone. Times are in
    seconds, as numbers or timedeltas.

    :param ttl: how long to keep a result, or a function of the result that says so; None keeps it until it is
        evicted or invalidated. A lifetime of 0 or less is not kept.
    :param tags: names to invalidate by, with parameters filled in: ``"user:{user_id}"``.
    :param key: a template such as ``"{user_id}"``, or a function of the arguments, in place of all of them.
    :param namespace: a name in place of the module and qualified name, stable across renames.
    :param exclude: parameters that do not change the result, such as a session.
    :param condition: keep only the results for which this is true.
    :param wait: how long a caller waits for another's call before it calls too; 10 s, None waits on.
    :param stale: how long after ``ttl`` the old result is served while a new one is computed: in the
        background for an async function, by the caller who finds it old for a sync one.
    :param early: compute anew before ``ttl`` ends, by chance, so that no one has to wait then; 1.0 is usual.
    :param negative: how long to keep a result of None, in place of ``ttl``.
    :param errors: how long to keep an exception, in this process, and raise it again; None keeps none.
    :param memo: within a request, answer with what it got before without asking the cache; see
        ``per_request`` for functions whose results are for the request alone.
    :raises TypeError: for generator functions and unknown options; at a call, for an argument without stable
        identity.
    :raises ValueError: for names that are no parameters, and for a ``ttl`` of 0 or less.

    Example::

        @cached(ttl=60, tags=["user:{user_id}"])
        async def load_user(user_id: int) -> User: ...

        await load_user.invalidate(7)
    """
    chosen = make_options(options)

    def decorate(target: Any) -> Cached[Any, Any] | OfClass[Any]:
        if isinstance(target, (classmethod, staticmethod)):
            inner = wrap(CallSpec(target.__func__, chosen))
            return OfClass(inner, takes_class=isinstance(target, classmethod))
        return wrap(CallSpec(target, chosen))

    return decorate if function is None else decorate(function)
