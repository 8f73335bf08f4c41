"""What ``@cached`` was told about a function, worked out once: its keys, tags, lifetimes and counts."""

from __future__ import annotations

import inspect
import math
import random
import string
import threading
import typing
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import CodeType
from typing import Any

from perfmw.cache.entries import Entry
from perfmw.cache.identity import digest
from perfmw.cache.packing import can_register, is_registered, register

TTL = float | Callable[[Any], float | None] | None
Key = str | Callable[..., str] | None

_names_taken: dict[str, CodeType | None] = {}
_names_lock = threading.Lock()
_functions: weakref.WeakSet[Any] = weakref.WeakSet()
"""What was decorated and still is there; each has ``info``."""


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """What a cached function did. ``coalesced`` calls got the result of another caller's call.

    ``fills`` results were kept: they took ``seconds`` to compute and have ``stored_bytes`` together.
    """

    name: str
    hits: int
    misses: int
    coalesced: int
    errors: int
    refreshes: int
    fills: int = 0
    seconds: float = 0.0
    stored_bytes: int = 0

    def __add__(self, other: FunctionInfo) -> FunctionInfo:
        """What both did together."""
        names = [one.name for one in fields(self) if one.name != "name"]
        return FunctionInfo(self.name, *(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of ``@cached``."""

    ttl: TTL = None
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


class CallSpec:
    """One decorated function.

    :raises TypeError: for a generator function, or something that is no function.
    :raises ValueError: for an option that does not fit the function's parameters.
    """

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        _refuse_unfit(function)
        self.function = function
        self.options = options
        self.signature = inspect.signature(function)
        self.name = options.namespace or _unique_name(function)
        self.prefix = f"fn:{self.name}:"
        self.hits = self.misses = self.coalesced = self.errors = self.refreshes = 0
        self.fills = self.stored_bytes = 0
        self.seconds = 0.0
        self._check_options()
        self._positional = self._plain_parameters()
        self.ages = options.stale > 0 or options.early > 0
        self._typed = False
        count_in(self)

    # ---- keys and tags

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Parameter names and values of a call, defaults included. Raises TypeError as the call would."""
        if not kwargs and self._positional is not None and len(args) == len(self._positional):
            return dict(zip(self._positional, args, strict=True))
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], bound: Mapping[str, Any]) -> str:
        """The cache key of a call. Raises TypeError for an argument without stable identity."""
        chosen = self.options.key
        if chosen is None:
            exclude = self.options.exclude
            if exclude:
                bound = {name: value for name, value in bound.items() if name not in exclude}
            return self.prefix + digest(bound)
        if isinstance(chosen, str):
            return self.prefix + chosen.format(**bound)
        return self.prefix + chosen(*args, **kwargs)

    def tags(self, bound: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(tag.format(**bound) for tag in self.options.tags)

    # ---- what to keep

    def lifetime(self, value: Any) -> float | None:
        """Seconds that a result is kept: while it is fresh, and then while it may be stale."""
        ttl = self.options.ttl
        if value is None and self.options.negative is not None:
            ttl = self.options.negative
        seconds = ttl(value) if callable(ttl) else ttl
        if seconds is None or not seconds > 0:
            return seconds
        return seconds + self.options.stale

    def due(self, entry: Entry, now: float) -> bool:
        """Whether it is time to compute anew what is still served.

        Always once it is stale. Before, with ``early``, by chance, the likelier the nearer the end and the
        longer computing takes, so that of many processes one does it (XFetch: Vattani, Chierichetti and
        Lowenstein, VLDB 2015).
        """
        if entry.expires_at is None:
            return False
        lead = 0.0
        if self.options.early:
            lead = -self.options.early * entry.cost * math.log(1.0 - random.random())
        return now + lead >= entry.expires_at - self.options.stale

    def keeps(self, value: Any) -> bool:
        condition = self.options.condition
        return condition is None or bool(condition(value))

    def info(self) -> FunctionInfo:
        counts = (self.hits, self.misses, self.coalesced, self.errors, self.refreshes)
        return FunctionInfo(self.name, *counts, self.fills, self.seconds, self.stored_bytes)

    def filled(self, seconds: float, size: int) -> None:
        """A result was kept: computing it took so many seconds, and it has so many bytes."""
        self.fills += 1
        self.seconds += seconds
        self.stored_bytes += size

    def learn_types(self) -> None:
        """Let the classes of the return annotation travel to other layers, in every process that calls."""
        if self._typed:
            return
        self._typed = True
        try:
            annotation = typing.get_type_hints(self.function).get("return")
        except Exception:  # an annotation that only a type checker can resolve
            return
        for cls in _classes(annotation):
            kind = f"{cls.__module__}.{cls.__qualname__}"
            if can_register(cls) and not is_registered(cls) and "<locals>" not in kind:
                register(kind, cls)

    # ---- checks

    def _check_options(self) -> None:
        ttl, parameters = self.options.ttl, self.signature.parameters
        if ttl is not None and not callable(ttl) and not ttl > 0:
            raise ValueError(f"ttl: {ttl!r} is not a lifetime; it must be more than 0 seconds, or None")
        templates = [*self.options.tags]
        if isinstance(self.options.key, str):
            templates.append(self.options.key)
        named = {name for template in templates for name in _template_names(template)}
        for name in sorted(named | self.options.exclude):
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise ValueError(f"{self.name} has no parameter {name!r}; its parameters: {known}")

    def _plain_parameters(self) -> tuple[str, ...] | None:
        """Names of the parameters when a call may give all of them by position."""
        parameters = self.signature.parameters.values()
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if any(parameter.kind not in by_position for parameter in parameters):
            return None
        return tuple(parameter.name for parameter in parameters)


def count_in(function: Any) -> None:
    """Let ``function_infos`` tell of something that has ``info``, for as long as it is there."""
    _functions.add(function)


def function_infos() -> list[FunctionInfo]:
    """What the cached functions of this process did, by name; those of one name together."""
    found: dict[str, FunctionInfo] = {}
    for function in tuple(_functions):
        info: FunctionInfo = function.info()
        known = found.get(info.name)
        found[info.name] = info if known is None else known + info
    return [found[name] for name in sorted(found)]


def _refuse_unfit(function: Any) -> None:
    if isinstance(function, (classmethod, staticmethod)):
        kind = type(function).__name__
        raise TypeError(f"put @cached below @{kind}, so that it sees the function itself")
    if not callable(function):
        raise TypeError(f"@cached decorates functions, not {type(function).__qualname__}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator function: what it yields can be read only once. "
            f"Return a list or a tuple from a function instead, and cache that"
        )


def _unique_name(function: Callable[..., Any]) -> str:
    """Module and qualified name, made different where two functions would share them.

    A closure's result depends on variables that are no arguments, so that its name is never shared.
    """
    module = getattr(function, "__module__", None) or "unknown"
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if getattr(function, "__closure__", None):
        return f"{name}#{uuid.uuid4().hex[:12]}"
    code = getattr(function, "__code__", None)
    with _names_lock:
        taken = _names_taken.setdefault(name, code)
        return name if taken is code or taken == code else f"{name}#{uuid.uuid4().hex[:12]}"


def _template_names(template: str) -> Iterable[str]:
    for _, field, _, _ in string.Formatter().parse(template):
        if field is not None:
            yield field.split(".")[0].split("[")[0]


def _classes(annotation: Any) -> Iterable[type]:
    """Every class that an annotation names, at any depth."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)
