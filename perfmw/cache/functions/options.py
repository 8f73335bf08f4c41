"""What ``@cached`` can be told, and the templates that keys and tags are made of."""

from __future__ import annotations

import datetime as dt
import math
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from perfmw.cache.functions.identity import UnstableArgumentError, digest, identify, unstable

Seconds = float | dt.timedelta
TTL = Seconds | Callable[[Any], Seconds | None] | None
Key = str | Callable[..., str] | None

_formatter = string.Formatter()


class CachedOptions(TypedDict, total=False):
    """The keyword arguments of ``@cached``, as type checkers see them."""

    ttl: TTL
    tags: Iterable[str]
    key: Key
    namespace: str | None
    exclude: Iterable[str]
    condition: Callable[[Any], bool] | None
    wait: Seconds | None
    stale: Seconds
    early: float
    negative: Seconds | None
    errors: Seconds | None
    memo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of ``@cached``, checked. Times are in seconds."""

    ttl: float | Callable[[Any], Seconds | None] | None = None
    tags: tuple[str, ...] = ()
    key: Key = None
    namespace: str | None = None
    exclude: frozenset[str] = frozenset()
    condition: Callable[[Any], bool] | None = None
    wait: float | None = 10.0
    stale: float = 0.0
    early: float = 0.0
    negative: float | None = None
    errors: float | None = None
    memo: bool = False


_FITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "key": (lambda value: isinstance(value, str) or callable(value), "a template or a function"),
    "namespace": (lambda value: isinstance(value, str), "a name"),
    "condition": (callable, "a function of the result"),
    "early": (lambda value: isinstance(value, (int, float)) and 0 <= value < math.inf, "a number from 0 on"),
    "memo": (lambda value: isinstance(value, bool), "True or False"),
}
"""Options that are neither times nor lists of names: whether a value fits, and what would."""


def make_options(given: Mapping[str, Any]) -> Options:
    """Raises TypeError for an unknown option or a wrong type, ValueError for a time or name that is none."""
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            raise TypeError(f"@cached has no option {name!r}; its options: {', '.join(known)}")
    made = dict(given)
    if made.get("namespace") == "":
        raise ValueError("namespace: a name, or leave it out for the name of the function and its module")
    for name, (fits, what) in _FITS.items():
        if made.get(name) is not None and not fits(made[name]):
            raise TypeError(f"{name}: {what}, not {made[name]!r}")
    made["tags"] = tuple(_names("tags", made.get("tags", ())))
    made["exclude"] = frozenset(_names("exclude", made.get("exclude", ())))
    for name in ("ttl", "wait", "stale", "negative", "errors"):
        if name in made and not callable(made[name]):
            made[name] = _time(name, made[name])
    return Options(**made)


def _names(option: str, value: Any) -> list[str]:
    names: list[str] = list(value) if isinstance(value, Iterable) else [value]
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{option}: give a list of names, not {value!r}")
    return names


def _time(name: str, value: Any) -> float | None:
    if value is None and name != "stale":
        return None
    try:
        number = seconds(value)
    except TypeError:
        raise TypeError(f"{name}: seconds as a number or a timedelta, not {value!r}") from None
    if not (number > 0 if name == "ttl" else number >= 0):
        limit = "more than" if name == "ttl" else "at least"
        raise ValueError(f"{name}: {value!r} is not a lifetime; it must be {limit} 0 seconds, or None")
    return number


def seconds(value: Any) -> float:
    """Of a number or a timedelta. Raises TypeError for anything else."""
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"seconds as a number or a timedelta, not {type(value).__name__}")


def finite(number: float | None) -> float | None:
    """None for a lifetime without end."""
    return None if number == math.inf else number


class Template:
    """A text with parameters of a function filled in, such as ``"user:{user_id}"``.

    :raises ValueError: for one that cannot be filled in.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._fields = _fields_of(text)
        if any("{" in spec for _, spec, _ in self._fields):
            raise ValueError(f"{text!r}: a format within a format cannot be part of a key or tag")
        self.names = {name.split(".")[0].split("[")[0] for name, _, _ in self._fields}

    def text_of(self, bound: Mapping[str, Any]) -> str:
        """For a tag: what others will write to invalidate it."""
        return self.text.format_map(bound)

    def key_of(self, bound: Mapping[str, Any]) -> str:
        """For a key: no two calls whose fields differ have the same text.

        :raises UnstableArgumentError: for a field without stable identity.
        """
        values = [self._value(name, bound) for name, _, _ in self._fields]
        text = self.text_of(bound)
        if len(values) < 2:
            return text
        parts = [
            _formatter.format_field(_formatter.convert_field(value, how), spec)
            for value, (_, spec, how) in zip(values, self._fields, strict=True)
        ]
        return f"{text}:{digest({str(place): part for place, part in enumerate(parts)})}"

    def _value(self, name: str, bound: Mapping[str, Any]) -> Any:
        value = _formatter.get_field(name, (), bound)[0]
        try:
            identify(value)
        except (UnstableArgumentError, RecursionError) as error:
            raise UnstableArgumentError(
                f"key={self.text!r}: {name!r} ({unstable(value, error)}) has no "
                f"stable text; name something of it, such as {{{name}.id}}"
            ) from None
        return value


def _fields_of(text: str) -> list[tuple[str, str, str | None]]:
    """Name, format and conversion of each field."""
    try:
        parsed = list(_formatter.parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no template: {error}") from None
    return [(name, spec or "", how) for _, name, spec, how in parsed if name is not None]


def check_names(function: str, names: Iterable[str], parameters: Collection[str]) -> None:
    """Raises ValueError naming the first that is no parameter of the function."""
    for name in sorted(names):
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{function} has no parameter {name!r}; its parameters: {known}")
