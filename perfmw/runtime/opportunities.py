"""What could be faster on the host: each worker looks by what it answered, hears what the others found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from perfmw.contracts import OptimizationOpportunity, ProfileOptimizations

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

MOST: Final = 20
"""Opportunities that a worker tells the others of: those that save most."""
_KIND: Final = list[OptimizationOpportunity]


class HostOpportunities:
    """Those that this worker and the others of the host found at their last looks."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._told: tuple[float, msgspec.Raw] = (0.0, msgspec.Raw(b"[]"))
        self._others: list[msgspec.Raw] = []
        runtime.words.about("opportunities", msgspec.Raw, self._said, self._hear)

    def whole(self) -> ProfileOptimizations:
        """Of all workers, most time saved first; what several found, as whoever would save most by it has it.

        What this worker knows to be decided meanwhile is left out, whoever found it.
        """
        own, others = self._runtime.engine.surveyed.whole(), self._others
        if not others:
            return own
        found: dict[str, OptimizationOpportunity] = {}
        for one in (*own.identified, *_decoded(others)):
            known = found.get(one.id)
            if known is None or one.saved_seconds_per_day > known.saved_seconds_per_day:
                found[one.id] = one
        for decided in self._decided() & found.keys():
            del found[decided]
        ranked = sorted(found.values(), key=lambda one: (-one.saved_seconds_per_day, one.id))
        return replace(own, identified=ranked)

    def _decided(self) -> set[str]:
        ledger = self._runtime.ledger
        entries = (*ledger.kept(), *ledger.waiting())
        return {entry.opportunity.id for entry in entries} | ledger.rejected()

    def _said(self) -> msgspec.Raw | None:
        if "engine" not in vars(self._runtime):
            return None
        surveyed = self._runtime.engine.surveyed
        if surveyed.at != self._told[0]:
            self._told = surveyed.at, msgspec.Raw(msgspec.json.encode(surveyed.identified[:MOST]))
        return self._told[1]

    def _hear(self, others: list[msgspec.Raw]) -> None:
        self._others = [msgspec.Raw(bytes(one)) for one in others]  # copies: each is a part of a long message


def _decoded(told: Iterable[msgspec.Raw]) -> Iterable[OptimizationOpportunity]:
    for one in told:
        try:
            yield from msgspec.json.decode(one, type=_KIND)
        except msgspec.DecodeError:  # of another release
            continue
