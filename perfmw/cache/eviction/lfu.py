"""Least frequently used, with dynamic ageing (LFU-DA; Arlitt et al., 2000)."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from perfmw.cache.eviction.gdsf import GDSFPolicy


class LFUPolicy(GDSFPolicy):
    """Evicts the key with the fewest reads, where reads of long ago lose their weight.

    It is GDSF blind to size and cost: a newcomer starts at the rank of whoever left last, so that keys that
    were popular once are overtaken.
    """

    def ask_worth_of(self, size_and_cost: Callable[[Hashable], tuple[int, float]]) -> None:
        """All are worth the same."""

    def _value(self, size: int, cost: float) -> float:
        return 1.0
