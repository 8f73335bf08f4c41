"""The handle by which optimizers change the running cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfmw.cache import TieredCache
from perfmw.contracts import ResizablePool
from perfmw.http.rules import RuleBook
from perfmw.runtime.allotting import provide_allotments
from perfmw.settings import CacheRule

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime


class RuntimeControls:
    """``perfmw.contracts.Controls`` of one runtime: what optimizers may change."""

    def __init__(
        self,
        rules: RuleBook,
        cache: TieredCache,
        pools: Mapping[str, Any] = MappingProxyType({}),
        warm_up: Callable[[Sequence[str]], object] | None = None,
    ) -> None:
        self._rules = rules
        self._cache = cache
        self._pools = pools
        self._warm_up = warm_up
        self._provided: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {}
        self._last: dict[str, CacheRule] = {}

    def put_cache_rule(
        self,
        rule_id: str,
        *,
        path: str,
        ttl: float,
        methods: Sequence[str] = ("GET",),
        vary: Sequence[str] = (),
        tags: Sequence[str] = (),
        stale_while_revalidate: float = 0.0,
    ) -> None:
        """Add or replace a dynamic rule; what was stored under another one of that id is dropped.

        The same rule, put in again after it was taken out, finds what is still fresh of before, so that an
        experiment measures a cache at work and not one that is filling.
        """
        rule = CacheRule(
            path=path,
            ttl=ttl,
            methods=methods,
            vary=vary,
            tags=tags,
            stale_while_revalidate=stale_while_revalidate,
            name=rule_id,
        )
        if self._last.get(rule_id, rule) != rule:
            self._cache.invalidate_nowait(tags=[f"rule:{rule_id}"])
        self._last[rule_id] = rule
        self._rules.put(rule)

    def remove_cache_rule(self, rule_id: str) -> None:
        """Remove a dynamic rule; what was stored under it is no longer served, and ages out."""
        self._rules.remove(rule_id)

    def set_option(self, name: str, value: Any) -> None:
        """As ``Controls`` says; of a layer, the contents stay.

        :raises ValueError: for another name, or a value that is not taken.
        """
        if name.startswith("pool:"):
            self._resize(name.removeprefix("pool:"), float(value))
        elif name == "warm_up" and self._warm_up is not None:
            try:
                self._warm_up([str(source) for source in value])
            except RuntimeError as error:
                raise ValueError(str(error)) from None
        elif name in self.options():
            self._provided[name][1](value)
        else:
            self._set_memory(name, value)

    def provide(self, name: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        """Have ``set_option`` take ``name``. ``read`` gives None where there is nothing to change."""
        self._provided[name] = read, write

    def options(self) -> dict[str, Any]:
        """The values of what was provided."""
        found = {name: read() for name, (read, _) in self._provided.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _resize(self, name: str, capacity: float) -> None:
        pool = self._pools.get(name)
        if not isinstance(pool, ResizablePool):
            raise ValueError(f"there is no pool {name!r} whose capacity could be changed")
        pool.resize(capacity)

    def _set_memory(self, name: str, value: Any) -> None:
        layer = self._cache.memory
        if layer is None:
            raise ValueError("there is no memory layer")
        if name == "eviction_policy":
            layer.set_policy(str(value))
        elif name == "memory_max_bytes":
            layer.resize(max_entries=layer.max_entries, max_bytes=int(value))
        else:
            raise ValueError(f"{name} cannot be changed while running")


def controls_of(runtime: Runtime) -> RuntimeControls:
    """The controls of a runtime."""
    controls = RuntimeControls(
        runtime.rules,
        runtime.cache,
        runtime.plugins.resource_pools,
        lambda given: runtime.warm_up.start(given),
    )
    runtime.spans.provide_ratio(controls)
    provide_allotments(runtime, controls)
    return controls


def rule_row(rule: CacheRule) -> dict[str, Any]:
    """A rule as JSON values, for snapshots."""
    return {
        "name": rule.name or rule.path,
        "path": rule.path,
        "ttl": rule.ttl,
        "methods": list(rule.methods),
        "vary": list(rule.vary),
        "tags": list(rule.tags),
        "shared": rule.shared,
        "stale_while_revalidate": rule.stale_while_revalidate,
    }
