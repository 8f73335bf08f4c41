from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts.snapshot import Distribution
from perfmw.exporters.buckets import BOUNDS, MAX_BUCKETS, classic, exponential
from perfmw.profiles import ProfileStore
from perfmw.profiles.distributions import by_outcome, by_status


def distribution(values: list[float]) -> Distribution:
    store = ProfileStore()
    store.keep_details()
    for value in values:
        store.recorder("GET /a").origin(value, 200, "uri-miss")
    return by_status(store)[0]


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200))
def test_an_exponential_histogram_keeps_every_count_near_its_place(values: list[float]) -> None:
    shape = exponential(distribution(values))
    assert sum(shape.counts) == len(values)
    assert len(shape.counts) <= MAX_BUCKETS
    base = 2.0 ** (2.0**-shape.scale)
    bounds = [base ** (shape.offset + place + 1) for place, n in enumerate(shape.counts) for _ in range(n)]
    for value, bound in zip(sorted(values), bounds, strict=True):
        assert bound / base / 1.011 <= value <= bound * 1.011


def test_zeros_have_a_bucket_of_their_own() -> None:
    shape = exponential(distribution([0.0, 0.0, 0.1]))
    assert shape.zero_count == 2
    assert sum(shape.counts) == 1
    assert exponential(distribution([0.0])).counts == ()


def test_a_narrow_range_is_told_finely_and_a_wide_one_still_fits() -> None:
    rng = random.Random(3)
    assert exponential(distribution([rng.uniform(0.1, 0.12) for _ in range(99)])).scale == 6
    assert exponential(distribution([1e-9, 1e8])).scale <= 1


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=100))
def test_classic_buckets_are_cumulative_and_right_within_a_percent(values: list[float]) -> None:
    counts = classic(distribution(values))
    assert counts == sorted(counts)
    assert counts[-1] == len(values)
    for bound, count in zip(BOUNDS, counts, strict=False):
        assert sum(v <= bound * 0.98 for v in values) <= count <= sum(v <= bound * 1.02 for v in values)


def test_distributions_by_status_and_by_outcome() -> None:
    store = ProfileStore()
    store.keep_details()
    recorder = store.recorder("GET /a")
    recorder.hit(0.001)
    for status in (200, 200, 404, 503):
        recorder.origin(0.1, status, "uri-miss")
    recorder.exception(0.2, "uri-miss")
    store.tick(store.started_at + 1.0)
    assert {one.status: one.count for one in by_status(store)} == {-1: 1, 200: 2, 404: 1, 503: 1, 0: 1}
    assert {one.status: one.count for one in by_outcome(store)} == {-1: 1, 1: 3, 0: 2}
    assert sum(one.sum for one in by_outcome(store)) == pytest.approx(0.601)
