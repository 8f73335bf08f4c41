from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import RouteObservation
from perfmw.learning import Workload

ROUTE = "GET /items/{id}"


def see(workload: Workload, key: str, body: bytes, now: float, **more: Any) -> None:
    usual: dict[str, Any] = {"personal": False, "set_cookie": False}
    route = more.pop("route", ROUTE)
    workload.observe(route, key, f"/{key}", body, now=now, **(usual | more))


def only(workload: Workload) -> RouteObservation:
    (facts,) = workload.observations()
    return facts


def test_repeats_and_changes_are_counted() -> None:
    workload = Workload()
    for now, body in enumerate([b"a", b"a", b"b", b"b", b"b"]):
        see(workload, "x", body, float(now))
    see(workload, "y", b"a", 10.0)
    facts = only(workload)
    assert (facts.samples, facts.distinct_urls) == (6, 2)
    assert (facts.repeats, facts.equal_repeats) == (4, 3)
    assert (facts.exposure, facts.watched) == (4.0, 10.0)
    assert facts.interval == 1.0
    assert facts.example_paths == ("/x", "/y")
    assert facts.sampled == 1.0


def test_a_url_is_sampled_once_a_second_at_most() -> None:
    workload = Workload()
    assert workload.wants("x", 5.0)
    see(workload, "x", b"a", 5.0)
    assert not workload.wants("x", 5.9)
    assert workload.wants("x", 6.0)
    assert workload.wants("y", 5.0)


def test_the_answers_to_people_are_no_evidence_for_anybody() -> None:
    workload = Workload()
    for now in range(10):
        see(workload, "x", b"a", float(now), personal=True, principal=b"ann")
    facts = only(workload)
    assert (facts.samples, facts.personal) == (10, 10)
    assert (facts.repeats, facts.exposure, facts.example_paths) == (0, 0.0, ())


def test_cookies_are_counted() -> None:
    workload = Workload()
    see(workload, "x", b"a", 1.0, set_cookie=True)
    see(workload, "x", b"a", 2.0)
    assert only(workload).cookies_set == 1


@pytest.mark.parametrize(
    ("second", "pairs", "equal"),
    [
        ({"body": b"a", "personal": True, "principal": b"bob"}, 1, 1),
        ({"body": b"b", "personal": True, "principal": b"bob"}, 1, 0),
        ({"body": b"a", "personal": True, "principal": b"ann"}, 0, 0),
        ({"body": b"a", "personal": True}, 0, 0),
        ({"body": b"a"}, 1, 1),
        ({"body": b"b"}, 1, 0),
    ],
)
def test_answers_to_two_principals_are_compared(second: dict[str, Any], pairs: int, equal: int) -> None:
    workload = Workload()
    see(workload, "x", b"a", 1.0, personal=True, principal=b"ann")
    see(workload, "x", second.pop("body"), 2.0, **second)
    facts = only(workload)
    assert (facts.principal_pairs, facts.equal_principal_pairs) == (pairs, equal)


def test_an_anonymous_answer_is_compared_with_a_later_personal_one() -> None:
    workload = Workload()
    see(workload, "x", b"a", 1.0)
    see(workload, "x", b"hello ann", 2.0, personal=True, principal=b"ann")
    facts = only(workload)
    assert (facts.principal_pairs, facts.equal_principal_pairs) == (1, 0)


def slots_of(thing: object) -> list[object]:
    return [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]


def test_a_principal_is_never_kept_in_clear() -> None:
    workload, other = Workload(), Workload()
    for one in (workload, other):
        see(one, "x", b"a", 1.0, personal=True, principal=b"secret-token")
    held = slots_of(workload._keys["x"])
    assert not any(b"secret" in value for value in held if isinstance(value, bytes))
    assert held[slots_index("principal")] != slots_of(other._keys["x"])[slots_index("principal")], "salted"


