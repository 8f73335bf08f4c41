"""Lists, numbers and Cache-Control as they arrive: parsed in one pass, never raising, memoised."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

MEMO_LONGEST = 256  # longer values are parsed each time, so that nobody fills memory with them
DELTA_MAX = 2**31  # what an overflowing delta-seconds counts as (section 1.2.2)

_OWS = b" \t"
# a comma inside a quoted string separates nothing; every branch starts differently, so this is linear
_MEMBER = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_DIGITS = re.compile(rb"[0-9]+")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def split_list(value: bytes) -> list[bytes]:
    """The members of a comma-separated field, stripped, empty ones left out (RFC 9110 section 5.6.1)."""
    parts = _MEMBER.findall(value) if b'"' in value else value.split(b",")
    return [member for part in parts if (member := part.strip(_OWS))]


def names_in(value: bytes) -> tuple[bytes, ...]:
    """A list of field names, in lower case."""
    return tuple(member.lower() for member in split_list(value))


def is_token(value: bytes) -> bool:
    return _TOKEN.fullmatch(value) is not None


def delta_seconds(value: bytes) -> int | None:
    """A non-negative integer, capped at 2**31; None for anything else (section 1.2.2)."""
    if not _DIGITS.fullmatch(value):
        return None
    return DELTA_MAX if len(value) > 32 else min(int(value), DELTA_MAX)


def age_seconds(value: bytes) -> int | None:
    """An Age field: the first value counts, and an invalid one is as good as none (section 5.1)."""
    return delta_seconds(value.split(b",", 1)[0].strip(_OWS))


@dataclass(slots=True)
class CacheControl:
    """Cache-Control directives of a request or a response. None: not given; seconds otherwise.

    A freshness directive with an invalid argument counts as 0 seconds (section 4.2.1), and of several
    values the smallest counts. ``max_stale`` without an argument is infinite.
    """

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    min_fresh: int | None = None
    max_stale: float | None = None
    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: list[bytes] = field(default_factory=list)
    private: bool = False
    private_fields: list[bytes] = field(default_factory=list)
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    only_if_cached: bool = False

    def number(self, name: str, value: int) -> None:
        """Keep the smallest of several values."""
        known = getattr(self, name)
        setattr(self, name, value if known is None else min(known, value))

    def qualified(self, name: str, fields: tuple[bytes, ...]) -> None:
        """``private`` and ``no-cache``: the whole response, or only the fields their argument lists."""
        if fields:
            getattr(self, f"{name}_fields").extend(fields)
        else:
            setattr(self, name, True)


NOTHING = CacheControl()

NUMBERS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
}
FLAGS = {
    b"no-store": "no_store",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"immutable": "immutable",
    b"only-if-cached": "only_if_cached",
}
QUALIFIED = {b"no-cache": "no_cache", b"private": "private"}


def cache_control(value: bytes) -> CacheControl:
    """Parse a combined Cache-Control field. The result is shared: treat it as read-only."""
    return _remembered(value) if len(value) <= MEMO_LONGEST else _parse(value)


def _parse(value: bytes) -> CacheControl:
    control = CacheControl()
    for member in split_list(value):
        name, equals, argument = member.partition(b"=")
        # white space around "=" makes the argument invalid, not the directive unknown
        sound = not (equals and (name[-1:] in (b" ", b"\t") or argument[:1] in (b" ", b"\t")))
        _apply(
            control, name.strip(_OWS).lower(), unquote(argument) if equals and sound else b"", bool(equals)
        )
    return control


_remembered = lru_cache(maxsize=512)(_parse)


def _apply(control: CacheControl, name: bytes, argument: bytes, given: bool) -> None:
    if name in NUMBERS:
        control.number(NUMBERS[name], delta_seconds(argument) or 0)
    elif name in FLAGS:
        setattr(control, FLAGS[name], True)
    elif name in QUALIFIED:
        control.qualified(QUALIFIED[name], names_in(argument))
    elif name == b"min-fresh":
        control.min_fresh = delta_seconds(argument)
    elif name == b"max-stale":
        control.max_stale = delta_seconds(argument) if given else float("inf")


def unquote(argument: bytes) -> bytes:
    """The content of a quoted string; anything else as it is (an unfinished quote stays invalid)."""
    if len(argument) >= 2 and argument[:1] == b'"' == argument[-1:]:
        return _ESCAPED.sub(rb"\1", argument[1:-1])
    return argument
