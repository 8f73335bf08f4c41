"""Purges that people ask of one worker, passed on to the others of the host, whose memory is their own."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

_SECONDS: Final = 60.0
"""How long a purge is told of: many times what the others need to hear it."""
_MOST: Final = 256
_MOST_KNOWN: Final = 4_096
_passed_on: ContextVar[bool] = ContextVar("perfmw_purge_passed_on", default=False)


def is_passed_on() -> bool:
    """Whether another worker was asked for the purge under way, which tells who is outside the host."""
    return _passed_on.get()


class PurgeSaid(msgspec.Struct):
    """A purge that somebody asked for at unix time ``at``, as arguments of ``Runtime.invalidate``."""

    id: str
    at: float
    arguments: dict[str, Any]


class Purges:
    """Those that one worker was asked for, and which of the others' it has done."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._told: list[PurgeSaid] = []
        self._known: OrderedDict[str, None] = OrderedDict()
        runtime.words.about_each("purges", PurgeSaid, self.said, self.take_over)

    def tell(self, arguments: Mapping[str, Any]) -> None:
        """Of a purge by these arguments of ``Runtime.invalidate``; too many become one of everything."""
        said = self.said()
        wanted = {"prefix": ""} if len(said) >= _MOST else dict(arguments)
        self._told = [*(() if len(said) >= _MOST else said), PurgeSaid(uuid.uuid4().hex, time.time(), wanted)]

    def said(self) -> list[PurgeSaid]:
        """What the others are to hear."""
        self._told = [one for one in self._told if time.time() - one.at < _SECONDS]
        return self._told

    def take_over(self, others: Iterable[PurgeSaid]) -> None:
        """Do here what others were asked for."""
        for purge in others:
            if purge.id not in self._known:
                self._known[purge.id] = None
                self._runtime.spawn(self._do(purge), name="perfmw-purge")
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    async def _do(self, purge: PurgeSaid) -> None:
        _passed_on.set(True)  # in the context of this task alone
        await self._runtime.invalidate(**purge.arguments)
