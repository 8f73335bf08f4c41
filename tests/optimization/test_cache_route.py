from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import PerformanceProfile, RouteObservation, RuntimeSnapshot
from perfmw.optimization import CacheRouteOptimizer
from perfmw.optimization.cache_route import change_bound
from tests.optimization.world import ROUTE, RuleControls, make_opportunity, make_profile, make_route


def shot(
    *routes: RouteObservation, profiles: list[PerformanceProfile] | None = None, **more: Any
) -> RuntimeSnapshot:
    known = profiles or [make_profile(route.route) for route in routes]
    return RuntimeSnapshot(0.0, 100.0, known, routes, **more)


def missing(snapshot: RuntimeSnapshot, target: str = ROUTE) -> str:
    """Why ``target`` is not proposed."""
    optimizer = CacheRouteOptimizer()
    assert target not in {item.target for item in optimizer.propose(snapshot)}
    (said,) = (item.missing for item in optimizer.explain(snapshot) if item.target == target)
    return said


def test_a_slow_hot_repeating_route_is_proposed() -> None:
    snapshot = shot(make_route())
    (found,) = CacheRouteOptimizer().propose(snapshot)
    assert found.target == ROUTE
    assert found.parameters == {
        "rule_id": "cache_route:/items/*",
        "path": "/items/*",
        "ttl": 12.0,
        "stale_while_revalidate": 12.0,
    }
    assert found.title == "Cache /items/* for 24 s"
    # 1,000 requests in 100 s on 40 URLs: 0.25/s each, 3 while it is fresh, then 3 while it serves still
    hits = 1 - math.exp(-3) / 4
    assert found.expected_gain == pytest.approx(hits)
    assert found.saved_seconds_per_day == pytest.approx(hits * 0.05 * 10 * 86_400)
    assert found.risk == "low"
    assert found.evidence["equal_repeats"] == 360
    assert CacheRouteOptimizer().explain(snapshot) == []
    assert CacheRouteOptimizer().propose(snapshot) == [found], "the same snapshot, the same opportunities"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"requests": 49, "reasons": {"no-freshness": 49}}, "too quiet: 49 requests of 50"),
        ({"cookies_set": 1}, "sets cookies"),
        ({"equal_repeats": 300}, "changes too often: 60 of 360 repeats differed"),
        (
            {"repeats": 1_000, "equal_repeats": 994, "exposure": 200.0},
            "changes too often: 6 changes in 200 s",
        ),
        ({"repeats": 9, "equal_repeats": 9}, "not enough samples yet: 9 repeats of 10"),
        ({"distinct_urls": 0}, "nobody asked for it lately"),
        ({"watched": 2.0}, "not watched long enough yet: 2 s"),
        ({"exposure": 14.0}, "not watched long enough yet"),
        ({"personal": 390, "reasons": {"no-freshness": 50, "personal": 950}}, "personal: 390 of 400"),
        ({"reasons": {"no-store": 1_000}}, "forwarded most often for no-store"),
        ({"reasons": {}}, "never forwarded for want of freshness"),
        ({"distinct_urls": 5_000}, "too few repeats within 24 s"),
        ({"distinct_urls": 50, "sampled": 0.01}, "too few repeats within 24 s"),
    ],
)
def test_why_a_route_is_not_proposed(facts: dict[str, Any], words: str) -> None:
    assert words in missing(shot(make_route(**facts)))


def test_idle_hours_do_not_hide_a_busy_one() -> None:
    busy, idle = shot(make_route()), shot(make_route())
    idle.window_seconds = 10_000.0
    (now,), (then,) = CacheRouteOptimizer().propose(busy), CacheRouteOptimizer().propose(idle)
    assert now.expected_gain == then.expected_gain
    assert now.saved_seconds_per_day == pytest.approx(100 * then.saved_seconds_per_day)


def test_a_fast_route_is_left_alone() -> None:
    snapshot = shot(make_route(), profiles=[make_profile(mean=0.001)])
    assert "too fast to be worth it: 1.0 ms" in missing(snapshot)


def test_hits_do_not_make_the_origin_look_fast() -> None:
    snapshot = shot(make_route(), profiles=[make_profile(mean=0.004, hits=900)])
    (found,) = CacheRouteOptimizer().propose(snapshot)
    assert found.evidence["origin_mean_seconds"] == pytest.approx(0.04)


@pytest.mark.parametrize("path", ["/items/*", "/items/**", "/**"])
def test_a_route_with_a_rule_is_left_alone(path: str) -> None:
    assert "has a rule already" in missing(shot(make_route(), cache_rules=[{"path": path, "ttl": 5.0}]))


def test_a_rule_for_something_else_is_no_hindrance() -> None:
    rules = [{"path": "/items/special", "ttl": 5.0}, {"path": "/items/*", "ttl": None}]
    assert len(CacheRouteOptimizer().propose(shot(make_route(), cache_rules=rules))) == 1


