"""Policies in a real layer against plain models of what their papers say, key by key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import MemoryLayer
from perfmw.cache.eviction import POLICIES
from perfmw.cache.eviction.s3fifo import S3FIFOPolicy


class Model(Protocol):
    """A cache of ``capacity`` keys; ``access`` reads a key and stores it where it was missing."""

    @property
    def keys(self) -> list[int]: ...

    def access(self, key: int) -> bool: ...


class _Lru:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.keys: list[int] = []

    def access(self, key: int) -> bool:
        found = key in self.keys
        if found:
            self.keys.remove(key)
        self.keys = [*self.keys, key][-self.capacity :]
        return found


class _Fifo(_Lru):
    def access(self, key: int) -> bool:
        return key in self.keys or super().access(key)


class _Sieve(_Lru):
    """The paper's Algorithm 1, the newest key last: the hand is a position that moves towards it."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.read: set[int] = set()
        self.hand = 0

    def access(self, key: int) -> bool:
        if key in self.keys:
            self.read.add(key)
            return True
        if len(self.keys) == self.capacity:
            self._evict()
        self.keys.append(key)
        return False

    def _evict(self) -> None:
        self.hand %= len(self.keys)
        while self.keys[self.hand] in self.read:
            self.read.remove(self.keys[self.hand])
            self.hand = (self.hand + 1) % len(self.keys)
        del self.keys[self.hand]
        if self.hand == len(self.keys):
            self.hand = 0


class _S3Fifo:
    """Algorithm 1 of the paper: a tenth on probation, as many ghosts as the main queue has room."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.small: list[int] = []
        self.main: list[int] = []
        self.ghosts: list[int] = []
        self.reads: dict[int, int] = {}
        self.room = max(1, capacity // 10)
        self.main_room = max(1, capacity - self.room)
        self.evicted = False

    @property
    def keys(self) -> list[int]:
        return self.small + self.main

    def access(self, key: int) -> bool:
        if key in self.reads:
            self.reads[key] = min(3, self.reads[key] + 1)
            return True
        returns = key in self.ghosts
        if returns:
            self.ghosts.remove(key)
        if len(self.reads) == self.capacity:
            self.evicted = True
            self._evict()
        warm = not self.evicted and len(self.small) >= self.room
        (self.main if returns or warm else self.small).append(key)
        self.reads[key] = 0
        return False

    def _evict(self) -> None:
        from_small = bool(self.small) and len(self.main) <= self.main_room
        key = self._leave_small() if from_small else None
        del self.reads[self._leave_main() if key is None else key]

    def _leave_small(self) -> int | None:
        while self.small:
            key = self.small.pop(0)
            if self.reads[key] < 2:
                self.ghosts.append(key)
                del self.ghosts[: max(0, len(self.ghosts) - int(0.9 * self.capacity))]
                return key
            self.reads[key] = 0
            self.main.append(key)
        return None

    def _leave_main(self) -> int:
        while self.reads[self.main[0]]:
            key = self.main.pop(0)
            self.reads[key] -= 1
            self.main.append(key)
        return self.main.pop(0)


class _Arc:
    """Figure 4 of the paper, in its own letters."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.t1: list[int] = []
        self.t2: list[int] = []
        self.b1: list[int] = []
        self.b2: list[int] = []
        self.p = 0.0

    @property
    def keys(self) -> list[int]:
        return self.t1 + self.t2

    def access(self, key: int) -> bool:
        t1, t2, b1, b2, c = self.t1, self.t2, self.b1, self.b2, self.capacity
        for held in (t1, t2):
            if key in held:
                held.remove(key)
                t2.append(key)
                return True
        for gone, towards in ((b1, 1.0), (b2, -1.0)):
            if key in gone:
                other = b2 if gone is b1 else b1
                self.p = min(c, max(0.0, self.p + towards * max(1.0, len(other) / len(gone))))
                self._replace(key)
                gone.remove(key)
                t2.append(key)
                return False
        self._make_room()
        t1.append(key)
        return False

    def _make_room(self) -> None:
        t1, t2, b1, b2, c = self.t1, self.t2, self.b1, self.b2, self.capacity
        if len(t1) + len(b1) == c:
            if len(t1) == c:
                t1.pop(0)
            else:
                b1.pop(0)
                self._replace(None)
        elif len(t1) + len(t2) + len(b1) + len(b2) >= c:
            if len(t1) + len(t2) + len(b1) + len(b2) == 2 * c:
                b2.pop(0)
            self._replace(None)

    def _replace(self, key: int | None) -> None:
        if len(self.t1) + len(self.t2) < self.capacity:
            return
        if self.t1 and (len(self.t1) > self.p or (key in self.b2 and len(self.t1) == self.p)):
            self.b1.append(self.t1.pop(0))
        else:
            self.b2.append(self.t2.pop(0))


