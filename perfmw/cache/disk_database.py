"""The SQLite file of the disk layer: how it is opened, and what is done when it is damaged or gone."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows; renaming an open file fails there, so nothing is set aside
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOG_BYTES = 4 * 1024**2
"""What the write-ahead log keeps of its size once its pages are in the file."""

_LOG_PATIENCE = 0.1
"""Seconds that a write waits so that the log can begin anew."""
_MAIN_KIB, _SPARE_KIB = 32 * 1024, 2 * 1024
"""What the page caches of the two connections may hold."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries
    (place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, expires REAL, key TEXT NOT NULL, value);
CREATE TABLE IF NOT EXISTS uses (id INTEGER PRIMARY KEY, used INTEGER NOT NULL);
"""
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
FileId = tuple[int, int]
"""Device and inode."""
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_of_parents: list[object] = []


class Handle:
    """A connection, opened when first used, and a cursor used over and over. Hold ``lock`` while using it."""

    __slots__ = ("_cache_kib", "_connection", "_database", "file", "lock", "opened")

    def __init__(self, database: Database, cache_kib: int) -> None:
        self._database = database
        self._cache_kib = cache_kib
        self.file: FileId | None = None
        """Which file is open."""
        self._connection: sqlite3.Connection | None = None
        self.opened: sqlite3.Cursor | None = None
        """The cursor, once there is one."""
        self.lock = threading.Lock()

    def cursor(self) -> sqlite3.Cursor:
        """Raises sqlite3.Error or OSError when the file cannot be opened."""
        return self.opened or self._open()

    def _open(self) -> sqlite3.Cursor:
        self._connection = self._database.connect(self._cache_kib)
        self.opened = self._connection.cursor()
        self.file = self._database.there()
        return self.opened

    def replaced(self) -> bool:
        """Whether another file is at the path now than the open one, or none."""
        return self.used and self._database.there() != self.file

    @property
    def used(self) -> bool:
        return self.opened is not None

    def close(self) -> None:
        connection, self._connection, self.opened, self.file = self._connection, None, None, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: what is its parent's must be neither used nor closed."""
        _of_parents.append((self._connection, self.opened))
        self._connection = self.opened = self.file = None
        self.lock = threading.Lock()


class Database:
    """One file and this object's two connections to it.

    ``main`` writes, and reads while nobody writes, since what it has written is in its page cache; ``spare``
    reads meanwhile.

    :param patience: seconds to wait for another process's lock.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        self._log_is_due = 0.0
        self.main, self.spare = Handle(self, _MAIN_KIB), Handle(self, _SPARE_KIB)
        _databases.add(self)

    def connect(self, cache_kib: int) -> sqlite3.Connection:
        """A new connection to the file, which is made when it is not there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError, PermissionError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection, cache_kib)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, cache_kib: int) -> None:
        """SQLite waits for no lock while a new file becomes one with a log, so this does."""
        until = time.monotonic() + self._patience
        while True:
            try:
                _prepare(connection, cache_kib)
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() >= until:
                    raise
            time.sleep(0.002)

    def close(self) -> None:
        """It opens again when it is next used."""
        for handle in (self.main, self.spare):
            with handle.lock:
                handle.close()

    def abandon(self) -> None:
        for handle in (self.main, self.spare):
            handle.abandon()

    def shorten_log(self, cursor: sqlite3.Cursor) -> None:
        """Begin the log anew when it has grown too long, as it does while several processes write at once.

        Each of them moves pages from the log into the file now and then, but while another writes it never
        has moved all. So one does it here while the others wait, some milliseconds. A reader who takes longer
        than that is not waited for.
        """
        if time.monotonic() < self._log_is_due or self._log_bytes() <= 2 * LOG_BYTES:
            return
        cursor.execute(f"PRAGMA busy_timeout = {round(_LOG_PATIENCE * 500)}")
        self._log_is_due = time.monotonic() + _LOG_PATIENCE
        while time.monotonic() < self._log_is_due:
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy or self._log_bytes() <= 2 * LOG_BYTES:  # this one did it, or another
                self._log_is_due = 0.0
                break
            time.sleep(0.002)
        else:
            self._log_is_due = time.monotonic() + 1.0
        cursor.execute(f"PRAGMA busy_timeout = {round(self._patience * 1e3)}")

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except OSError:
            return 0

    # ---- what can happen to the file

    def there(self) -> FileId | None:
        """Which file is at the path."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def set_aside(self, error: sqlite3.Error) -> bool:
        """Move a damaged file out of the way, if nobody has yet. False for errors of another kind."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
            return False
        damaged = self.main.file or self.spare.file or self.there()
        self.close()
        with contextlib.suppress(OSError), _only_one(self.path):
            if self.there() == damaged:
                self._move(error)
        return True

    def _move(self, error: sqlite3.Error) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        logger.warning("disk cache %s is damaged and set aside as %s: %s", self.path, aside.name, error)
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One process at a time is here with this file."""
    with path.open("rb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(connection: sqlite3.Connection, cache_kib: int) -> None:
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    connection.execute("PRAGMA mmap_size = 0")  # where a mapped file is cut short, the process dies
    connection.execute(f"PRAGMA cache_size = {-cache_kib}")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:  # a file that may only be read is still good for that
        if "readonly" not in str(error):
            raise


@contextlib.contextmanager
def transaction(cursor: sqlite3.Cursor) -> Iterator[None]:
    """All of it or nothing, and no other process writes meanwhile."""
    cursor.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if cursor.connection.in_transaction:  # a full disk has rolled back by itself
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


@contextlib.contextmanager
def reading(cursor: sqlite3.Cursor) -> Iterator[None]:
    """All that is read here is as of one moment, and the file is locked for it but once."""
    cursor.execute("BEGIN")
    try:
        yield
    finally:
        cursor.execute("ROLLBACK")


def _begin_anew() -> None:
    """In a child after a fork: connections and locks must not be used there, nor closed."""
    for database in tuple(_databases):
        database.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
