"""What the pools of SQLAlchemy, asyncpg and psycopg tell of themselves, in one form.

None of the three libraries is imported here: who hands in a pool has imported it.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Protocol

from perfmw_sqlalchemy.waits import Waits

log = logging.getLogger("perfmw.plugins.sqlalchemy")

_ATTRIBUTE = "_perfmw_waits"
"""Under which a pool remembers that its waits are counted, so that two who watch it count them once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A pool at one moment. ``capacity``: connections it may open, None for as many as one likes.

    ``ended``, ``seconds`` and ``gave_up`` are of waits that are over, since the start.
    """

    capacity: int | None
    used: int
    waiting: int = 0
    ended: int = 0
    seconds: float = 0.0
    gave_up: int = 0


class Source(Protocol):
    """A pool that is watched. ``sized_by``: the code that gives it another size, with {} for that."""

    sized_by: str

    def read(self) -> Reading | None:
        """None where the pool is gone, or pools nothing."""

    def resizes(self) -> bool:
        """Whether ``resize`` would do."""

    def resize(self, capacity: int) -> None:
        """Let so many connections be open at once, without closing any that is in use. Raises ValueError."""


def source_of(pool: Any) -> Source:
    """What reads an engine of SQLAlchemy (sync or async), one of its pools, or a pool of asyncpg or psycopg.

    :raises TypeError: for anything else.
    """
    pool = getattr(pool, "sync_engine", pool)
    pool = getattr(pool, "pool", pool)
    if callable(getattr(pool, "get_stats", None)):
        return Psycopg(pool)
    if callable(getattr(pool, "get_idle_size", None)):
        return Asyncpg(pool)
    if callable(getattr(pool, "recreate", None)) and callable(getattr(pool, "connect", None)):
        return SqlAlchemy(pool)
    raise TypeError(f"{type(pool).__name__} is no engine of SQLAlchemy and no pool of it, asyncpg or psycopg")


def _waits_of(owner: Any) -> tuple[Waits, bool]:
    """The counter that ``owner`` remembers, and whether it is new."""
    known = vars(owner).get(_ATTRIBUTE)
    if known is not None:
        return known, False
    waits = Waits()
    setattr(owner, _ATTRIBUTE, waits)
    return waits, True


class SqlAlchemy:
    """A pool of SQLAlchemy. Its ``connect`` is timed where no connection is free; else it costs a look.

    ``NullPool``, ``StaticPool`` and ``SingletonThreadPool`` pool nothing that could run out.
    """

    sized_by = "create_engine(url, pool_size={}, max_overflow=0)"

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._waits, new = _waits_of(pool)
        if new and callable(getattr(pool, "checkedout", None)):
            pool.connect = _timed(pool.connect, self._pool, self._waits)

    def read(self) -> Reading | None:
        pool, waits = self._pool(), self._waits
        if pool is None or not callable(getattr(pool, "checkedout", None)):
            return None
        used = max(0, pool.checkedout())
        return Reading(_capacity(pool), used, waits.waiting, waits.ended, waits.seconds, waits.gave_up)

    def resizes(self) -> bool:
        pool = self._pool()
        return pool is not None and _capacity_bounded(pool)

    def resize(self, capacity: int) -> None:
        """What is kept open grows or shrinks; ``max_overflow`` stays, as far as it leaves one that is kept.

        SQLAlchemy has no call for it. It counts open connections less those it keeps: both change together.
        Connections over the new size are closed when they are given back.
        """
        pool = self._pool()
        if pool is None or not _capacity_bounded(pool):
            raise ValueError("this pool has no capacity that could be changed")
        with pool._overflow_lock:
            more = max(1, capacity - pool._max_overflow) - pool._pool.maxsize
            pool._max_overflow = min(pool._max_overflow, capacity - 1)
            pool._pool.maxsize += more
            pool._overflow -= more
            queue = vars(pool._pool).get("_queue")  # of async engines, made at its first use
            if hasattr(queue, "_maxsize"):
                queue._maxsize = pool._pool.maxsize


def _capacity_bounded(pool: Any) -> bool:
    """Whether it is a queue of connections as SQLAlchemy 2 has it, with a bound."""
    known = all(hasattr(pool, name) for name in ("_pool", "_overflow", "_overflow_lock", "_max_overflow"))
    return known and hasattr(pool._pool, "maxsize") and _capacity(pool) is not None


def _capacity(pool: Any) -> int | None:
    overflow: int = getattr(pool, "_max_overflow", 0)
    size: int = pool.size()
    return None if overflow < 0 or size == 0 else size + overflow


def _timed(connect: Callable[[], Any], pool: Callable[[], Any | None], waits: Waits) -> Callable[[], Any]:
    def timed() -> Any:
        at = pool()
        capacity = None if at is None else _capacity(at)
        if at is None or capacity is None or at.checkedout() < capacity:
            return connect()
        with waits.one():
            return connect()

    return timed


class Asyncpg:
    """A pool of asyncpg. It tells no waits, so that the queue behind it is timed."""

    sized_by = "asyncpg.create_pool(dsn, max_size={})"

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool) if hasattr(type(pool), "__weakref__") else (lambda: pool)
        self._waits = Waits()
        self._queue: Any = None
        self._find_queue(pool)

    def _find_queue(self, pool: Any) -> None:
        """It is made when the pool is opened, which may be later."""
        queue = getattr(pool, "_queue", None)
        if queue is None or queue is self._queue:
            return
        self._queue = queue
        self._waits, new = _waits_of(queue)
        if new:
            queue.get = _timed_get(queue, self._waits)

    def read(self) -> Reading | None:
        pool = self._pool()
        if pool is None:
            return None
        self._find_queue(pool)
        waits, used = self._waits, pool.get_size() - pool.get_idle_size()
        return Reading(pool.get_max_size(), used, waits.waiting, waits.ended, waits.seconds, waits.gave_up)

    def resizes(self) -> bool:
        return False

    def resize(self, capacity: int) -> None:
        raise ValueError("a pool of asyncpg keeps its size")


def _timed_get(queue: Any, waits: Waits) -> Callable[[], Any]:
    get = queue.get

    async def timed() -> Any:
        if not queue.empty():
            return await get()
        with waits.one():
            return await get()

    return timed


class Psycopg:
    """A pool of psycopg, sync or async: it keeps statistics itself."""

    sized_by = "ConnectionPool(conninfo, max_size={})"

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._resizing: set[asyncio.Task[None]] = set()

    def read(self) -> Reading | None:
        pool = self._pool()
        if pool is None:
            return None
        told: Mapping[str, int] = pool.get_stats()
        return Reading(
            told.get("pool_max"),
            max(0, told.get("pool_size", 0) - told.get("pool_available", 0)),
            told.get("requests_waiting", 0),
            told.get("requests_queued", 0),
            told.get("requests_wait_ms", 0) / 1000.0,
            told.get("requests_errors", 0),
        )

    def resizes(self) -> bool:
        return self._pool() is not None

    def resize(self, capacity: int) -> None:
        """An async pool has its new size when the event loop gets to it. So have those who wait already."""
        pool = self._pool()
        if pool is None:
            raise ValueError("this pool is gone")
        if not iscoroutinefunction(pool.resize):
            pool.resize(min(pool.min_size, capacity), capacity)
            if _is_waited_for(pool):
                pool.check()  # it grows by this alone, and by the next who asks
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ValueError("an async pool is given another size in its event loop") from None
        task = loop.create_task(_resize(pool, capacity))
        self._resizing.add(task)
        task.add_done_callback(self._resized)

    def _resized(self, task: asyncio.Task[None]) -> None:
        self._resizing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a pool of psycopg could not be given another size", exc_info=error)


async def _resize(pool: Any, capacity: int) -> None:
    await pool.resize(min(pool.min_size, capacity), capacity)
    if _is_waited_for(pool):
        await pool.check()


def _is_waited_for(pool: Any) -> bool:
    waiting: int = pool.get_stats().get("requests_waiting", 0)
    return waiting > 0
