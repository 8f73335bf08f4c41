"""Who expires next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache.expiry import FOR_EVER, FactBook

LIVES = st.floats(min_value=0.001, max_value=100_000, allow_nan=False)


@given(
    notes=st.lists(st.tuples(st.integers(0, 20), LIVES), max_size=60),
    forgotten=st.sets(st.integers(0, 20), max_size=5),
    steps=st.lists(st.floats(min_value=0.01, max_value=40_000), max_size=12),
)
def test_exactly_what_has_expired_comes_up(
    notes: list[tuple[int, float]], forgotten: set[int], steps: list[float]
) -> None:
    book, expected = FactBook(), {}
    for number, (key, life) in enumerate(notes):
        book.note(key, number + life, 7, float(number))
        expected[key] = number + life
    for key in forgotten:
        book.forget(key)
        expected.pop(key, None)
    now = float(len(notes))
    for step in steps:
        now += step
        found = set()
        while (key := book.next_expired(now)) is not None:
            book.forget(key)
            found.add(key)
        assert found == {key for key, at in expected.items() if at <= now}
        expected = {key: at for key, at in expected.items() if at > now}
    assert book.timed == bool(expected)


def test_of_what_is_due_soon_the_earliest_comes_first() -> None:
    book = FactBook()
    for key, life in (("b", 0.5), ("c", 0.9), ("a", 0.1)):
        book.note(key, life, 1, 0.0)
    order = []
    while (key := book.next_expired(1.0)) is not None:
        book.forget(key)
        order.append(key)
    assert order == ["a", "b", "c"]


def test_facts_are_told_as_they_were_noted() -> None:
    book = FactBook()
    book.note("k", FOR_EVER, 3, 0.0)
    assert (book.by_key["k"].real, book.by_key["k"].imag) == (FOR_EVER, 3)
    assert not book.timed
    book.note("k", 5.5, 4, 0.0)
    assert book.timed
    facts = book.forget("k")
    assert facts == complex(5.5, 4)
    assert not book.timed


def test_what_is_overwritten_does_not_pile_up() -> None:
    book = FactBook()
    for number in range(10_000):
        book.note("k", number + 1_000.0, 1, float(number))
    assert book._waiting < 200
