"""One SQLite file of cached bytes, shared by several processes: the synchronous half of the disk layer."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any

from perfmw.cache.disk_database import Database, Handle, reading, transaction

logger = logging.getLogger(__name__)

_READ = "SELECT key, expires, value FROM entries WHERE id = ?"
_WRITE = "INSERT OR REPLACE INTO entries (id, expires, key, value) VALUES (?, ?, ?, ?)"
_NOTE_USE = "INSERT OR REPLACE INTO uses (id, used) VALUES (?, ?)"
_SAMPLE = (
    "SELECT e.id, e.expires, coalesce(u.used, 0) FROM entries e LEFT JOIN uses u ON u.id = e.id"
    " WHERE e.id >= ? ORDER BY e.id LIMIT ?"
)
_IDS = "SELECT id FROM entries WHERE substr(key, 1, ?) = ?"
_KEYS = "SELECT key FROM entries WHERE substr(key, 1, ?) = ? AND coalesce(expires, 1e99) > ? LIMIT ?"
_USES_TO_FLUSH = 8_192
_SAMPLE_SIZE = 48
_SWEEP_EVERY = 64
_SWEEP_BYTES = 1024**2
_ROW_OVERHEAD = 84
_LEAST_ID = -(2**63)
_first_number = Struct(">q").unpack_from

Change = Callable[[Any, float | None], tuple[Any, float | None] | None]
"""Of a value and when it expires (None, None: not there) makes what to store, or None to leave it."""


class DiskFile:
    """Values by key in ``path``: bytes, text and numbers. Safe to kill at any moment; several may share it.

    A write that has returned survives the end of its process (WAL, ``synchronous=NORMAL``). A file that is no
    database, or a damaged one, is set aside and made anew. What cannot be read or written is a miss, and is
    counted in ``errors``: a full disk, a file that may only be read, a lock held too long.

    Who leaves a full file is chosen as Redis does it: of a random sample, those used longest ago. Times of
    use are written in batches, so that a read does not write.

    :param max_bytes: the bound of what is used of the file; the log beside it may have a few MiB more.
    :param clock: unix time in seconds.
    :param patience: seconds to wait for another process's lock.
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
        self._database = Database(self.path, patience)
        self._main, self._spare = self._database.main, self._database.spare
        self._uses: dict[int, float] = {}
        self._room = 0
        self._writes = self._written = 0
        self.used_bytes = 0
        self.errors = self.evictions = self.expirations = 0
        self.last_error = ""

    # ---- reading and writing

    def get(self, key: str) -> Any:
        """The live value of ``key``, or None."""
        try:
            found = self._read(key)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None
        return None if found is None else found[2]

    def get_many(self, keys: Iterable[str]) -> list[Any]:
        """The live values of ``keys``, None for those that have none, all as of one moment."""
        keys = tuple(keys)
        found: list[Any] | None = self._safely(self._read_many, keys)
        return [None] * len(keys) if found is None else found

    def expiry(self, key: str) -> tuple[Any, float | None] | None:
        """The value and when it expires (None: never); None without a live one."""
        found = self._safely(self._read, key)
        return None if found is None else (found[2], found[1])

    def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Store ``value`` for ``ttl`` seconds (None: for ever); whether it is on its way to the disk."""
        weight = _weight(key, value)
        if weight > self.max_bytes:
            self.delete(key)
            return False
        expires = None if ttl is None else self._clock() + ttl
        return bool(self._safely(self._write, (_id(key), expires, key, value), weight))

    def delete(self, key: str) -> bool:
        """Whether there was a live one."""
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

    def update(self, key: str, change: Change) -> Any:
        """Read and write under one lock, across processes; what was stored, None where nothing was."""
        return self._safely(self._update, key, change)

    def close(self) -> None:
        """Write what is pending and close the file; it opens again when it is next used."""
        if self._uses:
            with contextlib.suppress(sqlite3.Error, OSError), self._main.lock:
                if self._main.used:
                    self._note_uses(self._main.cursor())
        self._database.close()

    def __del__(self) -> None:
        """Whoever lets go of it without closing it leaves no open file behind."""
        if hasattr(self, "_database"):
            self._database.close()

    # ---- how it works

    def _read(self, key: str) -> Any:
        """The live row (key, expires, value), or None."""
        number = _id(key)
        handle: Handle = self._main
        if not handle.lock.acquire(False):
            handle = self._spare
            handle.lock.acquire()
        try:
            row = (handle.opened or handle.cursor()).execute(_READ, (number,)).fetchone()
        finally:
            handle.lock.release()
        if row is None or row[0] != key:
            return None
        return row if self._is_live(row, number) else None

    def _read_many(self, keys: Iterable[str]) -> list[Any]:
        numbers = {key: _id(key) for key in keys}
        with self._spare.lock:
            cursor = self._spare.cursor()
            with reading(cursor):
                rows = {key: cursor.execute(_READ, (numbers[key],)).fetchone() for key in keys}
        live = {
            key: row[2]
            for key, row in rows.items()
            if row is not None and row[0] == key and self._is_live(row, numbers[key])
        }
        return [live.get(key) for key in keys]

    def _is_live(self, row: Any, number: int) -> bool:
        """Whether it has not expired; if so, that it was used is noted."""
        now = self._clock()
        if row[1] is not None and row[1] <= now:
            return False
        uses = self._uses
        uses[number] = now
        if len(uses) >= _USES_TO_FLUSH:
            self._flush_uses()
        return True

    def _flush_uses(self) -> None:
        if self._main.lock.acquire(blocking=False):  # else whoever writes will do it
            try:
                self._note_uses(self._main.cursor())
            finally:
                self._main.lock.release()

    def _write(self, row: tuple[int, float | None, str, Any], weight: int) -> bool:
        with self._main.lock:
            cursor = self._main.cursor()
            self._reserve(cursor, weight)
            cursor.execute(_WRITE, row)
            self._uses[row[0]] = self._clock()
            self._writes += 1
            self._written += weight
            if self._writes >= _SWEEP_EVERY or self._written >= _SWEEP_BYTES:
                self._keep_house(cursor)
        return True

    def _keep_house(self, cursor: sqlite3.Cursor) -> None:
        self._writes = self._written = 0
        self._note_uses(cursor)
        now = self._clock()
        expired = [row[0] for row in _sample(cursor) if _expired(row, now)]
        self._drop(cursor, expired)
        self.expirations += len(expired)
        self.used_bytes = _used(cursor)
        self._database.shorten_log(cursor)
        if self._main.replaced():  # somebody removed the file, or set it aside
            self._main.close()
            with self._spare.lock:
                self._spare.close()
            self._room = 0

    def _delete(self, key: str) -> bool:
        number = _id(key)
        with self._main.lock:
            cursor = self._main.cursor()
            row = cursor.execute(_READ, (number,)).fetchone()
            if row is None or row[0] != key:
                return False
            self._drop(cursor, [number])
        return row[1] is None or row[1] > self._clock()

    def _clear(self, prefix: str) -> int:
        with self._main.lock:
            cursor = self._main.cursor()
            numbers = [row[0] for row in cursor.execute(_IDS, (len(prefix), prefix)).fetchall()]
            self._drop(cursor, numbers)
            return len(numbers)

    def _keys(self, prefix: str, limit: int) -> list[str]:
        with self._spare.lock:
            found = self._spare.cursor().execute(_KEYS, (len(prefix), prefix, self._clock(), limit))
            return [row[0] for row in found.fetchall()]

    def _measure(self) -> tuple[int, int]:
        with self._spare.lock:
            cursor = self._spare.cursor()
            self.used_bytes = _used(cursor)
            return cursor.execute("SELECT count(*) FROM entries").fetchone()[0], self.used_bytes

    def _update(self, key: str, change: Change) -> Any:
        number = _id(key)
        with self._main.lock:
            cursor = self._main.cursor()
            with transaction(cursor):
                row = cursor.execute(_READ, (number,)).fetchone()
                there = row is not None and row[0] == key and not _expired(row, self._clock())
                changed = change(row[2], row[1]) if there else change(None, None)
                if changed is None:
                    return None
                value, expires = changed
                cursor.execute(_WRITE, (number, expires, key, value))
                self._room -= _weight(key, value)
        return value

    # ---- room

    def _reserve(self, cursor: sqlite3.Cursor, weight: int) -> None:
        """Evict until ``weight`` fits, and know how much may be written before it is time to look again."""
        if self._room < weight:
            while self._free(cursor) < weight:
                self._note_uses(cursor)
                if not self._evict(cursor):
                    break
            # others may write too, so look again long before all of it is used
            self._room = max(weight, (self.max_bytes - self.used_bytes) // 8)
        self._room -= weight

    def _free(self, cursor: sqlite3.Cursor) -> int:
        self.used_bytes = _used(cursor)
        return self.max_bytes - self.used_bytes

    def _evict(self, cursor: sqlite3.Cursor) -> int:
        sample = _sample(cursor)
        now = self._clock()
        expired = [row[0] for row in sample if _expired(row, now)]
        oldest = sorted(sample, key=lambda row: row[2])[: max(1, len(sample) // 4)]
        doomed = expired or [row[0] for row in oldest]
        self._drop(cursor, doomed)
        self.evictions += len(doomed) - len(expired)
        self.expirations += len(expired)
        return len(doomed)

    def _drop(self, cursor: sqlite3.Cursor, numbers: list[int]) -> None:
        if not numbers:
            return
        with transaction(cursor):
            cursor.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number in numbers])
            cursor.executemany("DELETE FROM uses WHERE id = ?", [(number,) for number in numbers])

    def _note_uses(self, cursor: sqlite3.Cursor) -> None:
        uses, self._uses = self._uses, {}
        if uses:
            with transaction(cursor):
                cursor.executemany(_NOTE_USE, [(number, int(used)) for number, used in uses.items()])

    # ---- what can go wrong

    def _safely(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return work(*args)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        if isinstance(error, sqlite3.Error) and self._database.set_aside(error):
            self._uses.clear()
            self._room = 0
        elif str(error) != self.last_error:  # of a series of the same, the first is told
            logger.warning("disk cache %s: what cannot be read or written is a miss: %s", self.path, error)
        self.last_error = str(error)


def _id(key: str) -> int:
    """64 bits of the key's hash: the index of them is small, and neighbours in it have nothing in common."""
    number: int = _first_number(blake2b(key.encode("utf-8", "surrogatepass")).digest())[0]
    return number


def _weight(key: str, value: Any) -> int:
    size = len(value) if isinstance(value, (bytes, str)) else 8
    return size + len(key) + _ROW_OVERHEAD


def _expired(row: Any, now: float) -> bool:
    """Of a row whose second column is when it expires."""
    return row[1] is not None and row[1] <= now


def _sample(cursor: sqlite3.Cursor) -> list[Any]:
    """Rows from a random place on in the order of ids: (id, when it expires, when it was used)."""
    start = random.getrandbits(64) + _LEAST_ID
    rows = cursor.execute(_SAMPLE, (start, _SAMPLE_SIZE)).fetchall()
    return rows or cursor.execute(_SAMPLE, (_LEAST_ID, _SAMPLE_SIZE)).fetchall()


def _used(cursor: sqlite3.Cursor) -> int:
    pages, free, size = (
        cursor.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
