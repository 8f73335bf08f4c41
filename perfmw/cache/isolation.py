"""Cached values never alias the caller's: what cannot change is shared, everything else is copied."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

from perfmw.cache.packing import pack, register, unpack

_IMMUTABLE = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        Decimal,
        uuid.UUID,
        dt.date,
        dt.timedelta,
    }
)


class Packed:
    """A value in its binary form; unpacking gives a new one each time."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<{len(self.data)} bytes of a class that is not known here>"

    @property
    def size(self) -> int:
        return len(self.data) + 49


class Copied:
    """A value with no binary form: copied in and copied out, and kept within this process."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _stays(kept: Copied) -> bytes:
    pack(kept.value)  # names the class that has no binary form
    raise TypeError(f"{type(kept.value).__qualname__} cannot leave the process; it does not come back equal")


def _came(data: bytes) -> Copied:
    raise ValueError("a copied value never left its process")


register("perfmw.packed", Packed, encode=lambda value: value.data, decode=lambda data: Packed(bytes(data)))
register("perfmw.copied", Copied, encode=_stays, decode=_came)


def isolate(value: Any) -> Any:
    """What to keep of ``value``. Raises TypeError when it can neither be shared, packed nor copied."""
    if is_immutable(value):
        return value
    packed = _pack_faithfully(value)
    if packed is not None:
        return packed
    try:
        return Copied(copy.deepcopy(value))
    except Exception as error:
        raise TypeError(f"a value of {type(value).__qualname__} cannot be copied: {error}") from error


def _pack_faithfully(value: Any) -> Packed | None:
    """The packed value, if unpacking gives it back: a class may serialize less than all of itself."""
    try:
        packed = Packed(pack(value))
        return packed if bool(unpack(packed.data) == value) else None
    except Exception:  # a class that is not registered, or that fails to serialize or compare itself
        return None


def release(kept: Any) -> Any:
    """The caller's own value of what ``isolate`` kept. May raise what a registered class raises."""
    kind = type(kept)
    if kind is Packed:
        return unpack(kept.data)
    if kind is Copied:
        return copy.deepcopy(kept.value)
    return kept


def is_immutable(value: Any) -> bool:
    """Whether nobody can change ``value``, nor what it holds."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_immutable, value))
    if kind is dt.datetime or kind is dt.time:
        return value.tzinfo is None or type(value.tzinfo) is dt.timezone
    return isinstance(value, (enum.Enum, type))
