"""``@cached``: what a user of a function cache relies on."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pydantic
import pytest
from aiocache import SimpleMemoryCache
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import Coalescer, MemoryLayer, TieredCache, cached
from perfmw.cache.functions.identity import UnstableArgumentError, digest
from perfmw.cache.scope import current_scope, set_provider
from tests.cache.clock import FakeClock

pytestmark = pytest.mark.anyio


class Scope:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.memory = MemoryLayer(max_entries=1_000, clock=self.clock)
        self.far = SimpleMemoryCache()
        self.cache = TieredCache([("memory", self.memory), ("far", self.far)], clock=self.clock)
        self.coalescer = Coalescer()


@pytest.fixture(autouse=True)
def scope() -> Iterator[Scope]:
    mine = Scope()
    before = set_provider(lambda: mine)
    yield mine
    set_provider(before)


@dataclass
class User:
    id: int
    roles: list[str]


class Account(pydantic.BaseModel):
    id: int
    opened: dt.date


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


async def test_a_second_call_does_not_call() -> None:
    calls = []

    @cached(ttl=60)
    async def load(user_id: int, *, deep: bool = False) -> User:
        calls.append((user_id, deep))
        return User(user_id, ["admin"])

    assert await load(1) == await load(user_id=1) == await load(1, deep=False) == User(1, ["admin"])
    assert await load(1, deep=True) == User(1, ["admin"])
    assert calls == [(1, False), (1, True)]
    info = load.info()
    assert (info.hits, info.misses) == (2, 2)


async def test_a_herd_makes_one_call() -> None:
    calls = 0

    @cached(ttl=60)
    async def load(key: str) -> list[str]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return [key]

    results = await asyncio.gather(*(load("a") for _ in range(50)))
    assert results == [["a"]] * 50
    assert len({id(result) for result in results}) == 50
    assert calls == 1
    assert load.info().coalesced == 49


@pytest.mark.parametrize(
    "value",
    [
        [1, [2]],
        {"a": {1, 2}},
        User(1, ["x"]),
        Account(id=1, opened=dt.date(2024, 1, 1)),
        bytearray(b"x"),
        (1, [2]),
    ],
)
async def test_callers_never_share_a_mutable_value(value: Any) -> None:
    @cached
    async def load() -> Any:
        return value

    first = await load()
    second, third = await load(), await load()
    assert first == second == third == value
    assert type(second) is type(value)
    assert second is not third
    assert second is not value


async def test_changing_a_result_does_not_change_the_next() -> None:
    @cached
    async def load() -> dict[str, list[int]]:
        return {"a": [1]}

    (await load())["a"].append(2)
    (await load())["a"].append(3)
    assert await load() == {"a": [1]}


async def test_none_is_a_value() -> None:
    calls = []

    @cached
    async def load() -> None:
        calls.append(1)

    assert await load() is None
    assert await load() is None
    assert calls == [1]


async def test_invalidation_by_arguments_tag_and_all(scope: Scope) -> None:
    calls = []

    @cached(ttl=60, tags=["user:{user_id}", "users"])
    async def load(user_id: int) -> int:
        calls.append(user_id)
        return len(calls)

    assert [await load(1), await load(2)] == [1, 2]
    assert await load.invalidate(1) == 2  # memory and the far layer
    assert [await load(1), await load(2)] == [3, 2]
    await scope.cache.invalidate(tags=["user:2"])
    assert [await load(1), await load(2)] == [3, 4]
    await scope.cache.invalidate(tags=["users"])
    assert [await load(1), await load(2)] == [5, 6]
    assert await load.invalidate_all() == 2
    assert [await load(1), await load(2)] == [7, 8]


async def test_refresh_computes_anew_and_replaces() -> None:
    calls = []

    @cached
    async def load() -> int:
        calls.append(1)
        return len(calls)

    assert await load() == 1
    assert await load.refresh() == 2
    assert await load() == 2
    assert load.info().refreshes == 1


async def test_a_stale_fill_never_lands_after_an_invalidation() -> None:
    state, proceed, reading = {"price": 1}, asyncio.Event(), asyncio.Event()

    @cached(ttl=60, tags=["price"])
    async def price() -> int:
        seen = state["price"]
        reading.set()
        await proceed.wait()
        return seen

    early = asyncio.create_task(price())
    await reading.wait()
    state["price"] = 2
    await price.invalidate()
    late = asyncio.create_task(price())
    await asyncio.sleep(0)
    proceed.set()
    assert await early == 1
    assert await late == 2
    assert await price() == 2


async def test_exceptions_are_raised_and_not_kept() -> None:
    calls = []

    @cached
    async def load() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return len(calls)

    with pytest.raises(ValueError, match="not yet"):
        await load()
    assert await load() == 2
    assert load.info().errors == 1


async def test_ttl_condition_and_key(scope: Scope) -> None:
    calls = []

    @cached(ttl=lambda value: value["ttl"], condition=lambda value: value["ok"], key="{a}")
    async def load(a: int, b: int = 0) -> dict[str, Any]:
        calls.append((a, b))
        return {"ttl": a, "ok": a < 100}

    await load(10)
    await load(10, 5)
    assert calls == [(10, 0)]
    scope.clock.advance(11)
    await load(10)
    assert len(calls) == 2
    await load(500)
    await load(500)
    assert len(calls) == 4
    await load(0)
    await load(0)
    assert len(calls) == 6


async def test_a_lifetime_ends(scope: Scope) -> None:
    calls = []

    @cached(ttl=60)
    async def load() -> int:
        calls.append(1)
        return len(calls)

    assert await load() == 1
    scope.clock.advance(59)
    assert await load() == 1
    scope.clock.advance(2)
    assert await load() == 2


async def test_an_argument_without_identity_is_named_with_the_way_out() -> None:
    class Request:
        pass

    @cached
    async def load(request: Request, page: int) -> int:
        return page

    with pytest.raises(TypeError, match=r"argument 'request' .*Request.*exclude=\['request'\]"):
        await load(Request(), 1)

    @cached(exclude=["request"])
    async def fine(request: Request, page: int) -> int:
        return page

    assert await fine(Request(), 1) == await fine(Request(), 1) == 1
    assert fine.info().hits == 1


async def test_methods_and_classmethods() -> None:
    calls = []

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        def __cache_key__(self) -> str:
            return self.name

        @cached
        async def price(self, item: int) -> str:
            calls.append(item)
            return f"{self.name}:{item}"

        @classmethod
        @cached
        def kind(cls, item: int) -> str:
            calls.append(item)
            return f"{cls.__name__}:{item}"

        @staticmethod
        @cached
        def rate(item: int) -> int:
            calls.append(item)
            return item

    assert await Shop("a").price(1) == await Shop("a").price(1) == "a:1"
    assert await Shop("b").price(1) == "b:1"
    assert await Shop("a").price.invalidate(1) == 2
    assert Shop.kind(2) == Shop("x").kind(2) == "Shop:2"
    assert Shop.rate(3) == Shop.rate(3) == 3
    assert calls == [1, 1, 2, 3]


def test_sync_functions_from_threads_make_one_call() -> None:
    calls, began = [], threading.Event()
    proceed = threading.Event()

    @cached(ttl=60)
    def load(key: str) -> list[str]:
        calls.append(key)
        began.set()
        proceed.wait(10)
        return [key]

    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(load("a"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    began.wait(10)
    coalescer = current_scope().coalescer
    while coalescer.joined < 5:
        threading.Event().wait(0.001)
    proceed.set()
    for thread in threads:
        thread.join(10)
    assert results == [["a"]] * 6
    assert len({id(result) for result in results}) == 6
    assert calls == ["a"]
    assert load.invalidate("a") == 1
    assert load.refresh("a") == ["a"]
    assert len(calls) == 2


def test_a_recursive_function_does_not_wait_for_itself() -> None:
    @cached
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(30) == 832_040


async def test_generators_are_refused_with_the_reason() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    class Numbers:
        def __call__(self) -> Iterator[int]:
            yield 1

    refused: list[Any] = [numbers, stream, partial(numbers), Numbers()]
    for function in refused:
        with pytest.raises(TypeError, match=r"generator function.*list or a tuple"):
            cached(function)

    @cached
    def sneaky() -> Any:
        return (number for number in range(3))

    with pytest.raises(TypeError, match="used only once"):
        sneaky()


def test_misuse_is_named_at_decoration() -> None:
    def load(a: int) -> int:
        return a

    with pytest.raises(ValueError, match=r"no parameter 'b'.*: a"):
        cached(tags=["x:{b}"])(load)
    with pytest.raises(ValueError, match="no parameter 'c'"):
        cached(exclude=["c"])(load)
    with pytest.raises(ValueError, match="ttl: 0"):
        cached(ttl=0)(load)
    with pytest.raises(TypeError, match="tags: give a list of names, not 'users'"):
        cached(tags="users")(load)
    with pytest.raises(TypeError, match="no option 'tll'; its options: ttl, tags"):
        cached(tll=60)(load)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="ttl: seconds as a number or a timedelta, not '5m'"):
        cached(ttl="5m")(load)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="namespace: a name"):
        cached(namespace="")
    with pytest.raises(ValueError, match="stale: -1"):
        cached(stale=-1)(load)
    with pytest.raises(TypeError, match="not int"):
        cached(ttl=1)(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"'user:\{a' is no template: expected"):
        cached(tags=["user:{a"])(load)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("early", "often", "early: a number from 0 on, not 'often'"),
        ("early", -1, "early: a number from 0 on, not -1"),
        ("condition", 3, "condition: a function of the result, not 3"),
        ("key", 3, "key: a template or a function, not 3"),
        ("namespace", 3, "namespace: a name, not 3"),
        ("memo", "yes", "memo: True or False, not 'yes'"),
        ("tags", 3, "tags: give a list of names, not 3"),
        ("exclude", [3], r"exclude: give a list of names, not \[3\]"),
    ],
)
def test_an_option_of_a_wrong_kind_is_named(option: str, value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        cached(**{option: value})


async def test_wrong_arguments_fail_as_the_call_would() -> None:
    @cached
    async def load(a: int) -> int:
        return a

    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        await load()  # type: ignore[call-arg]


def test_it_looks_like_the_function() -> None:
    @cached
    async def load(a: int) -> int:
        """Loads."""
        return a

    assert load.__name__ == "load"
    assert load.__doc__ == "Loads."
    assert list(inspect.signature(load).parameters) == ["a"]
    assert asyncio.iscoroutinefunction(load)


def test_closures_never_share_their_results() -> None:
    def multiplier(by: int) -> Any:
        @cached
        def multiply(value: int) -> int:
            return value * by

        return multiply

    double, triple = multiplier(2), multiplier(3)
    assert (double(5), triple(5), double(5)) == (10, 15, 10)


async def test_a_result_travels_through_a_far_layer_with_its_type(scope: Scope) -> None:
    calls = []

    @cached(ttl=60)
    async def accounts() -> list[Account]:
        calls.append(1)
        return [Account(id=1, opened=dt.date(2024, 1, 1))]

    first = await accounts()
    scope.memory.clear_nowait()
    assert await accounts() == first
    assert calls == [1]


async def test_a_result_that_cannot_be_copied_is_returned_and_not_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @cached
    async def load() -> Any:
        return threading.Lock()

    assert await load() is not await load()
    assert "its result is not kept" in caplog.text


def test_outside_any_application_a_cache_of_its_own_is_used() -> None:
    set_provider(None)
    calls = []

    @cached
    def load() -> int:
        calls.append(1)
        return len(calls)

    assert load() == load() == 1
    assert current_scope() is current_scope()


ARGUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)


def shape(value: Any) -> Any:
    """Equality that also tells types apart, as keys do."""
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(shape(item) for item in value))
    if isinstance(value, dict):
        return ("dict", tuple(sorted((key, shape(item)) for key, item in value.items())))
    return (type(value).__name__, repr(value))


@given(st.lists(ARGUMENTS, max_size=3), st.lists(ARGUMENTS, max_size=3))
def test_different_arguments_have_different_keys(first: list[Any], second: list[Any]) -> None:
    one = digest({f"p{place}": value for place, value in enumerate(first)})
    other = digest({f"p{place}": value for place, value in enumerate(second)})
    assert (one == other) == (shape(first) == shape(second))


def test_keys_are_the_same_in_every_process() -> None:
    arguments = {"a": 1, "b": {"x", "y"}, "c": {"k": (1.5, None)}, "d": Colour.RED, "e": dt.date(2024, 1, 1)}
    assert digest(arguments) == digest({**arguments, "b": {"y", "x"}})
    assert digest({"a": 1}) == "7a21300c12002a457ef34a24c7afb2a8"


def test_identity_of_structured_values() -> None:
    assert digest({"u": User(1, ["a"])}) == digest({"u": User(1, ["a"])})
    assert digest({"u": User(1, ["a"])}) != digest({"u": User(1, ["b"])})
    account = Account(id=1, opened=dt.date(2024, 1, 1))
    assert digest({"u": account}) == digest({"u": account.model_copy()})
    with pytest.raises(UnstableArgumentError, match="'f'"):
        digest({"f": lambda: None})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnstableArgumentError, match="'loop'"):
        digest({"loop": loop})
