"""All routes together over time."""

from __future__ import annotations

import pytest

from perfmw.contracts import Alert
from perfmw.dashboard.charts import chart
from perfmw.dashboard.site import (
    MOST_EVENTS,
    cache_charts,
    events_of,
    pool_chart,
    pool_names,
    site_charts,
    site_of,
    with_events,
)
from perfmw.monitoring.history import Means
from perfmw.monitoring.timeline import Annotation
from perfmw.profiles.reading import Reading
from perfmw.profiles.store import WHOLE, ProfileStore
from perfmw.profiles.tally import tally_of
from perfmw.profiles.traffic import Traffic
from perfmw.profiles.windows import Windows

START = 1_760_000_000.0


def served(hits: int, misses: int) -> Reading:
    reading = Reading()
    for _ in range(hits):
        reading.hit_sketch.record(0.001)
    for _ in range(misses):
        reading.add_outcome(200, "uri-miss", _once(0.1))
    reading.traffic.hit_bytes, reading.traffic.stored_bytes = 300 * hits, 100 * misses
    reading.traffic.saved = 0.099 * hits
    return reading


def _once(seconds: float):  # type: ignore[no-untyped-def]
    from perfmw.profiles import LatencySketch

    sketch = LatencySketch()
    sketch.record(seconds)
    return sketch


def windows(seconds: int, hits: int = 3, misses: int = 1) -> Windows:
    found = Windows(START, WHOLE)
    for second in range(seconds):
        reading = served(hits, misses)
        found.add(reading, tally_of(reading, 0.5), START + second)
        found.close(START + second + 1)
    return found


def test_hits_are_told_apart_from_misses() -> None:
    site = site_of(windows(120), START + 120, 60.0)
    assert len(site.points) == 12
    point = site.points[0]
    assert (point.count, point.hits, point.seconds) == (20, 15, 5.0)
    assert point.hits_p95 == pytest.approx(0.001, rel=0.03)
    assert point.misses_p95 == pytest.approx(0.1, rel=0.03)


def test_the_hit_rate_is_told_by_requests_bytes_and_time() -> None:
    served = site_of(windows(60), START + 60, 60.0).served
    assert served.requests == 240
    assert served.share == 0.75
    assert served.bytes == pytest.approx(0.9)
    assert served.saved == pytest.approx(0.099 * 180)
    assert served.time == pytest.approx(17.82 / (17.82 + 0.001 * 180 + 0.1 * 60), rel=0.02)


def test_a_quiet_site_has_no_figures() -> None:
    site = site_of(Windows(START, WHOLE), START + 60, 60.0)
    assert site.points == []
    assert (site.served.share, site.served.bytes, site.served.time) == (None, None, None)
    assert all(one.empty for one in site_charts(site, START + 60).values())


def test_charts_end_now_and_begin_where_the_range_does() -> None:
    site = site_of(windows(400), START + 400, 300.0)
    for one in [*site_charts(site, START + 400).values(), *cache_charts(site, START + 400).values()]:
        assert (one.start, one.end) == (START + 100, START + 400)
        assert not one.empty


def test_what_was_done_stands_in_the_chart() -> None:
    events = events_of(
        [Annotation(START + 30, "deploy", "shop 2"), Annotation(START - 900, "deploy", "shop 1")],
        [
            Alert("a", "latency", "high", "slow", "GET /", START - 500),
            Alert("b", "latency", "low", "was slow", "GET /", START - 500, START - 400),
        ],
        START,
    )
    assert [(one.kind, one.text) for one in events] == [("deploy", "shop 2"), ("alert", "slow")]
    drawn = with_events(chart([], {}, (START, START + 60)), events)
    assert [(one.name, one.path) for one in drawn.events] == [("deploy: shop 2", "M500.0,0V200")]
    assert len(events_of([Annotation(START + n, "purge", "x") for n in range(99)], [], START)) == MOST_EVENTS


def test_the_busiest_pools_have_lines() -> None:
    moments = [
        Means(START + n, 1.0, {f"pool {k}": k / 10 + n / 100 for k in range(8)} | {"late": 0.9})
        for n in range(5)
    ]
    assert pool_names(moments) == ["late", "pool 7", "pool 6", "pool 5", "pool 4"]
    assert [line.name for line in pool_chart(moments, 60.0, START + 5).lines] == pool_names(moments)


def test_the_store_counts_all_routes_together() -> None:
    now = [START]
    store = ProfileStore(clock=lambda: now[0])
    for second in range(1, 21):
        store.recorder("GET /a").hit(0.001)
        store.recorder("GET /b").origin(0.1, 200, "uri-miss")
        now[0] = START + second
        store.tick(now[0])
        store.recorder("GET /a").traffic.add(Traffic(hit_bytes=10, saved=0.099))
        store.tick(now[0] + 0.5)
    site = site_of(store.whole, now[0], 60.0)
    assert (site.whole.count, site.whole.hits) == (40, 20)
    assert site.served.sent == 190  # the last one came after the last request was counted
    assert site.served.saved == pytest.approx(19 * 0.099)
