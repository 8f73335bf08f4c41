"""What survives a restart, and what the workers of a host have in common."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perfmw.contracts import AlertThreshold, PerformanceBaseline, PerformanceProfileConfig, PerformanceTargets
from perfmw.profiles import ProfileStore, profile_id
from perfmw.profiles.archive import MOST_TRACES, Archive
from perfmw.profiles.breakdown import Breakdown, Part, Repeated
from perfmw.profiles.keeping import Kept
from perfmw.profiles.packing import unpack
from perfmw.profiles.sharing import Sharing
from perfmw.profiles.traces import Trace, Traces

pytestmark = pytest.mark.anyio

A = profile_id("component", "GET /a")


class Worker:
    def __init__(self, path: Path, max_profiles: int = 100) -> None:
        self.store = ProfileStore(max_profiles=max_profiles)
        self.traces = Traces(slowest=2)
        self.sharing = Sharing(self.store, path, traces=lambda: self.traces)

    def serve(self, count: int, name: str = "GET /a", seconds: float = 0.1) -> None:
        for _ in range(count):
            self.store.recorder(name).origin(seconds, 200, "uri-miss")

    def counts(self) -> dict[str, int]:
        return {profile.name: profile.metrics.latency.count for profile in self.store.snapshot()}


async def sync(*workers: Worker) -> None:
    for _ in range(2):
        for worker in workers:
            await worker.sharing.exchange()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "profiles.sqlite"


async def test_all_workers_tell_the_same(path: Path) -> None:
    workers = [Worker(path) for _ in range(4)]
    for number, worker in enumerate(workers):
        assert await worker.sharing.start()
        worker.serve(10 * (number + 1), seconds=0.1 * (number + 1))
    workers[3].serve(5, "GET /b")
    await sync(*workers)
    for worker in workers:
        assert worker.counts() == {"GET /a": 100, "GET /b": 5}
        worker.store.tick(worker.store.started_at + 2.0)
    first = workers[0].store.snapshot(patience=9.0)[0].metrics.latency
    for worker in workers:
        latency = worker.store.find("GET /a")
        assert latency is not None
        assert latency.metrics.latency.p95 == first.p95
        assert latency.metrics.latency.mean == pytest.approx(0.3)
        assert worker.store.status_counts()["uri-miss"] == 105
    for worker in workers:
        await worker.sharing.close()


async def test_counts_baselines_and_choices_survive_a_restart(path: Path) -> None:
    before = Worker(path)
    await before.sharing.start()
    before.serve(70)
    before.store.pin_baseline(A, PerformanceBaseline(0.5, 3.0, None, 1000.0, "file"))
    config = PerformanceProfileConfig(
        targets=PerformanceTargets(0.01, 100.0),
        alert_thresholds=[AlertThreshold("latency.p95", 0.2)],
        reporting_schedule="weekly",
    )
    before.store.configure(A, config)
    await before.sharing.close()
    after = Worker(path)
    await after.sharing.start()
    profile = after.store.get(A)
    assert profile is not None
    assert profile.metrics.latency.count == 70
    assert profile.metrics.throughput.recent_per_second == 0.0
    assert profile.performance.baseline == PerformanceBaseline(0.5, 3.0, None, 1000.0, "file")
    assert profile.performance.targets == PerformanceTargets(0.01, 100.0)
    assert profile.monitoring.reporting_schedule == "weekly"
    assert profile.metadata.created_at == before.store.get(A).metadata.created_at  # type: ignore[union-attr]
    after.serve(5)
    assert after.counts() == {"GET /a": 75}
    await after.sharing.close()


async def test_nothing_is_counted_twice_over_many_restarts(path: Path) -> None:
    stays = Worker(path)
    await stays.sharing.start()
    for number in range(1, 5):
        comes = Worker(path)
        await comes.sharing.start()
        comes.serve(10)
        stays.serve(1)
        await comes.sharing.close()
        await sync(stays)
        assert stays.counts() == {"GET /a": 11 * number}
    await stays.sharing.close()


@pytest.mark.parametrize("another_looked", [False, True])
async def test_a_runtime_that_starts_again_keeps_its_counts_once(path: Path, another_looked: bool) -> None:
    worker = Worker(path)
    await worker.sharing.start()
    worker.serve(10)
    await worker.sharing.close()
    if another_looked:
        other = Worker(path)
        await other.sharing.start()
        await other.sharing.close()
    worker.serve(0 if another_looked else 3)
    await worker.sharing.start()
    worker.serve(5)
    await sync(worker)
    assert worker.counts() == {"GET /a": 15 if another_looked else 18}
    await worker.sharing.close()
    last = Worker(path)
    await last.sharing.start()
    assert last.counts() == {"GET /a": 15 if another_looked else 18}
    await last.sharing.close()


async def test_what_a_killed_process_counted_stays(path: Path) -> None:
    program = f"""
