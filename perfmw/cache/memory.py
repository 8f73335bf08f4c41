"""The memory layer: a bounded aiocache backend with a synchronous face for the hit path."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from perfmw.cache.eviction import POLICIES, LRUPolicy, where_it_wins
from perfmw.cache.expiry import FOR_EVER, FactBook, Facts
from perfmw.cache.reading import Read, Reader, Touch
from perfmw.cache.sizes import room_of_a_copy, weigh
from perfmw.cache.writing import Write, Writer
from perfmw.contracts import CacheLayerInfo, EvictionPolicy, EvictionPolicyFactory

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
_SWEEP_PER_WRITE = 16
_FEW_GAPS = 1_000
_LEAST_TO_COPY, _MOST_TO_COPY = 1 << 13, 1 << 18
"""Tables of fewer entries are not worth it; copying larger ones would take more than a few milliseconds."""
logger = logging.getLogger(__name__)


class MemoryLayer(BaseCache):  # type: ignore[misc]  # aiocache is untyped
    """Values by key in this process, bounded by entries or bytes, never over its bound.

    Reads take no lock; writes take one, so the synchronous face may be used from several threads. Expired
    entries are never returned and leave before live ones do, without timers. The synchronous face takes
    full keys: a ``namespace`` is prepended by the asynchronous methods only.

    :param max_entries: the largest number of entries; that many distinct keys fit.
    :param max_bytes: the largest sum of entry sizes; keys and the cache's own overhead are counted. Without
        any bound it is 64 MiB.
    :param policy: the name of an eviction policy, or a factory of one.
    :param policies: the names that ``policy`` may be; the built-in policies by default.
    :param clock: a monotonic clock in seconds.
    :param ttl: seconds that an entry lives when a write does not say; None is for ever.
    :raises ValueError: for an unknown policy or a bound below 1.
    """

    NAME = "perfmw-memory"

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        policy: str | EvictionPolicyFactory = "lru",
        policies: Mapping[str, EvictionPolicyFactory] | None = None,
        clock: Callable[[], float] = time.monotonic,
        namespace: str | None = None,
        ttl: float | None = None,
    ) -> None:
        # what a hit needs comes first: Python finds the first 30 attributes of an object faster
        self._reader = Reader(clock, self._drop_expired)
        self.get_nowait: Read = self._reader.telling
        """The live value of a key, else ``default`` (None). Never blocks."""
        self.forget_miss = self._reader.forget_miss
        super().__init__(serializer=NullSerializer(), namespace=namespace, timeout=None, ttl=ttl)
        if max_entries is None and max_bytes is None:
            max_bytes = DEFAULT_MAX_BYTES
        self._clock = clock
        self._lock = threading.RLock()
        self._writer = Writer(self._lock, self._write, self._distrust)
        self.set_nowait: Write = self._writer.write
        """Store ``value`` and return True, or False when it was not kept: too large, already expired, or
        refused by the policy.

        :param ttl: seconds to live; None takes the layer's default, ``math.inf`` is for ever.
        :param size: bytes the whole entry weighs; None estimates key, value and overhead.
        :param cost: seconds that computing the value took, for policies that weigh it.
        """
        self._values: dict[Hashable, Any] = {}
        self._book = FactBook()
        self._facts = self._book.by_key
        self._costs: dict[Hashable, float] = {}  # of values that do not tell their cost themselves
        self._used, self._gaps, self._gaps_allowed = 0, 0, _FEW_GAPS
        self._evicted = self.expirations = self.refusals = self.invalidations = self.replacements = 0
        self._policies = POLICIES if policies is None else policies
        self._set_bounds(max_entries, max_bytes)
        self._install(policy)

    # ---- the synchronous face

    def delete_nowait(self, key: Hashable) -> bool:
        """Remove ``key``; whether it was there alive."""
        with self._lock:
            if key not in self._values:
                return False
            alive = key in self
            self._remove(key)
            self.invalidations, self.expirations = self.invalidations + alive, self.expirations + (not alive)
            return alive

    def clear_nowait(self, prefix: str | None = None) -> int:
        """Remove every entry, or those whose key is a str that starts with ``prefix``; how many."""
        with self._lock:
            doomed = [
                key for key in self._values if not prefix or (isinstance(key, str) and key.startswith(prefix))
            ]
            for key in doomed:
                self._remove(key)
            self.invalidations += len(doomed)
            return len(doomed)

    def __contains__(self, key: Hashable) -> bool:
        if key not in self._values:
            return False
        facts = self._facts.get(key)
        return facts is None or facts.real > self._clock()

    def __len__(self) -> int:
        """How many live entries there are; what has expired is dropped first."""
        with self._lock:
            self._sweep(sys.maxsize)
            return len(self._values)

    def keys_nowait(self) -> list[Hashable]:
        """Keys of live entries, the one to be evicted first at the head."""
        with self._lock:
            self._sweep(sys.maxsize)
            return list(self._policy.keys())

    def peek_nowait(self, key: Hashable, default: Any = None) -> Any:
        """Like get_nowait, but neither counted nor told to the policy."""
        return self._values.get(key, default) if key in self else default

    def ttl_nowait(self, key: Hashable) -> float | None:
        """Seconds that ``key`` has left; None when it is absent or never expires."""
        facts = self._facts.get(key)
        lives = FOR_EVER if facts is None else facts.real - self._clock()
        return lives if 0 < lives < FOR_EVER else None

    # ---- inspecting and changing a running layer

    @property
    def hits(self) -> int:
        """Reads that found a live value."""
        return self._reader.hits

    @property
    def misses(self) -> int:
        """Reads that found none."""
        return self._reader.misses

    @property
    def ttl(self) -> float | None:
        """Seconds that an entry lives when a write does not say; None is for ever."""
        return self._ttl

    @ttl.setter
    def ttl(self, seconds: float | None) -> None:
        self._ttl = seconds
        if "_policy" in vars(self):  # aiocache sets it before there is one
            with self._lock:
                self._bind()

    @property
    def evictions(self) -> int:
        """Entries that made room for others."""
        with self._lock:
            self._count_replaced()
            return self._evicted

    @property
    def policy(self) -> str:
        """The name of the eviction policy in use."""
        return self._policy_name

    @property
    def bytes(self) -> int | None:
        """The sum of entry sizes; None when the layer is bounded by entries alone."""
        return self._used if self.max_bytes is not None else None

    def info(self, name: str = "memory") -> CacheLayerInfo:
        """The layer as it runs, for metrics and the dashboard."""
        gone = (self.evictions, self.expirations, self.invalidations, self.replacements)
        return CacheLayerInfo(
            name=name,
            kind="memory",
            entries=len(self._values),
            bytes=self.bytes,
            max_entries=self.max_entries,
            max_bytes=self.max_bytes,
            hits=self.hits,
            misses=self.misses,
            evictions=self.evictions,
            policy=self._policy_name,
            fills=len(self._values) + sum(gone),
            expirations=self.expirations,
            invalidations=self.invalidations,
            replacements=self.replacements,
            refusals=self.refusals,
        )

    def set_policy(self, policy: str | EvictionPolicyFactory) -> None:
        """Change the policy; the new one takes over the contents in the old one's order of eviction.

        :raises ValueError: for an unknown name; nothing has changed then.
        """
        with self._lock:
            order = list(self._policy.keys())
            self._install(policy)
            for key in order:
                self._policy.on_insert(key, *self._size_and_cost(key))

    def resize(self, *, max_entries: int | None = None, max_bytes: int | None = None) -> None:
        """Change the bound that was given at construction; what no longer fits is evicted by the policy.

        :raises ValueError: for a bound below 1, or for a kind of bound that the layer does not have.
        """
        if (max_bytes is None) != (self.max_bytes is None):
            raise ValueError("resize: a layer bounded by bytes stays so, and one bounded by entries too")
        with self._lock:
            self._set_bounds(max_entries, max_bytes)
            self._policy.resize(self._capacity)
            self._bind()
            self._shrink()

    # ---- how it works; everything below runs under the lock unless it says otherwise

    def _count_replaced(self) -> None:
        """What was written by the short way since the last time."""
        replaced = self._writer.take(0)
        self._evicted += replaced
        self._gaps += replaced
        if self._gaps > self._gaps_allowed:
            self._close_gaps()
        self._writer.take(self._gaps_allowed - self._gaps + 1)

    def _write(
        self, key: Hashable, value: Any, ttl: float | None, size: int | None, price: float | None
    ) -> bool:
        self._count_replaced()
        ttl, cost, weight = self.ttl if ttl is None else ttl, price or 0.0, 1
        if self.max_bytes is not None:
            weight = weigh(key, value) if size is None else max(1, size)
        if self._facts:
            self._sweep(_SWEEP_PER_WRITE)
        if weight > self._capacity or (ttl is not None and not ttl > 0):
            return self._refuse(key)
        values = self._values
        if key in values:
            if not self._resize_entry(key, weight, cost):
                return self._refuse(key)
            self.replacements += 1
        else:
            while self._used + weight > self._capacity or len(values) >= self._entry_limit:
                if not self._make_room(key, weight):
                    return self._refuse(key)
            self._policy.on_insert(key, weight, cost)
            self._used += weight
        self._values[key] = value  # which may be another table than before making room
        if ttl is not None or weight != 1 or self._facts:
            self._note(key, ttl, weight)
        self._costs.pop(key, None)
        if cost and getattr(value, "cost", None) != cost:
            self._costs[key] = cost
        return True

    def _set_bounds(self, max_entries: int | None, max_bytes: int | None) -> None:
        for name, bound in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if bound is not None and bound < 1:
                raise ValueError(f"{name}: {bound!r} is not a bound; it must be at least 1")
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self._entry_limit = sys.maxsize if max_entries is None else max_entries
        self._capacity = self._entry_limit if max_bytes is None else max_bytes

    def _install(self, policy: str | EvictionPolicyFactory) -> None:
        factory, name = policy, getattr(policy, "__name__", "custom")
        if isinstance(policy, str):
            if policy not in self._policies:
                known = ", ".join(sorted(self._policies))
                raise ValueError(f"eviction_policy: {policy!r} is not a known policy; allowed: {known}")
            factory, name = where_it_wins(policy, self._policies[policy], self._policies), policy
        assert callable(factory)
        self._policy: EvictionPolicy = factory(self._capacity)
        for offered, answer in (("ask_sizes_of", self._size_of), ("ask_worth_of", self._size_and_cost)):
            getattr(self._policy, offered, bool)(answer)
        self._policy_name = name
        self._bind()

    def _bind(self) -> None:
        """What is used all the time has been made anew. A policy may offer more than it must, to save calls:
        a set of keys whose reads it need not hear of, eviction and insertion in one, an ear for expiry."""
        policy = self._policy
        settled: Set[Hashable] = getattr(policy, "settled", frozenset())
        plain = self.max_bytes is None and self.ttl is None
        replace = getattr(policy, "replace", None) if plain else None
        self._writer.bind(self._values, self._facts, replace, self._entry_limit)
        self._lives = getattr(policy, "lives", None)
        touch: Touch = policy.on_hit if getattr(policy, "lock_free_hits", False) else self._touch_locked
        self._reader.bind(self._values, self._facts or None, touch, settled)
        self.get_nowait = self._reader.sparing if hasattr(policy, "settled") else self._reader.telling

    def _close_gaps(self) -> None:
        """Copy tables, for a dictionary never gives back the places of those who left, and grows for them.

        Done before it would grow, where a copy has room enough to last.
        """
        entries = len(self._values)
        room = room_of_a_copy(entries)
        pays = _LEAST_TO_COPY <= entries <= min(2 * room, _MOST_TO_COPY)
        if pays and self._gaps >= room:
            self._values = dict(self._values)
            self._book.close_gaps()
            self._facts = self._book.by_key
            getattr(self._policy, "close_gaps", bool)()  # which a policy may offer too
            self._bind()
        if self._gaps >= room:
            self._gaps = 0
        self._gaps_allowed = max(_FEW_GAPS, room if pays else entries)

    def _touch_locked(self, key: Hashable) -> None:
        """Takes the lock itself."""
        with self._lock:
            if key in self._values:
                self._policy.on_hit(key)

    def _size_of(self, key: Hashable) -> int:
        facts = self._facts.get(key)  # of one that is not resident 0
        return int(key in self._values if facts is None else facts.imag)

    def _size_and_cost(self, key: Hashable) -> tuple[int, float]:
        cost = self._costs.get(key) or getattr(self._values.get(key), "cost", 0.0)
        return self._size_of(key), cost if isinstance(cost, float) else 0.0

    def _note(self, key: Hashable, ttl: float | None, size: int) -> None:
        lives = FOR_EVER if ttl is None else ttl
        if lives == FOR_EVER and size == 1:
            self._book.forget(key)
        else:
            now = self._clock()
            self._book.note(key, now + lives, size, now)
            if self._lives is not None:
                self._lives(key, now + lives, now)
            if self._facts is not self._book.by_key or len(self._facts) == 1:  # made anew, or the first
                self._facts = self._book.by_key
                self._bind()

    def _refuse(self, key: Hashable) -> bool:
        if key in self._values:  # what should have been replaced is out of date
            self._remove(key)
            self.replacements += 1
        self.refusals += 1
        return False

    def _resize_entry(self, key: Hashable, size: int, cost: float) -> bool:
        """A resident key is about to weigh ``size``; False when the policy gives up this very key."""
        growth = size - self._size_of(key)
        self._policy.on_update(key, size, cost)
        # it has a new value to come, so that making room must not drop it for having expired
        self._note(key, FOR_EVER, size)
        while self._used + growth > self._capacity and key in self._values and self._make_room(None, 0):
            pass
        self._used += growth
        return key in self._values

    def _make_room(self, incoming: Hashable | None, size: int) -> bool:
        """Remove one entry, an expired one if there is one; False when the policy refuses the newcomer."""
        if self._facts and self._expire_one():
            return True
        try:
            victim = self._policy.evict(incoming, size)
        except Exception as error:
            self._distrust(repr(error))
            victim = self._policy.evict(None, 0)
        if victim not in self._values:
            if victim == incoming:
                return False
            self._distrust(f"it chose {victim!r}, which is not resident")
            victim = self._policy.evict(None, 0)
        self._drop(victim)
        self._evicted += 1
        return True

    def _distrust(self, reason: str) -> None:
        """The policy is broken: go on with LRU, which knows the contents in the order they came in."""
        logger.error("eviction policy %r is replaced by lru: %s", self._policy_name, reason)
        self._install(LRUPolicy)
        self._policy_name = "lru"
        for key in self._values:
            self._policy.on_insert(key, *self._size_and_cost(key))

    def _shrink(self) -> None:
        while self._used > self._capacity or len(self._values) > self._entry_limit:
            if not self._make_room(None, 0):
                break

    def _remove(self, key: Hashable) -> None:
        self._policy.on_remove(key)
        self._drop(key)

    def _drop(self, key: Hashable) -> None:
        """Of a key that the policy has forgotten."""
        del self._values[key]
        self._gaps += 1
        if self._gaps > self._gaps_allowed:
            self._close_gaps()
        facts = self._book.forget(key) if self._facts else None
        self._costs.pop(key, None)
        self._used -= 1 if facts is None else int(facts.imag)

    def _expire_one(self) -> bool:
        """Drop one expired entry, if there is one."""
        key = self._book.next_expired(self._clock()) if self._book.timed else None
        if key is None:
            return False
        self._remove(key)
        self.expirations += 1
        return True

    def _sweep(self, limit: int) -> None:
        while limit and self._expire_one():
            limit -= 1

    def _drop_expired(self, key: Hashable, seen: Facts) -> None:
        """Takes the lock itself."""
        with self._lock:
            if self._facts.get(key) is seen:
                self._remove(key)
                self.expirations += 1

    # ---- what aiocache asks of a backend

    def build_key(self, key: Any, namespace: str | None = None) -> Any:
        """The key with its namespace, as aiocache builds it."""
        return self._build_key(key, namespace)

    async def _get(self, key: Any, encoding: Any = None, _conn: Any = None) -> Any:
        return self.get_nowait(key)

    _gets = _get

    async def _multi_get(self, keys: Iterable[Any], encoding: Any = None, _conn: Any = None) -> list[Any]:
        return [self.get_nowait(key) for key in keys]

    async def _set(
        self, key: Any, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        with self._lock:
            if _cas_token is not None and self.peek_nowait(key) != _cas_token:
                return 0
            return self.set_nowait(key, value, ttl or FOR_EVER)

    async def _multi_set(
        self, pairs: Iterable[tuple[Any, Any]], ttl: float | None = None, _conn: Any = None
    ) -> bool:
        return False not in [self.set_nowait(key, value, ttl or FOR_EVER) for key, value in pairs]

    async def _add(self, key: Any, value: Any, ttl: float | None = None, _conn: Any = None) -> bool:
        with self._lock:
            if key in self:
                raise ValueError(f"Key {key} already exists, use .set to update the value")
            return self.set_nowait(key, value, ttl or FOR_EVER)

    async def _delete(self, key: Any, _conn: Any = None) -> int:
        return int(self.delete_nowait(key))

    async def _exists(self, key: Any, _conn: Any = None) -> bool:
        return key in self

    async def _increment(self, key: Any, delta: int, _conn: Any = None) -> int:
        with self._lock:
            try:
                value = int(self.peek_nowait(key, 0)) + delta
            except ValueError:
                raise TypeError("Value is not an integer") from None
            self.set_nowait(key, value, self.ttl_nowait(key) or FOR_EVER)
            return value

    async def _expire(self, key: Any, ttl: float, _conn: Any = None) -> bool:
        with self._lock:
            if key not in self:
                return False
            size, cost = self._size_and_cost(key)
            return self.set_nowait(key, self._values[key], ttl or FOR_EVER, size, cost)

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        self.clear_nowait(self.namespace if namespace is None else namespace)
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: Any = None, _conn: Any = None, **kwargs: Any
    ) -> Any:
        """``command`` is a name of the synchronous face, such as ``keys`` for ``keys_nowait``."""
        return getattr(self, f"{command}_nowait")(*args, **kwargs)

    async def _redlock_release(self, key: Any, value: Any) -> int:
        with self._lock:
            return int(self.peek_nowait(key) == value and self.delete_nowait(key))

    async def _close(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to release: the entries stay usable, as aiocache has it."""
