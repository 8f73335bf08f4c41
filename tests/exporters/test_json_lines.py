from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import MappingProxyType

import pytest

from perfmw.contracts.protocols import Exporter
from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters import JsonExporter
from perfmw.exporters.json_lines import to_json
from perfmw.profiles import ProfileStore

pytestmark = pytest.mark.anyio


def snapshot(taken_at: float = 1.0) -> RuntimeSnapshot:
    store = ProfileStore(clock=lambda: 1000.0)
    store.recorder("GET /a").origin(0.1, 200, "uri-miss")
    return RuntimeSnapshot(taken_at, 10.0, store.snapshot(), cache_status=MappingProxyType({"uri-miss": 1}))


async def test_one_line_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    exporter = JsonExporter(path)
    assert isinstance(exporter, Exporter)
    await exporter.export(snapshot(1.0))
    await exporter.export(snapshot(2.0))
    await exporter.aclose()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["taken_at"] for line in lines] == [1.0, 2.0]
    profile = lines[0]["profiles"][0]
    assert profile["name"] == "GET /a"
    assert profile["metrics"]["latency"]["count"] == 1
    assert profile["metrics"]["resource_usage"]["cpu_seconds"] is None
    assert lines[0]["cache_status"] == {"uri-miss": 1}


async def test_a_slow_disk_drops_snapshots_instead_of_piling_them_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, gate, written = JsonExporter(tmp_path / "out.jsonl"), threading.Event(), []

    def slow(line: bytes) -> None:
        gate.wait(10)
        written.append(line)

    monkeypatch.setattr(exporter, "_append", slow)
    first = asyncio.create_task(exporter.export(snapshot()))
    await asyncio.sleep(0)
    await exporter.export(snapshot())
    await exporter.export(snapshot())
    gate.set()
    await first
    assert exporter.dropped == 2
    assert len(written) == 1


async def test_a_file_that_cannot_be_written_is_an_error_each_time(tmp_path: Path) -> None:
    exporter = JsonExporter(tmp_path)
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            await exporter.export(snapshot())
    assert exporter.dropped == 0


def test_odd_values_become_text() -> None:
    odd = RuntimeSnapshot(1.0, 1.0, cache_rules=[{"path": Path("/a"), "tags": frozenset({"x"})}])
    assert json.loads(to_json(odd))["cache_rules"] == [{"path": "/a", "tags": ["x"]}]