import asyncio, os
from perfmw.profiles import ProfileStore
from perfmw.profiles.sharing import Sharing
async def main():
    store = ProfileStore()
    sharing = Sharing(store, {str(path)!r})
    await sharing.start()
    for _ in range(7): store.recorder("GET /a").hit(0.1)
    await sharing.exchange()
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True)
    assert done.returncode == -9
    worker = Worker(path)
    await worker.sharing.start()
    await sync(worker)
    assert worker.counts() == {"GET /a": 7}
    assert not worker.sharing.peers
    await worker.sharing.close()


async def test_a_choice_reaches_the_others_and_the_first_learned_baseline_holds(path: Path) -> None:
    one, two = Worker(path), Worker(path)
    await one.sharing.start()
    await two.sharing.start()
    one.serve(60, seconds=0.1)
    two.serve(60, seconds=0.3)
    one.store.tick(one.store.started_at + 1.0)
    two.store.tick(two.store.started_at + 1.0)
    await sync(one, two)
    learned = [worker.store.get(A).performance.baseline for worker in (one, two)]  # type: ignore[union-attr]
    assert learned[0] is not None
    assert learned[0] == learned[1]
    two.store.set_targets(A, PerformanceTargets(0.05, 10.0))
    await sync(one, two)
    assert one.store.get(A).performance.targets == PerformanceTargets(0.05, 10.0)  # type: ignore[union-attr]
    for worker in (one, two):
        await worker.sharing.close()


async def test_a_deleted_profile_is_gone_everywhere_until_it_is_used_again(path: Path) -> None:
    one, two = Worker(path), Worker(path)
    await one.sharing.start()
    await two.sharing.start()
    one.serve(3)
    two.serve(4)
    await sync(one, two)
    tracked = one.store.tracked(A)
    assert tracked is not None
    one.store.delete(A)
    one.sharing.forget(tracked)
    await sync(one, two)
    assert one.counts() == two.counts() == {}
    two.serve(2)
    await sync(two, one)
    assert one.counts() == two.counts() == {"GET /a": 2}
    for worker in (one, two):
        await worker.sharing.close()


async def test_a_target_that_gave_up_its_place_is_not_counted_twice(path: Path) -> None:
    small, large = Worker(path, max_profiles=1), Worker(path)
    await small.sharing.start()
    await large.sharing.start()
    small.serve(2, "GET /idle")
    await sync(small, large)
    small.serve(100, "GET /busy")
    small.store.tick(small.store.started_at + 60.0)
    await sync(small, large)
    assert sum(large.counts().values()) == 102
    for worker in (small, large):
        await worker.sharing.close()


