"""Pydantic models leave the process as JSON: they come back equal, or are refused by a clear error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from perfmw.cache import register
from perfmw.cache.packing import pack, unpack


@attrs.define
class Point:
    x: int


class Row(msgspec.Struct):
    id: int


@dataclass
class Item:
    price: float


class Basket(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    owner: str = pydantic.Field(default="", alias="theOwner")
    items: list[Item] = []
    tags: frozenset[str] = frozenset()
    at: Point | None = None
    row: Row | None = None
    anything: Any = None
    secret: pydantic.SecretStr | None = None
    hidden: int = pydantic.Field(default=0, exclude=True)

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> float:
        return sum(item.price for item in self.items)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


@dataclass
class Order:
    basket: Basket


register("test-basket", Basket)
register("test-open", Open)
register("test-order", Order)


@pytest.mark.parametrize(
    "value",
    [
        Basket(theOwner="ann", items=[Item(2.5)], tags=frozenset({"a"}), anything={"b": [1, None]}),
        Open.model_validate({"more": [1, 2]}),
        Order(Basket(theOwner="ann")),
    ],
)
def test_it_comes_back_equal(value: Any) -> None:
    back = unpack(pack(value))
    assert type(back) is type(value)
    assert back == value


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"at": Point(1)}, "Point"),
        ({"row": Row(1)}, "Row"),
        ({"anything": Item(1.0)}, "its anything"),
        ({"anything": (1, 2)}, "its anything"),
        ({"anything": math.inf}, "its anything"),
        ({"anything": b"\xff"}, "utf-8"),
        ({"secret": "word"}, "its secret"),
        ({"hidden": 7}, "its hidden"),
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_what_json_would_lose_is_refused_by_name(fields: dict[str, Any], why: str, within: bool) -> None:
    basket = Basket(**fields)
    with pytest.raises(TypeError, match=rf"Basket does not survive as JSON \(.*{why}.*register"):
        pack(Order(basket) if within else basket)
