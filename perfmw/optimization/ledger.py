"""What was proposed, tried, measured, kept and undone: append-only, and it survives a restart."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any, Literal

from perfmw.contracts import Measurement, OptimizationOpportunity, OptimizationStepResult

try:
    import fcntl
except ImportError:  # no advisory locks on this platform: one process a ledger
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("perfmw.optimization")

EntryKind = Literal[
    "proposed",
    "skipped",
    "applied",
    "measured",
    "kept",
    "rolled_back",
    "failed",
    "reverted",
    "lapsed",
    "waiting",
    "approved",
    "rejected",
    "withdrawn",
]
IN_FORCE = frozenset({"kept"})
"""After an entry of this kind the change stands, also after a restart."""
OUT_OF_FORCE = frozenset({"applied", "rolled_back", "failed", "reverted", "lapsed", "withdrawn"})
"""After one of these it does not: a change on trial that a crash interrupted is not taken up again."""
ASKED = frozenset({"waiting", "rejected"})
"""Until something else happens to it, an opportunity waits or stays refused."""
MOST_ASKED = 500
FILE_NAME = "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event. ``id`` counts from 1; ``interval`` bounds ``improvement`` (0.3 = 30% faster)."""

    id: int
    at: float
    kind: EntryKind
    run: str
    who: str
    why: str
    opportunity: OptimizationOpportunity
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    before: Measurement | None = None
    after: Measurement | None = None


@dataclass(slots=True)
class _File:
    """The file side of a ledger: where it is and how far it has been read."""

    path: Path
    offset: int = 0
    inode: int = 0
    torn: bool = False


