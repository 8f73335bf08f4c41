"""The concurrency limiter against a simulated service: overload, recovery, priorities, and no overload."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.resources import ConcurrencyLimiter, Priority
from perfmw.resources.concurrency import Aimd, Gradient, LimitAlgorithm, Ticket, Vegas, Window
from tests.resources.overload import ALL, Service, between, served

WAITING = [(20, 0.05), (60, 0.1), (5, 0.2)]
COMPUTING = [(1, 0.01), (1, 0.002)]


@pytest.mark.parametrize("load", [2.0, 5.0, 10.0])
@pytest.mark.parametrize(("servers", "seconds"), WAITING + COMPUTING)
def test_overload_is_turned_away_and_the_rest_is_served_in_time(
    servers: int, seconds: float, load: float
) -> None:
    unloaded = Service(servers, seconds, None)
    unloaded.run(lambda now: 0.5, 20.0)
    usual = served(unloaded.outcomes)
    service = Service(servers, seconds, ConcurrencyLimiter())
    service.run(lambda now: load if now > 5.0 else 0.5, 20.0)
    latencies = served(between(service.outcomes, 10.0, 19.0))
    assert len(latencies) / 9.0 >= 0.9 * service.capacity
    assert latencies[int(0.99 * len(latencies))] <= 3.0 * usual[int(0.99 * len(usual))]


def test_without_a_limiter_overload_makes_everybody_wait() -> None:
    service = Service(20, 0.05, None)
    service.run(lambda now: 2.0, 20.0)
    assert served(between(service.outcomes, 15.0, 20.0))[0] > 5.0


@pytest.mark.parametrize(("servers", "seconds"), WAITING + COMPUTING)
def test_without_overload_nobody_is_turned_away(servers: int, seconds: float) -> None:
    service = Service(servers, seconds, ConcurrencyLimiter())
    service.run(lambda now: 0.5, 30.0)
    refused = sum(one.took is None for one in service.outcomes)
    assert refused <= 0.01 * len(service.outcomes)


@pytest.mark.parametrize(("servers", "seconds"), WAITING + COMPUTING)
def test_after_an_overload_all_are_served_again_within_5_seconds(servers: int, seconds: float) -> None:
    service = Service(servers, seconds, ConcurrencyLimiter())
    service.run(lambda now: 10.0 if 5.0 < now < 15.0 else 0.4, 40.0)
    after = between(service.outcomes, 20.0, 40.0)
    assert sum(one.took is None for one in after) <= 0.01 * len(after)


def test_under_lasting_overload_the_limit_does_not_drift() -> None:
    limiter = ConcurrencyLimiter()
    Service(20, 0.1, limiter).run(lambda now: 3.0 if now > 5.0 else 0.5, 120.0)
    assert 18 <= limiter.limit <= 45


def test_a_service_that_becomes_slower_is_followed() -> None:
    limiter = ConcurrencyLimiter()
    service = Service(20, 0.05, limiter)
    service.run(lambda now: 3.0, 10.0)
    before = limiter.limit
    service._free -= 15
    service.run(lambda now: 3.0, 40.0)
    assert limiter.limit < before / 2


def test_the_higher_are_served_before_the_lower() -> None:
    service = Service(20, 0.05, ConcurrencyLimiter())
    service.run(lambda now: 3.0 if now > 5.0 else 0.5, 30.0, (Priority.LOW, Priority.NORMAL, Priority.HIGH))
    shares = []
    for priority in ALL:
        came = between(service.outcomes, 10.0, 30.0, priority)
        shares.append(len(served(came)) / len(came))
    assert shares[Priority.HIGH] > 0.8
    assert shares[Priority.HIGH] > 2 * shares[Priority.LOW]


@given(st.lists(st.tuples(st.sampled_from(ALL), st.booleans(), st.floats(0.0, 0.3)), max_size=400))
def test_none_is_let_in_right_after_refusing_one_who_goes_before(
    events: list[tuple[Priority, bool, float]],
) -> None:
    limiter, now, under_way = ConcurrencyLimiter(initial=4, most=8), 0.0, list[Ticket]()
    refused_at: dict[int, float] = {}
    for priority, comes, seconds in events:
        now += seconds
        if not comes and under_way:
            limiter.done(under_way.pop(0), now)
            continue
        answer = limiter.admit(now, priority)
        if isinstance(answer, str):
            refused_at[priority] = now
            continue
        under_way.append(answer)
        assert all(now - at >= 0.25 for higher, at in refused_at.items() if higher > priority)
    assert limiter.in_flight == len(under_way)


@pytest.mark.parametrize("algorithm", [Gradient(), Vegas(), Aimd()])
@given(
    limit=st.floats(1.0, 1000.0),
    latency=st.floats(0.001, 10.0),
    unloaded=st.floats(0.0001, 1.0),
    in_flight=st.integers(0, 2000),
)
def test_an_algorithm_lowers_the_limit_when_requests_wait_long_and_never_raises_an_unused_one(
    algorithm: LimitAlgorithm, limit: float, latency: float, unloaded: float, in_flight: int
) -> None:
    following = algorithm.next(limit, Window(latency, min(latency, unloaded), in_flight))
    if in_flight < limit / 2:
        assert following <= limit
    if latency > 20.0 * unloaded and limit > 10.0:
        assert following < limit
    dropped = Window(latency, min(latency, unloaded), in_flight, dropped=True)
    assert algorithm.next(limit, dropped) < max(limit, 2.0)


def test_of_handlers_that_compute_ten_windows_leave_three_in_a_turn() -> None:
    """Each of a turn waits for those before it: on average half of them and itself."""
    limit, turns = 20.0, []
    for _ in range(30):
        turns.append(int(limit))
        latency = 0.01 * (int(limit) + 1) / 2.0
        limit = Gradient().next(limit, Window(latency, 0.01, int(limit)))
    assert set(turns[10:]) <= {2, 3}
    assert turns.count(3) > turns.count(2)


@given(st.lists(st.floats(0.0, 5.0), min_size=30, max_size=200), st.integers(1, 5), st.integers(5, 20))
def test_the_limit_stays_within_its_bounds(latencies: list[float], least: int, most: int) -> None:
    limiter, now = ConcurrencyLimiter(initial=5, least=least, most=most), 0.0
    for latency in latencies:
        answer = limiter.admit(now)
        now += latency
        if isinstance(answer, Ticket):
            limiter.done(answer, now)
        assert least <= limiter.limit <= most


def test_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match="1 <= least <= initial <= most"):
        ConcurrencyLimiter(initial=5, least=10)


def test_a_burst_goes_over_the_limit_but_not_far() -> None:
    limiter, now = ConcurrencyLimiter(initial=4, most=4), 0.0
    for _ in range(100):
        now += 0.1
        answer = limiter.admit(now)
        assert isinstance(answer, Ticket)
        limiter.done(answer, now + 0.01)
    admitted = sum(isinstance(limiter.admit(now, Priority.HIGH), Ticket) for _ in range(100))
    assert 4 < admitted <= 16


def test_handlers_that_compute_earn_no_bursts_in_overload() -> None:
    """Each turn of the event loop leaves the limit empty, though far more came than were let in."""
    limiter, now, beyond = ConcurrencyLimiter(initial=4, least=2), 0.0, []
    for turn in range(3000):
        limit = limiter.limit
        tickets = [
            one for _ in range(1 if turn < 100 else 20) if isinstance(one := limiter.admit(now), Ticket)
        ]
        beyond.append(len(tickets) - limit)
        for ticket in tickets:
            now += 0.01
            limiter.done(ticket, now)
        now += 0.001
    assert max(beyond[300:]) == 0
    assert limiter.limit <= 4


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 0.5), st.booleans()), max_size=120))
def test_what_is_foreseen_for_who_comes_next_is_what_happens(steps: list[tuple[int, float, bool]]) -> None:
    limiter, now, inside = ConcurrencyLimiter(initial=4, least=2, most=8), 0.0, list[Ticket]()
    for priority, seconds, leaves in steps:
        now += seconds
        if leaves and inside:
            limiter.done(inside.pop(0), now)
        foreseen = limiter.foresee(now, priority, "", (0, 0, 0))
        answer = limiter.admit(now, priority)
        assert (foreseen is None) == isinstance(answer, Ticket)
        if isinstance(answer, Ticket):
            inside.append(answer)


def test_those_on_their_way_and_those_about_to_leave_are_foreseen() -> None:
    limiter = ConcurrencyLimiter(initial=2, least=2, most=2)
    assert limiter.foresee(0.0, Priority.NORMAL, "", (0, 0, 0)) is None
    assert limiter.foresee(0.0, Priority.NORMAL, "", (0, 2, 0)) == "limit"
    assert limiter.foresee(0.0, Priority.HIGH, "", (2, 0, 0)) is None
    for _ in range(2):
        limiter.admit(0.0, Priority.NORMAL)
    assert limiter.foresee(0.0, Priority.NORMAL, "", (0, 0, 0)) == "limit"
    assert limiter.foresee(0.0, Priority.NORMAL, "", (0, -1, 0)) is None


def test_a_bound_that_is_raised_is_soon_reached_and_one_that_is_lowered_holds_at_once() -> None:
    limiter = ConcurrencyLimiter(initial=4, least=4, most=4)
    now = 0.0

    def busy(windows: int) -> None:
        nonlocal now
        for _ in range(windows * 15):
            tickets = [limiter.admit(now, Priority.HIGH) for _ in range(2 * limiter.most)]
            now += 0.01
            for ticket in tickets:
                if isinstance(ticket, Ticket):
                    limiter.done(ticket, now)

    busy(5)
    assert limiter.limit == 4
    assert limiter.refused_at == now - 0.01
    limiter.bound(8)
    busy(2)
    assert limiter.limit == 8
    limiter.bound(5)
    assert limiter.limit == 5
    with pytest.raises(ValueError, match="at least 4"):
        limiter.bound(3)
