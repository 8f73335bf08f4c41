"""Means of named values over time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from perfmw.monitoring.history import LEVELS, MOST_NAMES, History

START = 1_760_000_000.0


def filled(seconds: int) -> History:
    history = History(START)
    for second in range(1, seconds + 1):
        history.add(START + second, {"cpu": second % 10 / 10, "database": None})
    return history


def test_a_minute_comes_in_slots_of_five_seconds() -> None:
    course = filled(600).course(60, START + 600)
    assert len(course) == 12
    assert [one.seconds for one in course] == [5.0] * 12
    assert course[0].at == START + 540
    assert course[0].values == {"cpu": sum(n % 10 / 10 for n in range(541, 546)) / 5}


def test_longer_ranges_come_in_longer_slots() -> None:
    history = filled(600)
    assert {one.seconds for one in history.course(300, START + 600)} == {15.0}
    assert {one.seconds for one in history.course(3600, START + 600)} == {60.0}


def test_what_is_not_in_a_slot_yet_comes_last() -> None:
    course = filled(602).course(60, START + 602)
    assert (course[-1].at, course[-1].seconds) == (START + 600, 2.0)


def test_a_value_that_is_not_known_is_no_sample() -> None:
    assert all("database" not in one.values for one in filled(30).course(60, START + 30))


@given(st.integers(1, 4_000), st.sampled_from([60.0, 300.0, 3600.0, 86_400.0]))
def test_it_is_bounded_and_in_order(seconds: int, window: float) -> None:
    history = History(START)
    for second in range(1, seconds + 1):
        history.add(START + second * 30, {f"pool {second % 50}": 0.5})
    course = history.course(window, START + seconds * 30)
    assert len(course) <= max(most for _, most in LEVELS) + 1
    assert all(one.at < two.at for one, two in itertools.pairwise(course))
    assert all(len(one.values) <= MOST_NAMES for one in course)
