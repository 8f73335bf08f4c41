from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning import Prefetcher, rehearse_prefetch
from perfmw.learning.rehearsal import Request


def visits(count: int, seed: int, pages: int = 60, embedded: int = 3) -> list[Request]:
    """People open a page, get what is embedded in it, and often go on to one certain page."""
    chance = random.Random(seed)
    found: list[Request] = []
    for number in range(count):
        now, page = 40.0 * number + chance.random(), chance.randrange(pages)
        for _ in range(3):
            found.append((f"client{number}", f"/page/{page}", now, 5_000))
            found += [
                (f"client{number}", f"/page/{page}/{item}.png", now + 0.2 * (item + 1), 2_000)
                for item in range(embedded)
            ]
            if chance.random() > 0.8:
                break
            page, now = (page * 7 + 1) % pages, now + chance.uniform(5, 30)
    return sorted(found, key=lambda request: request[2])


def test_what_is_embedded_and_what_follows_is_prefetched() -> None:
    requests = visits(1_500, seed=1)
    without, learned = rehearse_prefetch(requests, None), rehearse_prefetch(requests, Prefetcher())
    assert learned.hit_ratio > without.hit_ratio + 0.2
    assert learned.precision > 0.75
    assert learned.origin_bytes < 1.2 * without.origin_bytes


def test_it_backs_off_where_nothing_can_be_known() -> None:
    chance = random.Random(2)
    requests = [
        (f"c{chance.randrange(20)}", f"/{chance.randrange(300)}", float(now), 1_000) for now in range(15_000)
    ]
    learned = Prefetcher()
    outcome = rehearse_prefetch(requests, learned)
    assert outcome.prefetches < 0.02 * outcome.requests
    assert outcome.origin_bytes < 1.1 * rehearse_prefetch(requests, None).origin_bytes


def test_a_site_that_changes_raises_the_threshold() -> None:
    learned = Prefetcher()
    rehearse_prefetch(visits(400, seed=3), learned)
    before, now = learned.threshold, 100_000.0
    for number in range(400):
        now += 400.0
        learned.observe(f"x{number}", f"/page/{number % 60}", now)
    assert learned.threshold > before
    assert learned.precision < 0.9


def test_a_rare_link_says_nothing() -> None:
    learned = Prefetcher(support=3)
    for number in range(3):
        learned.observe(f"c{number}", "/a", 1_000.0 * number)
        learned.observe(f"c{number}", "/b", 1_000.0 * number + 1)
    assert learned.observe("last", "/a", 5_000.0) == ["/b"]
    fresh = Prefetcher(support=3)
    for number in range(2):
        fresh.observe(f"c{number}", "/a", 1_000.0 * number)
        fresh.observe(f"c{number}", "/b", 1_000.0 * number + 1)
    assert fresh.observe("last", "/a", 5_000.0) == []


def test_what_is_still_cached_is_not_asked_for() -> None:
    learned = Prefetcher(ttl=300.0)
    for number in range(6):
        learned.observe(f"c{number}", "/a", 1_000.0 * number)
        learned.observe(f"c{number}", "/b", 1_000.0 * number + 1)
    assert learned.observe("one", "/a", 6_000.0) == ["/b"]
    assert learned.observe("two", "/a", 6_010.0) == []


def test_it_may_be_told_what_is_in_the_cache() -> None:
    learned = Prefetcher(ttl=300.0)
    for number in range(6):
        learned.observe(f"c{number}", "/a", 1_000.0 * number)
        learned.observe(f"c{number}", "/b", 1_000.0 * number + 1)
    learned.kept("/b", 5_001.0, 5_010.0)
    assert learned.observe("one", "/a", 5_009.0) == []
    assert learned.observe("two", "/a", 5_020.0) == ["/b"]
    learned.kept("/b", 5_020.0, 5_020.0)
    assert learned.observe("three", "/a", 5_021.0) == ["/b"]
    learned.kept("/unknown", 5_020.0, 6_000.0)


def test_links_do_not_cross_clients_or_long_times() -> None:
    apart, late = Prefetcher(), Prefetcher(window=60.0)
    for number in range(20):
        now = 1_000.0 * number
        apart.observe(f"x{number}", "/a", now)
        apart.observe(f"y{number}", "/b", now + 1)
        late.observe(f"x{number}", "/a", now)
        late.observe(f"x{number}", "/b", now + 61)
    assert apart.observe("z", "/a", 30_000.0) == late.observe("z", "/a", 30_000.0) == []


def test_large_values_are_not_wasted() -> None:
    def run(size: int) -> list[str]:
        learned = Prefetcher()
        for number in range(12):
            learned.observe(f"c{number}", "/a", 1_000.0 * number, 100)
            if number % 2:
                learned.observe(f"c{number}", "/b", 1_000.0 * number + 1, size if number == 11 else 100)
        return learned.observe("last", "/a", 20_000.0, 100)

    assert run(100) == ["/b"]
    assert run(1_000_000) == []


def test_clients_are_not_stored_in_clear() -> None:
    one, other = Prefetcher(), Prefetcher()
    for learned in (one, other):
        learned.observe("203.0.113.9", "/a", 1.0)
    assert "203.0.113.9" not in repr(list(one._clients))
    assert list(one._clients) != list(other._clients)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 15), st.floats(0, 200)), max_size=200),
    st.integers(2, 6),
    st.integers(1, 4),
)
def test_everything_is_bounded(steps: list[tuple[int, int, float]], keys: int, entries: int) -> None:
    learned, now = Prefetcher(max_keys=keys, fan=2, max_clients=3, entries=entries), 0.0
    for client, key, gap in steps:
        now += gap
        chosen = learned.observe(str(client), str(key), now, key)
        assert str(key) not in chosen
        assert learned.size <= keys
        assert len(learned._clients) <= 3
        assert len(learned._cached) <= entries
        assert all(len(node.edges) <= 4 for node in learned._nodes.values())
        assert 0 < learned.threshold < 1
        assert 0 <= learned.precision <= 1


@pytest.mark.parametrize("bad", [{"ttl": 0.0}, {"entries": 0}, {"max_keys": 1}, {"window": -1.0}])
def test_bounds_must_make_sense(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Prefetcher(**bad)  # type: ignore[arg-type]


def test_nothing_known_is_no_gain_and_no_error() -> None:
    assert rehearse_prefetch([], Prefetcher()).hit_ratio == 0.0
    assert Prefetcher().precision == 0.0


def test_what_it_learned_is_told_as_rules() -> None:
    prefetcher = Prefetcher()
    for number in range(10):
        for second, key in enumerate(("/page", "/style.css", "/seldom" if number == 0 else "/often")):
            prefetcher.observe(f"visitor {number}", key, 1_000.0 * number + second)
    rules = {(rule.after, rule.fetch): rule.confidence for rule in prefetcher.rules()}
    assert rules["/page", "/style.css"] == 1.0
    assert rules["/page", "/often"] == pytest.approx(0.9)
    assert ("/page", "/seldom") not in rules
    assert len(prefetcher.rules(most=1)) == 1
