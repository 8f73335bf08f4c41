"""The handle by which optimizers change the running cache."""

from __future__ import annotations

from collections.abc import Sequence

from perfmw.cache import TieredCache
from perfmw.http.rules import RuleBook
from perfmw.settings import CacheRule


class RuntimeControls:
    """``perfmw.contracts.Controls`` of one runtime: what optimizers may change."""

    def __init__(self, rules: RuleBook, cache: TieredCache) -> None:
        self._rules = rules
        self._cache = cache

    def put_cache_rule(
        self,
        rule_id: str,
        *,
        path: str,
        ttl: float,
        methods: Sequence[str] = ("GET",),
        vary: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> None:
        """Add or replace a dynamic rule; what was stored under an earlier one of that id is dropped."""
        self.remove_cache_rule(rule_id)
        rule = CacheRule(path=path, ttl=ttl, methods=methods, vary=vary, tags=tags, name=rule_id)
        self._rules.put(rule)

    def remove_cache_rule(self, rule_id: str) -> None:
        """Remove a dynamic rule and what was stored under it."""
        if self._rules.remove(rule_id) is not None:
            self._cache.invalidate_nowait(tags=[f"rule:{rule_id}"])
