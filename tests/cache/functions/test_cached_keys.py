"""Keys of cached functions: what is different never shares one, whatever it looks like."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from perfmw.cache import cached
from perfmw.cache.functions.identity import UnstableArgumentError, digest
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio
BERLIN, PARIS = zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("Europe/Paris")


@pytest.fixture(autouse=True)
def scope() -> Iterator[OwnScope]:
    with own_scope() as scope:
        yield scope


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    id: int
    _secret: int = pydantic.PrivateAttr(default=0)


def opened(secret: int) -> Open:
    made = Open(id=1)
    made._secret = secret
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (dt.datetime(2024, 7, 1, tzinfo=BERLIN), dt.datetime(2024, 7, 1, tzinfo=PARIS)),
        (dt.time(12, tzinfo=BERLIN), dt.time(12, tzinfo=PARIS)),
        (dt.time(12, fold=0), dt.time(12, fold=1)),
        (Open(id=1, a=1), Open(id=1, a=2)),
        (opened(1), opened(2)),
        (Access.READ | Access.WRITE, Access.READ),
        (Access(0), None),
        (bytearray(b"1"), b"1"),
        (range(3), range(4)),
        ([1, 2], (1, 2)),
        ("1", 1),
        (1, True),
    ],
)
def test_values_that_differ_have_different_keys(one: Any, other: Any) -> None:
    assert digest({"value": one}) != digest({"value": other})
    assert digest({"value": one}) == digest({"value": one})


def test_classes_made_by_one_function_are_not_one() -> None:
    def make(answer: int) -> Any:
        class Made:
            value = answer

            @cached
            @classmethod
            def get(cls) -> int:
                return cls.value

        return Made

    one, two = make(1), make(2)
    assert (one.get(), two.get(), one.get()) == (1, 2, 1)


def double(value: int) -> int:
    return value * 2


class Multiplier:
    def __init__(self, by: int) -> None:
        self.by = by

    def multiply(self, value: int) -> int:
        return value * self.by

    def __call__(self, value: int) -> int:
        return value * self.by


@pytest.mark.parametrize(
    "make",
    [
        lambda by: functools.partial(Multiplier.multiply, Multiplier(by)),
        lambda by: Multiplier(by).multiply,
        Multiplier,
    ],
)
def test_callables_with_a_state_never_share_their_results(make: Callable[[int], Callable[..., int]]) -> None:
    one, two = cached(make(2)), cached(make(3))
    assert (one(5), two(5), one(5)) == (10, 15, 10)


def wrapping(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        return function(*args, **kwargs)

    return wrapper


def test_a_module_s_function_keeps_its_name_even_if_another_decorator_wraps_it() -> None:
    name = f"{double.__module__}.double"
    assert cached(wrapping(double)).info().name == name
    assert cached(wrapping(double)).info().name == name


async def test_a_template_of_several_fields_never_runs_together() -> None:
    @cached(key="{user}:{item}")
    async def load(user: str, item: str) -> str:
        return f"{user} has {item}"

    assert await load("a:b", "c") == "a:b has c"
    assert await load("a", "b:c") == "a has b:c"
    assert load.key("a", "b").startswith(f"fn:{load.info().name}:a:b")


async def test_a_template_never_has_an_address_in_its_key() -> None:
    class Request:
        def __init__(self, path: str) -> None:
            self.path = path

    @cached(key="{request}")
    async def load(request: Request) -> str:
        return request.path

    @cached(key="{request.path}")
    async def fine(request: Request) -> str:
        return request.path

    with pytest.raises(
        UnstableArgumentError, match=r"'request' \(.*Request\) has no .* such as \{request.id\}"
    ):
        await load(Request("/"))
    assert await fine(Request("/a")) == await fine(Request("/a")) == "/a"
    assert fine.info().hits == 1


def test_a_key_function_must_give_text() -> None:
    @cached(key=lambda number: number)  # type: ignore[call-overload,misc]
    def load(number: int) -> int:
        return number

    with pytest.raises(TypeError, match=r"key: the function given for .*load made int, not str"):
        load(1)


@dataclass
class Session:
    connection: object


def test_what_an_argument_holds_is_looked_at_too() -> None:
    @cached
    def load(session: Session) -> int:
        return 1

    named = r"argument 'session' .*Session, which holds builtins.object\).*exclude=\['session'\]"
    with pytest.raises(TypeError, match=named):
        load(Session(object()))


def test_class_methods_and_static_methods_in_either_order() -> None:
    calls: list[Any] = []

    class Shop:
        @cached
        @classmethod
        def above(cls, item: int) -> str:
            calls.append(item)
            return cls.__name__

        @classmethod
        @cached
        def below(cls, item: int) -> str:
            calls.append(item)
            return cls.__name__

        @cached(ttl=60)
        @staticmethod
        def rate(item: int) -> int:
            calls.append(item)
            return item

    class Branch(Shop):
        pass

    for _ in range(2):
        assert (Shop.above(1), Shop().above(1), Branch.above(1)) == ("Shop", "Shop", "Branch")
        assert (Shop.below(2), Branch.below(2)) == ("Shop", "Branch")
        assert (Shop.rate(3), Shop().rate(3)) == (3, 3)
    assert calls == [1, 1, 2, 2, 3]
    assert Shop.above.invalidate(1) == 1
    assert Shop.rate.invalidate(3) == 1
    assert Shop.above.info().hits == 4
