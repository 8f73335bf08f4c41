"""Settings: what a user may choose, where each value came from, and clear errors for bad ones.

A value is looked for in this order, and the first place that has it wins: a keyword of ``Settings(...)``,
the environment (``PERFMW_<NAME>``), ``perfmw.toml``, the table ``[tool.perfmw]`` of ``pyproject.toml``
(both in the working directory), the default. ``Settings.origin(name)`` tells which it was.
"""

from __future__ import annotations

import difflib
import functools
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

log = logging.getLogger("perfmw.settings")

DashboardMode = Literal["off", "loopback", "token"]
ENV_PREFIX = "PERFMW_"
REDACTED = "********"
OTHER_VARIABLES = frozenset({"TARGET", "TARGET_FACTORY", "DATA", "DEMO_SECONDS", "NO_BROWSER"})
"""``PERFMW_*`` variables that are no settings: they belong to commands and to the test suite."""

_RULE_METHODS = ("GET", "HEAD")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_SIZE_UNITS = {"b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class SettingsError(ValueError):
    """A setting is wrong; each line names the key, the bad value, where it came from, what is allowed."""


class _BadValueError(ValueError):
    """A value does not fit its field; a message, where there is one, says more than the kind does."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a field takes: in words for messages and documents, and as a function."""

    allowed: str
    convert: Callable[[Any], Any]


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parse_size(value: object) -> int:
    """Bytes of ``1048576``, ``"1MiB"`` or ``"1.5 MB"`` (KiB is 1024 bytes, KB 1000). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise _BadValueError
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "b").lower()])


def parse_duration(value: object) -> float:
    """Seconds of ``90``, ``1.5``, ``"90"``, ``"500ms"``, ``"5m"`` or ``"1h30m"``. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value))
    if not isinstance(value, str):
        raise _BadValueError
    text = value.strip().lower()
    parts = _DURATION.findall(text)
    if parts and not _DURATION.sub("", text).strip():
        return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
    return _number(text)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise _BadValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _BadValueError
    try:
        return _finite(float(value))
    except ValueError:
        raise _BadValueError from None


