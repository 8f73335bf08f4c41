from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning import ByteCurve, MissRatioCurve
from perfmw.learning.stack import LRUStack


def lru_hit_ratio(keys: Sequence[Hashable], size: int) -> float:
    held: OrderedDict[Hashable, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in held:
            hits += 1
            held.move_to_end(key)
        elif size:
            held[key] = None
            if len(held) > size:
                held.popitem(last=False)
    return hits / len(keys)


def curve_of(keys: Sequence[Hashable], **more: int) -> MissRatioCurve:
    curve = MissRatioCurve(**more)
    for key in keys:
        curve.access(key)
    return curve


def zipf(keys: int, accesses: int, seed: int) -> list[int]:
    random = Random(seed)
    weights = [1 / (rank + 1) ** 0.8 for rank in range(keys)]
    return random.choices(range(keys), weights, k=accesses)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=200))
def test_it_is_exact_while_all_keys_fit(keys: list[int]) -> None:
    sizes = list(range(15))
    assert curve_of(keys).curve(sizes) == pytest.approx([lru_hit_ratio(keys, size) for size in sizes])


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.integers(1, 10))
def test_the_near_part_stays_exact_when_they_do_not(keys: list[int], near: int) -> None:
    sizes = list(range(near + 1))
    curve = curve_of(keys, near=near, budget=4)
    assert curve.curve(sizes) == pytest.approx([lru_hit_ratio(keys, size) for size in sizes])


@given(st.lists(st.integers(0, 60), max_size=300), st.integers(1, 5), st.integers(2, 10))
def test_a_curve_rises_and_stays_a_ratio(keys: list[int], near: int, budget: int) -> None:
    ratios = curve_of(keys, near=near, budget=budget).curve(range(80))
    assert ratios == sorted(ratios)
    assert all(0 <= ratio <= 1 + 1e-9 for ratio in ratios)


@pytest.mark.parametrize("salt", [0, 1, 2])
def test_the_sampled_tail_is_close(salt: int) -> None:
    keys = zipf(20_000, 60_000, seed=5)
    curve = curve_of(keys, near=1_000, budget=1_500, salt=salt)
    assert curve.rate < 0.2
    sizes = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000]
    wrong = [
        abs(one - lru_hit_ratio(keys, size)) for one, size in zip(curve.curve(sizes), sizes, strict=True)
    ]
    assert sum(wrong) / len(wrong) <= 0.01


def test_a_loop_has_a_cliff() -> None:
    keys = list(range(3_000)) * 5
    below, above = curve_of(keys, near=1_000, budget=1_000).curve([2_500, 3_600])
    assert below < 0.05
    assert above == pytest.approx(0.8, abs=0.02)


def test_memory_is_bounded() -> None:
    curve = curve_of(range(60_000), near=500, budget=400)
    assert len(curve._near) == 500
    assert curve._sample is not None
    assert len(curve._sample) <= 400
    assert curve.curve([60_000]) == [0.0]


def test_nothing_seen_is_no_hit() -> None:
    assert MissRatioCurve().curve([0, 1, 10**9]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("bad", [{"near": 0}, {"budget": 1}])
def test_bounds_must_make_sense(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        MissRatioCurve(**bad)


@pytest.mark.data
@pytest.mark.parametrize("trace", ["web07", "lirs_multi1", "lirs_sprite"])
def test_recorded_traces(data_dir: Path, trace: str) -> None:
    with gzip.open(data_dir / "traces" / f"{trace}.txt.gz", "rt") as lines:
        keys = [line.strip() for line in lines][:80_000]
    distinct = len(set(keys))
    sizes = [max(1, round(distinct * 2**-power)) for power in range(7)]
    wrong = [
        abs(one - lru_hit_ratio(keys, size))
        for one, size in zip(curve_of(keys).curve(sizes), sizes, strict=True)
    ]
    assert sum(wrong) / len(wrong) <= 0.005


@given(
    st.lists(st.tuples(st.sampled_from(["use", "discard"]), st.integers(0, 9)), max_size=200),
    st.integers(1, 6),
)
def test_the_stack_is_a_list_with_move_to_front(steps: list[tuple[str, int]], capacity: int) -> None:
    stack, model = LRUStack(capacity), list[int]()
    for what, key in steps:
        if what == "use":
            assert stack.use(key) == (model.index(key) + 1 if key in model else 0)
            model = [key, *(other for other in model if other != key)][:capacity]
        else:
            stack.discard(key)
            model = [other for other in model if other != key]
        assert list(stack) == model[::-1]


def test_the_stack_starts_its_time_line_anew() -> None:
    stack = LRUStack(300)
    for round_ in range(20):
        for key in range(250):
            assert stack.use(key) == (250 if round_ else 0)
    assert len(stack) == 250


def lru_byte_ratio(accesses: Sequence[tuple[Hashable, int]], room: int) -> float:
    held: OrderedDict[Hashable, int] = OrderedDict()
    hits = used = 0
    for key, size in accesses:
        if key in held:
            hits += 1
            used -= held[key]
        held[key] = size
        held.move_to_end(key)
        used += size
        while used > room:
            used -= held.popitem(last=False)[1]
    return hits / len(accesses)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200))
def test_the_curve_by_bytes_is_that_of_lru(keys: list[int]) -> None:
    accesses = [(key, 100 + 37 * key) for key in keys]
    curve = MissRatioCurve()
    for key, size in accesses:
        curve.access(key, size)
    assert curve.by_bytes is not None
    for room in (0, 500, 2_000, 8_000, 20_000):
        # distances are kept in steps of 1%, so it lies between the ratios of rooms 2% apart
        low, high = lru_byte_ratio(accesses, round(room * 0.98)), lru_byte_ratio(accesses, round(room * 1.03))
        assert low - 1e-9 <= curve.by_bytes.curve([room])[0] <= high + 1e-9


def test_the_sampled_curve_by_bytes_is_close() -> None:
    accesses = [(key, 200 + key % 1_000) for key in zipf(10_000, 40_000, seed=9)]
    curve = ByteCurve(budget=1_500)
    for key, size in accesses:
        curve.access(key, size)
    rooms = [50_000, 200_000, 1_000_000, 4_000_000]
    wrong = [
        abs(one - lru_byte_ratio(accesses, room)) for one, room in zip(curve.curve(rooms), rooms, strict=True)
    ]
    assert sum(wrong) / len(wrong) < 0.03
    assert len(curve._stack) <= 1_500
    assert curve.byte_hit_curve([4_000_000])[0] == pytest.approx(curve.curve([4_000_000])[0], abs=0.1)


def test_the_knee_of_a_loop_is_its_length() -> None:
    curve = curve_of(list(range(640)) * 4)
    assert curve.knee() == curve.footprint() == 640
    assert MissRatioCurve().knee() == 0


def test_the_knee_of_two_loops_is_that_of_the_one_worth_more() -> None:
    order = [key for _ in range(12) for key in [*list(range(100)) * 5]]
    assert 90 <= curve_of([*order, *range(1_000, 3_000), *range(1_000, 3_000)]).knee() <= 200
