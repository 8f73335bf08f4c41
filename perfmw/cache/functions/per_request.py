"""``@per_request``: what a request needs again and again is computed once in it, and kept for no other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from perfmw.cache.functions.callspec import CallSpec, FunctionInfo
from perfmw.cache.functions.options import Key, make_options
from perfmw.cache.functions.wrappers import OfClass, mark_async
from perfmw.cache.memo import Memo, Noted, current_memo
from perfmw.cache.scope import current_scope

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")


class PerRequest(Generic[P, T]):
    """A function that is called once in a request for each set of arguments."""

    def __init__(self, spec: CallSpec) -> None:
        self._spec = spec
        self._prefix: tuple[Any, ...] = ()
        wrapper: Any = self
        functools.update_wrapper(wrapper, spec.function)
        self._is_async = inspect.iscoroutinefunction(spec.function)
        if self._is_async:
            mark_async(wrapper)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        memo = current_memo()
        if memo is None:
            return self._spec.function(*self._prefix, *args, **kwargs)  # type: ignore[no-any-return]
        work = partial(self._spec.function, *self._prefix, *args, **kwargs)
        call: Callable[..., Any] = self._later if self._is_async else self._at_once
        return call(memo, self._key(args, kwargs), work)  # type: ignore[no-any-return]

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """What the result of a call with these arguments is kept under, in each request."""
        return self._key(args, kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of a call with these arguments in this request; whether there was one."""
        memo = current_memo()
        return memo is not None and memo.forget(self._key(args, kwargs))

    def info(self) -> FunctionInfo:
        """Counts of the calls within requests: ``misses`` called the function, ``memo_hits`` did not."""
        return self._spec.info()

    def _key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        return "once:" + self._spec.key(self._prefix + args, kwargs)

    async def _later(self, memo: Memo, key: str, work: Callable[[], Awaitable[T]]) -> T:
        noted = memo.get(key)
        if noted is not None:
            self._spec.memo_hits += 1
            return noted.value  # type: ignore[no-any-return]

        mine = []

        async def compute() -> T:
            mine.append(key)
            return self._note(memo, key, await work())

        value = await current_scope().coalescer.run((memo, key), compute, timeout=self._spec.options.wait)
        self._spec.coalesced += not mine
        return value

    def _at_once(self, memo: Memo, key: str, work: Callable[[], T]) -> T:
        noted = memo.get(key)
        if noted is not None:
            self._spec.memo_hits += 1
            return noted.value  # type: ignore[no-any-return]
        mine = []

        def compute() -> T:
            mine.append(key)
            return self._note(memo, key, work())

        run = current_scope().coalescer.run_blocking
        value = run((memo, key), compute, timeout=self._spec.options.wait)
        self._spec.coalesced += not mine
        return value

    def _note(self, memo: Memo, key: str, value: T) -> T:
        self._spec.misses += 1
        memo.note(key, Noted(value))
        return value

    def bound_to(self, instance: object) -> Self:
        """This function with its first argument given."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._prefix = (instance,)
        return bound

    @overload  # a class method: its first argument is the owner
    def __get__(self: Callable[Concatenate[S, Q], T], instance: Any, owner: S) -> PerRequest[Q, T]: ...

    @overload
    def __get__(self: Callable[Concatenate[S, Q], T], instance: S, owner: Any = None) -> PerRequest[Q, T]: ...

    @overload  # through the class, and static methods
    def __get__(self, instance: Any, owner: Any = None) -> PerRequest[P, T]: ...

    def __get__(self, instance: Any, owner: Any = None) -> PerRequest[Any, T]:
        return self if instance is None else self.bound_to(instance)


class _Decorator(Protocol):
    def __call__(self, function: Callable[P, T]) -> PerRequest[P, T]: ...


@overload
def per_request(function: Callable[P, T], /) -> PerRequest[P, T]: ...


@overload
def per_request(*, exclude: Iterable[str] = (), key: Key = None) -> _Decorator: ...


def per_request(
    function: Callable[..., Any] | None = None, /, *, exclude: Iterable[str] = (), key: Key = None
) -> Any:
    """Call a function once in a request for each set of arguments: for the current user, his permissions.

    Everybody in the request gets the same object, not a copy, so it may be one that cannot be copied, such as
    a row of a database session. Nothing of it is ever seen by another request, or once the response is out.
    Where there is no request, and no ``request_scope``, the function is simply called. Calls made at one time
    wait for one. Exceptions are not kept.

    :param exclude: parameters that are the same all through a request, such as the request itself.
    :param key: a template such as ``"{user_id}"``, or a function of the arguments, in place of all of them.
    :raises TypeError: for generator functions; at a call, for an argument without stable identity.
    :raises ValueError: for names that are no parameters.

    Example::

        @per_request(exclude=["request"])
        async def current_user(request: Request) -> User: ...
    """
    chosen = make_options({"exclude": exclude, "key": key})

    def decorate(target: Any) -> PerRequest[Any, Any] | OfClass[Any]:
        if isinstance(target, (classmethod, staticmethod)):
            inner: PerRequest[Any, Any] = PerRequest(CallSpec(target.__func__, chosen))
            return OfClass(inner, takes_class=isinstance(target, classmethod))
        return PerRequest(CallSpec(target, chosen))

    return decorate if function is None else decorate(function)
