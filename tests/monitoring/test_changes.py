"""Change points: steps are found with their size and time, noise and single bad buckets are not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.monitoring import Change, ChangeDetector

USUAL = 0.080


def _series(points: int, noise: float, seed: int, step: float = 1.0, at: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [
        USUAL * (step if index >= at else 1.0) * math.exp(chance.gauss(0.0, noise)) for index in range(points)
    ]


def _changes(values: list[float]) -> list[tuple[int, Change]]:
    detector = ChangeDetector()
    found = [(index, detector.update(60.0 * index, value)) for index, value in enumerate(values)]
    return [(index, change) for index, change in found if change is not None]


@pytest.mark.parametrize("step", [1.2, 1 / 1.2, 1.5, 3.0])
@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_a_step_is_found_within_25_buckets(step: float, noise: float) -> None:
    delays = []
    for seed in range(20):
        found = _changes(_series(230, noise, seed, step, at=200))
        delays.append(next((index - 199 for index, _ in found if index >= 200), 1000))
    assert sorted(delays)[17] <= 25


def test_a_change_says_since_when_and_how_much() -> None:
    found = _changes(_series(260, 0.05, 2, 1.5, at=200))
    assert len(found) == 1
    change = found[0][1]
    assert abs(change.since - 200 * 60.0) <= 180.0
    assert change.ratio == pytest.approx(1.5, rel=0.1)
    assert change.before == pytest.approx(USUAL, rel=0.05)
    assert change.after == pytest.approx(1.5 * USUAL, rel=0.1)
    assert change.confidence > 0.9999


def test_at_most_one_false_alarm_in_10_000_buckets() -> None:
    assert sum(len(_changes(_series(10_000, 0.1, seed))) for seed in range(3)) <= 3


def test_one_wild_bucket_is_no_change() -> None:
    values = _series(400, 0.05, 4)
    values[200] *= 50.0
    assert _changes(values) == []


def test_a_small_change_is_left_alone_however_sure() -> None:
    assert _changes(_series(600, 0.01, 5, 1.05, at=300)) == []


def test_the_way_back_is_a_change_too() -> None:
    up_and_down = (
        _series(200, 0.05, 6) + [2 * value for value in _series(200, 0.05, 7)] + _series(200, 0.05, 8)
    )
    assert [change.ratio > 1.0 for _, change in _changes(up_and_down)] == [True, False]


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300))
def test_memory_is_constant_and_nothing_raises(values: list[float]) -> None:
    detector = ChangeDetector()
    for index, value in enumerate(values * 3):
        detector.update(float(index), value)
    assert len(detector._usual) <= 240
    assert len(detector._suspects) <= 240
