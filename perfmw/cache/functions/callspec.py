"""What ``@cached`` was told about a function, worked out once: its keys, tags, lifetimes and counts."""

from __future__ import annotations

import inspect
import math
import random
import threading
import typing
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from types import CodeType
from typing import Any

from perfmw.cache.entries import Entry
from perfmw.cache.functions.identity import digest
from perfmw.cache.functions.options import Options, Template, check_names, finite, seconds
from perfmw.cache.packing import can_register, is_registered, register
from perfmw.settings.namespaces import NAMESPACE_TYPES, type_of

_names_taken: dict[str, CodeType] = {}
_names_lock = threading.Lock()
_functions: weakref.WeakSet[Any] = weakref.WeakSet()
"""What was decorated and still is there; each has ``info``."""


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """What a cached function did. ``coalesced`` calls got the result of another caller's call.

    ``fills`` results were kept: they took ``seconds`` to compute and have ``stored_bytes`` together.
    ``memo_hits`` calls were answered with what the same request had got before.
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
    memo_hits: int = 0

    def __add__(self, other: FunctionInfo) -> FunctionInfo:
        """What both did together."""
        names = [one.name for one in fields(self) if one.name != "name"]
        return FunctionInfo(self.name, *(getattr(self, name) + getattr(other, name) for name in names))


class CallSpec:
    """One decorated function.

    :raises TypeError: for a generator function, or something that is no function.
    :raises ValueError: for an option that does not fit the function's parameters.
    """

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        refuse_unfit(function)
        self.function = function
        self.options = options
        self.signature = inspect.signature(function)
        self.name = name_in(options.namespace, partial(unique_name, function))
        self.space = space_of(options.namespace)
        self.prefix = f"fn:{self.name}:"
        self.hits = self.misses = self.coalesced = self.errors = self.refreshes = self.memo_hits = 0
        self.fills = self.stored_bytes = 0
        self.seconds = 0.0
        self._key = options.key if callable(options.key) else options.key and Template(options.key)
        self._tags = [Template(tag) for tag in options.tags]
        self._check_names()
        self._positional = self._plain_parameters()
        self.ages = options.stale > 0 or options.early > 0
        self._typed = False
        count_in(self)

    # ---- keys and tags

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The cache key of a call.

        :raises TypeError: as the call would; for an argument without stable identity.
        """
        chosen, bound = self._key, self._bind(args, kwargs)
        if not chosen:
            exclude = self.options.exclude
            if exclude:
                bound = {name: value for name, value in bound.items() if name not in exclude}
            return self.prefix + digest(bound)
        if isinstance(chosen, Template):
            return self.prefix + chosen.key_of(bound)
        made = chosen(*args, **kwargs)
        if not isinstance(made, str):
            raise TypeError(f"key: the function given for {self.name} made {type(made).__name__}, not str")
        return self.prefix + made

    def tags(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags of a call's result. Raises what a template raises that reaches for what is not there."""
        if not self._tags:
            return ()
        bound = self._bind(args, kwargs)
        return tuple(tag.text_of(bound) for tag in self._tags)

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Parameter names and values of a call, defaults included."""
        if not kwargs and self._positional is not None and len(args) == len(self._positional):
            return dict(zip(self._positional, args, strict=True))
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    # ---- what to keep

    def lifetime(self, value: Any) -> float | None:
        """Seconds that a result is kept: while it is fresh, and then while it may be stale; None: for ever.

        0 or less for a result that is not kept.
        """
        condition, ttl = self.options.condition, self.options.ttl
        if condition is not None and not condition(value):
            return 0.0
        if value is None and self.options.negative is not None:
            ttl = self.options.negative
        chosen = ttl(value) if callable(ttl) else ttl
        if chosen is None:
            return None
        number = seconds(chosen)
        return finite(number + self.options.stale) if number > 0 else 0.0

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

    def info(self) -> FunctionInfo:
        """The counts of this process."""
        counts = (self.hits, self.misses, self.coalesced, self.errors, self.refreshes)
        return FunctionInfo(self.name, *counts, self.fills, self.seconds, self.stored_bytes, self.memo_hits)

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
                with suppress(Exception):  # fields whose types nobody else understands; it stays here then
                    register(kind, cls)

    # ---- checks

    def _check_names(self) -> None:
        templates = [*self._tags, self._key] if isinstance(self._key, Template) else self._tags
        named = {name for template in templates for name in template.names}
        check_names(self.name, named | self.options.exclude, self.signature.parameters)

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


def space_of(namespace: str | None) -> str | None:
    """``namespace`` if it names a part of the cache, such as ``session`` or ``session.carts``."""
    return namespace if namespace is not None and type_of(namespace) in NAMESPACE_TYPES else None


def name_in(namespace: str | None, unique: Callable[[], str]) -> str:
    """What a function's keys begin with. Where many share a part of the cache, each is named there."""
    if space_of(namespace) is None:
        return namespace or unique()
    return f"{namespace}:{unique()}"


def refuse_unfit(function: Any) -> None:
    """Raises TypeError for what cannot be cached, with what to do instead."""
    if not callable(function):
        raise TypeError(f"@cached decorates functions, not {type(function).__qualname__}")
    if any(_generates(one) for one in (function, type(function).__call__)):
        raise TypeError(
            f"{told(function)} is a generator function: what it yields can be read only once. "
            f"Return a list or a tuple from a function instead, and cache that"
        )


def _generates(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def told(function: Any) -> str:
    """What an error calls a function, or whatever was given in place of one; never its address."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or f"an object of class {type(function).__qualname__}"


def unique_name(function: Callable[..., Any]) -> str:
    """Module and qualified name, made different where two functions would share them.

    A closure's result depends on variables that are no arguments, a bound method's on its object, and a
    partial's on what is bound: their names are never shared. One of a module, such as a function that another
    decorator has wrapped, is there once and keeps its name from process to process.
    """
    module = getattr(function, "__module__", None) or "unknown"
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    code = getattr(inspect.unwrap(function), "__code__", None)
    local = "<locals>" in name and bool(getattr(function, "__closure__", None))
    if code is None or local or inspect.ismethod(function):
        return f"{name}#{uuid.uuid4().hex[:12]}"
    with _names_lock:
        taken = _names_taken.setdefault(name, code)
        return name if taken == code else f"{name}#{uuid.uuid4().hex[:12]}"


def _classes(annotation: Any) -> Iterable[type]:
    """Every class that an annotation names, at any depth."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)
