from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning.shocks import Shocks


def struck(shocks: Shocks, at: float, keys: int = 10) -> None:
    """Every value was fetched a minute before, and changed just before ``at``."""
    for number in range(keys):
        shocks.observe(at - 60.0 + number, at + number, 0.01, changed=True)


def test_one_change_is_a_suspicion_and_a_few_are_a_shock() -> None:
    shocks = Shocks()
    shocks.observe(0.0, 60.0, 0.01, changed=True)
    first = shocks.risk(10.0)
    struck(shocks, 60.0)
    assert 0.0 < first < 0.2
    assert shocks.risk(0.0) > 0.9
    assert shocks.risk(200.0) == 0.0
    assert shocks.found == 1.0


def test_what_was_spared_clears_the_rest() -> None:
    shocks = Shocks()
    shocks.observe(0.0, 60.0, 0.01, changed=True)
    before = shocks.risk(0.0)
    for number in range(3):
        assert shocks.observe(float(number), 61.0, 0.01, changed=False) == 0.0
    assert shocks.risk(0.0) < 0.1 * before


def test_after_shocks_the_first_sign_of_the_next_is_enough() -> None:
    shocks = Shocks()
    for number in range(6):
        struck(shocks, 1_000.0 * number)
    shocks.observe(6_000.0, 6_100.0, 0.01, changed=True)
    assert shocks.risk(6_000.0) > 0.5


def test_changes_of_single_keys_are_no_shocks() -> None:
    shocks = Shocks()
    for number in range(2_000):
        shocks.observe(float(number), number + 10.0, 0.1, changed=number % 10 == 0)
    assert shocks.found < 5.0
    assert shocks.risk(1_000.0) < 0.1


def test_where_shocks_are_usual_somebody_is_asked_after_a_silence() -> None:
    shocks = Shocks()
    assert not shocks.is_due(0.0, 1e6, 100.0, 1e6)
    for number in range(6):
        struck(shocks, 1_000.0 * number)
    checked = shocks.checked
    assert not shocks.is_due(checked - 1.0, checked + 0.01, 100.0, 6_000.0)
    assert shocks.is_due(checked - 1.0, checked + 10.0, 100.0, 6_000.0)
    assert not shocks.is_due(checked + 1.0, checked + 10.0, 100.0, 6_000.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1e-6, 50), st.booleans())))
def test_any_refreshes_give_probabilities(refreshes: list[tuple[float, float, float, bool]]) -> None:
    shocks, now = Shocks(), 0.0
    for age, gap, expected, changed in refreshes:
        now += gap
        shared = shocks.observe(max(now - age, 0.0), now, expected, changed=changed)
        assert 0.0 <= shared <= 1.0
        assert 0.0 <= shocks.risk(max(now - age, 0.0)) <= 1.0
        assert 0.0 <= shocks.stale_part(max(now - age, 0.0), 0.3) <= 1.0
        assert math.isfinite(shocks.odds)
