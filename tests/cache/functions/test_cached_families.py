"""What classes of several families leave the process, one within the other, and what is said of others."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from perfmw import cached
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Address(pydantic.BaseModel):
    street: str
    since: dt.datetime


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]
    total: Decimal


@attrs.define
class Account:
    id: uuid.UUID
    addresses: list[Address]


class Point(msgspec.Struct):
    x: int
    tags: frozenset[str]


@dataclass
class Everything:
    account: Account
    points: dict[str, Point]
    price: Decimal
    took: dt.timedelta
    home: Address | None
    pages: list[Page[Address]] = field(default_factory=list)


@dataclass
class Unresolved:
    field: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037


class Opaque:
    pass


ADDRESS = Address(street="é", since=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
EVERYTHING = Everything(
    Account(uuid.UUID(int=7), [ADDRESS]),
    {"p": Point(1, frozenset({"a"}))},
    Decimal("1.10"),
    dt.timedelta(1, 2, 3),
    ADDRESS,
    [Page[Address](items=[ADDRESS], total=Decimal("3.0"))],
)


@pytest.fixture
def scope() -> Iterator[OwnScope]:
    with own_scope(far=True) as mine:
        yield mine


async def test_classes_within_classes_come_back_from_afar(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=60, namespace="everything")
    async def everything() -> Everything:
        calls.append(1)
        return EVERYTHING

    assert await everything() == EVERYTHING
    scope.memory.clear_nowait()
    found = await everything()
    assert calls == [1]
    assert found == EVERYTHING
    assert type(found.pages[0]) is Page[Address]
    found.account.addresses.clear()
    found.points["p"].x = 99
    assert await everything() == EVERYTHING


async def test_a_result_that_must_stay_is_kept_in_memory_and_told_once(
    scope: OwnScope, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Any] = [Unresolved(1), Opaque()]

    @cached(ttl=60, namespace="stays")
    async def stays(number: int) -> Unresolved:
        return made[number]  # type: ignore[no-any-return]

    with caplog.at_level(logging.WARNING, "perfmw.cache.layers"):
        for number in (0, 1, 0, 1):
            await stays(number)
            await stays.refresh(number)
    assert stays.info().hits == 2
    assert not scope.far._cache
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "Unresolved cannot leave the process" in caplog.text
    assert "Opaque cannot leave the process" in caplog.text
