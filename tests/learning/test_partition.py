from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.learning import Claim, Partitioner


def learned(streams: dict[str, list[int]], claims: dict[str, Claim] | None = None) -> Partitioner:
    partitioner = Partitioner(claims)
    for row in zip(*streams.values(), strict=True):
        for name, key in zip(streams, row, strict=True):
            partitioner.access(name, key)
    return partitioner


def tight() -> dict[str, list[int]]:
    """A few hot keys, and a scan that would wash them out of one pool."""
    chance = random.Random(1)
    return {"hot": [chance.randrange(300) for _ in range(6_000)], "scan": list(range(6_000))}


def test_what_never_repeats_gets_nothing() -> None:
    plan = learned(tight()).plan(300)
    assert plan.parts is not None
    assert plan.parts["hot"] > 280
    assert plan.gain > 0.05
    assert "hot" in plan.in_words()


def test_with_room_for_all_the_pool_stays_shared() -> None:
    plan = learned(tight()).plan(12_000)
    assert plan.parts is None
    assert plan.beyond > 9_000
    assert "One pool" in plan.in_words()


def test_one_namespace_shares_with_nobody() -> None:
    plan = learned({"only": [1, 2, 1, 2]}).plan(2)
    assert plan.parts is None
    assert plan.shared == pytest.approx(0.5)


def test_a_flat_stretch_does_not_stop_it() -> None:
    """Of a loop nothing is hit until all of it fits."""
    streams = {"loop": [number % 200 for number in range(6_000)], "scan": list(range(6_000))}
    plan = learned(streams).plan(220)
    assert plan.parts is not None
    assert plan.parts["loop"] >= 200


def test_floors_and_caps_hold() -> None:
    plan = learned(tight(), {"scan": Claim(floor=0.25), "hot": Claim(cap=0.6)}).plan(400)
    assert plan.parts is not None
    assert plan.parts["scan"] >= 100
    assert plan.parts["hot"] <= 240


def test_misses_that_cost_more_count_more() -> None:
    chance = random.Random(2)
    streams = {name: [chance.randrange(400) for _ in range(8_000)] for name in ("cheap", "dear")}
    plan = learned(streams, {"dear": Claim(weight=20.0)}).plan(400)
    assert plan.parts is not None
    assert plan.parts["dear"] > 3 * plan.parts["cheap"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), max_size=300), st.integers(1, 60))
def test_a_plan_fits_the_cache(accesses: list[tuple[str, int]], capacity: int) -> None:
    partitioner = Partitioner(max_namespaces=3, worth=0.0)
    for access in accesses:
        partitioner.access(*access)
    plan = partitioner.plan(capacity)
    assert len(partitioner.curves) <= 4
    assert 0 <= plan.shared <= 1 + 1e-9
    assert 0 <= plan.beyond <= capacity
    if plan.parts is not None:
        assert sum(plan.parts.values()) <= capacity


def test_senseless_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="floor"):
        Claim(floor=0.5, cap=0.2)
    with pytest.raises(ValueError, match="floors"):
        Partitioner({"a": Claim(floor=0.6), "b": Claim(floor=0.6)})
    with pytest.raises(ValueError, match="capacity"):
        Partitioner().plan(0)
