from __future__ import annotations

import csv
import gzip
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfmw.learning import AdaptiveTTL, fixed_miss_ratio, rehearse_ttl
from perfmw.learning.hazard import AgeHazard, best_ttl
from perfmw.learning.keypatterns import key_pattern

Changes = dict[str, list[float]]
DAY = 86_400.0


def poisson(rates: list[float], end: float, seed: int) -> Changes:
    chance = random.Random(seed)
    changes: Changes = {}
    for number, rate in enumerate(rates):
        now, times = 0.0, list[float]()
        while now < end:
            times.append(now)
            now += chance.expovariate(rate)
        changes[f"/items/{number}"] = times
    return changes


def reads_of(
    changes: Changes, count: int, end: float, seed: int, zipf: float = 0.9
) -> list[tuple[float, str]]:
    chance = random.Random(seed)
    weights = [1 / (rank + 1) ** zipf for rank in range(len(changes))]
    keys = chance.choices(list(changes), weights, k=count)
    begin = min(times[0] for times in changes.values())
    return list(zip(sorted(chance.uniform(begin, end) for _ in range(count)), keys, strict=True))


def mixed_rates(count: int, mean: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [mean * math.exp(chance.gauss(0, 1.5)) for _ in range(count)]


@given(st.floats(1e-3, 1e3), st.floats(1e-9, 1e-5), st.floats(1.0, 1e3))
def test_the_best_ttl_is_the_known_root_where_reads_are_dense(
    reads: float, changes: float, price: float
) -> None:
    known = math.sqrt(2 / (price * reads * changes))
    ttl, stale = best_ttl(reads, changes, price)
    if known * changes < 1e-3 and known * reads > 1e3:
        assert ttl == pytest.approx(known, rel=0.01)
        assert stale == pytest.approx(1 / price, rel=0.02)
    assert ttl > 0
    assert 0 <= stale <= ttl * reads + 1e-9


@given(st.floats(0.01, 10.0), st.floats(0.001, 1.0), st.floats(1.0, 200.0))
def test_no_other_ttl_costs_less(reads: float, changes: float, price: float) -> None:
    def cost(ttl: float) -> float:
        stale = reads * (ttl + math.expm1(-changes * ttl) / changes)
        return (1 + price * stale) / (ttl + 1 / reads)

    best, _ = best_ttl(reads, changes, price)
    assert cost(best) <= min(cost(best * factor) for factor in (0.5, 0.8, 1.25, 2.0)) + 1e-6


def test_the_hazard_by_age_is_learned() -> None:
    chance = random.Random(1)
    bursts, steady = AgeHazard(), AgeHazard()
    for _ in range(3_000):
        bursts.observe(0.0, chance.weibullvariate(0.5, 0.5), changed=True)
        steady.observe(0.0, chance.expovariate(1.0), changed=True)
    assert bursts.factors[0] > 3 > 1 > bursts.factors[-2]
    assert all(0.6 < factor < 1.5 for factor in steady.factors[2:-2])
    assert steady.expected(0.5, 2.0) == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("cap", [0.005, 0.02, 0.05])
def test_fewer_misses_than_the_best_fixed_ttl_and_no_more_stale_reads_than_allowed(cap: float) -> None:
    changes = poisson(mixed_rates(80, 1 / DAY, seed=2), 20 * DAY, seed=3)
    reads = reads_of(changes, 20_000, 20 * DAY, seed=4)
    outcome = rehearse_ttl(reads, changes, AdaptiveTTL(max_stale=cap))
    assert 0.4 * cap < outcome.stale_share <= cap
    assert outcome.miss_ratio < 0.85 * fixed_miss_ratio(reads, changes, outcome.stale_share, steps=10)


def together(share: float, moments: int, keys: int, end: float, seed: int) -> Changes:
    chance = random.Random(seed)
    common = sorted(chance.uniform(0, end) for _ in range(moments))
    return {f"/items/{n}": [0.0, *(at for at in common if chance.random() < share)] for n in range(keys)}


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("cap", [0.01, 0.05])
def test_what_changes_together_is_asked_for_together(cap: float, share: float) -> None:
    changes = together(share, 20, 100, 20 * DAY, seed=1)
    reads = reads_of(changes, 20_000, 20 * DAY, seed=2)
    outcome = rehearse_ttl(reads, changes, AdaptiveTTL(max_stale=cap))
    assert 0 < outcome.stale_share <= cap
    assert outcome.miss_ratio < 0.7 * fixed_miss_ratio(reads, changes, outcome.stale_share, steps=10)


@pytest.mark.parametrize("seed", range(3))
def test_where_all_is_quiet_and_then_nothing_is_the_cap_holds(seed: int) -> None:
    chance = random.Random(seed)
    changes = {f"/items/{n}": sorted(chance.uniform(20.0, 40.0) for _ in range(40)) for n in range(60)}
    reads = [(now, key) for now, key in reads_of({k: [0.0, 40.0] for k in changes}, 6_000, 40.0, seed=seed)]
    learned = AdaptiveTTL(max_stale=0.05)
    outcome = rehearse_ttl(reads, changes, learned)
    assert outcome.stale_share <= 0.05
    assert learned.stale_share > 0.5 * outcome.stale_share


def test_who_does_not_ask_for_doubts_has_a_cap_too() -> None:
    class Lifetimes(AdaptiveTTL):
        def doubts(self, key: object, now: float) -> bool:
            return False

    changes = together(1.0, 20, 100, 20 * DAY, seed=1)
    reads = reads_of(changes, 20_000, 20 * DAY, seed=2)
    assert rehearse_ttl(reads, changes, Lifetimes(max_stale=0.05)).stale_share <= 0.05


def test_what_it_believes_of_staleness_is_about_true() -> None:
    changes = poisson(mixed_rates(100, 1 / DAY, seed=5), 20 * DAY, seed=6)
    reads = reads_of(changes, 30_000, 20 * DAY, seed=7)
    learned = AdaptiveTTL(max_stale=0.03)
    outcome = rehearse_ttl(reads, changes, learned)
    assert learned.stale_share == pytest.approx(outcome.stale_share, rel=0.2)


def feed(learned: AdaptiveTTL, key: str, changed: Callable[[int], bool], rounds: int = 60) -> float:
    ttl = 0.0
    for number in range(rounds):
        now = 1_000.0 * number
        learned.observe_access(key, now)
        if number:
            learned.observe_refresh(key, now, changed(number))
        ttl = learned.ttl(key, now)
        for hit in range(1, 10):
            learned.observe_access(key, now + 100.0 * hit)
    return ttl


def test_what_changes_often_lives_shorter() -> None:
    never = feed(AdaptiveTTL(0.05), "a", lambda _: False)
    often = feed(AdaptiveTTL(0.05), "a", lambda number: number % 2 == 0)
    assert never > 4 * often > 0


def test_a_new_key_learns_from_those_like_it() -> None:
    learned = AdaptiveTTL(0.05)
    for number in range(20):
        feed(learned, f"/steady/{number}", lambda _: False)
        feed(learned, f"/wild/{number}", lambda _: True)
    now = 70_000.0
    steady, wild = learned.ttl("/steady/99", now), learned.ttl("/wild/99", now)
    assert steady > 2 * wild


def test_an_invalidation_is_a_change_that_nobody_reads_stale() -> None:
    learned, other = AdaptiveTTL(0.5), AdaptiveTTL(0.5)
    feed(learned, "a", lambda _: False)
    feed(other, "a", lambda _: False)
    believed = learned.stale_share
    for number in range(30):
        now = 60_000.0 + 1_000.0 * number
        learned.ttl("a", now)
        learned.observe_change("a", now + 500.0)
        other.ttl("a", now)
    assert learned.stale_share == believed
    often, seldom = learned._changes(learned._keys["a"]), other._changes(other._keys["a"])
    assert often is not None
    assert seldom is not None
    assert often > 5 * seldom
    learned.observe_change("never seen", 95_000.0)
    assert learned.size == 1


def test_the_first_fetch_of_all_is_not_kept() -> None:
    learned = AdaptiveTTL()
    learned.observe_access("a", 5.0)
    assert learned.ttl("a", 5.0) == 0.0
    learned.observe_refresh("b", 6.0, True)
    assert math.isfinite(learned.ttl("b", 7.0))


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 1e5), st.booleans(), st.integers(0, 3)), max_size=80
    )
)
@example([("a", 0.0, False, 3), ("a", 0.0, False, 0), ("a", 0.0, False, 0), ("a", 1.0, True, 1)])
def test_any_order_of_calls_gives_a_time(calls: list[tuple[str, float, bool, int]]) -> None:
    learned, now = AdaptiveTTL(max_stale=0.2, max_keys=2), 0.0
    for key, gap, changed, what in calls:
        now += gap
        if what == 0:
            learned.observe_access(key, now)
        elif what == 1:
            learned.observe_refresh(key, now, changed)
        elif what == 2:
            learned.observe_change(key, now)
        else:
            ttl = learned.ttl(key, now)
            assert math.isfinite(ttl)
            assert ttl >= 0
        assert learned.size <= 2