def test_other_methods_and_templates_are_not_considered() -> None:
    routes = [make_route(name) for name in ("POST /items", "GET other", "GET /{page}", "HEAD /x")]
    optimizer = CacheRouteOptimizer()
    assert optimizer.propose(shot(*routes)) == []
    assert optimizer.explain(shot(*routes)) == []


def test_a_pattern_must_suit_every_route_that_it_covers() -> None:
    news = make_route("GET /items/news", equal_repeats=0)
    snapshot = shot(make_route(), news)
    assert "would also cover GET /items/news, which changes too often" in missing(snapshot)
    harmless = make_route("GET /items/best")
    assert len(CacheRouteOptimizer().propose(shot(make_route(), harmless))) == 2
    elsewhere = make_route("GET /news", equal_repeats=0)
    assert len(CacheRouteOptimizer().propose(shot(make_route(), elsewhere))) == 1


def test_the_most_time_saved_comes_first() -> None:
    routes = [make_route("GET /a"), make_route("GET /b"), make_route("GET /c")]
    profiles = [make_profile("GET /a"), make_profile("GET /b", mean=0.5), make_profile("GET /c", mean=0.1)]
    found = CacheRouteOptimizer().propose(shot(*routes, profiles=profiles))
    assert [item.target for item in found] == ["GET /b", "GET /c", "GET /a"]


@given(
    st.integers(20, 10_000),
    st.integers(0, 50),
    st.floats(15, 1e6),
    st.floats(5, 1e5),
    st.sampled_from(["basic", "advanced", "aggressive"]),
)
def test_the_ttl_keeps_its_bounds(
    repeats: int, changes: int, exposure: float, watched: float, level: Any
) -> None:
    route = make_route(
        repeats=repeats, equal_repeats=max(0, repeats - changes), exposure=exposure, watched=watched
    )
    ttl = CacheRouteOptimizer(level).oldest(route)
    assert 5 <= ttl <= {"basic": 60, "advanced": 300, "aggressive": 3600}[level]
    assert ttl <= max(5.0, watched)
    assert ttl == int(ttl)


def test_more_changes_shorten_the_ttl() -> None:
    optimizer = CacheRouteOptimizer("aggressive")
    ttls = [
        optimizer.oldest(
            make_route(repeats=5_000, equal_repeats=5_000 - changes, exposure=20_000.0, watched=9e9)
        )
        for changes in (0, 1, 3, 10)
    ]
    assert ttls == sorted(ttls, reverse=True)
    assert ttls[0] > 3 * ttls[-1]


@pytest.mark.parametrize(("changes", "bound"), [(0, 3.00), (1, 4.74), (3, 7.75), (10, 16.96)])
def test_the_bound_on_changes_is_that_of_the_tables(changes: int, bound: float) -> None:
    assert change_bound(changes) == pytest.approx(bound, rel=0.02)


def test_applying_and_reverting_are_idempotent() -> None:
    optimizer, controls = CacheRouteOptimizer(), RuleControls()
    (found,) = optimizer.propose(shot(make_route()))
    for _ in range(2):
        optimizer.apply(found, controls)
        assert controls.rules == {"cache_route:/items/*": 12.0}
    for _ in range(2):
        optimizer.revert(found, controls)
        assert controls.rules == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rule_id": "r", "path": "items", "ttl": 5.0},
        {"rule_id": "r", "path": "/items", "ttl": "soon"},
        {"rule_id": "r", "path": "/items", "ttl": -1.0},
        {"rule_id": "r", "path": "/items", "ttl": float("nan")},
        {"rule_id": 1, "path": "/items", "ttl": 5.0},
    ],
)
def test_damaged_parameters_are_refused(parameters: dict[str, Any]) -> None:
    controls = RuleControls()
    with pytest.raises(ValueError, match="parameters of a cache rule"):
        CacheRouteOptimizer().apply(make_opportunity(parameters=parameters), controls)
    assert controls.calls == []


def test_the_advice_can_be_pasted() -> None:
    (advice,) = CacheRouteOptimizer().recommend(shot(make_route()))
    assert "max-age=12, stale-while-revalidate=12" in advice.snippet
    assert 'CacheRule(path="/items/*", ttl=12, stale_while_revalidate=12)' in advice.snippet
    assert CacheRouteOptimizer().recommend(shot(make_route()), "GET /else") == []


def test_equal_answers_to_everybody_are_asked_about_and_never_assumed() -> None:
    facts: dict[str, Any] = {"personal": 390, "reasons": {"personal": 1_000}, "principal_pairs": 40}
    same = shot(make_route(**facts, equal_principal_pairs=40))
    (advice,) = CacheRouteOptimizer().recommend(same)
    assert "shared=True" in advice.snippet
    assert CacheRouteOptimizer().propose(same) == []
    assert CacheRouteOptimizer().recommend(shot(make_route(**facts, equal_principal_pairs=39))) == []
