"""Profiles in an embedded SQLite file: they survive restarts, and the workers of a host meet there.

Every worker writes what it has counted so far, one row a profile, and reads what the others wrote since it
last looked. Rows of a worker that has ended are added to those of nobody (worker ``""``), in one
transaction, so that a total never shrinks and never counts a request twice.
"""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.telling import joined

FORMAT: Final = 1
ENDED: Final = ""
"""The worker whose rows hold what all ended workers counted."""
LOST_AFTER: Final = 86_400.0
"""Seconds of silence after which a worker of another host or container counts as ended."""
FORGOTTEN_AFTER: Final = 30 * 86_400.0
"""Seconds after which a profile that nobody asked for and nothing was counted for is dropped."""
LONGEST_WINDOW: Final = 86_400.0
"""Seconds after which nothing of a profile's windows is of use."""
MOST_TRACES: Final = 400
"""Kept traces in the file; the oldest leave."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, seen REAL NOT NULL, info BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profiles (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL,
    state BLOB NOT NULL, learned INTEGER NOT NULL, deleted INTEGER NOT NULL, seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    worker TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (worker, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS extras (
    worker TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (worker, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (id TEXT PRIMARY KEY, at REAL NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traces (seq INTEGER NOT NULL, worker TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sequence (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL);
INSERT OR IGNORE INTO sequence VALUES (1, 0);
CREATE INDEX IF NOT EXISTS counts_seq ON counts (seq);
CREATE INDEX IF NOT EXISTS profiles_seq ON profiles (seq);
"""


@dataclass(slots=True, frozen=True)
class StateRow:
    """What was chosen or learned for a profile: ``state`` is JSON.

    ``learned``: nobody chose anything, so that whoever learned first is right.
    """

    id: str
    type: str
    name: str
    created: float
    state: bytes
    learned: bool = True
    deleted: bool = False


@dataclass(slots=True, frozen=True)
class CountRow:
    """All that one worker counted for a profile, packed."""

    worker: str
    id: str
    data: bytes


