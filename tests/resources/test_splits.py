"""How places are split: by weight, by reserve, fairly; by settings alone, over the whole way of a request."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw import PerfMiddleware, Settings
from perfmw.resources import ConcurrencyLimiter, Priority
from perfmw.resources.concurrency import Fair, Reserved, Split, Ticket, Weighted, split_of
from perfmw.settings import Concurrency, SettingsError
from perfmw.testing import Client

LOW, NORMAL, HIGH = Priority


def crowd(split: Split, limit: int, mix: tuple[int, ...], rounds: int = 40) -> Counter[int]:
    """Who is under way where everybody wants in all the time; each place is given up in turn."""
    limiter = ConcurrencyLimiter(split=split, initial=limit, most=limit, least=limit)
    under_way: list[Ticket] = []
    for number in range(rounds * limit):
        now = number * 0.001
        asked = [limiter.admit(now, priority) for priority in mix]
        under_way += [one for one in asked if isinstance(one, Ticket)]
        if len(under_way) >= limit:
            limiter.cancel(under_way.pop(0))
    return Counter(ticket.priority for ticket in under_way)


def test_each_class_gets_places_by_its_weight() -> None:
    found = crowd(Weighted([1, 3, 6]), 20, (LOW, NORMAL, HIGH))
    assert [found[one] for one in Priority] == pytest.approx([2, 6, 12], abs=1)


def test_what_a_class_does_not_ask_for_is_lent() -> None:
    assert crowd(Weighted([1, 3, 6]), 20, (LOW,))[LOW] >= 19


def test_what_is_reserved_stays_free_for_its_class() -> None:
    limiter = ConcurrencyLimiter(split=Reserved([0.0, 0.0, 0.25]), initial=20, most=20, least=20)
    let_in = [limiter.admit(0.0, LOW) for _ in range(30)]
    assert sum(isinstance(one, Ticket) for one in let_in) == 15
    assert sum(isinstance(limiter.admit(0.0, HIGH), Ticket) for _ in range(30)) == 5


def test_a_user_gets_no_more_than_another_who_wants_more() -> None:
    limiter = ConcurrencyLimiter(split=Fair(), initial=12, most=12, least=12)
    greedy = [limiter.admit(0.0, NORMAL, "greedy") for _ in range(30)]
    tickets = [one for one in greedy if isinstance(one, Ticket)]
    assert len(tickets) == 12  # nobody else asks
    assert isinstance(limiter.admit(0.1, NORMAL, "late"), Ticket)  # beyond the limit: who has nothing yet
    assert limiter.admit(0.1, NORMAL, "late") == "limit"
    for ticket in tickets[:4]:
        limiter.cancel(ticket)
    again = [limiter.admit(0.2, NORMAL, "greedy") for _ in range(4)]
    assert [isinstance(one, Ticket) for one in again] == [True, True, False, False]
    assert isinstance(limiter.admit(0.3, NORMAL, "late"), Ticket)  # the place that was kept for it
    limiter.cancel(tickets[4])
    assert isinstance(limiter.admit(0.4, NORMAL, "greedy"), Ticket)  # since the other wants no more


def max_min(limit: int, wanted: Sequence[int]) -> list[float]:
    """What each may have: a level that fills the limit, and nobody more than wanted."""
    level, left = 0.0, float(limit)
    for number, want in enumerate(sorted(wanted)):
        level = left / (len(wanted) - number)
        if want > level:
            break
        left -= want
    return [min(want, max(1.0, level)) if sum(wanted) > limit else want for want in wanted]


@settings(max_examples=25)
@given(st.integers(4, 30), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers())
def test_fair_is_max_min_fair_and_leaves_no_place_empty(limit: int, wanted: list[int], seed: int) -> None:
    """Each user goes on asking until it has what it wants; who is done asks again."""
    wanted, chance = wanted[:limit], random.Random(seed)
    limiter = ConcurrencyLimiter(split=Fair(), initial=limit, most=limit, least=limit)
    under_way: list[list[Ticket]] = [[] for _ in wanted]
    held = Counter[int]()
    for step in range(150):
        for tickets in chance.choices([one for one in under_way if one] or [[]], k=2):
            if tickets:
                limiter.cancel(tickets.pop())
        for user in chance.sample(range(len(wanted)), len(wanted)):
            while len(under_way[user]) < wanted[user]:
                ticket = limiter.admit(step * 0.02, NORMAL, str(user))
                if not isinstance(ticket, Ticket):
                    break
                under_way[user].append(ticket)
        if step >= 50:
            assert limiter.in_flight >= min(limit, sum(wanted)) - 1
            held.update({user: len(tickets) for user, tickets in enumerate(under_way)})
    for user, fair in enumerate(max_min(limit, wanted)):
        assert abs(held[user] / 100 - fair) <= 1.5


@given(st.integers(1, 20), st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=200))
def test_a_place_stays_empty_for_none_but_one_who_lacks_it(limit: int, steps: list[tuple[str, bool]]) -> None:
    limiter = ConcurrencyLimiter(split=Fair(), initial=limit, most=limit, least=limit)
    tickets: list[Ticket] = []
    refused: dict[str, float] = {}
    for number, (who, leaves) in enumerate(steps):
        now = number * 0.05
        if leaves and tickets:
            limiter.cancel(tickets.pop(0))
            continue
        answer = limiter.admit(now, NORMAL, who)
        if isinstance(answer, Ticket):
            tickets.append(answer)
            continue
        if limiter.in_flight < limit:
            counts = Counter(ticket.who for ticket in tickets)
            lacking = [one for one, at in refused.items() if one != who and now - at < 1.0]
            assert any(counts[one] < counts[who] for one in lacking)
        refused[who] = now


@given(
    st.sampled_from(["weighted", "reserve", "fair"]),
    st.lists(st.tuples(st.sampled_from(list(Priority)), st.sampled_from("abc"), st.booleans()), max_size=200),
)
def test_no_split_goes_beyond_the_limit_or_forgets_a_place(
    strategy: str, steps: list[tuple[Priority, str, bool]]
) -> None:
    limiter = ConcurrencyLimiter(split=split_of(strategy, (0.1, 0.2, 0.3)), initial=5, most=5, least=5)
    tickets: list[Ticket] = []
    for number, (priority, who, leaves) in enumerate(steps):
        if leaves and tickets:
            limiter.cancel(tickets.pop())
        elif isinstance(ticket := limiter.admit(number * 0.1, priority, who), Ticket):
            tickets.append(ticket)
        assert limiter.in_flight == len(tickets) <= 6
    for ticket in tickets:
        limiter.cancel(ticket)
    assert isinstance(limiter.admit(1e3, NORMAL, "z"), Ticket)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "fair", "shares": {"low": 1}}, "shares are for the strategies weighted and reserve"),
        ({"strategy": "reserve", "shares": {"low": 0.6, "high": 0.6}}, "at most 1 together, not 1.2"),
        ({"strategy": "weighted", "shares": {"low": 0}}, "above 0"),
        ({"strategy": "weighted", "shares": {"mid": 1}}, "'mid' is not one of low, normal, high"),
        ({"strategy": "lottery"}, "strategy"),
    ],
)
def test_settings_that_make_no_sense_are_told(given: Mapping[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Concurrency(**given)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("concurrency", "headers", "wanted"),
    [
        ({"strategy": "reserve", "shares": {"high": 0.5}}, {}, {"/low": 5, "/high": 5}),
        ({"strategy": "weighted", "shares": {"low": 1, "high": 4}}, {}, {"/low": 10, "/high": 1}),
        ({"strategy": "fair"}, {"/low": "a", "/high": "b"}, {"/low": 10, "/high": 1}),
    ],
)
async def test_a_strategy_by_settings_alone(
    concurrency: dict[str, Any], headers: dict[str, str], wanted: dict[str, int]
) -> None:
    """Twenty low ones come first, then twenty high ones, and none has gone yet."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    wanted_settings = Settings(
        concurrency_limit="on",
        concurrency=Concurrency(most=10, initial=10, least=10, **concurrency),
        request_priorities={"/low/**": "low", "/high/**": "high"},
        plugins=[],
    )
    client = Client(site := PerfMiddleware(app, wanted_settings))
    asked: list[tuple[str, asyncio.Task[Any]]] = []
    for path in ("/low", "/high"):
        fields = [("x-api-key", headers[path])] if headers else []
        for number in range(20):
            asked.append((path, asyncio.create_task(client.get(f"{path}/{number}", headers=fields))))
            await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0.001)
    go.set()
    answers = await asyncio.gather(*(task for _, task in asked))
    found = Counter(path for (path, _), answer in zip(asked, answers, strict=True) if answer.status == 200)
    assert {path: found[path] for path in wanted} == wanted
    assert site.runtime.limits is not None
    assert site.runtime.limits.state()["strategy"] == concurrency["strategy"]
    await site.runtime.stop()
