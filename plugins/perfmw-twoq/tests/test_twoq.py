"""2Q keeps the contract, does what the paper says, and keeps what a scan would push out of an LRU list."""

from __future__ import annotations

import gzip
import os
import random
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import perfmw_twoq
import pytest
from perfmw_twoq import TwoQPolicy

from perfmw import Settings
from perfmw.testing import EvictionPolicyContract, ModelCache, run_contract


class TestTwoQ(EvictionPolicyContract):
    def make(self, capacity: int) -> TwoQPolicy:
        return TwoQPolicy(capacity)


def test_the_suite_runs_without_pytest_too() -> None:
    assert "test_as_many_keys_as_the_capacity_fit" in run_contract(TestTwoQ)


def test_the_hook_names_the_policy() -> None:
    assert perfmw_twoq.perfmw_register_eviction_policies(settings=Settings())["twoq"] is TwoQPolicy


def cache_of(capacity: int, keys: Iterable[str] = ()) -> ModelCache:
    cache = ModelCache(TwoQPolicy(capacity), capacity)
    for key in keys:
        if not cache.read(key):
            cache.write(key)
    return cache


def test_a_key_seen_once_leaves_in_the_order_it_came() -> None:
    cache = cache_of(4, "abcd")
    cache.read("a")  # a hit in the first queue buys no time
    cache.write("e")
    assert sorted(cache.sizes) == ["b", "c", "d", "e"]


def test_a_key_asked_for_after_it_left_stays() -> None:
    cache = cache_of(4, "abcde")  # a left and is remembered
    cache.write("a")  # ... and is now among the lasting ones
    for key in "fghijklmnop":
        cache.write(key)
    assert "a" in cache.sizes


def test_the_least_recently_used_of_the_lasting_ones_goes() -> None:
    policy = TwoQPolicy(8)
    cache = ModelCache(policy, 8)
    for key in "abcdefgh":
        cache.write(key)
    for key in "ijk":  # pushes out a, b, c, which are remembered
        cache.write(key)
    for key in "abc":
        cache.write(key)
    cache.read("a")
    cache.resize(4)  # a1in keeps one key, so the rest of the room is a, b, c
    assert set("abc") <= set(cache.sizes)
    cache.resize(3)
    assert "a" in cache.sizes
    assert "b" not in cache.sizes


def test_keys_come_in_the_order_of_eviction() -> None:
    cache = cache_of(12, (random.Random(3).choice("abcdefghijklmnopqrst") for _ in range(400)))
    expected = list(cache.policy.keys())
    assert [cache.policy.evict(None, 1) for _ in expected] == expected


def test_ghosts_are_bounded_by_half_the_capacity() -> None:
    policy = TwoQPolicy(100)
    cache = ModelCache(policy, 100)
    for number in range(10_000):
        cache.write(number)
    assert policy.ghosts == 50
    cache.resize(10)
    assert policy.ghosts <= 5


def lru_hits(trace: list[str], capacity: int) -> int:
    order: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in trace:
        hits += key in order
        order[key] = None
        order.move_to_end(key)
        if len(order) > capacity:
            order.popitem(last=False)
    return hits


def twoq_hits(trace: list[str], capacity: int) -> int:
    cache = ModelCache(TwoQPolicy(capacity), capacity)
    cache_sizes, policy = cache.sizes, cache.policy
    hits = 0
    for key in trace:
        if key in cache_sizes:
            hits += 1
            policy.on_hit(key)
            continue
        if len(cache_sizes) == capacity:
            del cache_sizes[policy.evict(key, 1)]
        cache_sizes[key] = 1
        policy.on_insert(key, 1, 0.0)
    return hits


def test_a_scan_does_not_push_out_what_is_read_often() -> None:
    source = random.Random(11)
    trace: list[str] = []
    for burst in range(60):
        trace += [f"hot-{source.randrange(60)}" for _ in range(100)]
        trace += [f"scan-{burst}-{number}" for number in range(80)]
    assert twoq_hits(trace, 100) > lru_hits(trace, 100) * 1.05


# hit ratios of libCacheSim 0.3.5's 2Q
REFERENCE = [("web07", 409, 0.4802), ("web07", 2048, 0.56983), ("lirs_sprite", 707, 0.85718)]


@pytest.mark.data
@pytest.mark.parametrize(("name", "capacity", "ratio"), REFERENCE)
def test_recorded_traces_hit_as_often_as_in_another_implementation(
    name: str, capacity: int, ratio: float
) -> None:
    folder = os.environ.get("PERFMW_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PERFMW_DATA names no folder of recorded traces")
    with gzip.open(Path(folder) / "traces" / f"{name}.txt.gz", "rt") as lines:
        trace = [line.strip() for line in lines]
    assert twoq_hits(trace, capacity) / len(trace) == pytest.approx(ratio, abs=0.0005)
