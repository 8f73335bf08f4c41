"""The memory layer: its bound, its order, its expiry, and both of its faces."""

from __future__ import annotations

import random
import sys
import threading
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES
from tests.cache.clock import FakeClock

pytestmark = pytest.mark.anyio

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["get", "set", "set", "set", "delete", "tick", "policy", "resize"]),
        st.integers(0, 15),
        st.integers(1, 60),
        st.sampled_from([None, 0, 1, 5]),
    ),
    max_size=100,
)


@given(operations=OPERATIONS, policy=st.sampled_from(sorted(POLICIES)), by_bytes=st.booleans())
def test_the_bound_holds_and_policy_and_layer_agree(
    operations: list[tuple[str, int, int, int | None]], policy: str, by_bytes: bool
) -> None:
    clock = FakeClock()
    bound = 100 if by_bytes else 5
    layer = _layer(bound, by_bytes, policy, clock)
    names = sorted(POLICIES)
    model: dict[int, tuple[int, float]] = {}
    for operation, key, size, ttl in operations:
        if operation == "set":
            kept = layer.set_nowait(key, size, ttl=ttl, size=size)
            model.pop(key, None)
            if kept:
                model[key] = (size, clock.now + ttl if ttl else float("inf"))
            assert (layer.peek_nowait(key) == size) is kept
        elif operation == "get":
            value = layer.get_nowait(key)
            assert value is None or value == model[key][0]
            if value is not None:
                assert model[key][1] > clock.now
        elif operation == "delete":
            layer.delete_nowait(key)
            model.pop(key, None)
        elif operation == "tick":
            clock.advance(size / 20)
        elif operation == "policy":
            layer.set_policy(names[key % len(names)])
        else:
            bound = size * 2 if by_bytes else 1 + size % 9
            layer.resize(**{"max_bytes" if by_bytes else "max_entries": bound})
        _check_agreement(layer, bound, by_bytes, model)


def _layer(bound: int, by_bytes: bool, policy: str, clock: FakeClock) -> MemoryLayer:
    if by_bytes:
        return MemoryLayer(max_bytes=bound, policy=policy, clock=clock)
    return MemoryLayer(max_entries=bound, policy=policy, clock=clock)


def _check_agreement(
    layer: MemoryLayer, bound: int, by_bytes: bool, model: dict[int, tuple[int, float]]
) -> None:
    assert (layer.bytes if by_bytes else layer.info().entries) <= bound
    keys = layer.keys_nowait()
    assert len(keys) == len(set(keys)) == len(layer)
    assert all(key in layer and layer.peek_nowait(key) == model[key][0] for key in keys)
    if by_bytes:
        assert layer.bytes == sum(model[key][0] for key in keys)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=200), st.integers(1, 6))
def test_lru_is_an_ordered_dict(operations: list[tuple[bool, int]], capacity: int) -> None:
    layer = MemoryLayer(max_entries=capacity)
    model: OrderedDict[int, int] = OrderedDict()
    for number, (write, key) in enumerate(operations):
        if write:
            layer.set_nowait(key, number)
            model[key] = number
            model.move_to_end(key)
            if len(model) > capacity:
                model.popitem(last=False)
        else:
            expected = model.get(key)
            if key in model:
                model.move_to_end(key)
            assert layer.get_nowait(key) == expected
        assert layer.keys_nowait() == list(model)


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("entries", [1, 2, 7, 100])
def test_as_many_distinct_keys_fit_as_the_bound_says(policy: str, entries: int) -> None:
    layer = MemoryLayer(max_entries=entries, policy=policy)
    assert all(layer.set_nowait(key, key) for key in range(entries))
    assert [layer.get_nowait(key) for key in range(entries)] == list(range(entries))
    assert layer.evictions == 0


def test_a_stored_none_is_not_a_miss() -> None:
    layer = MemoryLayer(max_entries=2)
    layer.set_nowait("a", None)
    missing = object()
    assert layer.get_nowait("a", missing) is None
    assert layer.get_nowait("b", missing) is missing
    assert (layer.hits, layer.misses) == (1, 1)


def test_an_item_larger_than_the_bound_is_refused_and_what_it_should_replace_goes() -> None:
    layer = MemoryLayer(max_bytes=10_000)
    assert layer.set_nowait("a", b"small")
    assert not layer.set_nowait("a", b"x" * 20_000)
    assert "a" not in layer
    assert layer.bytes == 0
    assert layer.refusals == 1


