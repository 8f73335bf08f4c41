from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from perfmw.monitoring.series import Bucket, Moved, SeriesWatch, describe, severity_of, worse

MINUTE = 60.0


def buckets(
    count: int,
    *,
    begin: int = 0,
    minutes: int = 1,
    latency: float = 0.05,
    errors: float = 0.0,
    requests: int = 200,
    seed: int = 1,
) -> Iterator[Bucket]:
    """Noisy traffic, ``minutes`` a bucket."""
    chance = random.Random(seed)
    for number in range(begin, begin + count):
        total = max(0, int(chance.gauss(requests, requests**0.5)))
        failed = sum(chance.random() < errors for _ in range(total))
        busy = (total - failed) * latency * chance.lognormvariate(0.0, 0.1)
        yield Bucket(number * minutes * MINUTE, minutes * MINUTE, total, failed, busy)


def feed(watch: SeriesWatch, found: Iterator[Bucket], name: str = "GET /x") -> list[Moved]:
    return [moved for one in found for moved in watch.update(name, name, "component", one)]


def test_a_step_is_found_and_says_since_when_how_much_and_how_sure() -> None:
    watch = SeriesWatch()
    assert not [one for one in feed(watch, buckets(300)) if worse(one)]
    feed(watch, buckets(25, begin=300, latency=0.06, seed=2))
    (finding,) = watch.findings()
    assert finding.type == "changed_latency"
    assert finding.since == pytest.approx(300 * MINUTE, abs=5 * MINUTE)
    assert finding.details["ratio"] == pytest.approx(1.2, abs=0.06)
    assert finding.confidence is not None
    assert finding.confidence > 0.999
    assert "GET /x became" in finding.message


def test_it_ends_when_the_level_is_back() -> None:
    watch = SeriesWatch()
    feed(watch, buckets(100))
    feed(watch, buckets(30, begin=100, latency=0.1, seed=2))
    assert [one.severity for one in watch.findings()] == ["high"] or watch.findings()[0].severity == "medium"
    feed(watch, buckets(10, begin=130, seed=3))
    assert watch.findings() == []


def test_what_stays_for_a_day_is_usual() -> None:
    watch = SeriesWatch()
    feed(watch, buckets(100))
    feed(watch, buckets(60, begin=100, latency=0.1, seed=2))
    assert watch.findings()
    feed(watch, buckets(1_500, begin=160, latency=0.1, seed=3))
    assert watch.findings() == []


def test_more_failures_are_found() -> None:
    watch = SeriesWatch()
    feed(watch, buckets(100))
    feed(watch, buckets(20, begin=100, errors=0.08, seed=2))
    (finding,) = [one for one in watch.findings() if one.type == "changed_errors"]
    assert finding.severity == "high"
    assert "fails in" in finding.message


def test_a_visitor_less_is_nothing_and_an_improvement_no_finding() -> None:
    watch = SeriesWatch()
    feed(watch, buckets(100))
    moved = feed(watch, buckets(30, begin=100, latency=0.02, requests=170, seed=2))
    assert watch.findings() == []
    assert "faster" in describe(next(one for one in moved if one.kind == "change"))


def test_a_wild_minute_is_nothing_two_are_an_anomaly() -> None:
    for wild in (1, 2):
        watch = SeriesWatch()
        feed(watch, buckets(300))
        feed(watch, buckets(wild, begin=300, latency=0.5, seed=2))
        assert [one.type for one in watch.findings()] == ["anomaly"] * (wild - 1)
    feed(watch, buckets(15, begin=302, seed=3))
    assert watch.findings() == [], "it stands for a while only"


def test_every_nights_slow_job_is_expected() -> None:
    watch = SeriesWatch()
    told = []
    for day in range(5):
        begin = day * 720
        feed(watch, buckets(90, begin=begin, minutes=2, seed=3 * day))
        feed(watch, buckets(15, begin=begin + 90, minutes=2, latency=0.1, seed=3 * day + 1))
        told.append(len(watch.findings()))
        feed(watch, buckets(615, begin=begin + 105, minutes=2, seed=3 * day + 2))
    assert told[0] > 0
    assert told[-2:] == [0, 0]


def test_noise_alone_gives_at_most_one_false_alarm_in_ten_thousand_buckets() -> None:
    watch, alarms = SeriesWatch(), 0
    for number in range(4):
        for one in buckets(2_500, seed=100 + number, errors=0.002):
            found = watch.update(str(number), str(number), "component", one)
            alarms += sum(worse(moved) for moved in found)
    assert watch.buckets == 10_000
    assert alarms <= 1


def test_the_state_survives_a_restart() -> None:
    old = SeriesWatch()
    feed(old, buckets(200))
    new = SeriesWatch()
    new.restore(msgspec.json.decode(msgspec.json.encode(old.state())))
    feed(new, buckets(25, begin=205, latency=0.075, seed=2))
    assert [one.type for one in new.findings()] == ["changed_latency"], (
        "a deploy that made it slower is found"
    )
    newer = SeriesWatch()
    newer.restore(msgspec.json.decode(msgspec.json.encode(new.state())))
    assert [one.key for one in newer.findings()] == [one.key for one in new.findings()]


def test_the_number_of_profiles_is_bounded() -> None:
    watch = SeriesWatch(most=3)
    for number in range(10):
        feed(watch, buckets(5), str(number))
    assert len(watch.ids()) == 3
    feed(watch, buckets(5, begin=200), "later")
    assert "later" in watch.ids()
    assert len(watch.ids()) == 3


def test_old_buckets_count_once() -> None:
    watch = SeriesWatch()
    one = Bucket(0.0, MINUTE, 10, 0, 1.0)
    watch.update("a", "a", "component", one)
    watch.update("a", "a", "component", one)
    assert watch.buckets == 1
    assert watch.until("a") == MINUTE
    assert watch.until("b") is None


def test_what_moved_at_the_same_time() -> None:
    watch = SeriesWatch()
    for name in ("a", "b"):
        feed(watch, buckets(100, seed=ord(name)), name)
        feed(watch, buckets(30, begin=100, latency=0.1, seed=7), name)
    feed(watch, buckets(160, seed=9), "c")
    assert {one.target for one in watch.moved(100 * MINUTE, but=["a"])} == {"b"}


@pytest.mark.parametrize(
    ("figure", "before", "after", "expected"),
    [
        ("latency", 0.1, 0.3, "high"),
        ("latency", 0.1, 0.12, "medium"),
        ("latency", 0.01, 0.012, "low"),
        ("errors", 0.001, 0.06, "high"),
        ("errors", 0.001, 0.02, "medium"),
        ("throughput", 10.0, 1.0, "low"),
    ],
)
def test_severities(figure: str, before: float, after: float, expected: str) -> None:
    moved = Moved("GET /x", figure, "change", 0.0, before, after, 1.0)  # type: ignore[arg-type]
    assert severity_of(moved) == expected
    assert "GET /x" in describe(moved)
