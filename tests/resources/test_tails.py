"""Memory that entries take after their last read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.resources.tails import _MOST, Tails


def test_what_is_held_after_the_last_read_is_idle() -> None:
    tails = Tails()
    tails.stored("a", 100, 60.0, 0.0)
    tails.stored("b", 300, 20.0, 0.0)
    tails.read("a", 15.0)
    tails.read("b", 20.0)
    assert tails.share is None
    tails.tick(60.0, lambda key: True)
    assert tails.share == pytest.approx(100 * 45 / (100 * 60 + 300 * 20))


def test_an_entry_that_left_early_is_not_held_longer() -> None:
    tails = Tails()
    tails.stored("a", 100, 1000.0, 0.0)
    tails.tick(10.0, lambda key: False)
    assert tails.share == 1.0
    tails = Tails()
    tails.stored("a", 100, 1000.0, 0.0)
    tails.read("a", 10.0)
    tails.stored("a", 100, 1000.0, 10.0)
    tails.tick(10.0, lambda key: True)
    assert tails.share == 0.0


def test_what_ended_long_ago_hardly_counts() -> None:
    tails = Tails()
    tails.stored("a", 1, 10.0, 0.0)
    tails.tick(10.0, lambda key: True)
    tails.stored("b", 1, 36_010.0, 36_000.0)
    tails.read("b", 36_010.0)
    tails.tick(36_010.0, lambda key: True)
    assert tails.share is not None
    assert tails.share < 0.001


Steps = st.lists(
    st.tuples(
        st.sampled_from(["store", "read", "tick"]), st.text(max_size=2), st.integers(0, 100), st.floats(0, 9)
    )
)


@given(Steps)
def test_the_share_is_one(steps: list[tuple[str, str, int, float]]) -> None:
    tails, now = Tails(), 0.0
    for what, key, size, seconds in steps:
        now += seconds
        if what == "store":
            tails.stored(key, size, now + size, now)
        elif what == "read":
            tails.read(key, now)
        else:
            tails.tick(now, lambda key: len(key) != 1)
    assert tails.share is None or 0.0 <= tails.share <= 1.0


def test_memory_is_bounded_and_a_sample_says_the_same() -> None:
    tails = Tails()
    for number in range(5 * _MOST):
        tails.stored(f"/{number}", 10, 100.0, 0.0)
        if number % 2:
            tails.read(f"/{number}", 100.0)
    assert len(tails._entries) <= _MOST
    tails.tick(100.0, lambda key: True)
    assert tails.share == pytest.approx(0.5, abs=0.05)
