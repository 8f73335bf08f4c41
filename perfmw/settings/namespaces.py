"""Namespaces: parts of the cache with layers, bounds and figures of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfmw.settings.kinds import (
    BYTES,
    COUNT,
    POSITIVE_SECONDS,
    BadValueError,
    Kind,
    bounded,
    did_you_mean,
    optional,
    parse_size,
    read_layers,
    read_name,
    read_path,
)
from perfmw.settings.tables import convert_fields, read_mapping, read_table

NAMESPACE_TYPES = ("application", "database", "api", "content", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A cache of its own for what is stored under a name. What is None is as it is for all.

    ``layers``: names, nearest first. ``ttl``: seconds that an entry lives where nothing else says.
    Raises SettingsError.
    """

    layers: Sequence[str] | None = None
    memory_max_bytes: int | None = None
    memory_max_entries: int | None = None
    eviction_policy: str | None = None
    ttl: float | None = None
    disk_path: str | None = None
    disk_max_bytes: int | None = None

    def __post_init__(self) -> None:
        convert_fields(self, _KINDS)


_KINDS: dict[str, Kind] = {
    "layers": optional(Kind("a list of layer names, at least one", read_layers), "as for all"),
    "memory_max_bytes": optional(bounded(parse_size, f"{BYTES}, at least 1", 1), "as for all"),
    "memory_max_entries": optional(COUNT, "as for all"),
    "eviction_policy": optional(Kind("the name of an eviction policy", read_name), "as for all"),
    "ttl": optional(POSITIVE_SECONDS, "for ever"),
    "disk_path": optional(Kind("the path of a file", read_path), "beside the file for all"),
    "disk_max_bytes": optional(bounded(parse_size, f"{BYTES}, at least 1MiB", 1024**2), "as for all"),
}

NAMESPACE_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_KINDS[name].allowed, doc)
    for name, doc in {
        "layers": "Its layers, nearest first, each its own: on a server its keys have a prefix of their own.",
        "memory_max_bytes": "The bound of its memory layer in bytes.",
        "memory_max_entries": "The bound of its memory layer in entries, besides the one in bytes.",
        "eviction_policy": "Who leaves its full memory layer.",
        "ttl": "How long, in seconds, an entry lives where nothing else says so.",
        "disk_path": "The file of its disk layer.",
        "disk_max_bytes": "The bound of that file in bytes.",
    }.items()
}
"""Field of a namespace -> what it takes, and its sentence in the reference."""


class Tables(dict[str, Namespace]):
    """Namespaces by name, as a value: it is not changed once it is made."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


def type_of(name: str) -> str:
    """The type of a namespace: ``session`` of ``session`` and of ``session.carts``."""
    return name.partition(".")[0]


def read_namespaces(value: object) -> Mapping[str, Namespace]:
    """Tables by name; in the environment a JSON object. Raises BadValueError."""
    return Tables(
        (_checked(name), read_table(Namespace, table, f"namespace {name!r}"))
        for name, table in read_mapping(value).items()
    )


def _checked(name: object) -> str:
    if not isinstance(name, str) or type_of(name) not in NAMESPACE_TYPES:
        raise BadValueError(
            f"{name!r} is no namespace{did_you_mean(str(name), NAMESPACE_TYPES)}; "
            f"a name is one of {', '.join(NAMESPACE_TYPES)}, or one of them with a name behind, "
            f"such as 'session.carts'"
        )
    return read_name(name)
