"""The way to layers beyond memory for code that is not async."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that a thread waits for the event loop. Each step there has its layer's deadline besides, so that
only a loop that is itself waiting, perhaps for this very thread, takes so long."""
_MOST = 1_000
"""What may be under way before writes are left out."""


class Bridge:
    """Has a cache's coroutines run on the event loop that its layers live on.

    A thread that runs no event loop waits for the answer. One that does must not, since nothing else could
    happen on its loop meanwhile: what it wants to know stays unknown, and what it wants done is done later.
    Nothing is raised.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the layers live; None while nobody has said."""
        self._under_way: set[Future[Any]] = set()

    def ask(self, work: Callable[[], Coroutine[Any, Any, T]], otherwise: T) -> T:
        """The result of ``work``, or ``otherwise`` where this thread may not wait for it."""
        return otherwise if _runs_a_loop() else self.tell(work, otherwise)

    def tell(self, work: Callable[[], Coroutine[Any, Any, T]], otherwise: T, *, must: bool = True) -> T:
        """Have ``work`` done; its result, or ``otherwise`` where this thread may not wait for it.

        :param must: False for what may be left out when a lot is under way.
        """
        future = self._begin(work) if must or len(self._under_way) < _MOST else None
        return otherwise if future is None or _runs_a_loop() else _result(future, otherwise)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T] | None:
        loop = self.loop
        if loop is None or not loop.is_running():
            return None
        going = work()
        try:
            future = asyncio.run_coroutine_threadsafe(going, loop)
        except RuntimeError:  # it was closed just now
            going.close()
            return None
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    async def close(self) -> None:
        """Wait for what is under way; from now on nothing is done."""
        self.loop = None
        await asyncio.gather(*map(asyncio.wrap_future, tuple(self._under_way)), return_exceptions=True)


def _result(future: Future[T], otherwise: T) -> T:
    try:
        return future.result(PATIENCE)
    except Exception as error:  # it is late, or the application stops
        future.cancel()
        logger.warning("a thread got no answer from the layers of the cache: %r", error)
        return otherwise


def _runs_a_loop() -> bool:
    return asyncio._get_running_loop() is not None