class Ledger:
    """Bounded in memory; with ``state_dir`` also a file of JSON lines that every append flushes to disk.

    A damaged line is counted in ``bad_lines`` and left out; a disk that refuses is counted in
    ``write_errors``: the ledger then goes on in memory. Several processes may share one directory.

    :param state_dir: where ``ledger.jsonl`` lives; made if missing, readable by its owner alone.
    :param max_entries: entries held in memory.
    :param max_bytes: the file is rotated beyond this size; one older file is kept.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        max_entries: int = 2_000,
        max_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        self.bad_lines = 0
        self.write_errors = 0
        self._clock = clock
        self._max_bytes = max_bytes
        self._entries: deque[LedgerEntry] = deque(maxlen=max_entries)
        self._standing: dict[str, LedgerEntry] = {}
        self._asked: OrderedDict[str, LedgerEntry] = OrderedDict()
        self._last_id = 0
        self._news: deque[LedgerEntry] = deque(maxlen=max_entries)
        self._file = _File(Path(state_dir) / FILE_NAME) if state_dir is not None else None
        if self._file is not None:
            self._open(self._file)
            self._news.clear()

    def append(
        self,
        kind: EntryKind,
        opportunity: OptimizationOpportunity,
        *,
        who: str,
        why: str,
        run: str = "",
        result: OptimizationStepResult | None = None,
    ) -> LedgerEntry:
        """Write one event down, with the figures of ``result``. Never raises for a disk that refuses."""

        def entry() -> LedgerEntry:
            new = LedgerEntry(self._last_id + 1, self._clock(), kind, run, who, why, opportunity)
            if result is None:
                return new
            return replace(
                new,
                improvement=result.improvement,
                interval=result.interval,
                before=result.before,
                after=result.after,
            )

        if self._file is None:
            return self._take(entry())
        try:
            return self._write(self._file, entry)
        except OSError as error:
            self.write_errors += 1
            log.warning("the optimization ledger could not be written: %s", error)
            return self._take(entry())

    def entries(self) -> list[LedgerEntry]:
        """What is held in memory, the oldest first."""
        return list(self._entries)

    def entry(self, entry_id: int) -> LedgerEntry:
        """Raises KeyError if there is no such entry any more."""
        for known in (*self._entries, *self._standing.values(), *self._asked.values()):
            if known.id == entry_id:
                return known
        raise KeyError(f"the ledger has no entry {entry_id}")

    def kept(self) -> list[LedgerEntry]:
        """The changes that stand, by the entry that kept each, the oldest first."""
        return sorted(self._standing.values(), key=lambda entry: entry.id)

    def news(self) -> list[LedgerEntry]:
        """Entries by which other processes kept a change, or undid one that stood, since the last call."""
        if self._file is not None:
            try:
                self._look(self._file)
            except OSError as error:
                log.warning("the optimization ledger could not be read: %s", error)
        told = list(self._news)
        self._news.clear()
        return told

    def waiting(self) -> list[LedgerEntry]:
        """What waits for somebody's approval, the oldest first."""
        return [entry for entry in self._asked.values() if entry.kind == "waiting"]

    def rejected(self) -> set[str]:
        """The ids of opportunities that were refused, and not approved since."""
        return {name for name, entry in self._asked.items() if entry.kind == "rejected"}

    def _take(self, entry: LedgerEntry) -> LedgerEntry:
        self._last_id = max(self._last_id, entry.id)
        self._entries.append(entry)
        if entry.kind in IN_FORCE:
            self._standing[entry.opportunity.id] = entry
        elif entry.kind in OUT_OF_FORCE:
            self._standing.pop(entry.opportunity.id, None)
        if entry.kind in ASKED:
            self._asked[entry.opportunity.id] = entry
            self._asked.move_to_end(entry.opportunity.id)
            if len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)
        elif entry.kind != "proposed":
            self._asked.pop(entry.opportunity.id, None)
        return entry

    def _open(self, file: _File) -> None:
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(file.path):
                self._catch_up(file)
        except OSError as error:
            self.write_errors += 1
            log.warning("the optimization ledger could not be read: %s", error)

    def _look(self, file: _File) -> None:
        """Take in what is new, where anything is."""
        now = file.path.stat()
        if (now.st_ino, now.st_size) != (file.inode, file.offset):
            with _locked(file.path):
                self._catch_up(file)

    def _write(self, file: _File, make: Callable[[], LedgerEntry]) -> LedgerEntry:
        with _locked(file.path) as stream:
            self._catch_up(file)
            entry = make()
            # a last line torn by a crash or a full disk is closed off, so that it damages only itself
            line = (b"\n" if file.torn else b"") + _encode(entry)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
            file.offset += len(line)
            file.torn = False
            self._take(entry)
            if file.offset > self._max_bytes:
                self._rotate(file)
        return entry

    def _catch_up(self, file: _File) -> None:
        """Take in what other processes wrote, also when one of them rotated the file. Needs the lock."""
        inode = file.path.stat().st_ino
        if inode != file.inode:
            older = _older(file.path)
            if older.exists():
                self._read(older.read_bytes(), count_bad=file.inode == 0)
            file.inode, file.offset, file.torn = inode, 0, False
        with file.path.open("rb") as stream:
            stream.seek(file.offset)
            data = stream.read()
        if data:
            file.offset += len(data)
            file.torn = not data.endswith(b"\n")
            self._read(data)

    def _read(self, data: bytes, *, count_bad: bool = True) -> None:
        for line in data.split(b"\n"):
            entry = _decode(line)
            if entry is None:
                self.bad_lines += count_bad and bool(line.strip())
            elif entry.id > self._last_id:
                before = len(self._standing)
                self._take(entry)
                if len(self._standing) != before:
                    self._news.append(entry)

    def _rotate(self, file: _File) -> None:
        """Start a new file with the changes that stand, so that dropping the oldest loses none of them."""
        fresh = file.path.with_suffix(".new")
        carried = sorted([*self.kept(), *self._asked.values()], key=lambda entry: entry.id)
        data = b"".join(_encode(entry) for entry in carried)
        with _private(fresh, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        file.path.replace(_older(file.path))
        fresh.replace(file.path)
        file.inode, file.offset, file.torn = file.path.stat().st_ino, len(data), False


def _older(path: Path) -> Path:
    return path.with_suffix(".1.jsonl")


def _private(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "ab" else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), mode)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for appending, with no other process writing to it."""
    while True:
        with _private(path, "ab") as stream:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX)
            # another process may have rotated the file while this one waited for the lock
            if path.exists() and os.fstat(stream.fileno()).st_ino == path.stat().st_ino:
                yield stream
                return


def _encode(entry: LedgerEntry) -> bytes:
    return json.dumps(asdict(entry), separators=(",", ":"), default=str).encode() + b"\n"


def _decode(line: bytes) -> LedgerEntry | None:
    try:
        raw = json.loads(line)
        raw["opportunity"] = OptimizationOpportunity(**_known(raw["opportunity"], OptimizationOpportunity))
        for side in ("before", "after"):
            raw[side] = Measurement(**_known(raw[side], Measurement)) if raw.get(side) else None
        if raw.get("interval"):
            low, high = raw["interval"]
            raw["interval"] = (float(low), float(high))
        entry = LedgerEntry(**_known(raw, LedgerEntry))
        return entry if _sound(entry) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _sound(entry: LedgerEntry) -> bool:
    opportunity = entry.opportunity
    return (
        isinstance(entry.id, int)
        and isinstance(entry.at, int | float)
        and isinstance(opportunity.id, str)
        and isinstance(opportunity.optimizer, str)
        and isinstance(opportunity.parameters, dict)
    )


def _known(raw: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Only the fields this release knows: a newer one may have written more."""
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}
