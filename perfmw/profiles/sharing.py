"""One truth for all workers of a host: what each counted is written to an archive, and read from it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from perfmw.contracts.profiles import PerformanceBaseline, PerformanceProfileConfig, ProfileType
from perfmw.profiles.archive import Archive, CountRow, News, StateRow
from perfmw.profiles.keeping import Turn, bring_back
from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.telling import Telling
from perfmw.profiles.traces import Traces
from perfmw.profiles.tracked import Tracked

INTERVAL: Final = 1.0
_SHARE_OF_TIME: Final = 20.0
"""An exchange that takes long is made so much rarer that it never takes more than a twentieth."""
_STEP: Final = 32

_NOTHING: Final = pack(Reading())

_log = logging.getLogger("perfmw.profiles")


class State(msgspec.Struct, omit_defaults=True):
    """What survives of a profile beside its counts."""

    baseline: PerformanceBaseline | None = None
    config: PerformanceProfileConfig | None = None
    chosen: bool = False


def state_of(tracked: Tracked) -> bytes:
    """The state of a profile as JSON."""
    config = tracked.config if tracked.chosen else None
    return msgspec.json.encode(State(tracked.baseline, config, tracked.chosen))


def restore_state(tracked: Tracked, data: bytes) -> None:
    """Take over what ``state_of`` said of a profile.

    :raises ValueError: it is damaged.
    """
    state = msgspec.json.decode(data, type=State)
    tracked.chosen = state.chosen
    if state.config is not None:
        tracked.configure(state.config)
    if state.baseline is not None:
        tracked.set_baseline(state.baseline)


class Sharing:
    """Keeps one store and one archive in step. Only ``run``, ``exchange`` and ``close`` do I/O, in threads.

    :param info: says something of this worker that the others may want to know, as JSON.
    :param path: the archive's file.
    :param traces: gives the kept traces, if this worker keeps any.
    """

    def __init__(
        self,
        store: ProfileStore,
        path: str | Path,
        info: Callable[[], bytes] = bytes,
        traces: Callable[[], Traces | None] = lambda: None,
    ) -> None:
        self._store = store
        self._path = Path(path)
        self._info = info
        self._traces = traces
        self._archive: Archive | None = None
        self._published: dict[str, object] = {}
        self._revisions: dict[str, int] = {}
        self._gone: dict[str, StateRow] = {}
        self._foreign: dict[str, dict[str, bytes]] = {}
        self._base: dict[str, Reading] = {}
        self._worker: str | None = None
        self._turn = Turn()
        self._telling = Telling()
        self._took_up = self._last = False
        self._first = True
        self._exchanging = asyncio.Lock()
        self.peers: dict[str, bytes] = {}
        """The other workers that are there, with their ``info``."""
        self.failures = 0
        """Exchanges that failed; the next one brings what they did not."""

    @property
    def leads(self) -> bool:
        """Whether this is the first of the workers that are there, the one to tell what all have counted."""
        return self._archive is None or all(self._archive.worker < peer for peer in self.peers)

    @property
    def open(self) -> bool:
        return self._archive is not None

    async def start(self) -> bool:
        """Open the archive and take over what is in it; False, and a warning, where that cannot be."""
        if self._archive is not None:
            return True
        try:
            self._archive = await asyncio.to_thread(_opened, self._path, self._worker)
            self._exchanging = asyncio.Lock()
        except (OSError, sqlite3.Error) as error:
            _log.warning("profiles cannot be kept in %s: %s", self._path, error)
            return False
        if not self._archive.join() and self._worker is not None:
            self._rebase()
        self._worker, self._first = self._archive.worker, True
        await self.exchange()
        if not self._took_up:  # a runtime that starts again has its windows still
            self._took_up = True
            await self._take_up()
        return True

    async def _take_up(self) -> None:
        """Go on with the windows that were kept, aged by the time that nobody was there."""
        if self._archive is None:
            return
        try:
            rows = await asyncio.to_thread(self._archive.windows)
            for number, (id, data) in enumerate(rows):
                tracked = self._store.tracked(id)
                if tracked is not None:
                    bring_back(tracked, data, time.time())
                if number % _STEP == _STEP - 1:
                    await asyncio.sleep(0)
        except (sqlite3.Error, ValueError) as error:
            self._failed(error)

    def _rebase(self) -> None:
        """What was counted before the last ``close`` is nobody's by now: it must not be written again."""
        self._base = {one.id: one.recorder.reading() for one in self._store.everything()}
        for one in self._store.everything():
            if one.extras is not None:
                one.extras.begin_anew()

    async def run(self) -> None:
        """Exchange about once a second until cancelled."""
        pause = INTERVAL
        while True:
            await asyncio.sleep(pause)
            begun = time.perf_counter()
            await self.exchange()
            pause = max(INTERVAL, _SHARE_OF_TIME * (time.perf_counter() - begun))

    async def exchange(self) -> None:
        """Write what is new here, and take in what is new elsewhere."""
        if self._exchanging.locked() and not self._last:
            return
        async with self._exchanging:
            if self._archive is not None:
                await self._exchange(self._archive)

    async def _exchange(self, archive: Archive) -> None:
        states, counts = self._changed_states(), await self._changed_counts()
        rows = [(id, data) for id, (data, _) in counts.items()]
        now, extras = time.time(), list(self._telling.news(self._store.everything()))
        windows, kept = list(self._windows(now)), self._traces()
        told = kept.untold() if kept is not None else ()
        try:
            news = await asyncio.to_thread(
                archive.exchange, states, rows, self._info(), now, windows, extras, told
            )
        except sqlite3.Error as error:
            self._telling.tell_again()
            self._failed(error)
            return
        self._remember(counts)
        self._revisions.update({row.id: self._revision(row.id) for row in states})
        self._gone.clear()
        self._hear(kept, news.traces)
        await self._take_in(news)

    def _hear(self, kept: Traces | None, told: list[bytes]) -> None:
        if kept is not None:
            try:
                kept.hear(told)
            except ValueError as error:
                self._failed(error)

    def _windows(self, now: float) -> Iterable[tuple[str, bytes]]:
        """One worker writes them for all: each knows what the others counted."""
        if not self._took_up or not self.leads:
            return ()
        everything = self._store.everything
        return self._turn.all(everything(), now) if self._last else self._turn.rows(everything, now)

    def _remember(self, counts: Mapping[str, tuple[bytes, object]]) -> None:
        for id, (data, activity) in counts.items():
            if data is _NOTHING:
                self._drop(id)
            else:
                self._published[id] = activity

    def _failed(self, error: Exception) -> None:
        if self._archive is None:
            return  # closed meanwhile: nothing is lost
        self.failures += 1
        if self.failures == 1:
            _log.warning("profiles could not be exchanged through %s: %s", self._path, error)

    async def close(self) -> None:
        """Write the last counts and leave them to those who come after."""
        self._last = True
        await self.exchange()
        self._last = False
        archive, self._archive = self._archive, None
        if archive is not None:
            await asyncio.to_thread(archive.close)
        for tracked in self._store.everything():
            tracked.foreign = tracked.foreign_extras = None
        self._telling.clear()
        for known in (self._published, self._revisions, self._foreign):
            known.clear()

    def forget(self, tracked: Tracked) -> None:
        """A profile was deleted here: so it is everywhere."""
        recorder = tracked.recorder
        row = StateRow(tracked.id, recorder.type, recorder.name, tracked.created_at, b"", False, True)
        self._gone[tracked.id] = row
        self._drop(tracked.id)

    def _drop(self, id: str) -> None:
        for known in (self._published, self._revisions, self._foreign):
            known.pop(id, None)
        self._turn.forget(id)
        self._telling.forget(id)

    def _revision(self, id: str) -> int:
        tracked = self._store.tracked(id)
        return tracked.revision if tracked is not None else 0

    def _changed_states(self) -> list[StateRow]:
        rows = list(self._gone.values())
        for tracked in self._store.everything():
            if self._revisions.get(tracked.id) != tracked.revision:
                recorder = tracked.recorder
                learned = not tracked.chosen
                row = StateRow(
                    tracked.id,
                    recorder.type,
                    recorder.name,
                    tracked.created_at,
                    state_of(tracked) if tracked.chosen or tracked.baseline is not None else b"",
                    learned,
                )
                rows.append(row)
        return rows

    async def _changed_counts(self) -> dict[str, tuple[bytes, object]]:
        changed: dict[str, tuple[bytes, object]] = {}
        for tracked in self._store.everything():
            activity = tracked.recorder.activity()
            if self._published.get(tracked.id) != activity:
                changed[tracked.id] = (pack(self._own(tracked)), activity)
                if len(changed) % _STEP == 0:
                    await asyncio.sleep(0)
        for id in [id for id in self._published if self._store.tracked(id) is None]:
            changed[id] = (_NOTHING, None)  # another target took its place
        return changed

    def _own(self, tracked: Tracked) -> Reading:
        base = self._base.get(tracked.id)
        reading = tracked.recorder.reading()
        return reading if base is None else reading - base

    async def _take_in(self, news: News) -> None:
        for state in news.states:
            self._take_state(state)
        touched = self._changed_elsewhere(news.counts)
        touched |= self._ended(set(news.workers))
        self.peers = news.workers
        for id in self._telling.hear(news.extras, news.workers):
            tracked = self._store.tracked(id)
            if tracked is not None:
                tracked.foreign_extras = self._telling.total(id)
        for number, id in enumerate(touched):
            self._take_counts(id)
            if number % _STEP == _STEP - 1:
                await asyncio.sleep(0)
        self._first = False

    def _changed_elsewhere(self, rows: Iterable[CountRow]) -> set[str]:
        touched = set()
        for row in rows:
            self._foreign.setdefault(row.id, {})[row.worker] = row.data
            touched.add(row.id)
        return touched

    def _ended(self, there: set[str]) -> set[str]:
        """Profiles that ended workers had counted for; what they counted is part of nobody's rows by now."""
        touched = set()
        for id, rows in self._foreign.items():
            for worker in [worker for worker in rows if worker and worker not in there]:
                del rows[worker]
                touched.add(id)
        return touched

    def _take_state(self, row: StateRow) -> None:
        tracked = self._store.tracked(row.id)
        if row.deleted:
            self._store.delete(row.id)
            self._drop(row.id)
            return
        if tracked is None:
            if self._store.full:
                return  # what others count of it is not lost: it is part of their row
            kind: ProfileType = row.type  # type: ignore[assignment]
            self._store.recorder(row.name, kind)
            tracked = self._store.tracked(row.id)
            assert tracked is not None
        tracked.created_at = min(tracked.created_at, row.created)
        if row.state and row.state != state_of(tracked):
            try:
                restore_state(tracked, row.state)
            except ValueError as error:
                self._failed(error)
        self._revisions[row.id] = tracked.revision

    def _take_counts(self, id: str) -> None:
        tracked, rows = self._store.tracked(id), self._foreign.get(id)
        if tracked is None or rows is None:
            return
        total = Reading()
        for data in rows.values():
            total.add(unpack(data))
        base = self._base.get(id)
        if base is not None:
            total = total - base
        before = tracked.foreign
        tracked.adopt(total, None if self._first else total - (before or Reading()))


def _opened(path: Path, worker: str | None) -> Archive:
    """The archive; a file that is none is put aside."""
    try:
        return Archive(path, worker)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = path.with_suffix(".damaged")
        _log.warning("%s is damaged (%s) and is put aside as %s", path, error, aside.name)
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return Archive(path, worker)
