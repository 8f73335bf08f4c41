"""At which hours of the day values change."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning import AdaptiveTTL
from perfmw.learning.hazard import best_ttl
from perfmw.learning.hours import DAY, Hours

HOUR = 3600.0
NIGHT = 2.2 * HOUR


def taught(changes: list[float], days: int = 150, seed: int = 3) -> Hours:
    """Refreshes some hours apart, of a value that changed then."""
    hours, chance, since = Hours(), random.Random(seed), 0.0
    while since < days * DAY:
        until = since + chance.uniform(0.5, 10) * HOUR
        changed = any(since < at <= until for at in changes)
        hours.observe(since, until, 0.5 / DAY, changed=changed)
        since = until
    return hours


def nightly(days: int = 150, seed: int = 4) -> list[float]:
    chance = random.Random(seed)
    return [day * DAY + NIGHT for day in range(days) if chance.random() < 0.5]


def test_a_nightly_batch_is_found() -> None:
    factors = taught(nightly()).factors
    assert factors is not None
    assert factors[1] + factors[2] > len(factors) / 2  # refreshes are five hours apart
    assert set(taught(nightly()).busy()) <= {0, 1, 2, 3}
    assert sum(factors) == pytest.approx(len(factors))


@pytest.mark.parametrize("seed", range(5))
def test_where_changes_come_at_any_time_there_are_no_hours(seed: int) -> None:
    chance = random.Random(seed)
    gaps = (chance.expovariate(0.5 / DAY) for _ in itertools.count())
    changes = list(itertools.takewhile(lambda at: at < 300 * DAY, itertools.accumulate(gaps)))
    assert taught(changes, 300, seed).factors is None


def test_a_batch_that_is_given_up_is_forgotten() -> None:
    hours, chance = taught(nightly()), random.Random(7)
    since = 150 * DAY
    for _ in range(15_000):
        until = since + chance.uniform(0.5, 10) * HOUR
        hours.observe(since, until, 0.5 / DAY, changed=chance.random() < (until - since) * 0.5 / DAY)
        since = until
    assert hours.factors is None


def test_an_invalidation_tells_the_hour() -> None:
    hours = Hours()
    for day in range(200):
        at = day * DAY + NIGHT
        hours.observe(at - 0.5 * DAY, at, 1.0 / DAY, changed=False)
        hours.observe(at, at + 0.4 * DAY, 1.0 / DAY, changed=False)
        hours.change(at)
    assert hours.factors is not None
    assert max(hours.factors) == hours.factors[int(NIGHT / HOUR)]


def test_a_lifetime_ends_before_the_batch() -> None:
    hours = taught(nightly())
    soon, later = (
        best_ttl(20 / DAY, 0.5 / DAY, 5.0, ahead=hours.ahead(at))
        for at in (DAY + NIGHT - 6 * HOUR, DAY + 3.5 * HOUR)
    )
    assert 4 * HOUR < soon[0] < 7 * HOUR
    assert later[0] > 2 * soon[0]
    assert later[0] > best_ttl(20 / DAY, 0.5 / DAY, 5.0)[0]


@given(st.floats(0, 400 * DAY), st.floats(0, 3 * DAY))
def test_the_even_clock_does_not_go_back_and_has_days_as_long(now: float, more: float) -> None:
    hours = EVEN
    assert hours.at(now + more) >= hours.at(now)
    assert hours.at(now + DAY) - hours.at(now) == pytest.approx(DAY, abs=1e-3)


def test_lifetimes_tell_at_which_hours_values_change() -> None:
    learned, chance, since = AdaptiveTTL(), random.Random(5), 0.0
    changes = nightly()
    while since < 150 * DAY:
        until = since + chance.uniform(0.5, 10) * HOUR
        learned.observe_access("/prices/1", since)
        learned.ttl("/prices/1", since)
        learned.observe_access("/prices/1", until)
        learned.observe_refresh("/prices/1", until, any(since < at <= until for at in changes))
        since = until
    (pattern,) = learned.hours
    assert pattern == "/prices/*"
    assert int(NIGHT / HOUR) in learned.hours[pattern]


EVEN = taught(nightly())
