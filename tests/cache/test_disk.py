"""The disk layer: kept over restarts, shared by processes, bounded, and harmless whatever the file does."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from perfmw.cache import DiskLayer, MemoryLayer, TieredCache
from perfmw.testing import CacheLayerContract
from tests.cache.clock import FakeClock
from tests.faults.kills import LONGEST_LOG, kill_trial

pytestmark = pytest.mark.anyio


@pytest.fixture
async def layer(tmp_path: Path) -> AsyncIterator[DiskLayer]:
    layer = DiskLayer(tmp_path / "cache" / "c.db", max_bytes=1_000_000)
    yield layer
    await layer.close()


class TestContract(CacheLayerContract):
    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.path = tmp_path

    async def make(self) -> DiskLayer:
        return DiskLayer(self.path / "c.db", max_bytes=50_000_000)


async def test_entries_survive_a_restart(tmp_path: Path) -> None:
    first = DiskLayer(tmp_path / "c.db")
    await first.set("a", b"1")
    await first.close()
    second = DiskLayer(tmp_path / "c.db")
    assert await second.get("a") == b"1"
    await second.close()


async def test_it_opens_again_after_close(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    await layer.close()
    assert await layer.get("a") == b"1"


async def test_expired_entries_are_misses(tmp_path: Path) -> None:
    clock = FakeClock()
    layer = DiskLayer(tmp_path / "c.db", clock=clock)
    await layer.set("a", b"1", ttl=10)
    await layer.set("b", b"1")
    clock.advance(11)
    assert await layer.get("a") is None
    assert await layer.delete("a") == 0
    assert await layer.get("b") == b"1"
    await layer.close()


def test_expired_entries_are_swept_without_being_asked_for(tmp_path: Path) -> None:
    clock = FakeClock()
    file = DiskLayer(tmp_path / "c.db", clock=clock).file
    for number in range(40):
        file.set(f"old {number}", b"1", ttl=1)
    clock.advance(2)
    for number in range(700):
        file.set(f"new {number % 3}", b"1")
    entries, _ = file.measure()
    assert 3 <= entries < 10, "the sweep looks at random places, so a few may be left"
    file.close()


async def test_only_the_owner_may_read_the_file(layer: DiskLayer) -> None:
    await layer.set("a", b"secret")
    for name in os.listdir(layer.file.path.parent):
        mode = os.stat(layer.file.path.parent / name).st_mode
        assert stat.S_IMODE(mode) == 0o600, name


def test_the_file_stays_within_its_bound_and_evicts_what_was_used_longest_ago(tmp_path: Path) -> None:
    clock = FakeClock()
    file = DiskLayer(tmp_path / "c.db", max_bytes=2_000_000, clock=clock).file
    for number in range(2_000):
        clock.advance(1)
        assert file.set(f"key {number}", b"x" * 4_000)
        assert file.get("key 0") is not None or number > 100
        file.get("key 7")
    assert file.path.stat().st_size <= 2_000_000 + 8 * 4096
    assert file.evictions > 1_000
    newest = sum(file.get(f"key {number}") is not None for number in range(1_900, 2_000))
    oldest = sum(file.get(f"key {number}") is not None for number in range(100, 200))
    assert newest > 80 > 5 > oldest
    assert file.get("key 7") is not None
    file.close()


async def test_what_is_larger_than_the_bound_is_not_stored(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    assert await layer.set("a", b"x" * 2_000_000) is False
    assert await layer.get("a") is None


FORKED = """
import os, sys
from perfmw.cache.disk import DiskLayer
file = DiskLayer(sys.argv[1]).file
file.set("a", b"1")
child = os.fork()
if not child:
    os._exit(0 if file.get("a") == b"1" and file.set("b", b"2") else 1)
