"""Where cached functions keep their values: the running application's cache, or one of the process's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from perfmw.cache.coalescing import Coalescer
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.tiered import TieredCache


class Scope(Protocol):
    """What a cached function needs of its surroundings. ``perfmw.Runtime`` is one."""

    @property
    def cache(self) -> TieredCache: ...

    @property
    def coalescer(self) -> Coalescer: ...

    def space(self, name: str) -> Scope:
        """The scope of a namespace; this one where it has no cache of its own."""
        ...


class DefaultScope:
    """The scope of a process without a Runtime: one memory layer of 64 MiB."""

    def __init__(self) -> None:
        self.cache = TieredCache([("memory", MemoryLayer())])
        self.coalescer = Coalescer()

    def space(self, name: str) -> Scope:
        return self


@dataclass(frozen=True, slots=True)
class SpaceScope:
    """The scope of one namespace."""

    cache: TieredCache
    coalescer: Coalescer

    def space(self, name: str) -> Scope:
        return self


class _Holder:
    provider: Callable[[], Scope | None] | None = None
    default: Scope | None = None
    lock = threading.Lock()


Provider = Callable[[], Scope | None]


def set_provider(provider: Provider | None) -> Provider | None:
    """Say how to find the current scope; where it answers None, the process's own is used.

    :return: what said so before.
    """
    before, _Holder.provider = _Holder.provider, provider
    return before


def current_scope() -> Scope:
    """The provider's scope, else the process's own, which is made when it is first needed."""
    scope = None if _Holder.provider is None else _Holder.provider()
    return scope if scope is not None else (_Holder.default or _make_default())


def scope_of(namespace: str) -> Scope:
    """The current scope's part for a namespace."""
    return current_scope().space(namespace)


def _make_default() -> Scope:
    with _Holder.lock:
        if _Holder.default is None:
            _Holder.default = DefaultScope()
        return _Holder.default
