from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.profiles.trend import STEADY, rank_sum, trend


def noisy(level: float, slope: float, n: int, seed: int) -> list[float]:
    rnd = random.Random(seed)
    return [level * (1 + slope * i / n) * rnd.lognormvariate(0, 0.1) for i in range(n)]


def test_a_steady_course_is_stable() -> None:
    found = [trend(noisy(0.1, 0.0, 40, seed)).direction for seed in range(40)]
    assert found.count("stable") >= 36


def test_directions_are_told() -> None:
    slower, faster = trend(noisy(0.1, 1.0, 40, 1)), trend(noisy(0.1, -0.6, 40, 1))
    assert (slower.direction, faster.direction) == ("degrading", "improving")
    assert slower.confidence > 0.95
    assert slower.change == pytest.approx(1.0, abs=0.4)
    assert faster.change < -0.3


def test_one_wild_slot_changes_nothing() -> None:
    values = [0.1] * 20
    values[10] = 50.0
    assert trend(values).direction == "stable"


def test_a_certain_but_tiny_change_is_stable() -> None:
    found = trend([0.1 * (1 + 0.0005 * i) for i in range(20)])
    assert found.direction == "stable"
    assert 0.5 < found.confidence < 1.0


def test_too_few_points_tell_nothing() -> None:
    assert trend([0.1 * 2**i for i in range(11)]) == STEADY
    assert trend([]) == STEADY
    assert trend([0.1] * 10).direction == "stable"


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=300))
def test_any_course_has_a_trend(values: list[float]) -> None:
    found = trend(values)
    assert found.direction in ("improving", "degrading", "stable")
    assert 0.0 <= found.confidence <= 1.0


def test_long_courses_are_thinned_without_losing_the_trend() -> None:
    assert trend(noisy(0.1, 2.0, 1000, 5)).direction == "degrading"


def test_a_step_is_a_trend_until_it_has_aged() -> None:
    values = noisy(0.1, 0.0, 12, 1) + noisy(0.01, 0.0, 24, 2)
    found = trend(values)
    assert found.direction == "improving"
    assert found.change == pytest.approx(-0.9, abs=0.05)


def test_rank_sum_against_known_values() -> None:
    # U = 0 of 16, mean 8, variance 12: z = 7.5 / 3.464 = 2.165.
    assert rank_sum([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(0.0304, abs=0.0005)
    assert rank_sum([1, 3, 5], [2, 4, 6]) > 0.5
    assert rank_sum([1, 1, 1], [1, 1, 1]) == 1.0
    assert rank_sum([], [1.0]) == 1.0
