"""One SQLite file of cached bytes, shared by several processes: the synchronous half of the disk layer."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, expires REAL, key TEXT NOT NULL, value);
CREATE TABLE IF NOT EXISTS uses (id INTEGER PRIMARY KEY, used INTEGER NOT NULL);
"""
_READ = "SELECT key, expires, value FROM entries WHERE id = ?"
_WRITE = "INSERT OR REPLACE INTO entries (id, expires, key, value) VALUES (?, ?, ?, ?)"
_NOTE_USE = "INSERT OR REPLACE INTO uses (id, used) VALUES (?, ?)"
_SAMPLE = (
    "SELECT e.id, e.expires, coalesce(u.used, 0) FROM entries e LEFT JOIN uses u ON u.id = e.id"
    " WHERE e.id >= ? ORDER BY e.id LIMIT ?"
)
_USES_TO_FLUSH = 8_192
_SAMPLE_SIZE = 48
_SWEEP_EVERY = 64
_ROW_OVERHEAD = 64
_files: weakref.WeakSet[DiskFile] = weakref.WeakSet()
_of_parents: list[object] = []


class DiskFile:
    """Values by key in ``path``: bytes, text and numbers. Safe to kill at any moment; several may share it.

    A write that has returned survives the end of its process (WAL, ``synchronous=NORMAL``). A file that is no
    database, or a damaged one, is set aside and made anew. What cannot be read or written is a miss, and is
    counted in ``errors``: a full disk, a file that may only be read, a lock held too long.

    Who leaves a full file is chosen as Redis does it: of a random sample, those used longest ago. Times of
    use are written in batches, so that a read does not write.

    :param max_bytes: the bound of what is used of the file; the log beside it may have 4 MiB more.
    :param clock: unix time in seconds.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        patience: float = 1.0,
    ) -> None:
        self.path = Path(path)
        self.max_bytes = max_bytes
        self._clock = clock
        self._patience = patience
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._connections: dict[str, sqlite3.Connection] = {}
        _files.add(self)
        self._uses: dict[int, int] = {}
        self._room = 0
        self._writes = 0
        self.used_bytes = 0
        self.errors = self.evictions = 0

    # ---- reading and writing

    def get(self, key: str) -> Any:
        """The live value of ``key``, or None."""
        try:
            found = self._read(key)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None
        return None if found is None else found[0]

    def expiry(self, key: str) -> tuple[Any, float | None] | None:
        """The value and when it expires (None: never); None without a live one."""
        found: tuple[Any, float | None] | None = self._safely(self._read, key)
        return found

    def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Store ``value`` for ``ttl`` seconds (None: for ever); whether it is on its way to the disk."""
        weight = _weight(key, value)
        if weight > self.max_bytes:
            self.delete(key)
            return False
        expires = None if ttl is None else self._clock() + ttl
        row = (_id(key), expires, key, value)
        return bool(self._safely(self._write, row, weight))

    def delete(self, key: str) -> bool:
        return bool(self._safely(self._delete, key))

    def clear(self, prefix: str = "") -> int:
        """Remove everything, or all whose key begins with ``prefix``; how many."""
        return int(self._safely(self._clear, prefix) or 0)

    def keys(self, prefix: str = "", limit: int = 1_000) -> list[str]:
        """Some keys that begin with ``prefix``."""
        return list(self._safely(self._keys, prefix, limit) or ())

    def measure(self) -> tuple[int, int]:
        """How many entries there are, expired ones counted, and how many bytes are used."""
        found: tuple[int, int] | None = self._safely(self._measure)
        return found or (0, 0)

    def update(self, key: str, change: Callable[[Any, float | None], tuple[Any, float | None]]) -> Any:
        """Read and write under one lock, across processes: ``change`` gets and returns value and expiry."""
        return self._safely(self._update, key, change)

    def close(self) -> None:
        """Write what is pending and close the file; it opens again when it is next used."""
        with contextlib.suppress(sqlite3.Error):
            self._flush()
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    def __del__(self) -> None:
        """Whoever lets go of it without closing it leaves no open file behind."""
        for connection in getattr(self, "_connections", {}).values():
            connection.close()

    # ---- how it works

    def _read(self, key: str) -> tuple[Any, float | None] | None:
        number = _id(key)
        with self._lock:
            connection = self._connections.get("read") or self._connection("read")
            row = connection.execute(_READ, (number,)).fetchone()
        now = self._clock()
        if row is None or row[0] != key or (row[1] is not None and row[1] <= now):
            return None
        uses = self._uses
        uses[number] = int(now)
        if len(uses) >= _USES_TO_FLUSH and self._writing.acquire(blocking=False):
            try:
                self._note_uses(self._connection("write"))
            finally:
                self._writing.release()
        return row[2], row[1]

    def _write(self, row: tuple[int, float | None, str, Any], weight: int) -> bool:
        with self._writing:
            connection = self._connection("write")
            if self._room < weight:
                self._make_room(connection, weight)
            connection.execute(_WRITE, row)
            self._room -= weight
            self._uses[row[0]] = int(self._clock())
            self._writes += 1
            if self._writes % _SWEEP_EVERY == 0:
                self._note_uses(connection)
                self._sweep(connection)
        return True

    def _delete(self, key: str) -> bool:
        number = _id(key)
        with self._writing:
            connection = self._connection("write")
            row = connection.execute(_READ, (number,)).fetchone()
            if row is None or row[0] != key:
                return False
            self._drop(connection, [number])
        return row[1] is None or row[1] > self._clock()

    def _clear(self, prefix: str) -> int:
        with self._writing:
            connection = self._connection("write")
            rows = connection.execute(
                "SELECT id FROM entries WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
            )
            numbers = [row[0] for row in rows.fetchall()]
            self._drop(connection, numbers)
            return len(numbers)

    def _keys(self, prefix: str, limit: int) -> list[str]:
        with self._lock:
            rows = self._connection("read").execute(
                "SELECT key FROM entries WHERE substr(key, 1, ?) = ? AND coalesce(expires, 1e99) > ? LIMIT ?",
                (len(prefix), prefix, self._clock(), limit),
            )
            return [row[0] for row in rows.fetchall()]

    def _measure(self) -> tuple[int, int]:
        with self._lock:
            connection = self._connection("read")
            self.used_bytes = _used(connection)
            return connection.execute("SELECT count(*) FROM entries").fetchone()[0], self.used_bytes

    def _update(self, key: str, change: Callable[[Any, float | None], tuple[Any, float | None]]) -> Any:
        number = _id(key)
        with self._writing, _transaction(self._connection("write")) as connection:
            row = connection.execute(_READ, (number,)).fetchone()
            live = row is not None and row[0] == key and (row[1] is None or row[1] > self._clock())
            value, expires = change(row[2] if live else None, row[1] if live else None)
            connection.execute(_WRITE, (number, expires, key, value))
        return value

    def _make_room(self, connection: sqlite3.Connection, weight: int) -> None:
        """Evict until ``weight`` fits, and know how much may be written before it is time to look again."""
        for _ in range(100):
            self.used_bytes = _used(connection)
            free = self.max_bytes - self.used_bytes
            if free >= weight:
                break
            self._note_uses(connection)
            if not self._evict(connection):
                break
        # others may write too, so look again long before all of it is used
        self._room = max(weight, (self.max_bytes - self.used_bytes) // 8)

    def _evict(self, connection: sqlite3.Connection) -> int:
        sample = self._sample(connection)
        now = self._clock()
        expired = [row[0] for row in sample if row[1] is not None and row[1] <= now]
        oldest = sorted(sample, key=lambda row: row[2])[: max(1, len(sample) // 4)]
        doomed = expired or [row[0] for row in oldest]
        self._drop(connection, doomed)
        self.evictions += len(doomed) - len(expired)
        return len(doomed)

    def _sample(self, connection: sqlite3.Connection) -> list[Any]:
        """Rows from a random place on; ids are hashes, so neighbours have nothing else in common."""
        start = random.getrandbits(63)
        rows = connection.execute(_SAMPLE, (start, _SAMPLE_SIZE)).fetchall()
        return rows or connection.execute(_SAMPLE, (0, _SAMPLE_SIZE)).fetchall()

    def _sweep(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        expired = [row[0] for row in self._sample(connection) if row[1] is not None and row[1] <= now]
        self._drop(connection, expired)

    def _drop(self, connection: sqlite3.Connection, numbers: list[int]) -> None:
        if not numbers:
            return
        with _transaction(connection):
            connection.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number in numbers])
            connection.executemany("DELETE FROM uses WHERE id = ?", [(number,) for number in numbers])

    def _flush(self) -> None:
        with self._writing:
            if self._uses and "write" in self._connections:
                self._note_uses(self._connection("write"))

    def _note_uses(self, connection: sqlite3.Connection) -> None:
        uses, self._uses = self._uses, {}
        if uses:
            with _transaction(connection):
                connection.executemany(_NOTE_USE, list(uses.items()))

    # ---- opening, and what can go wrong

    def _safely(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return work(*args)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        if type(error) is sqlite3.DatabaseError:  # its subclasses tell of locks, full disks and the like
            self._set_aside(error)
        else:
            logger.debug("disk cache %s: %r", self.path, error)

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        logger.warning("disk cache %s is damaged and set aside as %s: %s", self.path, aside.name, error)
        with self._lock, contextlib.suppress(OSError):
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            self._uses.clear()
            self._room = 0
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _connection(self, use: str) -> sqlite3.Connection:
        connection = self._connections.get(use)
        if connection is None:
            with self._lock:
                connection = self._connections[use] = self._open()
        return connection

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError, PermissionError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_size_limit = 4194304")
    connection.execute("PRAGMA mmap_size = 268435456")
    connection.execute("PRAGMA cache_size = -16384")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:  # a file that may only be read is still good for that
        if "readonly" not in str(error):
            raise


def _begin_anew() -> None:
    """In a child after a fork: connections and locks must not be used there, nor closed."""
    for file in tuple(_files):
        _of_parents.append(file._connections)
        file._connections = {}
        file._lock, file._writing = threading.RLock(), threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _id(key: str) -> int:
    """63 bits of the key's hash: entries are found by row number, without an index of keys."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _weight(key: str, value: Any) -> int:
    size = len(value) if isinstance(value, (bytes, str)) else 8
    return size + len(key) + _ROW_OVERHEAD


def _used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
