"""The policy that follows whichever does best."""

from __future__ import annotations

import random
from collections.abc import Hashable

import pytest

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES, AdaptivePolicy, where_it_wins
from perfmw.cache.eviction.lru import LRUPolicy
from perfmw.cache.eviction.shadow import Shadow


def read(layer: MemoryLayer, keys: list[int]) -> int:
    before = layer.hits
    for key in keys:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
    return layer.hits - before


def loop(rounds: int = 60) -> list[int]:
    return [key for _ in range(rounds) for key in range(150)]


def recent(count: int = 9_000) -> list[int]:
    """Keys are read again soon or never."""
    source = random.Random(5)
    return [10_000 + number - source.randrange(90) for number in range(count)]


def test_what_changes_its_kind_is_followed() -> None:
    hits = {
        policy: read(MemoryLayer(max_entries=100, policy=policy), [*recent(), *loop(), *recent()])
        for policy in ("adaptive", "lru", "s3fifo")
    }
    assert hits["adaptive"] > hits["lru"]
    assert hits["adaptive"] > hits["s3fifo"]


def test_where_nothing_changes_it_stays_close_to_the_best() -> None:
    for keys, best in ((loop(), "wtinylfu"), (recent(), "lru")):
        reached = read(MemoryLayer(max_entries=100, policy="adaptive"), keys)
        assert reached >= read(MemoryLayer(max_entries=100, policy=best), keys) - 0.05 * len(keys)


def test_hits_without_misses_cost_a_bounded_buffer() -> None:
    policy = AdaptivePolicy(10)
    policy.on_insert("a", 1, 0.0)
    for _ in range(10_000):
        policy.on_hit("a")
    assert len(policy._waiting) < 1_000
    assert list(policy.keys()) == ["a"]


@pytest.mark.parametrize("bound", [{"max_entries": 9_000}, {"max_bytes": 9_000_000}])
def test_a_large_cache_is_judged_by_a_sample(bound: dict[str, int]) -> None:
    layer = MemoryLayer(policy="adaptive", **bound)
    policy = layer._policy
    assert isinstance(policy, AdaptivePolicy)
    source = random.Random(3)
    for _ in range(40_000):
        key = f"key {int(source.random() ** 2 * 30_000)}"
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True, size=1_000 if "max_bytes" in bound else None)
    assert policy._thin > 0
    assert all(len(shadow.sizes) <= 5_000 for shadow in policy._shadows)
    assert sorted(layer.keys_nowait()) == sorted(layer._values)
    assert len(layer) <= 9_000


def test_a_large_cache_hands_over_what_it_holds() -> None:
    policy = AdaptivePolicy(5_000)
    for key in range(5_000):
        policy.on_insert(key, 1, 0.0)
    assert policy._acting is not None
    other = next(shadow for shadow in policy._shadows if shadow.name != policy.leader)
    policy._follow(other)
    assert policy.leader == other.name
    assert set(policy.keys()) == set(range(5_000))


@pytest.mark.parametrize("objective", ["bytes", "time"])
def test_the_objective_says_what_a_hit_is_worth(objective: str) -> None:
    source = random.Random(11)
    layer = MemoryLayer(max_bytes=50_000, policy=f"adaptive-{objective}")
    saved = 0.0
    for _ in range(8_000):
        key = int(source.paretovariate(0.5)) % 400
        size, cost = 200 + key % 7 * 900, 0.01 + key % 5
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True, size=size, cost=cost)
        else:
            saved += size if objective == "bytes" else cost
    assert saved > 0
    assert layer.bytes is not None
    assert layer.bytes <= 50_000
    policy = layer._policy
    assert isinstance(policy, AdaptivePolicy)
    assert policy._worth(700, 2.5) == (700 if objective == "bytes" else 2.5)


def test_shrinking_evicts_what_the_leader_gives_up() -> None:
    layer = MemoryLayer(max_entries=100, policy="adaptive")
    read(layer, loop(3))
    layer.resize(max_entries=20)
    assert len(layer) == 20
    assert len(layer._policy) == 20


