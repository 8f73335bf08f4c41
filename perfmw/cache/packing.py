"""Values as MessagePack that keep their types: what goes in comes out equal, or packing refuses.

MessagePack's own types (None, bool, int, float, str, bytes, list, dict) travel as they are. Tuples, sets,
dates, decimals, UUIDs and large integers travel as extensions; classes only when their kind was registered.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

_TYPED = 100
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_MAX_INT, _MIN_INT = 2**64 - 1, -(2**63)

_encode = msgspec.msgpack.Encoder().encode
_encode_class = msgspec.msgpack.Encoder(enc_hook=lambda value: _json_of_model(value)).encode


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    type: type
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


_by_name: dict[str, _Kind] = {}
_by_type: dict[type, _Kind] = {}


def register(
    kind: str,
    cls: type,
    *,
    encode: Callable[[Any], bytes] | None = None,
    decode: Callable[[bytes], Any] | None = None,
) -> None:
    """Let values of ``cls`` leave the process under the name ``kind``.

    Dataclasses, attrs classes, msgspec structs, Pydantic models and enums need no functions of their own.

    :raises ValueError: when ``kind`` already names another class.
    :raises TypeError: when ``cls`` is of no known family and ``encode`` or ``decode`` is missing.
    """
    known = _by_name.get(kind)
    if known is not None and not _same_class(known.type, cls):
        raise ValueError(f"kind {kind!r} is already registered for {known.type.__qualname__}")
    if encode is None or decode is None:
        encode, decode = _codec_of(cls)
    entry = _Kind(kind, cls, encode, decode)
    _by_name[kind] = _by_type[cls] = entry


def _same_class(one: type, other: type) -> bool:
    """A reloaded module defines the same class anew."""
    return one is other or (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def is_registered(cls: type) -> bool:
    return cls in _by_type


def can_register(cls: Any) -> bool:
    """Whether ``register`` needs no functions for ``cls``."""
    return isinstance(cls, type) and (
        hasattr(cls, "__dataclass_fields__")
        or hasattr(cls, "__attrs_attrs__")
        or issubclass(cls, (msgspec.Struct, enum.Enum))
        or hasattr(cls, "model_validate_json")
    )


def _codec_of(cls: type) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if not can_register(cls):
        raise TypeError(f"{cls.__qualname__} is of no known family; pass encode= and decode=")
    validate = getattr(cls, "model_validate_json", None)
    if validate is not None:
        return _json_of_model, validate
    if issubclass(cls, enum.Enum):
        return lambda value: _encode(value.name), lambda data: cls[msgspec.msgpack.decode(data, type=str)]
    decoder = msgspec.msgpack.Decoder(cls, dec_hook=lambda kind, data: _validator(kind)(data))
    return _encode_class, partial(_decode_as, decoder)


def _json_of_model(value: Any) -> bytes:
    """Of a Pydantic model. Raises TypeError when JSON would lose some of it: what no schema tells the type
    of, classes that Pydantic does not know, secrets, excluded fields.
    """
    cls = type(value)
    validate = _validator(cls)
    try:
        data: bytes = value.model_dump_json(by_alias=True, round_trip=True, warnings=False).encode()
        lost = _lost(value, validate(data))
    except ValueError as error:
        lost = str(error).splitlines()[0]
    if lost is not None:
        raise TypeError(
            f"{cls.__module__}.{cls.__qualname__} does not survive as JSON ({lost}); "
            "see encode= and decode= of perfmw.cache.register"
        )
    return data


def _lost(value: Any, back: Any) -> str | None:
    """The first field that is another than it was."""
    fields = [*type(value).model_fields, "model_extra"]
    return next((f"its {name}" for name in fields if getattr(value, name) != getattr(back, name)), None)


def _validator(cls: type) -> Callable[[Any], Any]:
    validate: Callable[[Any], Any] | None = getattr(cls, "model_validate_json", None)
    if validate is None:
        raise NotImplementedError(f"{cls.__qualname__} is of no known family")
    return validate


def _decode_as(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    return decoder.decode(data)


def pack(value: Any) -> bytes:
    """MessagePack of ``value``. Raises TypeError naming the first class that is not registered."""
    return _encode(_lower(value))


def unpack(data: Any) -> Any:
    """What ``pack`` was given. Raises ValueError (or what a registered type raises) for anything else."""
    return _loads(data)


# ---- lowering: to MessagePack's own types and extensions


def _lower(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if _MIN_INT <= value <= _MAX_INT else _extension(5, str(value))
    if kind is list:
        return [_lower(item) for item in value]
    if kind is dict:
        return _lower_dict(value)
    rule = _LOWER.get(kind)
    if rule is not None:
        return _extension(rule[0], rule[1](value))
    return _lower_registered(value, kind)


def _lower_dict(value: dict[Any, Any]) -> Any:
    if all(type(key) is str for key in value):
        return {key: _lower(item) for key, item in value.items()}
    return _extension(4, [[_lower(key), _lower(item)] for key, item in value.items()])


def _lower_registered(value: Any, kind: type) -> msgspec.msgpack.Ext:
    known = _by_type.get(kind)
    if known is None:
        raise TypeError(
            f"{kind.__module__}.{kind.__qualname__} cannot leave the process; see perfmw.cache.register"
        )
    return _extension(_TYPED, [known.name, known.encode(value)])


def _extension(code: int, payload: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encode(payload))


def _items(values: Any) -> list[Any]:
    return [_lower(item) for item in values]


def _moment(value: dt.datetime) -> list[Any]:
    zone = value.tzinfo
    if zone is None or type(zone) is dt.timezone:
        return [value.isoformat(), None, value.fold]
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return [value.replace(tzinfo=None).isoformat(), zone.key, value.fold]
    raise TypeError(f"a datetime in the time zone {zone!r} cannot leave the process")


def _clock_time(value: dt.time) -> list[Any]:
    if value.tzinfo is not None and type(value.tzinfo) is not dt.timezone:
        raise TypeError(f"a time in the time zone {value.tzinfo!r} cannot leave the process")
    return [value.isoformat(), value.fold]


# ---- raising: back again


def _raise_moment(parts: list[Any]) -> dt.datetime:
    text, zone, fold = parts
    moment = dt.datetime.fromisoformat(text)
    if zone is not None:
        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return moment.replace(fold=fold)


def _raise_registered(parts: list[Any]) -> Any:
    kind = _by_name.get(parts[0])
    if kind is None:
        raise ValueError(f"unknown kind {parts[0]!r}")
    return kind.decode(parts[1])


_LOWER: dict[type, tuple[int, Callable[[Any], Any]]] = {
    tuple: (1, _items),
    set: (2, _items),
    frozenset: (3, _items),
    dt.datetime: (6, _moment),
    dt.date: (7, dt.date.isoformat),
    dt.time: (8, _clock_time),
    dt.timedelta: (9, lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: (10, str),
    uuid.UUID: (11, lambda value: value.bytes),
    complex: (12, lambda value: [value.real, value.imag]),
    bytearray: (13, bytes),
}
_RAISE: dict[int, Callable[[Any], Any]] = {
    1: tuple,
    2: set,
    3: frozenset,
    4: dict,
    5: int,
    6: _raise_moment,
    7: dt.date.fromisoformat,
    8: lambda parts: dt.time.fromisoformat(parts[0]).replace(fold=parts[1]),
    9: lambda parts: dt.timedelta(*parts),
    10: Decimal,
    11: lambda data: uuid.UUID(bytes=data),
    12: lambda parts: complex(*parts),
    13: bytearray,
    _TYPED: _raise_registered,
}


def _extension_hook(code: int, data: memoryview) -> Any:
    rule = _RAISE.get(code)
    if rule is None:
        raise ValueError(f"unknown extension {code}")
    return rule(_loads(data))


_loads = msgspec.msgpack.Decoder(ext_hook=_extension_hook).decode
