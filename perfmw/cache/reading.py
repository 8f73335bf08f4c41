"""How a memory layer reads: functions whose state is in variables of their own, not in attributes.

A hit is the most frequent thing a cache does. Looking an attribute up on ``self`` for each step of it, and
counting it there, costs more than all else that a hit needs, so that the steps are closures over what they
use. The layer keeps that up to date with ``bind``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Set
from typing import Any, Protocol

from perfmw.cache.expiry import Facts

Touch = Callable[[Hashable], object]


class Read(Protocol):
    def __call__(self, key: Hashable, default: Any = None) -> Any: ...


class Reader:
    """The two ways to read, over the same state: either stays right when the policy changes.

    :param clock: a monotonic clock in seconds.
    :param expired: called with a key that has expired, and what was known of it.
    """

    __slots__ = ("_bind", "_counts", "forget_miss", "sparing", "telling")

    def __init__(self, clock: Callable[[], float], expired: Callable[[Hashable, Facts], object]) -> None:
        self.telling: Read
        """Tells the policy of a hit by calling it."""
        self.sparing: Read
        """Tells the policy only of keys that are not among those it need not hear of any more."""
        self.forget_miss: Callable[[], None]
        """The last miss was of nobody's who counts."""
        self.telling, self.sparing, self._bind, self._counts, self.forget_miss = _closures(clock, expired)

    def bind(
        self,
        values: dict[Hashable, Any],
        facts: dict[Hashable, Facts] | None,
        touch: Touch,
        settled: Set[Hashable],
    ) -> None:
        """From now on read ``values``; ``facts`` is None while nothing is known but values."""
        self._bind(values, facts, touch, settled)

    @property
    def hits(self) -> int:
        return self._counts()[0]

    @property
    def misses(self) -> int:
        return self._counts()[1]


def _closures(
    clock: Callable[[], float], expired: Callable[[Hashable, Facts], object]
) -> tuple[Read, Read, Callable[..., None], Callable[[], tuple[int, int]], Callable[[], None]]:
    values: dict[Hashable, Any] = {}
    facts: dict[Hashable, Facts] | None = None
    touch: Touch = values.__contains__
    settled: Set[Hashable] = frozenset()
    lookup = values.get
    hits = 0.0  # adding to a float takes less than to a whole number: Python keeps freed ones at hand
    misses = 0

    def telling(key: Hashable, default: Any = None) -> Any:
        nonlocal hits, misses
        value = lookup(key)
        if value is None and key not in values:
            misses += 1
            return default
        if facts is not None:
            known = facts.get(key)
            if known is not None and known.real <= clock():
                expired(key, known)
                misses += 1
                return default
        try:
            touch(key)
        except KeyError:
            pass  # another thread evicted it just now; the value is still good
        hits += 1.0
        return value

    def sparing(key: Hashable, default: Any = None) -> Any:
        nonlocal hits, misses
        value = lookup(key)
        if value is None and key not in values:
            misses += 1
            return default
        if facts is not None:
            known = facts.get(key)
            if known is not None and known.real <= clock():
                expired(key, known)
                misses += 1
                return default
        if key not in settled:
            _tell(touch, key)
        hits += 1.0
        return value

    def bind(*state: Any) -> None:
        nonlocal values, facts, touch, settled, lookup
        values, facts, touch, settled = state
        lookup = values.get

    def forget_miss() -> None:
        nonlocal misses
        misses -= 1

    return telling, sparing, bind, lambda: (int(hits), misses), forget_miss


def _tell(touch: Touch, key: Hashable) -> None:
    try:
        touch(key)
    except KeyError:
        pass
