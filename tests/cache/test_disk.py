"""The disk layer: kept over restarts, shared by processes, bounded, and harmless whatever the file does."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perfmw.cache import DiskLayer, MemoryLayer, TieredCache
from perfmw.testing import CacheLayerContract
from tests.cache.clock import FakeClock

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


async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"no database at all " * 1_000)
    layer = DiskLayer(path)
    assert await layer.get("a") is None
    assert await layer.set("a", b"1")
    assert await layer.get("a") == b"1"
    assert sum(".damaged-" in name for name in os.listdir(tmp_path)) == 1
    await layer.close()


async def test_a_damaged_file_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    layer = DiskLayer(path)
    for number in range(200):
        await layer.set(f"key {number}", b"x" * 500)
    await layer.close()
    _damage(path)
    layer = DiskLayer(path)
    for number in range(200):
        await layer.get(f"key {number}")
        await layer.set(f"key {number}", b"y")
    assert layer.file.errors >= 1
    assert await layer.get("key 3") == b"y"
    await layer.close()


def _damage(path: Path) -> None:
    with path.open("r+b") as file:
        for offset in range(4096, os.path.getsize(path), 512):
            file.seek(offset)
            file.write(os.urandom(300))


async def test_a_full_disk_is_a_miss(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    pages = layer.file._connection("write").execute("PRAGMA page_count").fetchone()[0]
    layer.file._connection("write").execute(f"PRAGMA max_page_count = {pages}")
    assert await layer.set("b", b"x" * 100_000) is False
    assert await layer.get("b") is None
    assert await layer.get("a") == b"1"
    assert layer.file.errors == 1


async def test_a_file_that_may_only_be_read_serves_and_refuses(layer: DiskLayer) -> None:
    await layer.set("a", b"1")
    layer.file._connection("write").execute("PRAGMA query_only = 1")
    assert await layer.set("b", b"1") is False
    assert await layer.get("a") == b"1"


async def test_a_directory_that_cannot_be_made_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    layer = DiskLayer(tmp_path / "file" / "c.db")
    assert await layer.get("a") is None
    assert await layer.set("a", b"1") is False
    await layer.close()


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


WRITER = """
import sys, zlib
from perfmw.cache.disk import DiskLayer
file = DiskLayer(sys.argv[1], max_bytes=500_000_000).file
number = int(sys.argv[3])
while True:
    body = (sys.argv[2] + str(number)).encode() * 300
    if file.set(f"{sys.argv[2]} {number}", zlib.crc32(body).to_bytes(4, "big") + body):
        print(number, flush=True)
    number += 1
"""


def kill_trial(path: Path, seconds: float, start: int) -> dict[str, Any]:
    """Two writers on one file, both killed; what they had acknowledged, lost and torn, and how it opened."""
    import zlib

    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(start)], stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    time.sleep(seconds)
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    acknowledged = {}
    for name, writer in zip("ab", writers, strict=True):
        lines = [line for line in writer.communicate()[0].split("\n")[:-1] if line]
        acknowledged[name] = int(lines[-1]) if lines else start
    file = DiskLayer(path, max_bytes=500_000_000).file
    began = time.perf_counter()
    file.get("a 0")
    opened = time.perf_counter() - began
    lost = torn = 0
    for name, last in acknowledged.items():
        for number in range(start, last + 1):
            value = file.get(f"{name} {number}")
            lost += value is None
            torn += value is not None and zlib.crc32(value[4:]).to_bytes(4, "big") != value[:4]
    errors = file.errors
    file.close()
    counts = sum(last - start + 1 for last in acknowledged.values())
    return {"acknowledged": counts, "lost": lost, "torn": torn, "errors": errors, "opened": opened}


@pytest.mark.parametrize("trial", range(3))
def test_killed_writers_lose_and_tear_nothing(tmp_path: Path, trial: int) -> None:
    result = kill_trial(tmp_path / "c.db", 0.03 * trial, 0)
    assert result["acknowledged"] >= 2
    assert (result["lost"], result["torn"], result["errors"]) == (0, 0, 0)
