from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning import waste_of
from perfmw.learning.waste import Unread


def test_values_that_nobody_asks_for_again_are_waste() -> None:
    hot = [("hot", 100)] * 50
    cold = [(f"cold {number}", 100) for number in range(50)]
    found = waste_of([one for pair in zip(hot, cold, strict=True) for one in pair], 1_000)
    assert (found.stored, found.never_hit) == (5_100, 5_000)
    assert found.hit_ratio == pytest.approx(0.49)
    assert found.beyond >= 700
    assert "98%" in found.in_words()


def test_what_is_all_needed_is_no_waste() -> None:
    found = waste_of([(number % 10, 100) for number in range(200)], 1_000)
    assert found.never_hit == 0
    assert found.beyond <= 20


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 50)), max_size=100), st.integers(1, 300))
def test_the_figures_fit_together(reads: list[tuple[int, int]], capacity: int) -> None:
    found = waste_of([(key, 10 + key) for key, _ in reads], capacity)
    assert 0 <= found.never_hit <= found.stored
    assert 0 <= found.beyond <= capacity
    assert 0 <= found.never_hit_share <= 1
    assert 0 <= found.hit_ratio <= 1


def test_a_cache_has_room() -> None:
    with pytest.raises(ValueError, match="capacity"):
        waste_of([], 0)


def test_of_a_running_cache_what_left_unread_is_counted() -> None:
    unread = Unread(most=3)
    for key in "abc":
        unread.store(key, 100)
    unread.read("a")
    unread.store("b", 100)  # replaced unread
    unread.settle(lambda key: key == "b")
    assert (unread.stored, unread.never_hit) == (400, 200)
    assert unread.share == pytest.approx(200 / 300)
    assert "200 of 400" in unread.in_words()
    for key in "defg":
        unread.store(key, 10)
    assert len(unread._waiting) <= 3


@given(st.lists(st.tuples(st.sampled_from(["store", "read", "leave"]), st.integers(0, 5), st.integers(1, 9))))
def test_never_more_is_wasted_than_was_stored(steps: list[tuple[str, int, int]]) -> None:
    unread, held = Unread(most=4), set[object]()
    for what, key, size in steps:
        if what == "store":
            unread.store(key, size)
            held.add(key)
        elif what == "read" and key in held:
            unread.read(key)
        elif what == "leave":
            held.discard(key)
            unread.settle(held.__contains__)
        assert 0 <= unread.never_hit <= unread.stored
        assert 0.0 <= unread.share <= 1.0