@pytest.fixture
def damaged(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all, but long enough to be taken for one " * 100)
    return path


async def test_a_damaged_file_is_put_aside(damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(damaged)
    assert await worker.sharing.start()
    worker.serve(1)
    await worker.sharing.close()
    assert "damaged" in caplog.text
    assert damaged.with_suffix(".damaged").exists()


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("not a directory")
    return tmp_path / "file" / "profiles.sqlite"


async def test_where_nothing_can_be_written_profiles_go_on(
    unusable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(unusable)
    assert not await worker.sharing.start()
    worker.serve(1)
    await worker.sharing.exchange()
    await worker.sharing.close()
    assert worker.counts() == {"GET /a": 1}
    assert "cannot be kept" in caplog.text


def test_a_damaged_file_is_not_held_open(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*at: Any, **how: Any) -> sqlite3.Connection:
        opened.append(connect(*at, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        Archive(damaged)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_the_file_is_the_owners_alone(path: Path) -> None:
    Archive(path).close()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_file_of_another_format_begins_anew(path: Path) -> None:
    Archive(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version=99")
    db.close()
    archive = Archive(path)
    assert archive.exchange([], [("x", b"")], b"", 1.0).counts == []
    archive.close()


async def test_one_worker_leads(path: Path) -> None:
    workers = [Worker(path) for _ in range(3)]
    assert all(worker.sharing.leads for worker in workers)  # alone, each for itself
    for worker in workers:
        await worker.sharing.start()
    await sync(*workers)
    assert sum(worker.sharing.leads for worker in workers) == 1
    for worker in workers:
        await worker.sharing.close()


def windows_of(worker: Worker) -> list[int]:
    readings = (worker.store.window(A, seconds) for seconds in (60.0, 300.0, 3600.0, 86_400.0))
    return [reading.count if reading else 0 for reading in readings]


async def test_sliding_windows_survive_a_restart(path: Path) -> None:
    before = Worker(path)
    await before.sharing.start()
    before.serve(40)
    before.store.tick(before.store.started_at + 1.0)
    before.serve(7)  # not yet part of a window when the worker ends
    await before.sharing.close()
    after = Worker(path)
    after.serve(3)  # before its start
    await after.sharing.start()
    assert windows_of(after) == [50] * 4
    await after.sharing.close()


async def test_windows_grow_old_while_nobody_is_there(path: Path) -> None:
    before = Worker(path)
    await before.sharing.start()
    before.serve(40)
    before.store.tick(before.store.started_at + 1.0)
    await before.sharing.close()
    with closing(sqlite3.connect(path)) as file, file:
        ((data,),) = file.execute("SELECT data FROM windows").fetchall()
        kept = msgspec.msgpack.decode(data, type=Kept)
        for level in kept.levels:  # all of it happened 20 minutes ago
            level.start -= 1200.0
            level.parts = [_earlier(part, 1200.0) for part in level.parts]
        kept.at -= 1200.0
        file.execute("UPDATE windows SET data = ?", (msgspec.msgpack.encode(kept),))
    after = Worker(path)
    await after.sharing.start()
    assert windows_of(after) == [0, 0, 40, 40]
    await after.sharing.close()


def _earlier(slot: bytes, seconds: float) -> bytes:
    start, end = struct.unpack_from("<dd", slot)
    return struct.pack("<dd", start - seconds, end - seconds) + slot[16:]


async def test_all_workers_have_the_same_windows_after_a_restart(path: Path) -> None:
    first = [Worker(path) for _ in range(3)]
    for number, worker in enumerate(first):
        await worker.sharing.start()
        worker.serve(10 * (number + 1))
    await sync(*first)
    for worker in first:
        worker.store.tick(worker.store.started_at + 1.0)
        await worker.sharing.close()
    second = [Worker(path) for _ in range(3)]
    for worker in second:
        await worker.sharing.start()
        worker.serve(5)
    await sync(*second)
    for worker in second:
        worker.store.tick(worker.store.started_at + 1.0)
        assert windows_of(worker) == [75] * 4
    for worker in second:
        await worker.sharing.close()


async def test_what_was_counted_after_the_windows_were_kept_is_in_them_too(path: Path) -> None:
    """As after a kill: counts are written each second, windows less often."""
    killed = Worker(path)
    await killed.sharing.start()
    killed.serve(20)
    killed.store.tick(killed.store.started_at + 1.0)
    await sync(killed)  # windows are written
    killed.serve(9)
    killed.store.tick(killed.store.started_at + 2.0)
    await killed.sharing.exchange()  # counts alone
    with closing(sqlite3.connect(path)) as file, file:
        ((data,),) = file.execute("SELECT data FROM windows").fetchall()
    assert unpack(msgspec.msgpack.decode(data, type=Kept).counted).count == 20
    after = Worker(path)
    await after.sharing.start()
    assert windows_of(after) == [29] * 4
    await after.sharing.close()
    await killed.sharing.close()


async def test_damaged_windows_are_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = Worker(path)
    await before.sharing.start()
    before.serve(40)
    before.store.tick(before.store.started_at + 1.0)
    await before.sharing.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE windows SET data = x'00'")
    after = Worker(path)
    await after.sharing.start()
    assert after.counts() == {"GET /a": 40}
    assert windows_of(after) == [0] * 4
    assert "could not be exchanged" in caplog.text
    await after.sharing.close()


async def test_sampled_requests_and_browsers_figures_are_common_to_all_and_survive(path: Path) -> None:
    first, second = Worker(path), Worker(path)
    for worker in (first, second):
        worker.serve(10)
        await worker.sharing.start()
        tracked = worker.store.tracked(A)
        assert tracked is not None
        tracked.account(
            Breakdown(1.0, database=0.4, cpu=0.1, network_bytes=500, repeated=(Repeated("SELECT ?", 7, 0.3),))
        )
        tracked.more().vital("LCP", 2.0)
    await sync(first, second)

    def check(worker: Worker, sampled: int) -> None:
        profile = worker.store.get(A)
        assert profile is not None
        used = profile.metrics.resource_usage
        assert used.sampled == sampled
        assert used.database_seconds == pytest.approx(0.4 * 20)
        assert used.network_bytes == 500 * 20
        assert profile.metrics.user_experience.web_vitals["LCP"] == pytest.approx(2.0, rel=0.02)
        tracked = worker.store.tracked(A)
        assert tracked is not None
        known = tracked.known_extras()
        assert known is not None
        assert known.repeated == {"SELECT ?": (sampled, 7)}
        assert known.vitals["LCP"].count == sampled

    check(first, 2)
    check(second, 2)
    await first.sharing.close()
    await sync(second)
    check(second, 2)
    await second.sharing.close()
    third = Worker(path)
    await third.sharing.start()
    check(third, 2)
    await third.sharing.close()


async def test_a_runtime_that_starts_again_keeps_its_samples_once(path: Path) -> None:
    worker = Worker(path)
    worker.serve(10)
    await worker.sharing.start()
    tracked = worker.store.tracked(A)
    assert tracked is not None
    tracked.account(Breakdown(1.0))
    await worker.sharing.close()
    other = Worker(path)
    await other.sharing.start()
    await other.sharing.close()
    await worker.sharing.start()
    tracked.account(Breakdown(1.0))
    known = tracked.known_extras()
    assert known is not None
    assert known.sampled == 2
    await worker.sharing.close()


def trace(name: str, seconds: float, status: int = 200) -> Trace:
    parts = (Part("query", "SELECT 1", 1.0, 1.5, span_id=7, parent_id=3),)
    breakdown = Breakdown(seconds, database=0.5, repeated=(Repeated("SELECT 1", 5, 0.5),))
    return Trace(name, "ab", "GET /a", 1.0, seconds, status, breakdown, parts)


async def test_every_worker_keeps_the_slowest_traces_of_all(path: Path) -> None:
    one, two = Worker(path), Worker(path)
    for worker in (one, two):
        assert await worker.sharing.start()
    for number, seconds in enumerate((1.0, 4.0, 2.0)):
        one.traces.keep(trace(f"one {number}", seconds))
    two.traces.keep(trace("two", 3.0))
    two.traces.keep(trace("failed", 0.1, 500))
    await sync(one, two)
    for worker in (one, two):
        assert [kept.trace_id for kept in worker.traces.slow("GET /a")] == ["one 1", "two"]
        assert [kept.trace_id for kept in worker.traces.failed()] == ["failed"]
        found = worker.traces.find("one 1")
        assert found is not None
        assert (found.breakdown, tuple(found.parts)) == (trace("", 4.0).breakdown, trace("", 4.0).parts)
        await worker.sharing.close()
    again = Worker(path)
    assert await again.sharing.start()  # they outlive the workers
    assert len(again.traces.slow()) == 2
    assert again.traces.untold() == []  # what was heard is not told again
    await again.sharing.close()


async def test_traces_in_the_file_are_bounded(path: Path) -> None:
    archive = Archive(path)
    for _ in range(30):
        archive.exchange([], [], b"", 1.0, traces=[b"trace"] * 20)
    archive.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM traces").fetchone()[0] == MOST_TRACES


async def test_who_stops_while_it_starts_is_told_of_no_failure(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads the file is still at work when it is closed."""
    reading, going_on = threading.Event(), threading.Event()
    windows = Archive.windows

    def slow(archive: Archive) -> Any:
        reading.set()
        going_on.wait(5.0)
        return windows(archive)

    monkeypatch.setattr(Archive, "windows", slow)
    worker = Worker(path)
    starting = asyncio.create_task(worker.sharing.start())
    await asyncio.to_thread(reading.wait, 5.0)
    worker.serve(3)
    await worker.sharing.close()
    going_on.set()
    assert await starting
    assert (worker.sharing.failures, caplog.messages) == (0, [])


async def test_an_exchange_under_way_ends_before_the_file_is_closed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(path)
    assert await worker.sharing.start()
    worker.serve(2)
    under_way = asyncio.create_task(worker.sharing.exchange())
    await asyncio.sleep(0)
    worker.serve(3)
    await worker.sharing.close()
    await under_way
    assert (worker.sharing.failures, caplog.messages) == (0, [])
    again = Worker(path)
    assert await again.sharing.start()
    assert again.counts() == {"GET /a": 5}
    await again.sharing.close()