def test_memory_is_bounded() -> None:
    learned = AdaptiveTTL(max_keys=100)
    for number in range(1_000):
        learned.observe_access(f"k{chr(97 + number % 26)}{number}", float(number))
        learned.ttl(f"k{chr(97 + number % 26)}{number}", float(number))
    assert learned.size <= 100
    assert len(learned._pools) <= 100


@pytest.mark.parametrize("bad", [{"max_stale": 0}, {"max_stale": 1.0}, {"max_keys": 0}])
def test_bounds_must_make_sense(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_stale"):
        AdaptiveTTL(**bad)  # type: ignore[arg-type]


def test_patterns_leave_out_what_varies() -> None:
    assert key_pattern("/items/17/reviews?page=2") == "/items/*/reviews?page=*"
    assert key_pattern("/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301/feed") == "/u/*/feed"
    assert key_pattern("/decade") == "/decade"
    assert key_pattern(7) == "int"


@pytest.mark.data
def test_recorded_changes(data_dir: Path) -> None:
    changes: Changes = {}
    with gzip.open(data_dir / "changes" / "documents.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            changes.setdefault(row["document"], []).append(float(row["changed_at"]))
    changes = {key: sorted(times) for key, times in changes.items()}
    end = max(times[-1] for times in changes.values())
    reads = [(now, key) for now, key in reads_of(changes, 60_000, end, seed=8) if now >= changes[key][0]]
    outcome = rehearse_ttl(reads, changes, AdaptiveTTL(max_stale=0.02))
    assert outcome.stale_share <= 0.02
    assert outcome.miss_ratio < 0.8 * fixed_miss_ratio(reads, changes, outcome.stale_share, steps=10)


def bursts(rates: list[float], end: float, seed: int) -> Changes:
    chance = random.Random(seed)
    changes: Changes = {}
    for number, rate in enumerate(rates):
        now, times = 0.0, list[float]()
        while now < end:
            times.append(now)
            now += chance.weibullvariate(0.5 / rate, 0.5) + 1.0
        changes[f"/items/{number}"] = times
    return changes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cap", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("kind", [poisson, bursts])
def test_with_few_reads_the_cap_holds_too(kind: Callable[..., Changes], cap: float, seed: int) -> None:
    changes = kind(mixed_rates(60 + 80 * seed, 1 / DAY, seed=seed), 20 * DAY, seed=seed + 50)
    reads = reads_of(changes, 1_500 + 500 * seed, 20 * DAY, seed=seed + 100)
    outcome = rehearse_ttl(reads, changes, AdaptiveTTL(max_stale=cap))
    assert outcome.stale_share <= cap
    assert outcome.miss_ratio < 1.0


def test_where_everything_is_always_stale_hardly_anything_is_served_from_the_cache() -> None:
    learned = AdaptiveTTL(0.05)
    assert feed(learned, "/wild", lambda _: True, rounds=300) < 1.0
