"""Quotas: never more than the limit and the burst, from each by itself, alone and together."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.resources.quotas import Heaviest, Leases, RateQuota, WindowQuota, seconds_up


@given(
    limit=st.integers(1, 50),
    window=st.floats(0.5, 100.0),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=300),
)
def test_no_window_lets_more_through_than_limit_and_burst(
    limit: int, window: float, burst: int, gaps: list[float]
) -> None:
    quota, now, passed = RateQuota(limit, window, burst), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if quota.take("one", now).allowed:
            passed.append(now)
    for begin in passed:
        assert sum(begin <= at < begin + window for at in passed) <= limit + burst


@given(
    limit=st.integers(1, 20),
    window=st.floats(0.5, 50.0),
    reserve=st.sampled_from([0.0, 0.3]),
    gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=300),
)
def test_a_window_takes_the_whole_limit_whenever_it_comes_and_no_more(
    limit: int, window: float, reserve: float, gaps: list[float]
) -> None:
    quota, now, began, passed = WindowQuota(limit, window), 0.0, -1e9, 0
    most = max(1, int(limit * (1.0 - reserve)))
    for gap in gaps:
        now += gap
        if now - began >= window:
            began, passed = now, 0
        verdict = quota.take("one", now, reserve)
        assert verdict.allowed == (passed < most)
        passed += verdict.allowed
        assert verdict.remaining == most - passed
        assert verdict.reset == pytest.approx(began + window - now)
        assert verdict.retry == (0.0 if verdict.allowed else verdict.reset)


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    quota = RateQuota(10, 1.0, burst=1)
    assert all(quota.take("one", number * 0.1).allowed for number in range(100))


def test_a_refusal_tells_when_the_next_one_passes() -> None:
    quota = RateQuota(10, 10.0, burst=2)
    assert [quota.take("one", 0.0).remaining for _ in range(2)] == [1, 0]
    refusal = quota.take("one", 0.25)
    assert not refusal.allowed
    assert refusal.retry == pytest.approx(0.75)
    assert refusal.reset == pytest.approx(1.75)
    assert not quota.take("one", 0.25 + 0.74).allowed
    assert quota.take("one", 0.25 + 0.76).allowed


@pytest.mark.parametrize("quota", [RateQuota(1, 60.0, burst=1, most=2), WindowQuota(1, 60.0, most=2)])
def test_each_has_a_quota_of_its_own_and_who_is_longest_away_is_forgotten(
    quota: RateQuota | WindowQuota,
) -> None:
    assert quota.take("a", 0.0).allowed
    assert quota.take("b", 0.0).allowed
    assert not quota.take("a", 1.0).allowed
    assert quota.take("c", 1.0).allowed
    assert len(quota) == 2


def test_what_is_reserved_only_the_highest_get() -> None:
    quota = RateQuota(10, 10.0, burst=10)
    assert sum(quota.take("one", 0.0, reserve=0.4).allowed for _ in range(20)) == 6
    assert sum(quota.take("one", 0.0).allowed for _ in range(20)) == 4


@pytest.mark.parametrize("quota", [RateQuota(10, 10.0, burst=1), WindowQuota(1, 10.0)])
def test_what_was_not_served_is_given_back(quota: RateQuota | WindowQuota) -> None:
    assert quota.take("one", 0.0).allowed
    quota.give_back("one")
    assert quota.take("one", 0.0).allowed
    quota.give_back("unknown")
    assert len(quota) == 1


@pytest.mark.parametrize("bad", [(0, 1.0, 1, 1), (1, 0.0, 1, 1), (1, 1.0, 0, 1), (1, 1.0, 1, 0)])
def test_what_is_not_positive_is_refused(bad: tuple[int, float, int, int]) -> None:
    with pytest.raises(ValueError, match="are positive"):
        RateQuota(*bad)


@pytest.mark.parametrize("bad", [(0, 1.0, 1), (1, 0.0, 1), (1, 1.0, 0)])
def test_a_window_that_is_not_positive_is_refused(bad: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match="are positive"):
        WindowQuota(*bad)


@given(limit=st.integers(1, 3000), order=st.lists(st.integers(0, 3), min_size=1, max_size=6000))
def test_several_processes_together_never_exceed_the_limit_and_waste_little(
    limit: int, order: list[int]
) -> None:
    common, passed = 0, 0
    workers = [Leases(limit, 60.0) for _ in range(4)]
    for worker in order:
        lease = workers[worker]
        while (verdict := lease.take(5.0)) is None:
            ask = lease.ask(5.0)
            common += ask.tickets
            lease.granted(5.0, ask, common)
        passed += verdict.allowed
    assert passed <= limit
    assert passed >= min(len(order), limit) - 3 * lease.chunk
    assert 3 * lease.chunk <= max(3, 0.01 * limit)


def test_a_lease_ends_with_its_window() -> None:
    lease = Leases(1, 60.0)
    assert lease.take(59.0) is None
    lease.granted(59.0, lease.ask(59.0), 1)
    first = lease.take(59.0)
    assert first is not None
    assert first.allowed
    assert lease.take(59.5) is None
    late = lease.ask(59.5)
    lease.granted(59.5, late, 2)
    second = lease.take(59.5)
    assert second is not None
    assert not second.allowed
    assert second.retry == pytest.approx(0.5)
    assert lease.take(60.5) is None
    lease.granted(60.5, late, 3)  # an answer that is too late counts for nothing
    assert lease.take(60.5) is None
    lease.granted(60.5, lease.ask(60.5), 1)
    lease.give_back()
    assert [verdict.allowed for _ in range(2) if (verdict := lease.take(61.0))] == [True, True]


def test_header_fields_have_whole_seconds() -> None:
    assert [seconds_up(seconds) for seconds in (0.0, 0.2, 1.0, 1.2)] == [1, 1, 1, 2]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=200))
def test_the_heaviest_are_never_missed_and_never_counted_too_low(keys: list[str]) -> None:
    heaviest, exact = Heaviest(most=4), Counter(keys)
    for key in keys:
        heaviest.add(key)
    told = dict(heaviest.top(4))
    assert len(told) <= 4
    assert all(count >= exact[key] for key, count in told.items())
    assert all(key in told for key, count in exact.items() if count > len(keys) / 4)


class Common:
    """A common count that may be gone for a while, and may have forgotten everything when it comes back."""

    def __init__(self) -> None:
        self.there, self.count = True, 0

    def take(self, lease: Leases) -> bool:
        """A request: by the common count, or alone, where everything is let through."""
        while (verdict := lease.take(5.0)) is None:
            ask = lease.ask(5.0)
            if not self.there:
                lease.unanswered(5.0, ask)
                lease.alone(5.0)
                return True
            self.count += ask.tickets
            lease.granted(5.0, ask, self.count)
        return verdict.allowed


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize(("limit", "alone", "passed"), [(40, 5, 40), (40, 20, 61), (4000, 600, 4000)])
def test_what_was_let_through_alone_counts_when_the_common_count_is_back(
    limit: int, alone: int, passed: int, *, forgets: bool
) -> None:
    common, workers = Common(), [Leases(limit, 60.0) for _ in range(2)]
    before = sum(common.take(one) for _ in range(limit // 4) for one in workers)
    common.there = False
    during = sum(common.take(one) for _ in range(alone) for one in workers)
    common.there, common.count = True, 0 if forgets else common.count
    after = sum(common.take(one) for _ in range(limit) for one in workers)
    slip = 4 * workers[0].chunk
    assert passed - slip <= before + during + after <= passed + slip


def test_what_was_let_through_alone_counts_for_its_window_only() -> None:
    lease = Leases(100, 60.0)
    lease.alone(59.0)
    assert [lease.ask(at).tickets for at in (59.5, 59.6)] == [2, 1]
    lease.alone(59.7)
    assert lease.ask(60.0).tickets == 1


def test_answers_that_overtake_each_other_do_not_look_like_a_count_begun_anew() -> None:
    lease = Leases(100, 60.0)
    first, second, third = (lease.ask(5.0) for _ in range(3))
    for ask, count in ((third, 3), (first, 1), (second, 2)):
        lease.granted(5.0, ask, count)
    assert lease.ask(5.0).tickets == 1
