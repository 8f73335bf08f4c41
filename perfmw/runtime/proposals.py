"""What was worked out to be better for the memory: done with ``auto_tuning``, else put up for approval."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfmw.contracts import OptimizationOpportunity
    from perfmw.optimization import LedgerEntry
    from perfmw.runtime.runtime import Runtime

WHO: Final = "auto_tuning"
_REFUSED: Final = frozenset({"reverted", "rejected"})
_FREE: Final = frozenset({"withdrawn", "lapsed"})
_AGAIN: Final = 86_400.0
"""Seconds after which what a trial did not prove may be asked for again."""


class Proposals:
    """One change of an option at a time. What somebody undid or refused is not done, or asked for, again;
    what is on trial, or stands, is not asked for.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._asked: dict[str, OptimizationOpportunity] = {}

    def put(self, what: OptimizationOpportunity, why: str) -> None:
        """Do ``what``, or have it wait in the ledger: once, by one of a host's workers."""
        runtime = self._runtime
        option, value = (what.parameters[name] for name in ("option", "value"))
        if runtime.settings.auto_tuning:
            latest = self._latest(what.id)
            if latest is None or latest.kind not in _REFUSED:
                runtime.controls.set_option(option, value)
                self._write(lambda: runtime.ledger.append("applied", what, who=WHO, why=why))
        elif runtime.leads and not self._knows(option, what):
            self._asked[option] = what
            self._write(lambda: self._ask(option, what, why))

    def drop(self, option: str) -> None:
        """Nothing is to be changed about ``option`` by now, so that nothing need wait."""
        if option in self._asked:
            del self._asked[option]
            self._write(lambda: self._withdraw(option))

    def asked(self, option: str, before: object) -> bool:
        """Whether a change of ``option`` from ``before`` was put up for approval."""
        known = self._asked.get(option)
        return known is not None and known.parameters["before"] == before

    def _knows(self, option: str, what: OptimizationOpportunity) -> bool:
        known = self._asked.get(option)
        return known is not None and known.parameters == what.parameters

    def _ask(self, option: str, what: OptimizationOpportunity, why: str) -> None:
        ledger = self._runtime.ledger
        latest = self._latest(what.id)
        failed = latest is not None and latest.kind == "rolled_back" and time.time() - latest.at > _AGAIN
        if latest is None or latest.kind in _FREE or failed:
            self._withdraw(option)
            ledger.append("waiting", what, who=WHO, why=why)

    def _withdraw(self, option: str) -> None:
        """What waits for another value of ``option`` is of the past."""
        ledger = self._runtime.ledger
        for entry in ledger.waiting():
            if entry.who == WHO and entry.opportunity.parameters.get("option") == option:
                ledger.append("withdrawn", entry.opportunity, who=WHO, why="no longer what the reads ask for")

    def _latest(self, name: str) -> LedgerEntry | None:
        """What happened last to the change with that id."""
        entries = reversed(self._runtime.ledger.entries())
        return next((entry for entry in entries if entry.opportunity.id == name), None)

    def _write(self, write: Callable[[], object]) -> None:
        """The ledger may be a file, so a thread writes where there is a loop that would wait."""
        if self._runtime.started:
            self._runtime.spawn(asyncio.to_thread(write), name="perfmw-tuning")
        else:
            write()