def test_a_shadow_is_a_cache_without_values() -> None:
    shadow = Shadow("lru", LRUPolicy, 3)
    assert [shadow.access(key, 1, 0.0) for key in "abcadb"] == [False, False, False, True, False, False]
    assert shadow.left == ["c"]
    assert set(shadow.sizes) == {"a", "d", "b"}
    assert not shadow.access("too large", 4, 0.0)
    shadow.change("d", 3, 0.0)
    assert shadow.used <= 3


def test_what_the_cache_no_longer_holds_expires_in_the_shadows_too() -> None:
    now = [0.0]
    layer = MemoryLayer(max_entries=50, policy="adaptive", clock=lambda: now[0])
    policy = layer._policy
    assert isinstance(policy, AdaptivePolicy)
    for number in range(100):
        layer.set_nowait(number, True, 10.0)
    now[0] = 20.0
    layer.set_nowait("later", True, 10.0)  # which tells the time
    held = {key for shadow in policy._shadows for key in shadow.sizes if key not in layer._values}
    key = max(held, key=lambda key: sum(key not in shadow.sizes for shadow in policy._shadows))
    leads = [one.lead for one in policy._shadows]
    layer.set_nowait(key, True, 10.0)
    assert all(abs(one.lead) <= abs(before) for one, before in zip(policy._shadows, leads, strict=True))


def test_the_book_of_expiry_is_bounded() -> None:
    layer = MemoryLayer(max_entries=50, policy="adaptive")
    policy = layer._policy
    assert isinstance(policy, AdaptivePolicy)
    for number in range(5_000):
        layer.set_nowait(number, True, 10.0)
    assert len(policy._ends) <= 2 * 5 * 50 + 256 + 1


class Worst(LRUPolicy):
    """Gives up what was read last; asks to be followed only where that is best."""

    rivals = ("s3fifo", "lru", "one that nobody registered")

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        key = list(self.keys())[-1]
        self.on_remove(key)
        return key


def test_a_policy_with_rivals_is_followed_only_where_it_does_better() -> None:
    policies = {**POLICIES, "worst": Worst}
    soon = read(MemoryLayer(max_entries=100, policy="worst", policies=policies), recent())
    assert soon >= read(MemoryLayer(max_entries=100, policy="s3fifo"), recent()) - 0.02 * len(recent())
    # in a loop, to give up what was read last is the best there is
    looped = read(MemoryLayer(max_entries=100, policy="worst", policies=policies), loop())
    assert looped > read(MemoryLayer(max_entries=100, policy="lru"), loop()) + 0.3 * len(loop())


def test_without_rivals_a_policy_is_taken_as_it_is() -> None:
    assert where_it_wins("lru", LRUPolicy, POLICIES) is LRUPolicy


def test_what_a_policy_learned_goes_on_with_another_of_its_kind() -> None:
    class Learning(LRUPolicy):
        taught: list[int] = []  # noqa: RUF012 - one for all

        def anew(self, capacity: int) -> Learning:
            self.taught.append(capacity)
            return Learning(capacity)

    shadow = Shadow("learning", Learning, 8)
    shadow.access("a", 1, 0.0)
    thin = shadow.thinned(4, lambda _: True)
    assert Learning.taught == [4]
    assert list(thin.policy.keys()) == ["a"]
    assert thin.factory is Learning


def test_in_a_loop_it_stops_taking_turns() -> None:
    """There each policy leads for a part of every round, by what it alone holds."""
    keys = [key for _ in range(80) for key in range(500)]
    layer = MemoryLayer(max_entries=300, policy="adaptive")
    policy = layer._policy
    assert isinstance(policy, AdaptivePolicy)
    read(layer, keys[: len(keys) // 2])
    before = policy.switches
    hits = read(layer, keys[len(keys) // 2 :])
    assert policy.switches - before <= 2
    assert hits >= 0.95 * read(MemoryLayer(max_entries=300, policy="s3fifo"), keys) / 2


def test_the_sample_is_the_same_in_every_process() -> None:
    policy = AdaptivePolicy(8_000)
    policy._thin = 2
    sampled = [key for key in (f"/pages/{number}" for number in range(2_000)) if policy._samples(key)]
    assert 400 < len(sampled) < 600
    assert sampled[:3] == ["/pages/0", "/pages/4", "/pages/5"]
