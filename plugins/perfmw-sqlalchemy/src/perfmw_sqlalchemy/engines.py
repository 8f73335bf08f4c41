"""Every SQLAlchemy engine of this process, found when it first connects."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any

from perfmw_sqlalchemy.pool import DatabasePool
from perfmw_sqlalchemy.sources import Source, SqlAlchemy

_MOST = 100
"""Pools; an app that makes an engine for each request is not followed for ever."""


class EnginePool(DatabasePool):
    """The pools of all engines, between ``open`` and ``close``. Nothing is watched without SQLAlchemy."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._found: weakref.WeakKeyDictionary[Any, SqlAlchemy] = weakref.WeakKeyDictionary()
        self._listening: Any = None

    def open(self) -> None:
        """Begin to look. Idempotent."""
        if self._listening is not None:
            return
        try:
            from sqlalchemy import event
            from sqlalchemy.engine import Engine
        except ImportError:
            return
        seen = weakref.WeakMethod(self._seen)

        def connected(connection: Any) -> None:
            if (tell := seen()) is not None:
                tell(connection)

        event.listen(Engine, "engine_connect", connected)
        self._listening = connected

    def close(self) -> None:
        """Look no more. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            from sqlalchemy import event
            from sqlalchemy.engine import Engine

            event.remove(Engine, "engine_connect", listening)
        self._found.clear()

    def _seen(self, connection: Any) -> None:
        pool = connection.engine.pool
        if pool not in self._found and len(self._found) < _MOST:
            self._found[pool] = SqlAlchemy(pool)

    def sources(self) -> Sequence[Source]:
        return list(self._found.values()) if "sqlalchemy" in sys.modules else ()