def test_bytes_count_key_value_and_overhead() -> None:
    layer = MemoryLayer(max_bytes=1_000_000)
    layer.set_nowait("k" * 1_000, b"v" * 2_000)
    assert layer.bytes is not None
    assert layer.bytes > 3_000 + 100


def test_memory_in_use_stays_near_the_bound_in_bytes() -> None:
    bound = 4_000_000
    tracemalloc.start()
    try:
        layer = MemoryLayer(max_bytes=bound)
        for number in range(10_000):
            layer.set_nowait(f"key-{number}", bytes(300), ttl=60)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(layer) > 1_000
    assert used < bound * 1.05


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_expired_entries_leave_before_live_ones(policy: str) -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_entries=100, policy=policy, clock=clock)
    for number in range(50):
        layer.set_nowait(("live", number), number)
    for number in range(50):
        layer.set_nowait(("short", number), number, ttl=1)
    clock.advance(1)
    for number in range(50):
        assert layer.set_nowait(("new", number), number)
    assert all(("live", number) in layer for number in range(50))
    assert layer.evictions == 0
    assert layer.expirations == 50


def test_an_entry_lives_until_its_time_and_not_a_moment_longer() -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_entries=5, clock=clock)
    layer.set_nowait("a", 1, ttl=10)
    clock.advance(9.999)
    assert layer.get_nowait("a") == 1
    assert layer.ttl_nowait("a") == pytest.approx(0.001)
    clock.advance(0.001)
    assert layer.get_nowait("a") is None
    assert "a" not in layer
    assert len(layer) == 0


def test_a_new_value_without_ttl_no_longer_expires() -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_entries=5, clock=clock)
    layer.set_nowait("a", 1, ttl=1)
    layer.set_nowait("a", 2)
    clock.advance(100)
    assert layer.get_nowait("a") == 2


def test_replacing_an_expired_entry_keeps_the_new_one_in_a_full_layer() -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_bytes=100, clock=clock)
    layer.set_nowait("a", 1, ttl=1, size=60)
    layer.set_nowait("b", 1, size=40)
    clock.advance(2)
    assert layer.set_nowait("a", 2, size=90)
    assert layer.get_nowait("a") == 2


def test_overwriting_for_ever_does_not_grow_the_expiry_queue() -> None:
    layer = MemoryLayer(max_entries=5, clock=FakeClock())
    for number in range(10_000):
        layer.set_nowait("a", number, ttl=1_000)
    assert len(layer._book._due) < 200


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_a_lifetime_of_nothing_is_not_stored(ttl: float) -> None:
    layer = MemoryLayer(max_entries=5)
    layer.set_nowait("a", 1)
    assert not layer.set_nowait("a", 2, ttl=ttl)
    assert "a" not in layer


def test_an_unknown_policy_names_the_setting_and_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"eviction_policy: 'lrru'.*allowed: adaptive, .*arc, fifo, .*lru"):
        MemoryLayer(max_entries=1, policy="lrru")


@pytest.mark.parametrize("bound", [{"max_entries": 0}, {"max_bytes": -5}])
def test_a_bound_below_one_is_an_error(bound: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bound))):
        MemoryLayer(**bound)


def test_changing_the_policy_keeps_the_contents_and_their_order() -> None:
    layer = MemoryLayer(max_entries=4)
    for key in "abcd":
        layer.set_nowait(key, key)
    layer.get_nowait("a")
    layer.set_policy("fifo")
    assert layer.policy == "fifo"
    assert layer.keys_nowait() == ["b", "c", "d", "a"]
    with pytest.raises(ValueError, match="nonsense"):
        layer.set_policy("nonsense")
    assert layer.policy == "fifo"
    assert layer.get_nowait("a") == "a"


def test_shrinking_keeps_what_the_policy_would_keep() -> None:
    layer = MemoryLayer(max_entries=10)
    for number in range(10):
        layer.set_nowait(number, number)
    layer.resize(max_entries=3)
    assert layer.keys_nowait() == [7, 8, 9]
    with pytest.raises(ValueError, match="bounded by"):
        layer.resize(max_bytes=100)


def test_a_policy_that_fails_to_choose_never_breaks_the_bound_or_the_caller() -> None:
    class Broken(POLICIES["lru"]):  # type: ignore[misc]
        def evict(self, incoming, size):
            raise RuntimeError("cannot choose")

    class Inventive(POLICIES["lru"]):  # type: ignore[misc]
        def evict(self, incoming, size):
            return "a key that never was"

    for policy in (Broken, Inventive):
        layer = MemoryLayer(max_entries=2, policy=policy)
        for number in range(5):
            layer.set_nowait(number, number)
        assert len(layer) == 2
        assert layer.get_nowait(4) == 4