assert os.waitpid(child, 0)[1] == 0
assert (file.get("b"), file.set("c", b"3"), file.errors) == (b"2", True, 0)
"""


def test_a_forked_child_uses_the_file_for_itself(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "c.db")], check=True, timeout=60)


async def test_two_layers_share_one_file(tmp_path: Path) -> None:
    one, two = DiskLayer(tmp_path / "c.db"), DiskLayer(tmp_path / "c.db")
    await one.set("a", b"1")
    assert await two.get("a") == b"1"
    await two.delete("a")
    assert await one.get("a") is None
    await asyncio.gather(*(one.increment("n") for _ in range(20)), *(two.increment("n") for _ in range(20)))
    assert await one.get("n") == 40
    await one.close()
    await two.close()


async def test_adding_comparing_and_prolonging_are_one_step_for_all_processes(tmp_path: Path) -> None:
    clock = FakeClock()
    one, two = (DiskLayer(tmp_path / "c.db", clock=clock) for _ in range(2))
    added = await asyncio.gather(
        *(layer.add("lock", name, ttl=5) for layer, name in ((one, "1"), (two, "2"))), return_exceptions=True
    )
    assert sorted(map(str, added)) == ["Key lock already exists, use .set to update the value", "True"]
    holder = await one.get("lock")
    assert await two._set("lock", "mine", ttl=5, _cas_token="nobody") == 0
    assert await two._set("lock", "mine", ttl=5, _cas_token=holder) == 1
    assert await one.expire("lock", 20)
    assert not await one.expire("other", 20)
    clock.advance(19)
    assert await one.multi_get(["lock", "other"]) == ["mine", None]
    clock.advance(2)
    assert await one.multi_get(["lock", "other"]) == [None, None]
    await one.close()
    await two.close()


async def test_a_new_file_is_made_by_one_of_many(tmp_path: Path) -> None:
    """Who opens it while another makes it waits, and is not refused."""
    for attempt in range(25):
        layers = [DiskLayer(tmp_path / f"{attempt}.db") for _ in range(3)]
        added = await asyncio.gather(*(layer.add("lock", b"1") for layer in layers), return_exceptions=True)
        assert sum(answer is True for answer in added) == 1
        assert [layer.file.errors for layer in layers] == [0, 0, 0]
        for layer in layers:
            await layer.close()


async def test_what_cannot_be_written_was_not_added(tmp_path: Path) -> None:
    layer = DiskLayer(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="could not be added"):
        await layer.add("lock", b"1")
    await layer.close()


async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"no database at all " * 1_000)
    layer = DiskLayer(path)
    assert await layer.get("a") is None
    assert await layer.set("a", b"1")
    assert await layer.get("a") == b"1"
    assert set_aside(tmp_path) == 1
    await layer.close()


def set_aside(folder: Path) -> int:
    return sum(".damaged-" in name for name in os.listdir(folder))


def scribble(path: Path) -> None:
    with path.open("r+b") as file:
        for offset in range(4096, os.path.getsize(path), 512):
            file.seek(offset)
            file.write(os.urandom(300))


def cut(path: Path) -> None:
    os.truncate(path, os.path.getsize(path) // 2 + 100)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [scribble, cut, empty])
async def test_a_damaged_file_never_raises(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "c.db"
    layer = DiskLayer(path)
    for number in range(200):
        await layer.set(f"key {number}", b"x" * 500)
    await layer.close()
    damage(path)
    layer = DiskLayer(path)
    for number in range(200):
        assert await layer.get(f"key {number}") in (None, b"x" * 500, b"y")
        await layer.set(f"key {number}", b"y")
    assert layer.file.errors >= 1 or damage is empty
    assert await layer.get("key 3") == b"y"
    await layer.close()


def test_of_two_who_find_the_damage_one_sets_the_file_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    one, two = DiskLayer(path).file, DiskLayer(path).file
    for number in range(200):
        assert one.set(f"key {number}", b"x" * 500)
        assert two.get(f"key {number}")
    one._main.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    one.close()
    scribble(path)
    for number in range(200):
        one.get(f"key {number}")
    assert one.set("a", b"1")
    for number in range(200):  # it still has the damaged file open
        two.get(f"key {number}")
    assert (one.errors, two.errors) == (1, 1)
    assert set_aside(tmp_path) == 1
    assert two.get("a") == b"1"
    one.close()
    two.close()


CUT_WHILE_OPEN = """
import os, sys
from perfmw.cache.disk import DiskLayer
file = DiskLayer(sys.argv[1]).file
for number in range(500):
    file.set(f"key {number}", b"x" * 9_000)
cursor = file._main.cursor()
cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
cursor.execute("PRAGMA cache_size = 10")
os.truncate(sys.argv[1], 50_000)
for number in range(500):
    assert file.get(f"key {number}") in (None, b"x" * 9_000)
