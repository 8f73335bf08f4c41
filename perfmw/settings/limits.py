"""Limits: how many requests at once, of which class, and how many in a time for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from perfmw.settings.kinds import (
    BOOL,
    COUNT,
    POSITIVE_SECONDS,
    SECONDS_OR_ZERO,
    SHARE,
    BadValueError,
    Kind,
    SettingsError,
    bounded,
    choice,
    optional,
    parse_size,
    read_items,
    read_name,
    read_number,
)
from perfmw.settings.tables import convert_fields, read_mapping, read_table

PRIORITIES = ("low", "normal", "high")
QuotaScope = Literal["global", "application", "component", "user"]
Strategy = Literal["priority", "fair", "weighted", "reserve"]
DEFAULT_SHARES: dict[str, dict[str, float]] = {
    "weighted": {"low": 1.0, "normal": 3.0, "high": 6.0},
    "reserve": {"high": 0.2},
}
"""Of the strategies that share by class, what each class has where the settings do not say."""


class PathTable(dict[str, str]):
    """Words by path pattern, in order, as a value: it is not changed once it is made."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(tuple(self.items()))


class Thresholds(dict[str, float]):
    """Numbers by name, as a value: it is not changed once it is made."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


_NUMBER = bounded(read_number, "a number, 0 or more", 0)


def read_pattern(value: object) -> str:
    """A path pattern as in cache rules. Raises BadValueError."""
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable():
        raise BadValueError(f'{value!r} is no path that starts with "/"')
    if "?" in value or "#" in value:
        raise BadValueError(f"{value!r}: a pattern matches the path alone, without a query")
    return value


def read_patterns(value: object) -> tuple[str, ...]:
    return tuple(read_pattern(item) for item in read_items(value))


def path_table(word: Callable[[Any], str]) -> Callable[[object], PathTable]:
    def convert(value: object) -> PathTable:
        return PathTable((read_pattern(path), word(item)) for path, item in read_mapping(value).items())

    return convert


def _shares(value: object) -> Thresholds:
    shares = {_priority(name): _NUMBER.convert(share) for name, share in read_mapping(value).items()}
    return Thresholds(shares)


def _priority(value: object) -> str:
    if value not in PRIORITIES:
        raise BadValueError(f"{value!r} is not one of {', '.join(PRIORITIES)}")
    return str(value)


_LEAST = 2
_INITIAL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """The bounds of the adaptive limits, and which paths have one of their own. Raises SettingsError.

    ``least``, ``most``, ``initial``: requests at once, of each group and process. ``queue``: seconds that a
    request may wait for its turn. ``groups``: path pattern -> name of a group; all others are ``default``.
    ``early``: refuse before the server parses, where it is uvicorn. ``most_tried``: how far a trial of an
    optimization may raise ``most``, None for not at all.
    """

    least: int | None = None
    most: int = 1000
    initial: int | None = None
    algorithm: Literal["gradient", "vegas", "aimd"] = "gradient"
    queue: float = 0.0
    queue_length: int = 100
    groups: Mapping[str, str] = PathTable()
    strategy: Strategy = "priority"
    shares: Mapping[str, float] | None = None
    early: bool = True
    most_tried: int | None = None

    def __post_init__(self) -> None:
        convert_fields(self, _CONCURRENCY_KINDS)
        self._check_shares()
        least, initial, most = self.bounds
        if not least <= initial <= most:
            raise SettingsError(f"least <= initial <= most is asked for, not {least}, {initial}, {most}")
        if self.most_tried is not None and self.most_tried < most:
            raise SettingsError(f"most_tried is at least most, {most}, not {self.most_tried}")

    def _check_shares(self) -> None:
        if self.shares is not None and self.strategy not in DEFAULT_SHARES:
            takers = " and ".join(DEFAULT_SHARES)
            raise SettingsError(f"shares are for the strategies {takers}, not for {self.strategy!r}")
        total = sum(self.by_class)
        if self.strategy == "reserve" and total > 1.0 + 1e-9:
            raise SettingsError(f"what is reserved is at most 1 together, not {total:g}")
        if self.strategy == "weighted" and not total:
            raise SettingsError("shares: one of the weights has to be above 0")

    @property
    def by_class(self) -> tuple[float, ...]:
        """The shares of low, normal and high; what the table leaves out has none."""
        shares = DEFAULT_SHARES.get(self.strategy, {}) if self.shares is None else self.shares
        return tuple(shares.get(name, 0.0) for name in PRIORITIES)

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The least limit, the initial and the most."""
        least = min(_LEAST, self.most) if self.least is None else self.least
        initial = max(least, min(_INITIAL, self.most)) if self.initial is None else self.initial
        return least, initial, self.most


