from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.profiles.sketch import MAX_BUCKETS, MAX_SECONDS, LatencySketch, lower_bound

durations = st.floats(min_value=1e-11, max_value=1e8)
anything = st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3))


def sketch_of(values: list[float]) -> LatencySketch:
    sketch = LatencySketch()
    for value in values:
        sketch.record(value)
    return sketch


def exact(values: list[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 1))
def test_any_quantile_is_within_one_percent(values: list[float], q: float) -> None:
    assert sketch_of(values).quantile(q) == pytest.approx(exact(values, q), rel=0.01 + 1e-9)


def test_quantiles_of_a_heavy_tail() -> None:
    rnd = random.Random(3)
    values = [rnd.lognormvariate(-4, 1.5) for _ in range(20_000)]
    sketch = sketch_of(values)
    for q in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999):
        assert sketch.quantile(q) == pytest.approx(exact(values, q), rel=0.01 + 1e-9)
    assert sketch.mean == pytest.approx(sum(values) / len(values))
    assert (sketch.min, sketch.max) == (min(values), max(values))
    mean = sketch.mean
    assert sketch.std == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)))


@given(st.lists(durations, max_size=60), st.lists(durations, max_size=60))
def test_merging_is_exact_and_leaves_the_other_alone(one: list[float], two: list[float]) -> None:
    left, right = sketch_of(one), sketch_of(two)
    before = right.copy()
    left.merge(right)
    assert left == sketch_of(one + two)
    assert left.sum == pytest.approx(sum(one) + sum(two))
    assert right == before
    right.record(1.0)
    assert left.count == len(one) + len(two)


@given(st.lists(durations, max_size=60), st.lists(durations, max_size=60))
def test_subtracting_a_copy_gives_what_came_since(first: list[float], since: list[float]) -> None:
    sketch = sketch_of(first)
    copy = sketch.copy()
    for value in since:
        sketch.record(value)
    difference = sketch - copy
    wanted = sketch_of(since)
    assert difference.buckets() == wanted.buckets()
    assert difference.min == pytest.approx(wanted.min, rel=0.03)
    assert difference.max == pytest.approx(wanted.max, rel=0.03)
    assert difference.sum == pytest.approx(wanted.sum, rel=1e-6, abs=1e-6 * sketch.sum)


@given(st.lists(anything, max_size=40))
def test_no_value_raises_or_poisons(values: list[object]) -> None:
    sketch = sketch_of(values)  # type: ignore[arg-type]
    assert math.isfinite(sketch.mean)
    assert math.isfinite(sketch.std)
    assert 0.0 <= sketch.quantile(0.5) <= sketch.max <= MAX_SECONDS
    assert sketch.count + sketch.rejected == len(values)


def test_zero_and_negative_count_as_zero() -> None:
    sketch = sketch_of([0.0, -1.0, 1e-15, 2.0])
    assert sketch.zeros == 3
    assert sketch.count == 4
    assert sketch.min == 0.0
    assert sketch.quantile(0.5) == 0.0
    assert sketch.quantile(1.0) == 2.0


def test_not_a_number_is_left_out_and_counted() -> None:
    sketch = sketch_of([math.nan, math.inf, -math.inf, 10**400, 1.0])
    assert sketch.rejected == 4
    assert sketch.count == 1


def test_an_empty_sketch_is_all_zero() -> None:
    sketch = LatencySketch()
    assert (sketch.count, sketch.sum, sketch.min, sketch.max, sketch.mean, sketch.std) == (0, 0, 0, 0, 0, 0)
    assert sketch.quantile(0.99) == 0.0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="quantiles are within"):
        LatencySketch().quantile(q)


def every_bucket() -> list[float]:
    """One value a bucket, over more buckets than a sketch may keep."""
    return [lower_bound(key) * 1.01 for key in range(-1300, 1000)]


def test_beyond_2048_buckets_the_lowest_collapse() -> None:
    values = every_bucket()
    sketch = sketch_of(values)
    assert len(sketch.buckets()) == MAX_BUCKETS
    assert sketch.count == len(values)
    for q in (0.5, 0.9, 0.99):
        assert sketch.quantile(q) == pytest.approx(exact(values, q), rel=0.01 + 1e-9)


def test_collapsing_does_not_depend_on_the_order() -> None:
    values = every_bucket()
    ascending, descending = sketch_of(values), sketch_of(values[::-1])
    merged = sketch_of(values[::2])
    merged.merge(sketch_of(values[1::2]))
    assert ascending == descending == merged


def test_a_difference_across_a_collapse_counts_right() -> None:
    values = every_bucket()
    sketch = sketch_of(values[:1000])
    copy = sketch.copy()
    for value in values[1000:]:
        sketch.record(value)
    assert (sketch - copy).count == len(values) - 1000


@given(st.lists(st.one_of(durations, st.just(0.0)), max_size=50))
def test_a_sketch_survives_json(values: list[float]) -> None:
    sketch = sketch_of(values)
    again = LatencySketch.from_dict(json.loads(json.dumps(sketch.to_dict())))
    assert again == sketch
    assert (again.sum, again.std, again.count) == (sketch.sum, sketch.std, sketch.count)
    again.record(1.0)
    assert again.count == sketch.count + 1


@pytest.mark.parametrize(
    "damage",
    [
        {"relative_error": 0.02},
        {"buckets": [[1, "many"]]},
        {"buckets": [[1, -5]]},
        {"buckets": None},
        {"zeros": None},
        {"buckets": [[key, 1] for key in range(MAX_BUCKETS + 1)]},
    ],
)
def test_a_damaged_description_is_refused(damage: dict[str, object]) -> None:
    data = sketch_of([1.0]).to_dict() | damage
    with pytest.raises(ValueError):
        LatencySketch.from_dict(data)


def test_count_below_splits_at_a_duration() -> None:
    sketch = sketch_of([0.0, 0.1, 0.2, 0.4, 0.8])
    assert sketch.count_below(0.3) == 3
    assert sketch.count_below(0.0) == 1
    assert sketch.count_below(10.0) == 5


@given(st.lists(st.one_of(durations, st.sampled_from([0.0, -1.0, math.nan, math.inf, 1e300])), max_size=80))
def test_recording_many_is_recording_each(values: list[float]) -> None:
    one_by_one, together = LatencySketch(), LatencySketch()
    for value in values:
        one_by_one.record(value)
    together.record_all(values)
    assert together.buckets() == one_by_one.buckets()
    assert (together.zeros, together.rejected) == (one_by_one.zeros, one_by_one.rejected)
    assert (together.min, together.max) == (one_by_one.min, one_by_one.max)
    assert together.sum == pytest.approx(one_by_one.sum)
    assert together.std == pytest.approx(one_by_one.std, rel=1e-6, abs=1e-9)
