from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import IntelligentCacheManager
from perfmw.contracts import CacheStrategyConfig
from perfmw.learning import Starts, UsagePatterns, WriteEffects

HOUR, DAY = 3_600.0, 86_400.0


def learned(keys: list[str], gap: float = 1.0) -> UsagePatterns:
    patterns = UsagePatterns()
    for number, key in enumerate(keys):
        patterns.read(key, number * gap)
    return patterns


def test_hot_keys_and_those_asked_for_once() -> None:
    chance = random.Random(1)
    keys = [
        f"/hot/{chance.randrange(10)}" if chance.random() < 0.7 else f"/cold/{number}"
        for number in range(5_000)
    ]
    found = learned(keys).summary()
    assert set(found.hottest[:10]) == {f"/hot/{number}" for number in range(10)}
    assert 0.65 < found.hot_share < 0.8
    assert found.one_hit > 0.95
    assert found.drift is None
    assert {one.pattern: one.cardinality for one in found.patterns}["/hot/*"] == 10
    assert "asked for only once" in found.in_words()[0]


def test_the_number_of_keys_is_estimated_from_a_sample() -> None:
    patterns = learned([f"/item/{number}" for number in range(30_000)])
    found = patterns.summary()
    assert 26_000 < found.keys < 34_000
    assert 26_000 < found.patterns[0].cardinality < 34_000
    assert len(patterns._sample) <= 4_096


def test_a_hot_set_that_moves_drifts() -> None:
    chance = random.Random(2)
    still = [f"/k/{chance.randrange(50)}" for _ in range(30_000)]
    moving = [f"/k/{chance.randrange(50) + 50 * (number // 10_000)}" for number in range(30_000)]
    assert learned(still).summary().drift == 0.0
    assert learned(moving).summary().drift == 1.0


def by_hour(rate: list[int]) -> UsagePatterns:
    patterns = UsagePatterns()
    for hour, reads in enumerate(rate):
        for number in range(reads):
            patterns.read(f"/{number}", hour * HOUR + number)
    return patterns


def test_the_time_of_day_is_seen() -> None:
    found = by_hour([20 + round(19 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(97)]).summary()
    assert found.daily is not None
    assert found.daily > 0.9
    assert found.busiest_hour == 6
    assert any("6:00 UTC" in word for word in found.in_words())


def test_noise_is_no_season() -> None:
    chance = random.Random(3)
    found = by_hour([chance.randrange(10, 30) for _ in range(200)]).summary()
    assert found.daily is not None
    assert found.daily < 0.2
    assert by_hour([5] * 30).summary().daily is None


def test_the_day_of_the_week_is_seen() -> None:
    chance = random.Random(4)
    rate = [chance.randrange(8, 12) * (3 if hour // 24 % 7 < 5 else 1) for hour in range(24 * 15)]
    found = by_hour(rate).summary()
    assert found.weekly is not None
    assert found.weekly > 0.8
    assert any("day of the week" in word for word in found.in_words())


def test_scans_and_loops_are_told_apart() -> None:
    scan = learned([f"/row/{number}" for number in range(3_000)]).summary()
    assert scan.sequential > 0.9
    assert scan.loop is None
    order = list(range(500))
    random.Random(5).shuffle(order)
    loop = learned([f"/row/{number}" for number in order * 8]).summary()
    assert loop.loop is not None
    assert 450 <= loop.loop <= 620
    assert loop.sequential < 0.1
    assert any("loop" in word for word in loop.in_words())


def test_nothing_seen_is_told_too() -> None:
    found = UsagePatterns().summary()
    assert found.in_words()[0].startswith("0 reads")
    assert found.cache_patterns().cache_keys == []


def test_writes_and_what_changes_after_them() -> None:
    effects, chance = WriteEffects(window=10.0), random.Random(6)
    for number in range(50):
        now = 1_000.0 * number
        effects.write(f"/orders/{number}", now)
        effects.change(f"/users/{number}/orders", now + 3)
        effects.change("/weather", now + chance.uniform(100, 900))
        effects.write(f"/logs/{number}", now + 500)
    rules = effects.rules()
    assert [(rule.trigger, rule.invalidates, rule.confidence) for rule in rules] == [
        ("/orders/*", "/users/*/orders", 1.0)
    ]


def test_what_changes_all_the_time_follows_from_nothing() -> None:
    effects = WriteEffects(window=10.0)
    for number in range(200):
        effects.change("/ticker", 5.0 * number)
        if not number % 10:
            effects.write("/orders/1", 5.0 * number)
    assert effects.rules() == []


def test_what_every_start_begins_with() -> None:
    starts = Starts(first=5)
    for day in range(4):
        starts.start()
        for key in ("/", "/config", f"/news/{day}", "/menu", f"/x/{day}", "/late"):
            starts.read(key)
    found = starts.warmup()
    assert found is not None
    assert set(found.urls) == {"/", "/config", "/menu"}
    assert Starts().warmup() is None


@given(st.lists(st.tuples(st.text("ab1/", max_size=6), st.floats(0, 1e4)), max_size=200))
def test_any_reads_give_words(reads: list[tuple[str, float]]) -> None:
    patterns, now = UsagePatterns(), 0.0
    patterns.starts.start()
    for key, gap in reads:
        now += gap
        patterns.read(key, now)
        patterns.effects.write(key, now)
        patterns.effects.change(key, now)
    found = patterns.summary()
    assert all(found.in_words())
    assert found.reads == len(reads)
    assert 0 <= found.one_hit <= 1
    assert 0 <= found.hot_share <= 1
    assert 0 <= found.sequential <= 1


def test_what_was_learned_becomes_part_of_a_strategy() -> None:
    patterns = learned(["/a/1", "/a/2", "/a/1"] * 10)
    for number in range(5):
        patterns.effects.write("/a", 1_000.0 * number)
        patterns.effects.change("/a/1", 1_000.0 * number + 1)
        patterns.starts.start()
        patterns.starts.read("/a/1")
    config = CacheStrategyConfig(["/a/1", "/a/2"] * 20, patterns=patterns.summary().cache_patterns())
    strategy = IntelligentCacheManager().create_cache_strategy("learned", config)
    assert [rule.invalidates for rule in strategy.patterns.invalidation_rules] == ["/a/*"]
    assert {one.source for one in strategy.patterns.warmup_strategies} >= {"trace", "first after a start"}
    assert "1 writes" in strategy.evidence["invalidation_rules"]
