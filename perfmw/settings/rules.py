"""Cache rules: which responses get a TTL, tags or variants that they do not ask for themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from perfmw.settings.kinds import (
    BOOL,
    SECONDS_OR_ZERO,
    BadValueError,
    Kind,
    SettingsError,
    bounded,
    complaint,
    did_you_mean,
    optional,
    read_items,
    read_number,
    read_text,
)

_METHODS = ("GET", "HEAD")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """Gives a TTL to matching responses that carry no freshness of their own.

    ``path``: ``*`` stays within a path segment, ``**`` crosses segments.
    ``ttl``: seconds; None matches without giving freshness (for ``shared`` or ``tags`` alone).
    ``methods``: GET covers HEAD. ``vary``: request header names that become part of the key.
    ``shared``: True says that Cookie and Authorization do not change the response.
    ``max_stale``: the share of reads, 0..1, that may be answered with an old value; where ``dynamic_ttl`` is
    on, each URL then gets a learned lifetime of at most ``ttl``.
    ``stale_while_revalidate``: seconds after ``ttl`` in which the old response still answers, while a new one
    is fetched behind the visitor's back (RFC 5861 section 3).
    Sequences are kept as tuples, header names in lower case. Raises SettingsError.
    """

    path: str
    ttl: float | None = None
    tags: Sequence[str] = ()
    methods: Sequence[str] = ("GET",)
    vary: Sequence[str] = ()
    shared: bool = False
    max_stale: float | None = None
    stale_while_revalidate: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        for name, kind in _RULE_KINDS.items():
            value = getattr(self, name)
            try:
                converted = kind.convert(value)
            except ValueError as error:
                raise SettingsError(complaint(name, value, "", kind, error)) from None
            object.__setattr__(self, name, converted)


def _rule_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable():
        raise BadValueError
    if "?" in value or "#" in value:
        raise BadValueError("a rule matches the path alone, without a query")
    return value


def _rule_words(check: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    def convert(value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            raise BadValueError(f"write a list: [{value!r}]")
        words = read_items(value)
        if not all(isinstance(word, str) for word in words):
            raise BadValueError
        return tuple(dict.fromkeys(check(word) for word in words))

    return convert


def _rule_method(word: str) -> str:
    if word.upper() not in _METHODS:
        raise BadValueError(f"{word!r} is not among them")
    return word.upper()


def _rule_methods(value: object) -> tuple[str, ...]:
    methods = _rule_words(_rule_method)(value)
    if not methods:
        raise BadValueError
    return methods


def _header_name(word: str) -> str:
    if not _TOKEN.fullmatch(word):
        raise BadValueError(f"{word!r} is no header name")
    if word == "*":
        raise BadValueError("'*' would never match again; list the headers")
    return word.lower()


def read_header_names(value: object) -> tuple[str, ...]:
    return _rule_words(_header_name)(read_items(value))


def _label(value: object) -> str:
    if not isinstance(value, str) or (value and not value.isprintable()):
        raise BadValueError
    return value


_RULE_KINDS: dict[str, Kind] = {
    "path": Kind('a path that starts with "/", with * and ** as wildcards', _rule_path),
    "ttl": optional(SECONDS_OR_ZERO, "gives no freshness"),
    "tags": Kind("a list of tags", _rule_words(read_text)),
    "methods": Kind("a list of " + " and ".join(_METHODS), _rule_methods),
    "vary": Kind("a list of request header names", _rule_words(_header_name)),
    "shared": BOOL,
    "max_stale": optional(
        bounded(read_number, "a number above 0, at most 0.5", 0, 0.5, above=True), "`ttl` holds"
    ),
    "stale_while_revalidate": SECONDS_OR_ZERO,
    "name": Kind("a text", _label),
}

RULE_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_RULE_KINDS[name].allowed, doc)
    for name, doc in {
        "path": "Which paths match: `*` stays within a segment, `**` crosses segments.",
        "ttl": "The freshness of responses that state none, in seconds.",
        "tags": "Tags under which matching responses are stored, for `invalidate(tags=[...])`.",
        "methods": "Which methods match; GET covers HEAD.",
        "vary": "Request headers whose values become part of the key.",
        "shared": "Whether Cookie and Authorization leave the response as it is, so that all may share it.",
        "max_stale": "With `dynamic_ttl`: the share of reads that may be answered with an old value; `ttl` is"
        " then the longest lifetime, and each URL's own is learned.",
        "stale_while_revalidate": "Seconds after `ttl` in which the old response still answers, while a new"
        " one is fetched behind the visitor's back.",
        "name": "A name for the rule in logs and on the dashboard.",
    }.items()
}
"""Field of a rule -> what it takes, and its sentence in the reference."""


def read_rules(value: object) -> tuple[CacheRule, ...]:
    return tuple(_rule(number, item) for number, item in enumerate(read_items(value), start=1))


def _rule(number: int, item: object) -> CacheRule:
    if isinstance(item, CacheRule):
        return item
    try:
        if not isinstance(item, Mapping):
            raise SettingsError(f"{item!r} is not a table")
        known = [option.name for option in fields(CacheRule)]
        for key in item:
            if key not in known:
                raise SettingsError(f"unknown key {key!r}{did_you_mean(str(key), known)}")
        if "path" not in item:
            raise SettingsError("path is missing")
        return CacheRule(**item)
    except SettingsError as error:
        raise BadValueError(f"rule {number}: {error}") from None