@dataclass(slots=True)
class News:
    """What others wrote since the last look. ``workers``: those that are there, with what they say."""

    states: list[StateRow] = field(default_factory=list)
    counts: list[CountRow] = field(default_factory=list)
    workers: dict[str, bytes] = field(default_factory=dict)
    extras: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(worker, profile id, packed): what is known of sampled requests and of browsers."""
    traces: list[bytes] = field(default_factory=list)
    """Traces that others keep."""


class Archive:
    """One worker's door to the file. Its calls block, and wait for each other: who gave up waiting for one
    leaves its thread at work.

    :param path: the file; its directory is made if missing, readable by its owner alone.
    :param worker: who this is, for one that was here before.
    :raises sqlite3.Error, OSError: where the file cannot be used.
    """

    def __init__(self, path: str | Path, worker: str | None = None) -> None:
        self.worker = worker or f"{os.getpid()}-{secrets.token_hex(4)}"
        self._host = socket.gethostname()
        self._seen = -1
        self._using = threading.Lock()
        path = Path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
            os.chmod(path, 0o600)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        with self._writing(self._db):
            self._make_tables()

    def _make_tables(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            for table in ("workers", "profiles", "counts", "extras", "windows", "traces", "sequence"):
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={FORMAT}")
        self._db.execute(
            "DELETE FROM profiles WHERE learned AND changed < ? "
            "AND id NOT IN (SELECT id FROM counts WHERE worker != '')",
            (time.time() - FORGOTTEN_AFTER,),
        )
        self._db.execute("DELETE FROM counts WHERE id NOT IN (SELECT id FROM profiles)")
        self._db.execute("DELETE FROM extras WHERE id NOT IN (SELECT id FROM profiles)")
        self._db.execute("DELETE FROM windows WHERE id NOT IN (SELECT id FROM profiles)")
        self._db.execute("DELETE FROM windows WHERE at < ?", (time.time() - LONGEST_WINDOW,))

    @staticmethod
    @contextmanager
    def _writing(db: sqlite3.Connection) -> Iterator[None]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def exchange(
        self,
        states: Sequence[StateRow],
        counts: Iterable[tuple[str, bytes]],
        info: bytes,
        now: float,
        windows: Iterable[tuple[str, bytes]] = (),
        extras: Iterable[tuple[str, bytes]] = (),
        traces: Iterable[bytes] = (),
    ) -> News:
        """Write what this worker knows, and read what the others wrote since the last call.

        ``windows`` are of the counts that are written with them: both or neither hold.

        :raises sqlite3.Error: the file cannot be used at the moment; nothing was written.
        """
        with self._using, self._writing(self._db):
            seq = self._next()
            self._db.execute(
                "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)",
                (self.worker, self._host, os.getpid(), now, info),
            )
            for row in states:
                self._put_state(row, seq, now)
            self._db.executemany(
                "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)",
                ((self.worker, id, data, seq) for id, data in counts),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO extras VALUES (?, ?, ?, ?)",
                ((self.worker, id, data, seq) for id, data in extras),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO windows VALUES (?, ?, ?)", ((id, now, data) for id, data in windows)
            )
            self._put_traces(traces, seq)
            self._bury(seq, now)
            news = self._news()
        self._seen = seq
        return news

    def _put_traces(self, traces: Iterable[bytes], seq: int) -> None:
        if rows := [(seq, self.worker, data) for data in traces]:
            self._db.executemany("INSERT INTO traces VALUES (?, ?, ?)", rows)
            self._db.execute(
                "DELETE FROM traces WHERE rowid <= (SELECT max(rowid) FROM traces) - ?", (MOST_TRACES,)
            )

    def _next(self) -> int:
        self._db.execute("UPDATE sequence SET seq = seq + 1")
        return int(self._db.execute("SELECT seq FROM sequence").fetchone()[0])

    def _put_state(self, row: StateRow, seq: int, now: float) -> None:
        """A learned state never replaces another: whoever learned first is right for all."""
        self._db.execute(
            "INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "created = min(created, excluded.created), changed = excluded.changed, state = excluded.state, "
            "learned = excluded.learned, deleted = excluded.deleted, seq = excluded.seq "
            "WHERE NOT excluded.learned OR deleted OR length(state) = 0",
            (row.id, row.type, row.name, row.created, now, row.state, row.learned, row.deleted, seq),
        )
        if row.deleted:
            self._db.execute("DELETE FROM counts WHERE id = ?", (row.id,))
            self._db.execute("DELETE FROM extras WHERE id = ?", (row.id,))
            self._db.execute("DELETE FROM windows WHERE id = ?", (row.id,))

    def _bury(self, seq: int, now: float) -> None:
        ended = [
            id
            for id, host, pid, seen in self._db.execute("SELECT id, host, pid, seen FROM workers").fetchall()
            if id != self.worker and self._has_ended(id, host, pid, now - seen)
        ]
        for id in ended:
            self._fold(id, seq)

    def _has_ended(self, id: str, host: str, pid: int, silent: float) -> bool:
        if host != self._host:
            return silent > LOST_AFTER
        if pid == os.getpid():
            return id not in _here
        return not _alive(pid)

    def _fold(self, worker: str, seq: int) -> None:
        rows = self._db.execute("SELECT id, data FROM counts WHERE worker = ?", (worker,)).fetchall()
        for id, data in rows:
            past = self._db.execute(
                "SELECT data FROM counts WHERE worker = ? AND id = ?", (ENDED, id)
            ).fetchone()
            whole = data if past is None else pack(unpack(past[0]) + unpack(data))
            self._db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)", (ENDED, id, whole, seq))
        self._fold_extras(worker, seq)
        self._db.execute("DELETE FROM counts WHERE worker = ?", (worker,))
        self._db.execute("DELETE FROM workers WHERE id = ?", (worker,))

    def _fold_extras(self, worker: str, seq: int) -> None:
        find = "SELECT id, data FROM extras WHERE worker = ?"
        past = dict(self._db.execute(find, (ENDED,)).fetchall())
        rows = self._db.execute(find, (worker,)).fetchall()
        self._db.executemany(
            "INSERT OR REPLACE INTO extras VALUES (?, ?, ?, ?)",
            [(ENDED, id, joined(past.get(id), data), seq) for id, data in rows],
        )
        self._db.execute("DELETE FROM extras WHERE worker = ?", (worker,))

    def _news(self) -> News:
        states = self._db.execute(
            "SELECT id, type, name, created, state, learned, deleted FROM profiles WHERE seq > ?",
            (self._seen,),
        )
        found = [
            StateRow(id, type, name, created, state, bool(learned), bool(deleted))
            for id, type, name, created, state, learned, deleted in states
        ]
        counts = self._db.execute(
            "SELECT worker, id, data FROM counts WHERE seq > ? AND worker != ?", (self._seen, self.worker)
        )
        extras = self._db.execute(
            "SELECT worker, id, data FROM extras WHERE seq > ? AND worker != ?", (self._seen, self.worker)
        ).fetchall()
        workers = self._db.execute("SELECT id, info FROM workers WHERE id != ?", (self.worker,))
        traces = self._db.execute(
            "SELECT data FROM traces WHERE seq > ? AND worker != ? ORDER BY rowid", (self._seen, self.worker)
        )
        return News(
            found,
            [CountRow(*row) for row in counts],
            dict(workers.fetchall()),
            extras,
            [data for (data,) in traces],
        )

    def windows(self) -> list[tuple[str, bytes]]:
        """The windows that were kept, by profile."""
        with self._using:
            return self._db.execute("SELECT id, data FROM windows").fetchall()

    def join(self) -> bool:
        """This worker is at work; whether its rows of before, if it had any, are still its own."""
        _here.add(self.worker)
        row = self._db.execute("SELECT 1 FROM workers WHERE id = ?", (self.worker,)).fetchone()
        return row is not None

    def close(self) -> None:
        """Close the file. The next one to look leaves what this worker counted to nobody."""
        _here.discard(self.worker)
        with self._using:
            self._db.close()

    def __del__(self) -> None:
        """Whoever lets go of it without closing it leaves no open file behind."""
        if hasattr(self, "_db"):
            self._db.close()


_here: set[str] = set()
"""Workers of this process: several runtimes may share a file."""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
