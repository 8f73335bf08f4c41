"""The CDN before the app: which fields it is sent, and how it is told of invalidations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from perfmw.settings.kinds import COUNT, POSITIVE_SECONDS, BadValueError, Kind, choice, optional
from perfmw.settings.tables import convert_fields, read_mapping, read_table

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_PLACES = frozenset({"url", "host", "path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdn:
    """What a CDN gets to know. Raises SettingsError.

    Fields of responses: ``cache_control`` tells it for how long, ``tags`` carries perfmw's tags. Without
    ``purge_url`` and ``ban_url`` it is told nothing, unless a plugin does.
    """

    cache_control: str | None = None
    tags: str | None = None
    purge_url: str | None = None
    purge_method: str = "PURGE"
    ban_url: str | None = None
    ban_method: str = "BAN"
    ban_tags: str | None = None
    ban_prefix: str | None = None
    soft: str | None = None
    token: str = "Authorization"  # noqa: S105  # the name of a field
    timeout: float = 5.0
    queue: int = 10_000

    def __post_init__(self) -> None:
        convert_fields(self, _KINDS)


def _name(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise BadValueError
    return value


def _url(value: object) -> str:
    """With no other places than those there are, and an origin that does not depend on them."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise BadValueError
    start, _, first = value.partition("{")
    parts = urlsplit(start)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadValueError
    if first and not parts.path and not first.startswith("path}"):
        raise BadValueError("the host is named in full; {host} and {url} may stand behind it")
    for place in re.findall(r"\{(.*?)\}", value):
        if place not in _PLACES:
            raise BadValueError(f"{{{place}}} is not one of {{url}}, {{host}} and {{path}}")
    return value


_FIELD = Kind("the name of a header field", _name)
_URL = Kind("an http or https URL, with {url}, {host} or {path} for those of what is purged", _url)
_KINDS: dict[str, Kind] = {
    "cache_control": optional(choice("CDN-Cache-Control", "Surrogate-Control"), "the CDN sees Cache-Control"),
    "tags": optional(_FIELD, "the CDN gets no tags"),
    "purge_url": optional(_URL, "URLs are not purged"),
    "purge_method": Kind("a method", _name),
    "ban_url": optional(_URL, "tags and prefixes are not purged"),
    "ban_method": Kind("a method", _name),
    "ban_tags": optional(_FIELD, "that of `tags`, else Surrogate-Key"),
    "ban_prefix": optional(_FIELD, "prefixes are not purged"),
    "soft": optional(_FIELD, "the CDN knows hard purges only"),
    "token": _FIELD,
    "timeout": POSITIVE_SECONDS,
    "queue": COUNT,
}

CDN_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_KINDS[name].allowed, doc)
    for name, doc in {
        "cache_control": "The field that tells the CDN how long a response stays fresh.",
        "tags": "The field with a response's tags: Surrogate-Key, Cache-Tag, xkey or another.",
        "purge_url": "Where to ask for the purge of a URL.",
        "purge_method": "By which method.",
        "ban_url": "Where to ask for the purge of tags and prefixes.",
        "ban_method": "By which method.",
        "ban_tags": "The field that names the tags.",
        "ban_prefix": "The field that names a URL prefix.",
        "soft": "The field that is 1 where a purge is a soft one.",
        "token": "The field that carries `cdn_token`; Authorization gets it as a Bearer token.",
        "timeout": "How long, in seconds, such a request may take.",
        "queue": "The most purges that wait; what finds no room is counted as dropped.",
    }.items()
}
"""Field of the table ``cdn`` -> what it takes, and its sentence in the reference."""


def read_cdn(value: object) -> Cdn:
    """A table; in the environment a JSON object. Raises BadValueError."""
    if isinstance(value, Cdn):
        return value
    table: Mapping[str, object] = read_mapping(value)
    return read_table(Cdn, table, "cdn")
