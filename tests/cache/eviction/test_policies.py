"""What every policy promises, whatever its order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache.eviction import POLICIES

pytestmark = pytest.mark.parametrize("name", sorted(POLICIES))

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["hit", "insert", "update", "remove", "evict", "resize"]),
        st.integers(0, 12),
        st.integers(1, 9),
    ),
    max_size=120,
)


@given(operations=OPERATIONS)
def test_a_policy_holds_each_resident_key_exactly_once(
    name: str, operations: list[tuple[str, int, int]]
) -> None:
    policy = POLICIES[name](40)
    resident: set[int] = set()
    for operation, key, size in operations:
        if operation == "resize":
            policy.resize(size * 10)
        elif operation == "evict":
            _evict(policy, resident, key, size)
        elif key not in resident:
            policy.on_insert(key, size, 0.5)
            resident.add(key)
        elif operation == "remove":
            policy.on_remove(key)
            resident.discard(key)
        elif operation == "hit":
            policy.on_hit(key)
        else:
            policy.on_update(key, size, 0.25)
        keys = list(policy.keys())
        assert len(keys) == len(set(keys)) == len(policy) == len(resident)
        assert set(keys) == resident


def _evict(policy, resident: set[int], incoming: int, size: int) -> None:
    newcomer = incoming if incoming not in resident else None
    if not resident:
        with pytest.raises(LookupError):
            policy.evict(None, size)
        return
    victim = policy.evict(newcomer, size)
    assert victim == newcomer or victim in resident
    resident.discard(victim)


def test_everything_can_be_evicted_without_a_newcomer(name: str) -> None:
    policy = POLICIES[name](10)
    for key in range(10):
        policy.on_insert(key, 1, 0.0)
        policy.on_hit(key)
    assert {policy.evict(None, 0) for _ in range(10)} == set(range(10))
    assert len(policy) == 0


def test_a_hit_that_raced_with_the_removal_of_its_key_leaves_no_resident(name: str) -> None:
    policy = POLICIES[name](10)
    policy.on_insert("a", 1, 0.0)
    policy.on_remove("a")
    try:
        policy.on_hit("a")
    except KeyError:
        pass
    assert list(policy.keys()) == []
    policy.on_insert("a", 1, 0.0)
    assert list(policy.keys()) == ["a"]


def test_tables_made_anew_hold_the_same(name: str) -> None:
    policy = POLICIES[name](40)
    for key in range(40):
        policy.on_insert(key, 1, 0.5)
    for key in range(0, 40, 3):
        policy.on_hit(key)
    before = list(policy.keys())
    getattr(policy, "close_gaps", bool)()
    assert list(policy.keys()) == before
    assert policy.evict("new", 1) in [*before, "new"]
