"""One memory in parts."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES
from perfmw.cache.eviction.parts import InParts, PartedPolicy
from perfmw.contracts import EvictionPolicy
from perfmw.testing.eviction import EvictionPolicyContract


def first_letter(key: Hashable) -> str:
    return str(key)[0]


def halves(capacity: int, policy: str = "lru") -> EvictionPolicy:
    return InParts(policy, POLICIES[policy], {"a": 0.5, "b": 0.5}, first_letter)(capacity)


class TestContract(EvictionPolicyContract):
    def make(self, capacity: int) -> EvictionPolicy:
        return InParts("s3fifo", POLICIES["s3fifo"], {"k": 0.5, "b": 0.5}, first_letter)(capacity)


def test_a_scan_of_one_kind_leaves_the_part_of_the_other_alone() -> None:
    layer = MemoryLayer(max_entries=100, policy=halves)
    for number in range(50):
        layer.set_nowait(f"a{number}", True)
    for number in range(1_000):
        layer.set_nowait(f"b{number}", True)
    assert sum(f"a{number}" in layer for number in range(50)) == 50
    assert len(layer) == 100


def test_room_that_its_owner_leaves_is_used_until_it_is_wanted() -> None:
    layer = MemoryLayer(max_bytes=1_000, policy=halves)
    for number in range(100):
        layer.set_nowait(f"b{number}", True, size=10)
    assert len(layer) == 100
    for number in range(100):
        layer.set_nowait(f"a{number}", True, size=10)
    kinds = [str(key)[0] for key in layer.keys_nowait()]
    assert (kinds.count("a"), kinds.count("b")) == (50, 50)


def test_kinds_without_a_share_leave_first() -> None:
    layer = MemoryLayer(max_entries=10, policy=halves)
    for number in range(10):
        layer.set_nowait(f"c{number}", True)
    for number in range(10):
        layer.set_nowait(f"{'ab'[number % 2]}{number}", True)
    assert {str(key)[0] for key in layer.keys_nowait()} == {"a", "b"}


def test_a_running_layer_takes_parts_and_gives_them_up() -> None:
    layer = MemoryLayer(max_entries=20, policy="s3fifo")
    for number in range(20):
        layer.set_nowait(f"{'ab'[number % 2]}{number}", number)
    layer.set_policy(InParts("s3fifo", POLICIES["s3fifo"], {"a": 0.9, "b": 0.1}, first_letter))
    assert layer.policy == "s3fifo in parts"
    for number in range(100, 140):
        layer.set_nowait(f"a{number}", number)
    kinds = [str(key)[0] for key in layer.keys_nowait()]
    assert (kinds.count("a"), kinds.count("b")) == (18, 2)
    layer.set_policy("s3fifo")
    assert len(layer) == 20
    layer.resize(max_entries=5)
    assert len(layer) == 5


@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "write", "delete"]), st.sampled_from("abc"), st.integers(0, 9))
    ),
    st.sampled_from(["lru", "s3fifo", "arc", "wtinylfu", "gdsf"]),
)
def test_whatever_happens_the_parts_hold_what_the_layer_holds(
    steps: list[tuple[str, str, int]], policy: str
) -> None:
    layer = MemoryLayer(max_bytes=60, policy=partial(halves, policy=policy))
    for what, kind, number in steps:
        key = f"{kind}{number}"
        if what == "write":
            layer.set_nowait(key, True, size=3 + number * 2)
        elif what == "drop":
            layer.delete_nowait(key)
        else:
            layer.get_nowait(key)
    parted = layer._policy
    assert isinstance(parted, PartedPolicy)
    assert sorted(map(str, parted.keys())) == sorted(map(str, layer._values))
    assert sum(part.used for part in parted._parts.values()) == layer.bytes
    assert (layer.bytes or 0) <= 60