_CONCURRENCY_KINDS: dict[str, Kind] = {
    "least": optional(COUNT, "2, or `most`"),
    "most": COUNT,
    "initial": optional(COUNT, "20, within the bounds"),
    "algorithm": choice("gradient", "vegas", "aimd"),
    "queue": SECONDS_OR_ZERO,
    "queue_length": COUNT,
    "groups": Kind("names by path pattern", path_table(read_name)),
    "strategy": choice("priority", "fair", "weighted", "reserve"),
    "shares": optional(Kind("numbers by low, normal and high", _shares), "those of the strategy"),
    "early": BOOL,
    "most_tried": optional(COUNT, "`most`: not at all"),
}

CONCURRENCY_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_CONCURRENCY_KINDS[name].allowed, doc)
    for name, doc in {
        "least": "A group's limit in a process is never lower; with 1 an app that computes idles at times.",
        "most": "Nor higher.",
        "initial": "What it begins with.",
        "algorithm": "How it follows what requests measure.",
        "queue": "How long, in seconds, a request may wait for its turn before it is refused; 0: not at all.",
        "queue_length": "How many requests of a group may wait at once.",
        "groups": "Which paths have a limit of their own: pattern and name; the others are `default`.",
        "strategy": "Who gets places where there are not enough: `priority` the higher classes first; `fair` "
        "each user as many; `weighted` each class by its weight; `reserve` each class what is kept for it.",
        "shares": "Of `weighted` the weights (1, 3 and 6), of `reserve` the kept shares of the limit (0.2 "
        "for high).",
        "early": "Whether uvicorn refuses before it parses: of the cost of a refusal a fifth is left. Its "
        "access log and middlewares around perfmw do not see these.",
        "most_tried": "How far optimizations may raise `most` where it is reached, by trial.",
    }.items()
}
"""Field of the table ``concurrency`` -> what it takes, and its sentence in the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What may come in a time, or at once, from one of a scope. Raises SettingsError.

    ``limit`` requests per ``window`` seconds, whenever in it they come; with ``burst`` evenly, and that many
    at once; ``at_once``: under way at once. ``reserve``: the share that is kept for high priority.
    ``fields``: whether responses tell what is left.
    """

    name: str
    limit: int | None = None
    window: float = 60.0
    burst: int | None = None
    at_once: int | None = None
    scope: QuotaScope = "application"
    path: str = "/**"
    methods: Sequence[str] = ()
    reserve: float = 0.0
    shared: bool = False
    fields: bool = True

    def __post_init__(self) -> None:
        convert_fields(self, _QUOTA_KINDS)
        if self.limit is None and self.at_once is None:
            raise SettingsError("limit is missing, or at_once")
        if self.shared and self.limit is None:
            raise SettingsError("shared counts a limit, and there is none")
        if self.burst is not None and self.limit is not None and self.burst > self.limit:
            raise SettingsError(f"burst = {self.burst} is more than limit = {self.limit}")


def _methods(value: object) -> tuple[str, ...]:
    words = read_items(value)
    if not all(isinstance(word, str) and word.isalpha() for word in words):
        raise BadValueError
    return tuple(word.upper() for word in words)


