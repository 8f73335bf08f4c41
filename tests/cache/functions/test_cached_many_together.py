"""``@cached_many`` called by several at one time: each key is asked for once, whoever leaves or fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.cache import cached_many
from perfmw.cache.functions.many import CachedMany
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio


@pytest.fixture
def scope() -> Iterator[OwnScope]:
    with own_scope() as scope:
        yield scope


class Origin:
    """A get-many function whose calls end when the test says so."""

    def __init__(self, **options: float | None) -> None:
        self.calls: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.again = asyncio.Event()
        self.version = 1
        self.bad: set[int] = set()
        self.load: CachedMany[int, tuple[int, int]] = cached_many(tags=["n:{key}"], **options)(self._ask)  # type: ignore[arg-type]

    async def _ask(self, ids: list[int]) -> dict[int, tuple[int, int]]:
        self.calls.append(ids)
        if len(self.calls) > 1:
            self.again.set()
        gate = asyncio.Event()
        self.gates.append(gate)
        seen = self.version
        await gate.wait()
        if self.bad & set(ids):
            raise ConnectionError(f"bad among {ids}")
        return {number: (number, seen) for number in ids if number >= 0}

    def ask(self, *ids: int) -> asyncio.Task[dict[int, tuple[int, int]]]:
        return asyncio.create_task(self.load(ids))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_overlapping_calls_ask_for_each_key_once(scope: OwnScope) -> None:
    origin = Origin()
    one, two, three = origin.ask(1, 2), origin.ask(2, 3), origin.ask(3, 1)
    await settle()
    assert origin.calls == [[1, 2], [3]]
    origin.gates[1].set()
    await settle()
    assert not two.done()
    origin.gates[0].set()
    assert await one == {1: (1, 1), 2: (2, 1)}
    assert await two == {2: (2, 1), 3: (3, 1)}
    assert list(await three) == [3, 1]
    info = origin.load.info()
    assert (info.hits, info.misses, info.coalesced) == (0, 3, 3)
    assert len(scope.coalescer) == 0


async def test_two_who_each_lead_what_the_other_wants_do_not_wait_for_ever(scope: OwnScope) -> None:
    origin = Origin(wait=None)
    one, two = origin.ask(1, 2), origin.ask(3, 2)
    await settle()
    late_one, late_two = origin.ask(3, 4), origin.ask(4, 1)
    await settle()
    assert origin.calls == [[1, 2], [3], [4]]
    for gate in reversed(origin.gates):
        gate.set()
    async with asyncio.timeout(10):
        results = await asyncio.gather(one, two, late_one, late_two)
    assert [list(result) for result in results] == [[1, 2], [3, 2], [3, 4], [4, 1]]


async def test_the_leader_leaves_and_a_follower_asks_for_what_it_wanted(scope: OwnScope) -> None:
    origin = Origin()
    leader, follower, other = origin.ask(1, 2), origin.ask(2), origin.ask(2, 5)
    await settle()
    leader.cancel()
    await settle()
    assert origin.calls == [[1, 2], [5], [2]]
    origin.gates[1].set()
    origin.gates[2].set()
    assert await follower == {2: (2, 1)}
    assert await other == {2: (2, 1), 5: (5, 1)}
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_a_leader_that_leaves_while_storing_has_told_the_others() -> None:
    with own_scope(far=True) as scope:
        origin, stuck = Origin(), asyncio.Event()
        keep = scope.far.set

        async def slow_set(*args: object, **kwargs: object) -> object:
            await stuck.wait()
            return await keep(*args, **kwargs)

        scope.far.set = slow_set
        leader, follower = origin.ask(1, 2), origin.ask(2)
        await settle()
        origin.gates[0].set()
        await settle()
        leader.cancel()
        assert await follower == {2: (2, 1)}
        assert origin.calls == [[1, 2]]


async def test_a_call_that_fails_does_not_fail_those_who_wanted_less(scope: OwnScope) -> None:
    origin = Origin()
    origin.bad = {1}
    leader, same, more, other = origin.ask(1, 2), origin.ask(2, 1), origin.ask(1, 2, 3), origin.ask(2)
    await settle()
    assert origin.calls == [[1, 2], [3]]
    origin.gates[1].set()
    origin.gates[0].set()
    await settle()
    for task in (leader, same, more):
        with pytest.raises(ConnectionError, match=r"bad among \[1, 2\]"):
            await task
    assert origin.calls == [[1, 2], [3], [2]]
    origin.gates[2].set()
    assert await other == {2: (2, 1)}
    assert origin.load.info().errors == 1
    assert await origin.load([2, 3]) == {2: (2, 1), 3: (3, 1)}
    assert len(origin.calls) == 3


async def test_a_follower_stops_waiting_at_its_deadline(scope: OwnScope) -> None:
    origin = Origin(wait=0.01)
    leader = origin.ask(1)
    await settle()
    follower = origin.ask(1)
    await origin.again.wait()
    origin.gates[1].set()
    assert await follower == {1: (1, 1)}
    assert not leader.done()
    origin.gates[0].set()
    assert await leader == {1: (1, 1)}


async def test_what_was_invalidated_while_it_was_loaded_is_not_handed_on(scope: OwnScope) -> None:
    origin = Origin()
    leader, follower = origin.ask(1, 2), origin.ask(1, 2)
    await settle()
    origin.version = 2
    await scope.cache.invalidate(tags=["n:1"])
    origin.gates[0].set()
    await settle()
    assert await leader == {1: (1, 1), 2: (2, 1)}
    assert origin.calls == [[1, 2], [1]]
    origin.gates[1].set()
    assert await follower == {1: (1, 2), 2: (2, 1)}
    assert await origin.load([1, 2]) == {1: (1, 2), 2: (2, 1)}
    assert len(origin.calls) == 2


async def test_not_found_is_handed_on_as_well(scope: OwnScope) -> None:
    origin = Origin(negative=5)
    leader, follower = origin.ask(-1, 1), origin.ask(-1)
    await settle()
    origin.gates[0].set()
    assert await leader == {1: (1, 1)}
    assert await follower == {}
    assert await origin.load([-1]) == {}
    assert origin.calls == [[-1, 1]]


async def test_a_function_that_asks_for_its_own_key_does_not_wait_for_itself(scope: OwnScope) -> None:
    calls = []

    @cached_many(wait=None)
    async def load(ids: list[int]) -> dict[int, int]:
        calls.append(ids)
        inner = await load(ids) if len(calls) == 1 else {}
        return {number: number + len(inner) for number in ids}

    async with asyncio.timeout(10):
        assert await load([1, 2]) == {1: 3, 2: 4}
    assert calls == [[1, 2], [1, 2]]


async def test_results_that_cannot_be_copied_are_asked_for_by_each(
    scope: OwnScope, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    @cached_many()
    async def load(ids: list[int]) -> dict[int, asyncio.Event]:
        calls.append(ids)
        await asyncio.sleep(0)
        return {number: asyncio.get_running_loop().create_future() for number in ids}  # type: ignore[misc]

    one, two = await asyncio.gather(load([1]), load([1]))
    assert one[1] is not two[1]
    assert calls == [[1], [1]]
    assert "a result is not kept" in caplog.text


async def test_far_layers_are_asked_for_many_keys_and_fill_memory() -> None:
    with own_scope(far=True) as scope:
        calls = []

        @cached_many(ttl=60)
        async def load(ids: list[int]) -> dict[int, int]:
            calls.append(ids)
            return {number: number for number in ids}

        everything = list(range(100))
        await load(everything)
        scope.memory.clear_nowait()
        assert list(await load([*everything, 100])) == [*everything, 100]
        assert calls == [everything, [100]]


async def test_methods_keep_for_each_object(scope: OwnScope) -> None:
    class Shelf:
        def __init__(self, name: str) -> None:
            self.name = name
            self.calls: list[list[int]] = []

        def __cache_key__(self) -> str:
            return self.name

        @cached_many()
        async def load(self, ids: list[int]) -> dict[int, str]:
            self.calls.append(ids)
            return {number: f"{self.name}{number}" for number in ids}

    a, b = Shelf("a"), Shelf("b")
    assert await a.load([1]) == {1: "a1"}
    assert await b.load([1]) == {1: "b1"}
    assert await a.load([1, 2]) == {1: "a1", 2: "a2"}
    assert (a.calls, b.calls) == ([[1], [2]], [[1]])
    assert await a.load.invalidate(1) == 1
    await a.load([1, 2])
    assert a.calls[-1] == [1]


async def test_refresh_asks_for_all_and_replaces(scope: OwnScope) -> None:
    version = 1

    @cached_many()
    async def load(ids: list[int]) -> dict[int, int]:
        return dict.fromkeys(ids, version)

    await load([1, 2])
    version = 2
    assert await load.refresh([1]) == {1: 2}
    assert await load([1, 2]) == {1: 2, 2: 1}


def test_misuse_is_named_at_decoration() -> None:
    async def load(ids: list[int], deep: bool, more: int) -> dict[int, int]:
        return {}

    async def fine(ids: list[int]) -> dict[int, int]:
        return {}

    with pytest.raises(TypeError, match="must take a list of keys and nothing else"):
        cached_many()(load)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="no parameter 'id'; its parameters: key"):
        cached_many(tags=["user:{id}"])(fine)
    with pytest.raises(ValueError, match="ttl: -1"):
        cached_many(ttl=-1)
    with pytest.raises(TypeError, match="ttl: seconds as a number or a timedelta"):
        cached_many(ttl=lambda value: 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="load must take"):
        cached_many()(partial(load))


@pytest.mark.parametrize("function", [lambda ids: {}, partial(lambda ids: {}), classmethod(print), 5])
def test_what_is_no_async_function_is_named_without_its_address(function: Any) -> None:
    with pytest.raises(TypeError, match=r"decorates async functions, and .* is none") as refused:
        cached_many()(function)
    assert " at 0x" not in str(refused.value)


async def test_a_result_that_is_no_mapping_is_named() -> None:
    @cached_many(ttl=60)
    async def load(ids: list[int]) -> Any:
        return ids

    with pytest.raises(
        TypeError, match="load must return a mapping of the keys that it found; it returned list"
    ):
        await load([1])


async def test_a_key_without_identity_is_named_with_the_only_way_out() -> None:
    @cached_many(ttl=60)
    async def load(ids: list[object]) -> dict[object, int]:
        return {}

    with pytest.raises(TypeError, match=r"argument 'key'.*__cache_key__") as refused:
        await load([object()])
    assert "exclude" not in str(refused.value)


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_in_any_interleaving_everyone_gets_the_truth_and_nobody_asks_twice(seed: int) -> None:
    chance = random.Random(seed)

    async def scenario() -> None:
        at_work: set[int] = set()
        truth = dict.fromkeys(range(6), 0)

        async def pause() -> None:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

        @cached_many(wait=None)
        async def load(ids: list[int]) -> dict[int, int]:
            assert not at_work & set(ids)
            at_work.update(ids)
            try:
                seen = {number: truth[number] for number in ids}
                await pause()
                if chance.random() < 0.2:
                    raise ConnectionError
                return seen
            finally:
                at_work.difference_update(ids)

        async def caller() -> None:
            wanted = chance.sample(range(6), chance.randrange(1, 5))
            await pause()
            before = dict(truth)
            result = await load(wanted)
            assert list(result) == wanted
            assert all(result[number] >= before[number] for number in wanted)

        tasks = [asyncio.create_task(caller()) for _ in range(8)]
        for task in tasks:
            await pause()
            number = chance.randrange(6)
            if not at_work:
                truth[number] += 1
                await load.invalidate(number)
            if chance.random() < 0.2:
                task.cancel()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, (asyncio.CancelledError, ConnectionError, type(None))) for one in results)
        assert [task.cancelled() for task in tasks] == [
            isinstance(one, asyncio.CancelledError) for one in results
        ]

    with own_scope() as scope:
        asyncio.run(scenario())
        assert len(scope.coalescer) == 0