def test_threads_never_see_another_keys_value_nor_break_the_bound() -> None:
    layer = MemoryLayer(max_entries=50, policy="arc")
    wrong: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(4_000):
            key = chance.randrange(120)
            value = layer.get_nowait(key)
            if value not in (None, key):
                wrong.append(value)
            layer.set_nowait(key, key, ttl=chance.choice([None, 0.0001, 60]))
            if chance.random() < 0.1:
                layer.delete_nowait(chance.randrange(120))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    assert len(layer) <= 50
    assert sorted(layer.keys_nowait()) == sorted(layer._values)


async def test_the_asynchronous_face_is_an_aiocache_backend() -> None:
    layer = MemoryLayer(max_entries=10)
    assert await layer.set("a", 1, ttl=10)
    assert await layer.get("a") == 1
    assert await layer.multi_set([("b", 2), ("c", 3)])
    assert await layer.multi_get(["a", "b", "x"]) == [1, 2, None]
    assert await layer.exists("a")
    assert await layer.increment("a", 4) == 5
    assert await layer.expire("a", 0)
    assert layer.ttl_nowait("a") is None
    assert await layer.delete("a") == 1
    assert await layer.delete("a") == 0
    assert await layer.add("a", 1)
    with pytest.raises(ValueError, match="exists"):
        await layer.add("a", 2)
    assert await layer.raw("keys") == ["c", "b", "a"]
    await layer.close()


async def test_increment_keeps_the_remaining_lifetime() -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_entries=10, clock=clock)
    await layer.set("n", 1, ttl=10)
    await layer.increment("n")
    assert layer.ttl_nowait("n") == pytest.approx(10)
    await layer.set("text", "x")
    with pytest.raises(TypeError):
        await layer.increment("text")


async def test_clear_keeps_to_its_namespace() -> None:
    layer = MemoryLayer(max_entries=10, namespace="mine:")
    await layer.set("a", 1)
    layer.set_nowait("theirs:a", 2)
    await layer.clear()
    assert await layer.get("a") is None
    assert layer.get_nowait("theirs:a") == 2
    await layer.clear(namespace="theirs:")
    assert len(layer) == 0


async def test_compare_and_set_and_lock_release() -> None:
    layer = MemoryLayer(max_entries=10)
    await layer.set("a", "token")
    assert await layer.set("a", "new", _cas_token="other") == 0
    assert await layer.set("a", "new", _cas_token="token")
    assert await layer._redlock_release("a", "token") == 0
    assert await layer._redlock_release("a", "new") == 1
    assert "a" not in layer


def test_a_default_ttl_applies_where_a_write_says_nothing() -> None:
    clock = FakeClock()
    layer = MemoryLayer(max_entries=10, ttl=5, clock=clock)
    layer.set_nowait("a", 1)
    layer.set_nowait("b", 1, ttl=float("inf"))
    clock.advance(6)
    assert "a" not in layer
    assert "b" in layer


@pytest.mark.parametrize("policy", ["lru", "fifo", "random", "sieve", "s3fifo", "arc", "wtinylfu", "gdsf"])
def test_an_entry_costs_less_than_300_bytes_where_many_have_come_and_gone(policy: str) -> None:
    keys = [1_000_000 + number for number in range(37_500)]
    tracemalloc.start()
    try:
        layer = MemoryLayer(max_bytes=12_500_000, policy=policy)  # tables as full as with 100,000
        for number, key in enumerate(keys):
            layer.set_nowait(key, key, 600 + number % 100 / 7, 1_000)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / len(layer) <= 300


def test_a_large_layer_that_is_read_meanwhile_changes_over_to_adaptive() -> None:
    layer = MemoryLayer(max_entries=12_000, policy="lru")
    for number in range(12_000):
        layer.set_nowait(number, number)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for number in range(0, 12_000, 7):
                layer.get_nowait(number)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for policy in ("adaptive", "lru", "adaptive"):
            layer.set_policy(policy)
            assert len(layer) == 12_000
        for number in range(12_000, 20_000):
            layer.set_nowait(number, number)
            if number % 5 == 0:
                layer.delete_nowait(number)
    finally:
        stop.set()
        reader.join()
    assert (layer.policy, len(layer.keys_nowait())) == ("adaptive", len(layer))
    assert len(layer) <= 12_000