def _whole(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _BadValueError
    return value


def _boolean(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True or word in _TRUE:
        return True
    if word is False or word in _FALSE:
        return False
    raise _BadValueError


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _BadValueError
    return value.strip()


def _items(value: object) -> list[Any]:
    """A list given as such, as JSON, or as words separated by commas (the environment's way)."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return _json_list(value)
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise _BadValueError
    return list(value)


def _json_list(value: str) -> list[Any]:
    import json  # only settings given as JSON pay for it

    try:
        items = json.loads(value)
    except json.JSONDecodeError as error:
        raise _BadValueError(f"is not JSON: {error}") from None
    if not isinstance(items, list):
        raise _BadValueError
    return items


def _names(value: object) -> tuple[str, ...]:
    names = _items(value)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _BadValueError(f"{name!r} is no name")
    if len(set(names)) != len(names):
        raise _BadValueError("a name is listed twice")
    return tuple(names)


def _optional(kind: _Kind, what_none_means: str) -> _Kind:
    def convert(value: object) -> Any:
        nothing = value is None or (isinstance(value, str) and value.strip().lower() == "none")
        return None if nothing else kind.convert(value)

    return _Kind(f"{kind.allowed}, or none ({what_none_means})", convert)


def _bounded(
    parse: Callable[[Any], Any], what: str, low: float, high: float = math.inf, *, above: bool = False
) -> _Kind:
    """Numbers from ``low`` (above it, with ``above``) to ``high``."""

    def convert(value: object) -> Any:
        number = parse(value)
        if number > high or number < low or (above and number == low):
            raise _BadValueError
        return number

    return _Kind(what, convert)


def _choice(*choices: str) -> _Kind:
    def convert(value: object) -> str:
        # YAML-minded people write off and mean the word
        word = "off" if value is False and "off" in choices else value
        if word not in choices:
            raise _BadValueError
        return str(word)

    return _Kind("one of " + ", ".join(choices), convert)


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        raise _BadValueError
    return value.strip()


def _layers(value: object) -> tuple[str, ...]:
    names = _names(value)
    if not names:
        raise _BadValueError
    return names


def _mount_path(value: object) -> str:
    path = _text(value).rstrip("/")
    if not path.startswith("/") or re.search(r"[?#\s]|//|/\.{1,2}(/|$)", path):
        raise _BadValueError
    return path


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise _BadValueError
    return value


def _rules(value: object) -> tuple[CacheRule, ...]:
    return tuple(_rule(number, item) for number, item in enumerate(_items(value), start=1))


def _rule(number: int, item: object) -> CacheRule:
    if isinstance(item, CacheRule):
        return item
    try:
        if not isinstance(item, Mapping):
            raise SettingsError(f"{item!r} is not a table")
        known = [option.name for option in fields(CacheRule)]
        for key in item:
            if key not in known:
                raise SettingsError(f"unknown key {key!r}{_did_you_mean(str(key), known)}")
        if "path" not in item:
            raise SettingsError("path is missing")
        return CacheRule(**item)
    except SettingsError as error:
        raise _BadValueError(f"rule {number}: {error}") from None


_SECONDS = 'seconds, or a text such as "500ms", "5m" or "1h30m"'
_BYTES = 'a size in bytes, or a text such as "64MiB"'
_BOOL = _Kind("true or false", _boolean)
_SHARE = _bounded(_number, "a number from 0 to 1", 0, 1)
_COUNT = _bounded(_whole, "a whole number, at least 1", 1)
_POSITIVE_SECONDS = _bounded(parse_duration, f"more than 0 {_SECONDS}", 0, above=True)
_SECONDS_OR_ZERO = _bounded(parse_duration, f"0 or more {_SECONDS}", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """Gives a TTL to matching responses that carry no freshness of their own.

    ``path``: ``*`` stays within a path segment, ``**`` crosses segments.
    ``ttl``: seconds; None matches without giving freshness (for ``shared`` or ``tags`` alone).
    ``methods``: GET covers HEAD. ``vary``: request header names that become part of the key.
    ``shared``: True says that Cookie and Authorization do not change the response.
    Sequences are kept as tuples, header names in lower case. Raises SettingsError.
    """

    path: str
    ttl: float | None = None
    tags: Sequence[str] = ()
    methods: Sequence[str] = ("GET",)
    vary: Sequence[str] = ()
    shared: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        for name, kind in _RULE_KINDS.items():
            value = getattr(self, name)
            try:
                converted = kind.convert(value)
            except ValueError as error:
                raise SettingsError(_complaint(name, value, "", kind, error)) from None
            object.__setattr__(self, name, converted)


def _rule_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable():
        raise _BadValueError
    if "?" in value or "#" in value:
        raise _BadValueError("a rule matches the path alone, without a query")
    return value


def _rule_words(check: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    def convert(value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            raise _BadValueError(f"write a list: [{value!r}]")
        words = _items(value)
        if not all(isinstance(word, str) for word in words):
            raise _BadValueError
        return tuple(dict.fromkeys(check(word) for word in words))

    return convert


def _rule_method(word: str) -> str:
    if word.upper() not in _RULE_METHODS:
        raise _BadValueError(f"{word!r} is not among them")
    return word.upper()


def _rule_methods(value: object) -> tuple[str, ...]:
    methods = _rule_words(_rule_method)(value)
    if not methods:
        raise _BadValueError
    return methods


def _header_name(word: str) -> str:
    if not _TOKEN.fullmatch(word):
        raise _BadValueError(f"{word!r} is no header name")
    if word == "*":
        raise _BadValueError("'*' would never match again; list the headers")
    return word.lower()


def _label(value: object) -> str:
    if not isinstance(value, str) or (value and not value.isprintable()):
        raise _BadValueError
    return value


_RULE_KINDS: dict[str, _Kind] = {
    "path": _Kind('a path that starts with "/", with * and ** as wildcards', _rule_path),
    "ttl": _optional(_SECONDS_OR_ZERO, "gives no freshness"),
    "tags": _Kind("a list of tags", _rule_words(_text)),
    "methods": _Kind("a list of " + " and ".join(_RULE_METHODS), _rule_methods),
    "vary": _Kind("a list of request header names", _rule_words(_header_name)),
    "shared": _BOOL,
    "name": _Kind("a text", _label),
}

_T = TypeVar("_T")


def _option(default: Any, kind: _Kind, doc: str, *, secret: bool = False) -> Any:
    """A dataclass field that knows its kind and its sentence in the reference."""
    return field(default=default, repr=not secret, metadata={"kind": kind, "doc": doc, "secret": secret})


def _resolving(cls: type[_T]) -> type[_T]:
    """Make ``__init__`` look for what no keyword gave, while type checkers see the dataclass's own."""

    @functools.wraps(cls.__init__)
    def init(self: Settings, **keywords: Any) -> None:
        self._resolve(keywords, os.environ, Path.cwd())

    cls.__init__ = init  # type: ignore[assignment]
    return cls


@_resolving
@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a runtime, immutable and validated. Raises SettingsError.

    ``Settings(name=value, ...)`` resolves the other fields from the process's environment and working
    directory; ``Settings.load(env=..., cwd=...)`` from those given.
    """

    enabled: bool = _option(True, _BOOL, "Whether perfmw does anything; false passes every request through.")
    cache_rules: Sequence[CacheRule] = _option(
        (),
        _Kind("a list of cache rules (in the environment: as JSON)", _rules),
        "Rules that give a TTL, tags or variants to responses without freshness of their own.",
    )
    rfc_strict: bool = _option(
        False, _BOOL, "Whether RFC 9111 alone decides, without the guards for Cookie and Set-Cookie."
    )
    layers: Sequence[str] = _option(
        ("memory",), _Kind("a list of layer names, at least one", _layers), "The cache layers, nearest first."
    )
    memory_max_bytes: int = _option(
        64 * 1024 * 1024,
        _bounded(parse_size, f"{_BYTES}, at least 1", 1),
        "The bound of the memory layer in bytes, keys and overhead counted.",
    )
    memory_max_entries: int | None = _option(
        None,
        _optional(_COUNT, "bounded by bytes"),
        "The bound of the memory layer in entries, instead of bytes.",
    )
    eviction_policy: str = _option(
        "lru", _Kind("the name of an eviction policy", _name), "Who leaves a full memory layer."
    )
    max_body_bytes: int = _option(
        8 * 1024 * 1024,
        _bounded(parse_size, f"{_BYTES}, 0 or more", 0),
        "The largest response body that is stored.",
    )
    heuristic_fraction: float = _option(
        0.1, _SHARE, "The share of its age since Last-Modified that a response without freshness stays fresh."
    )
    heuristic_max: float = _option(86_400.0, _SECONDS_OR_ZERO, "The longest heuristic freshness, in seconds.")
    coalesce: bool = _option(True, _BOOL, "Whether concurrent misses of one URL share one call of the app.")
    coalesce_timeout: float = _option(
        10.0,
        _SECONDS_OR_ZERO,
        "How long, in seconds, a request waits for another's call before it makes its own.",
    )
    hit_for_miss_seconds: float = _option(
        2.0,
        _SECONDS_OR_ZERO,
        "How long, in seconds, requests for a URL found uncacheable do not wait for each other.",
    )
    trust_forwarded_host: bool = _option(
        False,
        _BOOL,
        "Whether X-Forwarded-Host and its like come from a proxy you run and need not be keyed on.",
    )
    plugins: Sequence[str] | None = _option(
        None,
        _optional(_Kind("a list of plugin names, [] for no plugin", _names), "every installed plugin"),
        "The installed plugins that may load; built-ins and plugins passed in code always do.",
    )
    max_profiles: int = _option(
        1_000, _COUNT, "How many targets are profiled; further ones share one profile."
    )
    apdex_t: float = _option(
        0.5, _POSITIVE_SECONDS, "The response time, in seconds, that satisfies users (Apdex T)."
    )
    sample_interval: float = _option(
        1.0, _POSITIVE_SECONDS, "How often, in seconds, resource pools are sampled."
    )
    trace_ratio: float = _option(
        0.0, _SHARE, "The share of requests for which perfmw opens a span of its own."
    )
    optimization_level: Literal["basic", "advanced", "aggressive"] = _option(
        "basic", _choice("basic", "advanced", "aggressive"), "How much risk an optimization may take."
    )
    auto_optimization: bool = _option(
        False,
        _BOOL,
        "Whether optimizations are tried without being asked for; each is measured, and kept or undone.",
    )
    dashboard: DashboardMode = _option(
        "off",
        _choice("off", "loopback", "token"),
        "Who sees the dashboard: nobody, requests from this host, or whoever has the token.",
    )
    dashboard_path: str = _option(
        "/_perfmw",
        _Kind('a path that starts with "/" and is longer', _mount_path),
        "Where the dashboard and the metrics are.",
    )
    dashboard_token: str | None = _option(
        None,
        _optional(_Kind("a text of printable ASCII characters", _secret), "no token"),
        "The token that opens the dashboard; it is shown nowhere.",
        secret=True,
    )
    state_dir: str | None = _option(
        None,
        _optional(_Kind("the path of a directory", _text), "memory only"),
        "Where what must survive a restart is kept.",
    )

    @classmethod
    def load(
        cls, *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None, **keywords: Any
    ) -> Self:
        """Resolve from ``env`` and ``cwd`` instead of the process's own. Raises SettingsError."""
        self = object.__new__(cls)
        self._resolve(keywords, os.environ if env is None else env, Path(cwd) if cwd else Path.cwd())
        return self

    def origin(self, name: str) -> str:
        """Where a value came from, such as ``env PERFMW_LAYERS`` or ``default``. Raises KeyError."""
        return self._origins[name]

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed; the others keep their origins. Raises SettingsError."""
        layers = [({name: getattr(self, name) for name in _fields()}, "")]
        new = object.__new__(type(self))
        new._adopt([(changes, "keyword"), *layers], self._origins)
        return new

    def to_dict(self, *, redact: bool = True) -> dict[str, Any]:
        """The values as JSON knows them; secrets are replaced by asterisks unless ``redact`` is False."""
        return {name: _plain(getattr(self, name), redact and _is_secret(name)) for name in _fields()}

    def _resolve(self, keywords: Mapping[str, Any], env: Mapping[str, str], cwd: Path) -> None:
        self._adopt([(keywords, "keyword"), (_from_env(env), "env"), *_from_files(cwd)], {})

    def _adopt(
        self, sources: Sequence[tuple[Mapping[str, Any], str]], known_origins: Mapping[str, str]
    ) -> None:
        problems = [problem for values, origin in sources for problem in _unknown(values, origin)]
        origins = {}
        for name, option in _fields().items():
            value, origin = _first(name, option.default, sources)
            origins[name] = origin or known_origins[name]
            try:
                object.__setattr__(self, name, option.metadata["kind"].convert(value))
            except ValueError as error:
                shown = REDACTED if _is_secret(name) else value
                problems.append(_complaint(name, shown, origin, option.metadata["kind"], error))
        object.__setattr__(self, "_origins", origins)
        if not problems and self.dashboard == "token" and self.dashboard_token is None:
            problems.append('dashboard = "token" needs a dashboard_token (PERFMW_DASHBOARD_TOKEN)')
        if problems:
            raise SettingsError("\n".join(problems))

    _origins: Mapping[str, str] = field(init=False, repr=False, compare=False)


@functools.cache
def _fields() -> dict[str, Any]:
    return {option.name: option for option in fields(Settings) if "kind" in option.metadata}


def _is_secret(name: str) -> bool:
    return bool(_fields()[name].metadata["secret"])


def _plain(value: Any, hide: bool) -> Any:
    if hide and value is not None:
        return REDACTED
    if isinstance(value, CacheRule):
        return {option.name: _plain(getattr(value, option.name), False) for option in fields(CacheRule)}
    return [_plain(item, False) for item in value] if isinstance(value, tuple) else value


def _complaint(name: str, value: object, origin: str, kind: _Kind, error: ValueError) -> str:
    place = f" (from {origin})" if origin else ""
    detail = f" {error};" if isinstance(error, _BadValueError) and str(error) else ""
    return f"{name} = {value!r}{place}:{detail} allowed: {kind.allowed}"


def _unknown(values: Mapping[str, Any], origin: str) -> list[str]:
    return [
        f"unknown setting {name!r} (from {origin}){_did_you_mean(name, _fields())}"
        for name in values
        if name not in _fields()
    ]


def _first(
    name: str, default: object, sources: Iterable[tuple[Mapping[str, Any], str]]
) -> tuple[object, str]:
    for values, origin in sources:
        if name in values:
            return values[name], f"env {ENV_PREFIX}{name.upper()}" if origin == "env" else origin
    return default, "default"


def _from_env(env: Mapping[str, str]) -> dict[str, str]:
    """Settings in the environment; an empty variable counts as not set."""
    found = {}
    for variable, value in env.items():
        word = variable.removeprefix(ENV_PREFIX)
        if word == variable or word in OTHER_VARIABLES:
            continue
        if word.lower() in _fields() and word == word.upper():
            if value.strip():
                found[word.lower()] = value
            continue
        known = [*map(str.upper, _fields()), *OTHER_VARIABLES]
        hint = _did_you_mean(variable, [ENV_PREFIX + name for name in known])
        log.warning("unknown variable %s in the environment is ignored%s", variable, hint)
    return found


def _from_files(cwd: Path) -> list[tuple[Mapping[str, Any], str]]:
    own = _read_toml(cwd / "perfmw.toml")
    table: Any = _read_toml(cwd / "pyproject.toml")
    for part in ("tool", "perfmw"):
        table = table.get(part, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(f"{cwd / 'pyproject.toml'}: tool.perfmw = {table!r}; allowed: a table")
    return [(own, "perfmw.toml"), (table, "pyproject.toml [tool.perfmw]")]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    import tomllib  # only those who have such a file pay for it

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
