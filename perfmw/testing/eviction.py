"""The contract of an eviction policy."""

from __future__ import annotations

import random
from collections.abc import Hashable

from perfmw.contracts import EvictionPolicy
from perfmw.testing.checks import Contract, check, check_raises


class ModelCache:
    """A cache that bounds ``size`` and lets a policy choose who leaves, checking what it answers."""

    def __init__(self, policy: EvictionPolicy, capacity: int) -> None:
        self.policy = policy
        self.capacity = capacity
        self.sizes: dict[Hashable, int] = {}

    @property
    def used(self) -> int:
        return sum(self.sizes.values())

    def read(self, key: Hashable) -> bool:
        """Whether ``key`` is resident, as a cache reads it."""
        if key in self.sizes:
            self.policy.on_hit(key)
        return key in self.sizes

    def write(self, key: Hashable, size: int = 1, cost: float = 0.0) -> bool:
        """Store ``key``; False if the policy refuses it or it cannot fit."""
        if size > self.capacity:
            self.remove(key)
            return False
        if key in self.sizes:
            self.sizes[key] = size
            self.policy.on_update(key, size, cost)
            return self._make_room(None, 0) and key in self.sizes
        if not self._make_room(key, size):
            return False
        self.sizes[key] = size
        self.policy.on_insert(key, size, cost)
        return True

    def remove(self, key: Hashable) -> None:
        if key in self.sizes:
            del self.sizes[key]
            self.policy.on_remove(key)

    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.policy.resize(capacity)
        self._make_room(None, 0)

    def _make_room(self, incoming: Hashable | None, size: int) -> bool:
        while self.used + size > self.capacity:
            victim = self.policy.evict(incoming, size)
            if incoming is not None and victim == incoming:
                return False
            check(victim in self.sizes, f"evict returns a resident key or the incoming one, not {victim!r}")
            del self.sizes[victim]
        return True

    def check_agreement(self) -> None:
        """The policy holds what the cache holds, each key once."""
        listed = list(self.policy.keys())
        check(len(listed) == len(set(listed)), "keys() lists each key once")
        check(set(listed) == set(self.sizes), "keys() lists exactly the resident keys")
        check(len(self.policy) == len(self.sizes), "len() is the number of resident keys")


class EvictionPolicyContract(Contract):
    """What every ``EvictionPolicy`` promises. Subclass it and say how to make one::

    class TestTwoQ(EvictionPolicyContract):
        def make(self, capacity):
            return TwoQPolicy(capacity)
    """

    def make(self, capacity: int) -> EvictionPolicy:
        raise NotImplementedError("say how to make the policy")

    def filled(self, capacity: int) -> ModelCache:
        cache = ModelCache(self.make(capacity), capacity)
        for number in range(capacity):
            cache.write(f"key-{number}")
        return cache

    def test_a_new_policy_is_empty(self) -> None:
        policy = self.make(4)
        check(len(policy) == 0, "a new policy holds nothing")
        check(list(policy.keys()) == [], "a new policy lists nothing")

    def test_evicting_from_an_empty_policy_raises_lookup_error(self) -> None:
        policy = self.make(4)
        check_raises(LookupError, lambda: policy.evict(None, 1), "evict raises LookupError when empty")

    def test_as_many_keys_as_the_capacity_fit(self) -> None:
        cache = self.filled(10)
        check(len(cache.sizes) == 10, "as many keys as the capacity stay resident")
        cache.check_agreement()

    def test_hits_and_updates_keep_a_key_once(self) -> None:
        cache = self.filled(5)
        for _ in range(3):
            check(cache.read("key-1"), "a hit keeps its key")
            check(cache.write("key-1"), "an update keeps its key")
        cache.check_agreement()

    def test_a_removed_key_is_forgotten_and_may_return(self) -> None:
        cache = self.filled(5)
        cache.remove("key-2")
        cache.check_agreement()
        check(cache.write("key-2"), "a removed key may return to the room it left")
        cache.check_agreement()

    def test_a_hit_on_an_absent_key_changes_nothing(self) -> None:
        cache = self.filled(3)
        try:
            cache.policy.on_hit("absent")
        except KeyError:
            pass
        cache.check_agreement()

    def test_evict_names_residents_until_none_is_left(self) -> None:
        cache = self.filled(6)
        for _ in range(6):
            victim = cache.policy.evict(None, 1)
            check(victim in cache.sizes, "evict(None) returns a resident key")
            del cache.sizes[victim]
            cache.check_agreement()
        check_raises(LookupError, lambda: cache.policy.evict(None, 1), "evict raises LookupError when empty")

    def test_a_refused_newcomer_is_not_resident(self) -> None:
        cache = self.filled(3)
        for number in range(20):
            cache.write(f"new-{number}")
            cache.check_agreement()
            check(len(cache.sizes) == 3, "a full cache stays full, whether newcomers are let in or refused")

    def test_listing_keys_changes_nothing(self) -> None:
        policy = self.filled(8).policy
        check(list(policy.keys()) == list(policy.keys()), "keys() twice gives the same order")

    def test_capacity_one(self) -> None:
        cache = ModelCache(self.make(1), 1)
        for number in range(10):
            cache.write(number % 3)
            cache.read(number % 3)
            cache.check_agreement()

    def test_resizing_down_and_up(self) -> None:
        cache = self.filled(12)
        for capacity in (5, 1, 9):
            cache.resize(capacity)
            check(cache.used <= capacity, "after resize the cache can be brought under its bound")
            for number in range(30):
                cache.write(number)
            cache.check_agreement()

    def test_a_long_mixed_run_bounded_by_entries(self) -> None:
        self._mixed_run(ModelCache(self.make(16), 16), sizes=(1,))

    def test_a_long_mixed_run_bounded_by_bytes(self) -> None:
        self._mixed_run(ModelCache(self.make(1_000), 1_000), sizes=(1, 10, 100, 400, 1_200))

    def _mixed_run(self, cache: ModelCache, sizes: tuple[int, ...]) -> None:
        """Seeded, so a failure repeats; skewed, so that hits, ghosts and evictions all occur."""
        source = random.Random(7)
        for step in range(2_500):
            key = int(source.paretovariate(0.8)) % 60
            action = source.random()
            if action < 0.55:
                if not cache.read(key):
                    cache.write(key, source.choice(sizes), source.random())
            elif action < 0.9:
                cache.write(key, source.choice(sizes), source.random())
            else:
                cache.remove(key)
            check(cache.used <= cache.capacity, "the bound holds after every step")
            if step % 25 == 0:
                cache.check_agreement()
        cache.check_agreement()
