"""Who leaves first, policy by policy."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES


def leaving(name: str, script: str, capacity: int = 4) -> str:
    """``+a`` inserts, ``a`` reads; the answer is the order in which all leave then."""
    policy = POLICIES[name](capacity)
    for word in script.split():
        if word.startswith("+"):
            policy.on_insert(word[1:], 1, 0.0)
        else:
            policy.on_hit(word)
    return "".join(str(policy.evict(None, 0)) for _ in range(len(policy)))


@pytest.mark.parametrize(
    ("name", "script", "order"),
    [
        ("fifo", "+a +b +c a a", "abc"),
        ("lru", "+a +b +c a", "bca"),
        ("lfu", "+a +b +c a a b", "cba"),
        ("sieve", "+a +b +c a", "bca"),
        ("s3fifo", "+a +b +c +d a a", "bcda"),
        ("arc", "+a +b +c a", "bca"),
        ("lirs", "+a +b +c +d b", "acdb"),
    ],
)
def test_order(name: str, script: str, order: str) -> None:
    assert leaving(name, script) == order


def test_lirs_keeps_most_of_a_loop_that_is_larger_than_the_cache() -> None:
    layer = MemoryLayer(max_entries=100, policy="lirs")
    for key in [*range(150)] * 20:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
    assert layer.hits > 0.6 * 20 * 150


def test_lfu_lets_newcomers_overtake_what_was_popular_once() -> None:
    policy = POLICIES["lfu"](3)
    policy.on_insert("old", 1, 0.0)
    for _ in range(5):
        policy.on_hit("old")
    for number in range(40):
        policy.on_insert(number, 1, 0.0)
        policy.on_hit(number)
        if len(policy) > 3:
            policy.evict(None, 0)
    assert "old" not in set(policy.keys())


def test_gdsf_prefers_small_and_dear_keys() -> None:
    policy = POLICIES["gdsf"](1_000)
    policy.on_insert("large", 500, 1.0)
    policy.on_insert("small", 5, 1.0)
    policy.on_insert("large and dear", 500, 50.0)
    assert [policy.evict(None, 0) for _ in range(3)] == ["large", "large and dear", "small"]


def test_s3fifo_gives_a_key_that_comes_back_a_place_in_the_main_queue() -> None:
    layer = MemoryLayer(max_entries=10, policy="s3fifo")
    for number in range(10):
        layer.set_nowait(number, number)
    layer.set_nowait("again", 1)
    for number in range(100, 103):
        layer.set_nowait(number, number)
    assert "again" not in layer
    layer.set_nowait("again", 1)
    for number in range(200, 215):
        layer.set_nowait(number, number)
    assert "again" in layer


def test_sieve_and_s3fifo_resist_a_scan_that_flushes_lru() -> None:
    hits = {}
    for name in ("lru", "sieve", "s3fifo"):
        layer = MemoryLayer(max_entries=50, policy=name)
        scan = iter(range(1_000, 10**6))
        for _ in range(40):
            for key in [*range(30), *range(30), *(next(scan) for _ in range(60))]:
                if layer.get_nowait(key) is None:
                    layer.set_nowait(key, True)
        hits[name] = layer.hits
    assert hits["sieve"] > hits["lru"]
    assert hits["s3fifo"] > hits["lru"]


REFERENCE = {
    "LRU": ("lru", 0.001),
    "FIFO": ("fifo", 0.001),
    "Sieve": ("sieve", 0.001),
    "S3FIFO": ("s3fifo", 0.001),
    "ARC": ("arc", 0.001),
}


@pytest.mark.data
@pytest.mark.parametrize(
    "trace",
    [
        "lirs_multi1",
        "lirs_ps",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("lirs_2_pools", "lirs_sprite", "web07")),
    ],
)
def test_hit_ratios_agree_with_the_reference(data_dir: Path, trace: str) -> None:
    with gzip.open(data_dir / "traces" / f"{trace}.txt.gz", "rt") as lines:
        keys = [line.strip() for line in lines]
    compared = 0
    with (data_dir / "traces" / "reference.csv").open() as rows:
        for row in csv.DictReader(rows):
            if row["trace"] != trace or row["policy"] not in REFERENCE:
                continue
            name, points = REFERENCE[row["policy"]]
            ratio = _hit_ratio(name, int(row["cache_size"]), keys)
            assert ratio * 100 == pytest.approx(float(row["hit_ratio"]) * 100, abs=points), row
            compared += 1
    assert compared >= 5


def _hit_ratio(policy: str, size: int, keys: list[str]) -> float:
    layer = MemoryLayer(max_entries=size, policy=policy)
    for key in keys:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
    return layer.hits / len(keys)
