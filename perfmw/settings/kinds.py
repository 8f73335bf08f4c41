"""What a setting may be: each kind knows how to read a value, and how to say what is allowed."""

from __future__ import annotations

import base64
import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SOURCE = re.compile(r"hottest|(?:sitemap|openapi):/\S*|urls:.+")
_ORIGIN = re.compile(r"https?://[^/?#@\s]+/?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_SIZE_UNITS = {"b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_KEY_BYTES = 32
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class SettingsError(ValueError):
    """A setting is wrong; each line names the key, the bad value, where it came from, what is allowed."""


class BadValueError(ValueError):
    """A value does not fit its field; a message, where there is one, says more than the kind does."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field takes: in words for messages and documents, and as a function."""

    allowed: str
    convert: Callable[[Any], Any]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parse_size(value: object) -> int:
    """Bytes of ``1048576``, ``"1MiB"`` or ``"1.5 MB"`` (KiB is 1024 bytes, KB 1000). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise BadValueError
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "b").lower()])


def parse_duration(value: object) -> float:
    """Seconds of ``90``, ``1.5``, ``"90"``, ``"500ms"``, ``"5m"`` or ``"1h30m"``. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value))
    if not isinstance(value, str):
        raise BadValueError
    text = value.strip().lower()
    parts = _DURATION.findall(text)
    if parts and not _DURATION.sub("", text).strip():
        return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
    return read_number(text)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise BadValueError
    return number


def read_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValueError
    try:
        return _finite(float(value))
    except ValueError:
        raise BadValueError from None


def read_whole(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValueError
    return value


def read_bool(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True or word in _TRUE:
        return True
    if word is False or word in _FALSE:
        return False
    raise BadValueError


def read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise BadValueError
    return value.strip()


def read_path(value: object) -> str:
    """A path as a text, or as pathlib has it."""
    return read_text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def read_items(value: object) -> list[Any]:
    """A list given as such, as JSON, or as words separated by commas (the environment's way)."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return _json_list(value)
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise BadValueError
    return list(value)


def _json_list(value: str) -> list[Any]:
    import json  # only settings given as JSON pay for it

    try:
        items = json.loads(value)
    except json.JSONDecodeError as error:
        raise BadValueError(f"is not JSON: {error}") from None
    if not isinstance(items, list):
        raise BadValueError
    return items


def read_names(value: object) -> tuple[str, ...]:
    names = read_items(value)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadValueError(f"{name!r} is no name")
    if len(set(names)) != len(names):
        raise BadValueError("a name is listed twice")
    return tuple(names)


def optional(kind: Kind, what_none_means: str) -> Kind:
    def convert(value: object) -> Any:
        nothing = value is None or (isinstance(value, str) and value.strip().lower() == "none")
        return None if nothing else kind.convert(value)

    return Kind(f"{kind.allowed}, or none ({what_none_means})", convert)


def bounded(
    parse: Callable[[Any], Any], what: str, low: float, high: float = math.inf, *, above: bool = False
) -> Kind:
    """Numbers from ``low`` (above it, with ``above``) to ``high``."""

    def convert(value: object) -> Any:
        number = parse(value)
        if number > high or number < low or (above and number == low):
            raise BadValueError
        return number

    return Kind(what, convert)


def choice(*choices: str) -> Kind:
    def convert(value: object) -> str:
        # YAML-minded people write off and mean the word
        word = "off" if value is False and "off" in choices else value
        if word not in choices:
            raise BadValueError
        return str(word)

    return Kind("one of " + ", ".join(choices), convert)


def read_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        raise BadValueError
    return value.strip()


def read_layers(value: object) -> tuple[str, ...]:
    names = read_names(value)
    if not names:
        raise BadValueError
    return names


def read_keys(value: object) -> tuple[str, ...]:
    keys = read_items(value)
    names = [_name_of_key(number, key) for number, key in enumerate(keys, start=1)]
    if not names:
        raise BadValueError
    if len(set(names)) < len(names):
        raise BadValueError("two keys have one id")
    return tuple(keys)


def _name_of_key(number: int, word: object) -> str:
    """Raises BadValueError that shows no secret, which may stand in the wrong place."""
    found = re.fullmatch(r"([\w.-]{1,255}):([\w+/=-]+)", word) if isinstance(word, str) else None
    if found is None:
        raise BadValueError
    try:
        key = base64.b64decode(found[2].replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raise BadValueError(f"key {number} is not base64") from None
    if len(key) != _KEY_BYTES:
        raise BadValueError(f"key {number} has {len(key)} bytes, not {_KEY_BYTES}")
    return found[1]


def read_sources(value: object) -> tuple[str, ...]:
    sources = read_items(value)
    for source in sources:
        if not isinstance(source, str) or not _SOURCE.fullmatch(source):
            raise BadValueError(f"{source!r} is no source")
    return tuple(sources)


def read_origin(value: object) -> str:
    if not isinstance(value, str) or not _ORIGIN.fullmatch(value.strip()):
        raise BadValueError
    return value.strip().rstrip("/").lower()


def read_mount_path(value: object) -> str:
    path = read_text(value).rstrip("/")
    if not path.startswith("/") or re.search(r"[?#\s]|//|/\.{1,2}(/|$)", path):
        raise BadValueError
    return path


def read_secret(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise BadValueError
    return value


def read_token(value: object) -> str:
    """A secret of some length, or ``hash:`` and the SHA-256 of one."""
    token = read_secret(value)
    if len(token) < 8 or (token.startswith("hash:") and not re.fullmatch("hash:[0-9a-f]{64}", token)):
        raise BadValueError
    return token


def read_hosts(value: object) -> tuple[str, ...]:
    hosts = read_items(value)
    for host in hosts:
        if not isinstance(host, str) or not re.fullmatch(r"(\*\.)?[\w.-]+|[0-9a-fA-F:]+", host):
            raise BadValueError(f"{host!r} is no host name")
    return tuple(hosts)


def complaint(name: str, value: object, origin: str, kind: Kind, error: ValueError) -> str:
    place = f" (from {origin})" if origin else ""
    detail = f" {error};" if isinstance(error, BadValueError) and str(error) else ""
    return f"{name} = {value!r}{place}:{detail} allowed: {kind.allowed}"


SECONDS = 'seconds, or a text such as "500ms", "5m" or "1h30m"'
BYTES = 'a size in bytes, or a text such as "64MiB"'
BOOL = Kind("true or false", read_bool)
SHARE = bounded(read_number, "a number from 0 to 1", 0, 1)
PRICE = bounded(read_number, "a number, 0 or more", 0)
COUNT = bounded(read_whole, "a whole number, at least 1", 1)
POSITIVE_SECONDS = bounded(parse_duration, f"more than 0 {SECONDS}", 0, above=True)
SECONDS_OR_ZERO = bounded(parse_duration, f"0 or more {SECONDS}", 0)
TOKEN = optional(
    Kind('at least 8 printable ASCII characters, or "hash:" and 64 hexadecimal digits', read_token),
    "no such token",
)
HOSTS = Kind("a list of host names without ports; *.example.org is every name below", read_hosts)


def option(default: Any, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    """A dataclass field that knows its kind and its sentence in the reference."""
    return field(default=default, repr=not secret, metadata={"kind": kind, "doc": doc, "secret": secret})
