"""Arguments as cache keys: equal arguments give equal bytes in every process, never by ``repr`` or address.

Each value is encoded as its type's mark and its length-prefixed content, so that no two different lists of
arguments can run together into one key.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import msgspec

_REMEDY = (
    "leave it out with exclude=[{name!r}] if it does not change the result, choose the key with key=..., "
    "or give its class a __cache_key__() method"
)
_local_names: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()


class UnstableArgumentError(TypeError):
    """A value has nothing that identifies it in another call or process."""


def digest(arguments: Mapping[str, Any], remedy: str = _REMEDY) -> str:
    """A key of 32 hexadecimal digits for named arguments.

    :param remedy: what to do about an argument that has no stable identity, with ``{name}`` for its name.
    :raises UnstableArgumentError: naming the argument that has none, and what in it has none.
    """
    parts = []
    for name, value in arguments.items():
        try:
            parts.append(_framed(b"a", name.encode()) + identify(value))
        except (UnstableArgumentError, RecursionError) as error:
            why = f"({unstable(value, error)}) has no stable identity to make a cache key of"
            raise UnstableArgumentError(f"argument {name!r} {why}; {remedy.format(name=name)}") from None
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def unstable(value: Any, error: Exception) -> str:
    """The class of a value that ``identify`` refused, and of what it holds if that was the reason."""
    kind = _full_name(type(value))
    held = str(error) if isinstance(error, UnstableArgumentError) else kind
    return kind if held == kind else f"{kind}, which holds {held}"


def identify(value: Any) -> bytes:
    """Bytes that are equal for equal values of one type. Raises UnstableArgumentError if there are none."""
    rule = _RULES.get(type(value))
    if rule is not None:
        return rule(value)
    own = getattr(value, "__cache_key__", None)
    if own is not None and not isinstance(value, type):
        return _framed(b"k", _named(type(value)) + identify(own()))
    return _structured(value)


def _framed(mark: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (mark, len(content), content)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _named(cls: type) -> bytes:
    name = _full_name(cls)
    if "<locals>" in name:  # a function that makes classes makes different ones of one name
        name = f"{name}#{_local_names.setdefault(cls, uuid.uuid4().hex)}"
    return _framed(b"n", name.encode())


def _text(mark: bytes, convert: Callable[[Any], str] = str) -> Callable[[Any], bytes]:
    return lambda value: _framed(mark, convert(value).encode("utf-8", "surrogatepass"))


def _sequence(mark: bytes) -> Callable[[Any], bytes]:
    return lambda values: _framed(mark, b"".join(map(identify, values)))


def _unordered(mark: bytes) -> Callable[[Any], bytes]:
    return lambda values: _framed(mark, b"".join(sorted(map(identify, values))))


def _mapping(value: Mapping[Any, Any]) -> bytes:
    pairs = sorted(identify(key) + identify(item) for key, item in value.items())
    return _framed(b"d", b"".join(pairs))


def _zone(value: dt.datetime | dt.time) -> str:
    """The name of a time zone, since two of one offset now may differ tomorrow; empty for none."""
    return str(getattr(value.tzinfo, "key", "") or getattr(value.tzinfo, "zone", "") or "")


def _structured(value: Any) -> bytes:
    """Enums, classes, dataclasses, attrs, msgspec structs, Pydantic models, paths, and plain subclasses."""
    cls = type(value)
    if isinstance(value, enum.Enum):
        name = value.name  # of a flag it may be None
        return _framed(b"e", _named(cls) + (identify(value.value) if name is None else identify(name)))
    if isinstance(value, type):
        return _framed(b"c", _named(value))
    names = _field_names(cls)
    if names is not None:
        content = b"".join(identify(getattr(value, name, None)) for name in names)
        return _framed(b"o", _named(cls) + content)
    if isinstance(value, PurePath):
        return _framed(b"p", str(value).encode("utf-8", "surrogateescape"))
    for base in cls.__mro__[1:]:
        rule = _RULES.get(base)
        if rule is not None and not getattr(value, "__dict__", None):
            return _framed(b"s", _named(cls) + rule(value))
    raise UnstableArgumentError(_full_name(cls))


def _field_names(cls: type) -> tuple[str, ...] | None:
    if hasattr(cls, "__dataclass_fields__"):
        return tuple(field.name for field in fields(cls) if field.compare)
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    attrs = getattr(cls, "__attrs_attrs__", None)
    if attrs is not None:
        return tuple(attribute.name for attribute in attrs)
    if hasattr(cls, "model_validate_json"):  # a Pydantic model
        return (*getattr(cls, "model_fields", ()), "__pydantic_extra__", "__pydantic_private__")
    return None


_RULES: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _text(b"i"),
    float: _text(b"f", float.hex),
    complex: lambda value: _framed(b"j", f"{value.real.hex()} {value.imag.hex()}".encode()),
    str: _text(b"s"),
    bytes: lambda value: _framed(b"b", value),
    bytearray: lambda value: _framed(b"B", value),
    range: lambda value: _framed(b"r", f"{value.start} {value.stop} {value.step}".encode()),
    Decimal: _text(b"D"),
    uuid.UUID: lambda value: _framed(b"u", value.bytes),
    dt.datetime: _text(b"m", lambda value: f"{value.isoformat()} {value.fold} {_zone(value)}"),
    dt.date: _text(b"y", dt.date.isoformat),
    dt.time: _text(b"h", lambda value: f"{value.isoformat()} {value.fold} {_zone(value)}"),
    dt.timedelta: _text(b"w", lambda value: f"{value.days} {value.seconds} {value.microseconds}"),
    tuple: _sequence(b"t"),
    list: _sequence(b"l"),
    set: _unordered(b"S"),
    frozenset: _unordered(b"Z"),
    dict: _mapping,
}