assert file.errors and file.set("a", b"1") and file.get("a") == b"1"
file.close()
"""


def test_a_file_cut_short_while_it_is_open_does_not_end_the_process(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CUT_WHILE_OPEN, str(tmp_path / "c.db")], check=True, timeout=60)


def test_a_file_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    file = DiskLayer(path).file
    file.set("a", b"1")
    assert file.get("a") == b"1"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"c.db{suffix}").unlink()
    for number in range(100):
        assert file.set(f"key {number}", b"1")
    assert file.get("a") is None
    other = DiskLayer(path).file
    assert other.get("key 99") == b"1"
    file.close()
    other.close()


def test_reading_goes_on_while_another_thread_writes(tmp_path: Path) -> None:
    file = DiskLayer(tmp_path / "c.db").file
    file.set("a", b"1")
    with file._main.lock:
        assert file.get("a") == b"1"
    file.close()


async def test_a_full_disk_is_a_miss(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    cursor = layer.file._main.cursor()
    pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    cursor.execute(f"PRAGMA max_page_count = {pages}")
    assert await layer.set("b", b"x" * 100_000) is False
    assert await layer.get("b") is None
    assert await layer.get("a") == b"1"
    assert layer.file.errors == 1


NO_SPACE = """
import resource, signal, sys
from perfmw.cache.disk import DiskLayer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = DiskLayer(sys.argv[1]).file
assert file.set("a", b"1")
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
kept = [number for number in range(300) if file.set(f"key {number}", b"x" * 4096)]
assert 0 < len(kept) < 200, kept
assert file.errors == 300 - len(kept)
assert all(file.get(f"key {number}") == b"x" * 4096 for number in kept)
assert file.get("key 299") is None
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert file.set("b", b"2") and file.get("b") == b"2" and file.get("a") == b"1"
file.close()
"""


def test_where_nothing_more_can_be_written_what_is_there_is_served(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    subprocess.run([sys.executable, "-c", NO_SPACE, str(tmp_path / "c.db")], check=True, timeout=60)
    assert set_aside(tmp_path) == 0


async def test_a_file_that_may_only_be_read_serves_and_refuses(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    layer.file._main.cursor().execute("PRAGMA query_only = 1")
    assert await layer.set("b", b"1") is False
    assert await layer.get("a") == b"1"


READ_ONLY = """
import os, sys
from pathlib import Path
from perfmw.cache.disk import DiskLayer
path = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
file = DiskLayer(path).file
assert file.set("b", b"2") is False
assert file.get("a") == (b"1" if sys.argv[2] == "open" else None)
assert file.get("b") is None and file.delete("a") is False and file.errors > 0
file.close()
"""


@pytest.mark.parametrize("state", ["open", "closed"])
def test_without_the_right_to_write_nothing_raises(state: str) -> None:
    """``open``: while its owner has it open, others can read it."""
    with tempfile.TemporaryDirectory() as name:  # which other users may enter
        folder = Path(name, "cache")
        folder.mkdir()
        file = DiskLayer(folder / "c.db").file
        file.set("a", b"1")
        if state == "closed":
            file.close()
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        try:
            command = [sys.executable, "-c", READ_ONLY, str(folder / "c.db"), state]
            subprocess.run(command, check=True, timeout=60)
        finally:
            folder.chmod(0o755)
            file.close()


async def test_a_directory_that_cannot_be_made_is_a_miss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    layer = DiskLayer(tmp_path / "file" / "c.db")
    assert await layer.get("a") is None
    assert await layer.set("a", b"1") is False
    assert await layer.set("a", b"2") is False
    await layer.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # told once, not at every call


async def test_clear_and_keys_know_prefixes(layer: DiskLayer) -> None:
    await layer.multi_set([("fn:a", b"1"), ("fn:b", b"2"), ("GET x", b"3")])
    assert sorted(layer.file.keys("fn:")) == ["fn:a", "fn:b"]
    await layer.clear(namespace="fn:")
    assert layer.file.keys() == ["GET x"]


async def test_values_must_be_bytes_text_or_numbers(layer: DiskLayer) -> None:
    with pytest.raises(TypeError, match="bytes, text and numbers"):
        await layer.set("a", [1])


async def test_behind_memory_it_brings_entries_back(tmp_path: Path) -> None:
    first = TieredCache([("memory", MemoryLayer()), ("disk", DiskLayer(tmp_path / "c.db"))])
    await first.put("k", {"a": (1, 2)}, ttl=60, tags=["t"])
    await first.put("gone", 1, ttl=60, tags=["gone"])
    await first.invalidate(tags=["gone"])
    await first.close()
    second = TieredCache([("memory", MemoryLayer()), ("disk", DiskLayer(tmp_path / "c.db"))])
    entry = await second.get_entry("k")
    assert entry is not None
    assert entry.value == {"a": (1, 2)}
    assert second.get_nowait("k") is not None
    assert await second.get_entry("gone") is None
    info = second.infos()[1]
    assert (info.kind, info.hits, info.max_bytes) == ("perfmw-disk", 2, 1024**3)
    await second.close()


def test_the_log_does_not_grow_while_another_reads_now_and_then(tmp_path: Path) -> None:
    file = DiskLayer(tmp_path / "c.db").file
    log = tmp_path / "c.db-wal"
    file.set("a", b"1")
    reader = sqlite3.connect(tmp_path / "c.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    for number in range(200):  # it is not waited for
        assert file.set(f"key {number % 5}", b"x" * 100_000)
    assert log.stat().st_size > LONGEST_LOG
    reader.close()
    file._database._log_is_due = 0.0
    for number in range(200):
        assert file.set(f"key {number % 5}", b"x" * 100_000)
    assert log.stat().st_size <= LONGEST_LOG
    assert file.errors == 0
    file.close()


@pytest.mark.parametrize("trial", range(3))
def test_killed_writers_lose_and_tear_nothing(tmp_path: Path, trial: int) -> None:
    result = kill_trial(tmp_path / "c.db", (0.2 * trial, 0.15 * trial), 0)
    assert result.acknowledged >= 2
    assert (result.lost, result.torn, result.errors, result.sound) == (0, 0, 0, True)
    assert result.log <= LONGEST_LOG


def test_the_bytes_in_use_are_looked_at_every_few_writes(tmp_path: Path) -> None:
    layer = DiskLayer(tmp_path / "c.db", max_bytes=1024**3)
    for number in range(128):
        layer.file.set(f"k{number}", b"x" * 4096)
    assert layer.bytes > 64 * 4096
    layer.file.close()
