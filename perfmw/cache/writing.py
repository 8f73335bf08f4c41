"""How a full memory layer takes a newcomer: like reading, a function of variables of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from perfmw.cache.expiry import Facts

Replace = Callable[[Hashable], Hashable]


class Write(Protocol):
    def __call__(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None = None,
        size: int | None = None,
        cost: float | None = None,
    ) -> bool: ...


class Writer:
    """The short way for a new key in a layer that is full, bounded by entries alone, where nothing expires.

    :param lock: held while writing; one that a thread may take again.
    :param write: does all other writes.
    :param distrust: called with an error of the policy, after which ``write`` is asked.
    """

    __slots__ = ("_bind", "_take", "write")

    def __init__(
        self, lock: AbstractContextManager[Any], write: Callable[..., bool], distrust: Callable[[str], object]
    ) -> None:
        self.write: Write
        self.write, self._bind, self._take = _closures(lock, write, distrust)

    def bind(
        self, values: dict[Hashable, Any], facts: dict[Hashable, Facts], replace: Replace | None, limit: int
    ) -> None:
        """From now on write to ``values``, where ``limit`` fit; without ``replace`` there is no short way."""
        self._bind(values, facts, replace, limit)

    def take(self, allowed: int) -> int:
        """How many were replaced since this was asked; no more than ``allowed`` will be until it is again."""
        return self._take(allowed)


def _closures(
    lock: AbstractContextManager[Any], slow: Callable[..., bool], distrust: Callable[[str], object]
) -> tuple[Write, Callable[..., None], Callable[[int], int]]:
    values: dict[Hashable, Any] = {}
    facts: dict[Hashable, Facts] = {}
    replace: Replace | None = None
    limit = given = spare = 0

    def write(
        key: Hashable,
        value: Any,
        ttl: float | None = None,
        size: int | None = None,
        cost: float | None = None,
    ) -> bool:
        nonlocal spare
        with lock:
            other = ttl is not None or cost or facts or key in values
            if other or not spare or replace is None or len(values) < limit:
                return slow(key, value, ttl, size, cost)
            try:
                del values[replace(key)]
            except Exception as error:
                distrust(repr(error))
                return slow(key, value, ttl, size, cost)
            spare -= 1
            values[key] = value
            return True

    def bind(*state: Any) -> None:
        nonlocal values, facts, replace, limit
        values, facts, replace, limit = state

    def take(allowed: int) -> int:
        nonlocal given, spare
        replaced, given = given - spare, allowed
        spare = allowed
        return replaced

    return write, bind, take
