"""A function under ``@cached`` does what it did without: what goes wrong with keeping is not its caller's."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from aiocache import SimpleMemoryCache

from perfmw.cache import cached
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def scope() -> Iterator[OwnScope]:
    with own_scope(far=True) as scope:
        yield scope


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": lambda value: value["missing"]},
        {"ttl": lambda value: "a minute"},
        {"condition": lambda value: value["missing"]},
        {"tags": ["user:{user.id}"]},
    ],
)
async def test_options_that_raise_cost_the_cache_and_not_the_call(
    options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    @cached(**options)
    async def load(user: int) -> dict[str, int]:
        calls.append(user)
        await asyncio.sleep(0)
        return {"user": user}

    assert await asyncio.gather(load(1), load(1)) == [{"user": 1}] * 2
    assert await load(1) == {"user": 1}
    assert len(calls) >= 2
    assert "its result is not kept" in caplog.text


async def test_lifetimes_without_end_and_as_timedeltas(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=lambda value: math.inf)
    async def for_ever() -> int:
        calls.append(1)
        return 1

    @cached(ttl=dt.timedelta(minutes=1), negative=dt.timedelta(seconds=5))
    async def find(number: int) -> int | None:
        calls.append(number)
        return number or None

    for _ in range(2):
        await for_ever()
        await find(2)
        await find(0)
        scope.clock.advance(6)
    assert calls == [1, 2, 0, 0]
    scope.clock.advance(60)
    await for_ever()
    await find(2)
    assert calls == [1, 2, 0, 0, 2]


class Refusal(Exception):  # noqa: N818
    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"refused with {code}")
        self.code = code
        self.hint = hint


async def test_a_kept_exception_is_raised_anew_for_each_caller(scope: OwnScope) -> None:
    @cached(errors=5)
    async def load() -> int:
        raise Refusal(7, hint="wait")

    raised = []
    for _ in range(3):
        try:
            await load()
        except Refusal as error:
            raised.append(error)
    first, second, third = raised
    assert "raise Refusal" in "".join(traceback.format_exception(first))
    assert second is not third
    assert (second.code, second.hint, str(second)) == (7, "wait", "refused with 7")
    assert len(traceback.extract_tb(second.__traceback__)) == len(traceback.extract_tb(third.__traceback__))
    assert load.info().errors == 1


async def test_a_coroutine_is_not_a_result() -> None:
    async def inner() -> int:
        return 1

    @cached
    def outer() -> Any:
        return inner()

    with pytest.raises(TypeError, match=r"outer#\w+ returned a coroutine, .* cache the function that makes"):
        outer()


async def test_a_layer_that_fails_costs_nothing_but_the_call(scope: OwnScope) -> None:
    class Broken(SimpleMemoryCache):  # type: ignore[misc]
        async def _get(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError

        async def _set(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError

    scope.far.__class__ = Broken
    calls = []

    @cached(ttl=60)
    async def load(number: int) -> int:
        calls.append(number)
        return number

    assert [await load(1), await load(1), await load(2)] == [1, 1, 2]
    assert calls == [1, 2]


async def test_waiting_ends_at_one_deadline_however_many_leaders_leave(scope: OwnScope) -> None:
    calls, proceed = [], asyncio.Event()

    @cached(wait=0.05)
    async def load() -> int:
        calls.append(1)
        number = len(calls)
        if number < 4:
            await proceed.wait()
        return number

    tasks = [asyncio.create_task(load()) for _ in range(4)]
    for leader in tasks[:3]:
        await asyncio.sleep(0.02)
        leader.cancel()
    async with asyncio.timeout(10):
        assert await tasks[3] == 4
    assert len(calls) == 4


async def test_a_soft_purge_serves_the_old_result_once_more(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=60, stale=30, tags=["prices"])
    async def price() -> int:
        calls.append(1)
        return len(calls)

    assert await price() == 1
    await scope.cache.invalidate(tags=["prices"], soft=True)
    assert await price() == 1
    for _ in range(20):
        await asyncio.sleep(0)
    assert await price() == 2
    assert len(calls) == 2


def test_stop_iteration_is_raised_as_it_is_and_kept_so_where_errors_are() -> None:
    calls = []

    def stops(number: int) -> int:
        calls.append(number)
        raise StopIteration("no more")

    for errors, called in ((None, 2), (60.0, 1)):
        calls.clear()
        function = cached(errors=errors)(stops)
        for _ in range(2):
            with pytest.raises(StopIteration, match="no more"):
                function(1)
        assert len(calls) == called
        function.invalidate(1)


def test_a_function_may_itself_raise_what_python_makes_of_a_stop_in_a_generator() -> None:
    def generator() -> Iterator[int]:
        yield next(iter(()))

    @cached(ttl=60)
    def first() -> int:
        return next(generator())

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        first()