class _Gdsf(_Lru):
    """Of equal ranks, whose was given first leaves first."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.ranks: dict[int, tuple[float, int]] = {}
        self.reads: dict[int, int] = {}
        self.age, self.clock = 0.0, 0

    def access(self, key: int) -> bool:
        found = key in self.reads
        if not found and len(self.keys) == self.capacity:
            gone = min(self.keys, key=self.ranks.__getitem__)
            self.keys.remove(gone)
            self.age = self.ranks.pop(gone)[0]
            del self.reads[gone]
        if not found:
            self.keys.append(key)
        self.clock += 1
        self.reads[key] = self.reads.get(key, 0) + 1
        self.ranks[key] = (self.age + self.reads[key], self.clock)
        return found


class _Lirs(_Lru):
    """With the stack of the publication: inner keys, outer ones and those who left, by their last reads."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.stack: list[int] = []
        self.inner: list[int] = []
        self.outer: list[int] = []
        self.gone: list[int] = []
        self.evicted = False

    def access(self, key: int) -> bool:
        found = key in self.keys
        known = key in self.stack and (found or key in self.gone)
        if not found:
            if len(self.keys) == self.capacity:
                self._evict(key)
            self.keys.append(key)
        entered = key in self.inner or known or (not self.evicted if not found else not self.inner)
        for place in (self.stack, self.outer, self.gone):
            if key in place:
                place.remove(key)
        self.stack.append(key)
        if not entered:
            self.outer.append(key)
        elif key not in self.inner:
            self.inner.append(key)
        if len(self.inner) > max(1, self.capacity - 1):
            demoted = next(one for one in self.stack if one in self.inner)
            self.inner.remove(demoted)
            self.outer.append(demoted)
        self._prune()
        return found

    def _evict(self, incoming: int) -> None:
        self.evicted = True
        bottom = [one for one in self.stack if one in self.inner]
        victim = (self.outer or bottom)[0]
        self.keys.remove(victim)
        if victim in self.inner:
            self.inner.remove(victim)
            self.stack.remove(victim)
        else:
            self.outer.remove(victim)
            self.gone += [victim] * (victim in self.stack)

    def _prune(self) -> None:
        while self.inner and self.stack[0] not in self.inner:
            left = self.stack.pop(0)
            if left in self.gone:
                self.gone.remove(left)


MODELS: dict[str, Callable[[int], Model]] = {
    "lru": _Lru,
    "fifo": _Fifo,
    "sieve": _Sieve,
    "s3fifo": _S3Fifo,
    "arc": _Arc,
    "gdsf": _Gdsf,
    "lirs": _Lirs,
}


@pytest.mark.parametrize("name", MODELS)
@given(
    capacity=st.sampled_from([1, 2, 3, 7, 10, 20, 31]),
    keys=st.lists(st.integers(0, 60).map(lambda n: n * n // 60), max_size=400),
)
def test_a_layer_hits_what_the_model_hits(name: str, capacity: int, keys: list[int]) -> None:
    model, layer = MODELS[name](capacity), MemoryLayer(max_entries=capacity, policy=name)
    for key in keys:
        found = layer.get_nowait(key) is not None
        assert found == model.access(key)
        if not found:
            layer.set_nowait(key, key)
        assert set(layer.keys_nowait()) == set(model.keys)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "write", "write", "delete", "resize", "policy"]),
        st.integers(0, 12),
        st.sampled_from([0, 1, 2, 5, 30, 1_000]),
        st.sampled_from([None, 0.0, 1e-9, 1.0, 1e300, math.inf, math.nan]),
    ),
    max_size=80,
)


@given(capacity=st.sampled_from([1, 2, 3, 40]), name=st.sampled_from(sorted(POLICIES)), steps=STEPS)
def test_no_size_and_no_cost_breaks_a_bound_in_bytes(
    capacity: int, name: str, steps: list[tuple[str, int, int, float | None]]
) -> None:
    layer, sizes = MemoryLayer(max_bytes=capacity, policy=name), dict[int, int]()
    for step, key, size, cost in steps:
        if step == "read":
            assert (layer.get_nowait(key) is not None) == (key in sizes)
        elif step == "write":
            stored = layer.set_nowait(key, key, size=size, cost=cost)
            assert stored == (layer.peek_nowait(key) is not None)
            sizes[key] = max(1, size)
        elif step == "delete":
            assert layer.delete_nowait(key) == (key in sizes)
        elif step == "resize":
            capacity = max(1, size)
            layer.resize(max_bytes=capacity)
        else:
            layer.set_policy(sorted(POLICIES)[key % len(POLICIES)])
        sizes = {one: sizes[one] for one in layer.keys_nowait() if isinstance(one, int)}
        assert layer.bytes == sum(sizes.values())
        assert layer.bytes <= capacity


@given(
    capacity=st.sampled_from([1, 2, 10, 50]),
    steps=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=200),
)
def test_s3fifo_decides_the_same_whoever_keeps_the_sizes(
    capacity: int, steps: list[tuple[int, int, bool]]
) -> None:
    class Keeping(S3FIFOPolicy):
        def ask_sizes_of(self, size_of: object) -> None:
            """It keeps them itself."""

    one, two = (MemoryLayer(max_bytes=capacity, policy=policy) for policy in ("s3fifo", Keeping))
    for key, size, deleted in steps:
        for layer in (one, two):
            if deleted and layer.get_nowait(key) is not None and size > 6:
                layer.delete_nowait(key)
            elif layer.get_nowait(key) is None or size < 3:
                layer.set_nowait(key, key, size=size)
        assert one.keys_nowait() == two.keys_nowait()
