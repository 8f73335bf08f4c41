"""What monitoring must not forget: silences, annotations, what waits to be told, the state of its series.

One SQLite file in ``state_dir``, shared by the workers of a host; without one, memory.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from perfmw.monitoring.silences import Silence
from perfmw.monitoring.timeline import Annotation

log = logging.getLogger("perfmw.alerts")

FILE: Final = "monitoring.sqlite3"
MOST_SILENCES: Final = 1_000
MOST_ANNOTATIONS: Final = 500
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS silences (id TEXT PRIMARY KEY, until REAL, body BLOB);
CREATE TABLE IF NOT EXISTS annotations (number INTEGER PRIMARY KEY, at REAL, body BLOB);
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, channel TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS waiting_channel ON waiting (channel, number);
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, body BLOB);
PRAGMA user_version = 1;
"""


class MonitoringStore:
    """Every method does I/O of some milliseconds: call it in a thread. It may be called from several.

    A file that cannot be opened or is damaged is named in the log, and memory takes its place: monitoring
    goes on. ``failures`` counts operations that failed later; they change nothing. After ``close`` nothing is
    kept and nothing found: a thread of a round that was cancelled may still ask.
    """

    def __init__(self, state_dir: str | None = None) -> None:
        self._lock = threading.Lock()
        self.failures = 0
        self._closed = False
        self._version: object = None
        self._database = self._open(state_dir)

    def _open(self, state_dir: str | None) -> sqlite3.Connection:
        if state_dir is not None:
            path = Path(state_dir) / FILE
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                return _connect(str(path))
            except (OSError, sqlite3.Error) as error:
                log.warning("alerts and silences are kept in memory, %s cannot be used: %s", path, error)
        return _connect(":memory:")

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._closed = True
            self._database.close()

    def __del__(self) -> None:
        """Whoever lets go of it without closing it leaves no open file behind."""
        if hasattr(self, "_database"):
            self._database.close()

    def _do(self, *steps: tuple[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The rows of the last step; all steps or none."""
        with self._lock:
            if self._closed:
                return []
            try:
                with self._database:
                    rows: list[tuple[Any, ...]] = []
                    for statement, values in steps:
                        rows = self._database.execute(statement, values).fetchall()
                    return rows
            except sqlite3.Error as error:
                self.failures += 1
                if self.failures == 1:
                    log.warning("monitoring's file: %s", error)
                return []

    def changed(self) -> bool:
        """Whether another process wrote since this was last asked."""
        rows = self._do(("PRAGMA data_version", ()))
        if not rows or rows[0] == self._version:
            return False
        self._version = rows[0]
        return True

    # ---- silences

    def silences(self, now: float) -> list[Silence]:
        """Those that are not over at unix time ``now``; the others are forgotten."""
        rows = self._do(
            ("DELETE FROM silences WHERE until <= ?", (now,)),
            ("SELECT body FROM silences ORDER BY until LIMIT ?", (MOST_SILENCES,)),
        )
        return list(_decoded(rows, Silence))

    def silence(self, silence: Silence) -> None:
        """Keep a silence, in place of one with its id."""
        body = msgspec.json.encode(silence)
        self._do(("INSERT OR REPLACE INTO silences VALUES (?, ?, ?)", (silence.id, silence.until, body)))

    def unsilence(self, silence_id: str) -> bool:
        """End a silence; False if there is none of that id."""
        gone = self._do(("DELETE FROM silences WHERE id = ? RETURNING id", (silence_id,)))
        return bool(gone)

    # ---- annotations

    def annotations(self) -> list[Annotation]:
        """The latest, the oldest first."""
        rows = self._do(
            ("SELECT body FROM annotations ORDER BY at DESC, number DESC LIMIT ?", (MOST_ANNOTATIONS,))
        )
        return list(_decoded(reversed(rows), Annotation))

    def annotate(self, annotation: Annotation) -> None:
        body = msgspec.json.encode(annotation)
        self._do(
            ("INSERT INTO annotations (at, body) VALUES (?, ?)", (annotation.at, body)),
            (
                "DELETE FROM annotations WHERE number <= (SELECT max(number) FROM annotations) - ?",
                (MOST_ANNOTATIONS,),
            ),
        )

    # ---- what waits to be told

    def wait(self, channel: str, body: bytes, most: int) -> int:
        """Put something at the end of a channel's queue, of which the oldest beyond ``most`` are dropped.

        :return: its number, 0 if it could not be kept.
        """
        rows = self._do(
            (
                "DELETE FROM waiting WHERE number IN (SELECT number FROM waiting WHERE channel = ?"
                " ORDER BY number DESC LIMIT -1 OFFSET ?)",
                (channel, most - 1),
            ),
            ("INSERT INTO waiting (channel, body) VALUES (?, ?) RETURNING number", (channel, body)),
        )
        return int(rows[0][0]) if rows else 0

    def waiting(self, channel: str) -> list[tuple[int, bytes]]:
        """(number, body) of what waits in a channel's queue, the oldest first."""
        return [
            (int(number), bytes(body))
            for number, body in self._do(
                ("SELECT number, body FROM waiting WHERE channel = ? ORDER BY number", (channel,))
            )
        ]

    def told(self, number: int) -> None:
        """It need not wait any more."""
        self._do(("DELETE FROM waiting WHERE number = ?", (number,)))

    # ---- anything else

    def keep(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        body = msgspec.json.encode(value)
        self._do(("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, body)))

    def kept(self, name: str) -> Any:
        """What was kept under a name; None if nothing was, or if it is damaged."""
        rows = self._do(("SELECT body FROM kept WHERE name = ?", (name,)))
        try:
            return msgspec.json.decode(rows[0][0]) if rows else None
        except msgspec.DecodeError:
            return None


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
    try:
        if path != ":memory:":
            Path(path).chmod(0o600)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _decoded(rows: Iterable[tuple[Any, ...]], cls: Any) -> Iterable[Any]:
    for (body,) in rows:
        try:
            yield msgspec.json.decode(body, type=cls)
        except msgspec.ValidationError:
            log.warning("a damaged %s in monitoring's file was left out", cls.__name__.lower())
