"""Entries and values as bytes: equal after the journey, or a miss."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
import uuid
import zoneinfo
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import Entry, register
from perfmw.cache.entries import decode_entry, encode_entry, from_text, to_text
from perfmw.cache.isolation import isolate
from perfmw.cache.packing import pack, unpack


@dataclass
class Item:
    name: str
    price: Decimal
    at: dt.datetime
    tags: list[str] = field(default_factory=list)


class Colour(enum.Enum):
    RED = (255, 0, 0)


class Row(msgspec.Struct):
    id: uuid.UUID
    parts: tuple[int, ...]


class Model(pydantic.BaseModel):
    id: int
    when: dt.date


class Secret:
    pass


register("tests.item", Item)
register("tests.colour", Colour)
register("tests.row", Row)
register("tests.model", Model)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.timezone(dt.timedelta(hours=5, minutes=30))))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
HASHABLE = st.text() | st.integers() | st.tuples(st.text(), st.integers())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(HASHABLE, inner)
        | st.tuples(inner, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
    max_leaves=12,
)


def types_of(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return (type(value), [types_of(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(types_of(key), types_of(item)) for key, item in value.items()])
    return type(value)


@given(VALUES)
def test_values_keep_their_types(value: object) -> None:
    again = unpack(pack(value))
    assert again == value
    assert types_of(again) == types_of(value)


@pytest.mark.parametrize(
    "value",
    [
        Item("tea", Decimal("1.10"), dt.datetime(2024, 2, 29, tzinfo=dt.UTC), ["hot"]),
        Colour.RED,
        Row(uuid.UUID(int=7), (1, 2)),
        Model(id=1, when=dt.date(2024, 1, 1)),
        [Item("a", Decimal(1), dt.datetime(2024, 1, 1)), {"row": Row(uuid.UUID(int=1), ())}],
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
        bytearray(b"\x00\xff"),
        complex(1, -2),
        2**70,
        -(2**64),
    ],
)
def test_registered_and_rare_values_come_back_equal(value: object) -> None:
    again = unpack(pack(value))
    assert again == value
    assert type(again) is type(value)


def test_the_fold_and_zone_of_a_datetime_survive() -> None:
    moment = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1)
    again = unpack(pack(moment))
    assert (again.fold, again.tzinfo.key, again.utcoffset()) == (1, "Europe/Berlin", dt.timedelta(hours=1))


def test_a_class_that_was_not_registered_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Secret.*register"):
        pack({"deep": [Secret()]})


def test_a_kind_names_one_class_only() -> None:
    with pytest.raises(ValueError, match=r"tests\.item"):
        register("tests.item", Row)
    register("tests.item", Item)
    with pytest.raises(TypeError, match="encode="):
        register("tests.secret", Secret)


def entry(value: object = b"body") -> Entry:
    return Entry(value, 2_000.5, 1_000.25, ("a", "b"), 0.125, 4, 77)


@given(VALUES)
def test_an_entry_comes_back_whole(value: object) -> None:
    assert decode_entry(encode_entry(entry(value))) == entry(value)


def test_an_entry_may_never_expire() -> None:
    assert decode_entry(encode_entry(Entry(None))) == Entry(None)


@given(st.data())
def test_a_damaged_entry_is_a_miss(data: st.DataObject) -> None:
    good = encode_entry(entry())
    place = data.draw(st.integers(0, len(good) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    damaged = good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :]
    assert decode_entry(damaged) is None
    assert decode_entry(good[:place]) is None
    assert decode_entry(good + b"x") is None


@given(st.binary())
def test_foreign_bytes_are_a_miss(data: bytes) -> None:
    assert decode_entry(data) is None
    assert decode_entry(b"PMW1" + data) is None


@pytest.mark.parametrize("thing", [None, 1, "PMW1", {"a": 1}, b"PMW2" + encode_entry(Entry(1))[4:]])
def test_other_things_and_versions_are_a_miss(thing: object) -> None:
    assert decode_entry(thing) is None


def test_an_unknown_kind_is_a_miss_and_runs_nothing() -> None:
    import zlib

    body = msgspec.msgpack.encode(
        [None, 0.0, [], 0.0, 0, 0, msgspec.msgpack.Ext(100, msgspec.msgpack.encode(["os.system", b"x"]))]
    )
    assert decode_entry(b"PMW1" + zlib.crc32(body).to_bytes(4, "big") + body) is None


def test_deep_nesting_is_a_miss_not_a_crash() -> None:
    import zlib

    value = b"\x91" * 100_000 + b"\xc0"
    body = b"\x97\xc0\xcb" + b"\x00" * 8 + b"\x90\xcb" + b"\x00" * 8 + b"\x00\x00" + value
    assert decode_entry(b"PMW1" + zlib.crc32(body).to_bytes(4, "big") + body) is None


@given(st.binary())
def test_text_form(data: bytes) -> None:
    assert from_text(to_text(data)) == data


@pytest.mark.parametrize("text", ["***", None, 7, "a"])
def test_what_is_not_the_text_form_is_none(text: object) -> None:
    assert from_text(text) is None


def test_what_functions_keep_is_known_to_a_process_without_them() -> None:
    data = encode_entry(Entry(isolate([1, "two"]), tags=("t",)))
    looking = (
        "import sys; from perfmw.cache.entries import decode_entry;"
        "print(decode_entry(sys.stdin.buffer.read()).tags)"
    )
    told = subprocess.run([sys.executable, "-c", looking], input=data, capture_output=True, check=True)
    assert told.stdout.split() == [b"('t',)"]