_QUOTA_KINDS: dict[str, Kind] = {
    "name": Kind("a name", read_name),
    "limit": optional(COUNT, "only `at_once` holds"),
    "window": POSITIVE_SECONDS,
    "burst": optional(COUNT, "the whole limit at once"),
    "at_once": optional(COUNT, "as many as come"),
    "scope": choice("global", "application", "component", "user"),
    "path": Kind('a path that starts with "/", with * and ** as wildcards', read_pattern),
    "methods": Kind("a list of methods, [] for all", _methods),
    "reserve": SHARE,
    "shared": BOOL,
    "fields": BOOL,
}

QUOTA_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_QUOTA_KINDS[name].allowed, doc)
    for name, doc in {
        "name": "Its name, which clients are told.",
        "limit": "How many requests per window.",
        "window": "The window, in seconds.",
        "burst": "Lets them come evenly, and this many at once; shared quotas may be used up at once.",
        "at_once": "How many requests may be under way at once.",
        "scope": "For whom it is counted: `global` all requests, those for health checks too; `application` "
        "all others; `component` each route (path, with numbers and ids left out) by itself; `user` each "
        "principal by itself.",
        "path": "Which paths it is for: `*` stays within a segment, `**` crosses segments.",
        "methods": "Which methods it is for.",
        "reserve": "The share of it that only requests of high priority get.",
        "shared": "Whether all processes count together, in the first layer that they share; else each "
        "counts for itself.",
        "fields": "Whether responses to requests that it counted tell what is left of it (`RateLimit`, "
        "`RateLimit-Policy`); refusals always do.",
    }.items()
}
"""Field of a quota -> what it takes, and its sentence in the reference."""


def read_concurrency(value: object) -> Concurrency:
    """A table; in the environment a JSON object. Raises BadValueError."""
    if isinstance(value, Concurrency):
        return value
    return read_table(Concurrency, read_mapping(value), "concurrency")


def read_quotas(value: object) -> tuple[Quota, ...]:
    """A list of tables. Raises BadValueError."""
    quotas = tuple(_quota(number, item) for number, item in enumerate(read_items(value), start=1))
    names = [quota.name for quota in quotas]
    for name in names:
        if names.count(name) > 1:
            raise BadValueError(f"two quotas are named {name!r}")
    return quotas


def _quota(number: int, item: object) -> Quota:
    if isinstance(item, Mapping) and "name" not in item:
        raise BadValueError(f"quota {number}: name is missing")
    return read_table(Quota, item, f"quota {number}")


CONCURRENCY = Kind("a table (in the environment: as JSON)", read_concurrency)
QUOTAS = Kind("a list of quotas (in the environment: as JSON)", read_quotas)
PATTERNS = Kind("a list of path patterns", read_patterns)
PRIORITY_TABLE = Kind("low, normal or high by path pattern", path_table(_priority))

RESOURCE_ALERTS: dict[str, float] = {
    "memory_bytes": 2e9,
    "cpu": 0.7,
    "storage": 0.9,
    "descriptors": 0.8,
}
"""From which use on an alert is raised, where the settings do not say otherwise; 0 is never."""


def _bytes(value: object) -> float:
    number: float = parse_size(value) if isinstance(value, str) else _NUMBER.convert(value)
    return number


def read_thresholds(value: object) -> Thresholds:
    """What is not named keeps its default. Raises BadValueError."""
    given = {}
    for name, item in read_mapping(value).items():
        if name not in RESOURCE_ALERTS:
            raise BadValueError(f"{name!r} is not one of {', '.join(RESOURCE_ALERTS)}")
        given[name] = _bytes(item) if name == "memory_bytes" else SHARE.convert(item)
    return Thresholds(RESOURCE_ALERTS | given)


CAPACITY = optional(
    bounded(read_number, "a number above 0", 0, above=True), "learned from the CPU time of requests"
)
THRESHOLDS = Kind(f"a table of {', '.join(RESOURCE_ALERTS)}; all but the first are shares", read_thresholds)