def slots_index(name: str) -> int:
    workload = Workload()
    see(workload, "x", b"a", 1.0)
    return type(workload._keys["x"]).__slots__.index(name)


def test_the_number_of_watched_urls_is_bounded() -> None:
    workload = Workload(max_keys=100)
    for number in range(20_000):
        key, now = f"key-{number}", 100.0 + number / 1_000
        if workload.wants(key, now):
            see(workload, key, b"a", now)
        assert len(workload) <= 100
    facts = only(workload)
    assert facts.sampled == workload.rate < 0.02
    assert facts.distinct_urls == len(workload)
    assert facts.distinct_urls / facts.sampled == pytest.approx(20_000, rel=0.5)


def test_a_watched_url_is_watched_whole() -> None:
    workload = Workload(max_keys=50)
    for number in range(2_000):
        see(workload, f"key-{number}", b"a", 1.0)
    chosen = [number for number in range(2_000) if workload.wants(f"key-{number}", 2.0)]
    assert 1 <= len(chosen) <= 60
    assert chosen == [number for number in range(2_000) if workload.wants(f"key-{number}", 3.0)]


def test_idle_urls_are_forgotten_and_the_rate_recovers() -> None:
    workload = Workload(max_keys=100, horizon=60.0)
    for number in range(5_000):
        see(workload, f"key-{number}", b"a", 1.0)
    low = workload.rate
    workload.observations(now=30.0)
    assert len(workload) > 0
    for now in range(100, 200):
        facts = workload.observations(now=float(now))
    assert low < workload.rate == 1.0
    assert len(workload) == facts[0].distinct_urls == 0


def test_the_number_of_routes_is_bounded() -> None:
    workload = Workload(max_routes=3)
    for number in range(10):
        see(workload, f"key-{number}", b"a", 1.0, route=f"GET /{number}")
    assert [facts.route for facts in workload.observations()] == ["GET /0", "GET /1", "GET /2"]
    assert len(workload) == 3


def test_a_url_that_changes_its_route_moves() -> None:
    workload = Workload()
    see(workload, "x", b"a", 1.0, route="GET /old")
    see(workload, "x", b"a", 2.0, route="GET /new")
    assert {facts.route: facts.distinct_urls for facts in workload.observations()} == {
        "GET /old": 0,
        "GET /new": 1,
    }


def test_old_evidence_fades_but_a_change_is_not_forgotten_first() -> None:
    workload = Workload()
    see(workload, "x", b"a", 0.0)
    for now in range(1, 20_000):
        see(workload, "x", b"b", float(now))
    facts = only(workload)
    assert facts.samples < 10_000
    assert facts.repeats - facts.equal_repeats == 1
    assert facts.exposure == pytest.approx(facts.repeats, rel=0.01)


@pytest.mark.parametrize("bad", [{"max_keys": 1}, {"max_routes": 0}])
def test_bounds_must_make_sense(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Workload(**bad)


events = st.tuples(
    st.sampled_from("abcdef"),
    st.sampled_from([b"1", b"2"]),
    st.sampled_from([None, b"ann", b"bob"]),
    st.floats(0, 5),
)


@given(st.lists(events, max_size=80), st.integers(2, 8))
def test_the_counts_agree_with_each_other(
    seen: list[tuple[str, bytes, bytes | None, float]], keys: int
) -> None:
    workload, now = Workload(max_keys=keys), 0.0
    for key, body, principal, wait in seen:
        now += wait
        see(
            workload, key, body, now, personal=principal is not None, principal=principal, route=f"GET /{key}"
        )
    for facts in workload.observations():
        assert 0 <= facts.equal_repeats <= facts.repeats <= facts.samples - facts.personal
        assert 0 <= facts.equal_principal_pairs <= facts.principal_pairs
        assert 0 <= facts.exposure <= now + 1e-6
        assert 0 <= facts.distinct_urls <= len(workload)
    assert len(workload) <= keys
