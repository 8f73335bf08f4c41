"""Queues with stale places, the memory of who left, the sketch, and policies that replace in one step."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES
from perfmw.cache.eviction.queues import Ghosts, Stale
from perfmw.cache.eviction.sketch import FrequencySketch


@given(st.lists(st.integers(0, 30), max_size=120), st.sets(st.integers(0, 30)))
def test_ghosts_remember_the_last_that_fit(entries: list[int], recalled: set[int]) -> None:
    ghosts, model = Ghosts(10), OrderedDict[int, int]()
    for number, key in enumerate(entries):
        if number % 5 == 4 and key in recalled:
            assert ghosts.recall(key) == (model.pop(key, None) is not None)
            continue
        model.pop(key, None)
        ghosts.add(key, 1)
        model[key] = 1
        while len(model) > 10:
            model.popitem(last=False)
        assert {key for key in range(31) if key in ghosts} == set(model)
        assert ghosts.used == len(model)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 5_000)), max_size=300))
def test_ghosts_of_different_sizes_stay_about_within_their_bound(entries: list[tuple[int, int]]) -> None:
    ghosts, sizes = Ghosts(20_000), dict[int, int]()
    for number, (key, size) in enumerate(entries):
        if number % 3 == 2:
            ghosts.recall(key)
            assert key not in ghosts
        else:
            ghosts.add(key, size)
            sizes[key] = size
        assert ghosts.used <= 20_000
        assert ghosts.total == sum(ghosts.weights or ()) or ghosts.weights is None
    assert len(ghosts) <= len(sizes)


def test_ghosts_that_are_always_recalled_do_not_pile_up() -> None:
    ghosts = Ghosts(100)
    for number in range(10_000):
        ghosts.add(number % 3, 1)
        assert ghosts.recall(number % 3)
    assert len(ghosts.order) < 300
    assert len(ghosts) == 0


def test_a_stale_place_is_the_first_of_its_key() -> None:
    stale = Stale()
    stale.add("a")
    assert [list(queue) for queue in stale.sift(["a", "b", "a"])] == [["b", "a"]]
    assert stale.take("a")
    assert not stale.take("a")


@pytest.mark.parametrize("name", ["lru", "sieve", "s3fifo"])
def test_replacing_in_one_step_is_evicting_and_inserting(name: str) -> None:
    source = random.Random(3)
    one, two = POLICIES[name](20), POLICIES[name](20)
    for step in range(2_500):
        key = int(source.paretovariate(0.6)) % 90
        resident = set(one.keys())
        if key in resident:
            one.on_hit(key)
            two.on_hit(key)
        elif len(resident) < 20:
            one.on_insert(key, 1, 0.0)
            two.on_insert(key, 1, 0.0)
        else:
            victim = two.evict(key, 1)
            two.on_insert(key, 1, 0.0)
            assert one.replace(key) == victim  # type: ignore[attr-defined]
        if step % 11 == 0:
            gone = source.choice(list(one.keys()))
            one.on_remove(gone)
            two.on_remove(gone)
        assert list(one.keys()) == list(two.keys())


def test_the_sketch_never_counts_less_until_it_halves() -> None:
    sketch = FrequencySketch(1_000)
    for number in range(200):
        for _ in range(number % 12):
            sketch.see(f"key {number}")
    assert all(sketch.estimate(f"key {number}") >= number % 12 for number in range(200))
    assert sum(sketch.estimate(f"other {number}") > 0 for number in range(200)) < 5


def test_the_sketch_forgets_what_was_popular_once() -> None:
    sketch = FrequencySketch(16)
    for _ in range(15):
        sketch.see("once")
    before = sketch.estimate("once")
    for number in range(1_000):
        sketch.see(number)
    assert sketch.estimate("once") < before


def test_wtinylfu_keeps_what_is_read_often_through_a_scan() -> None:
    layer = MemoryLayer(max_entries=50, policy="wtinylfu")
    scan = iter(range(1_000, 10**6))
    for _ in range(40):
        for key in [*range(30), *range(30), *(next(scan) for _ in range(60))]:
            if layer.get_nowait(key) is None:
                layer.set_nowait(key, True)
    assert sum(key in layer for key in range(30)) >= 27


def test_wtinylfu_widens_its_window_where_recency_pays() -> None:
    layer = MemoryLayer(max_entries=100, policy="wtinylfu")
    policy = layer._policy
    source = random.Random(5)
    for number in range(40_000):  # keys are read once more or twice, soon, and never again
        for key in (number, number - source.randrange(1, 60)):
            if layer.get_nowait(key) is None:
                layer.set_nowait(key, True)
    assert policy._share > 0.1  # type: ignore[attr-defined]
    assert layer.hits > 20_000


_REPLAY = """
import random
from perfmw.cache.eviction import POLICIES
from perfmw.cache.simulation import simulate

draw = random.Random(3)
keys = [f"page {int(draw.paretovariate(0.6)) % 900}" for _ in range(2_500)]
print([simulate([(key, 1) for key in keys], name, 60).hits for name in sorted(POLICIES)])
"""


def test_a_trace_gives_the_same_result_in_every_process() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _REPLAY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    hits = [process.communicate(timeout=100)[0] for process in processes]
    assert hits[0] == hits[1]
    assert hits[0].count(",") == len(POLICIES) - 1


def test_the_sketch_tells_keys_of_every_kind_apart() -> None:
    sketch = FrequencySketch(1_000)
    seen = ["k", b"\xff", "\udc80", 7, -1, ("k", 7), ("k", (b"k", 8)), None, 2.5]
    for key in seen:
        sketch.see(key)
    assert [sketch.estimate(key) for key in seen] == [1] * len(seen)
    assert [sketch.estimate(key) for key in ("l", b"\xfe", 8, ("k", 8), ("l", 7))] == [0] * 5
