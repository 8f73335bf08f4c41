from __future__ import annotations

import json
import os
import stat
import sys
import urllib.request
from pathlib import Path

import pytest

from perfmw.asgi.types import Message, Receive, Scope, Send
from perfmw.cache import IntelligentCacheManager
from perfmw.cache.simulation import parse_line, read_events, read_trace
from perfmw.cli.recording import Recorder, TraceFile, prepare
from perfmw.contracts import CacheStrategyConfig, WorkloadEvent
from tests.cli.conftest import Run, serving

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def page(request):
    return PlainTextResponse("x" * 1000, headers={"cache-control": "max-age=60"})


async def private(request):
    return PlainTextResponse("mine", headers={"cache-control": "no-store"})


app = Starlette(routes=[Route("/items/{id}", page), Route("/private", private)])
"""


def visit(url: str) -> None:
    urllib.request.urlopen(url, timeout=10).close()


def recorded(tmp_path: Path, *options: str) -> list[list[str]]:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "perfmw.toml").write_text("plugins = []\n")
    with serving(tmp_path, "shop:app", *options) as served:
        for path in ("/items/1?token=abc123", "/items/2", "/items/1?token=abc123", "/private"):
            visit(served.url + path)
    lines = (tmp_path / "trace.txt").read_text().splitlines()
    assert lines[0].startswith("# perfmw trace")
    return [line.split() for line in lines[1:]]


def test_a_run_is_recorded_hashed(tmp_path: Path, run: Run) -> None:
    rows = recorded(tmp_path, "--record", "trace.txt")
    keys = [row[0] for row in rows]
    assert len(rows) == 3  # what may not be stored is no read of the cache
    assert keys[0] == keys[2] != keys[1]
    assert all(int(size) > 1000 for _, size, _, _ in rows)
    assert rows[0][2] == rows[2][2] != "0.000000"  # a hit costs what the miss before it did
    text = (tmp_path / "trace.txt").read_text()
    assert "abc123" not in text
    assert "items" not in text
    told = json.loads(run("simulate", "trace.txt", "--size", "1MiB", "--json").stdout)
    assert [(one["requests"], one["hits"], one["by"]) for one in told] == [(3, 1, "bytes")] * 2
    strategy = json.loads(run("simulate", "trace.txt", "--learn", "strategy", "--json").stdout)
    config = CacheStrategyConfig(read_events(tmp_path / "trace.txt"))
    made = IntelligentCacheManager().create_cache_strategy("recorded", config)
    assert made.configuration.max_size == strategy["memory_max_bytes"]
    assert made.performance.hit_rate == strategy["hit_ratio"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    prepare(tmp_path / "trace.txt", 1000, plain=False)
    assert stat.S_IMODE((tmp_path / "trace.txt").stat().st_mode) == 0o600


def test_what_was_recorded_is_not_overwritten(tmp_path: Path, run: Run) -> None:
    (tmp_path / "trace.txt").write_text("# perfmw trace: nothing yet\n")
    prepare(tmp_path / "trace.txt", 1000, plain=False)
    (tmp_path / "trace.txt").write_text("a 1\n")
    done = run("record", "shop:app", "-o", "trace.txt")
    assert done.returncode == 2
    assert "name another file" in done.stderr
    assert run("record", "shop:app", "-o", "nowhere/trace.txt").returncode == 2
    assert run("record", "shop:app", "--max-size", "much").returncode == 2


def line_of(key: str) -> str:
    return f"{key} 1 0.0 1.0\n"


def test_the_file_ends_at_its_bound_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    file = TraceFile(path, 100)
    for number in range(2_000):
        file.write(line_of(f"key{number:04}"))
    assert not file.open
    assert path.stat().st_size <= 100
    assert path.read_text() == "".join(line_of(f"key{number:04}") for number in range(5))


def test_two_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    one, other = TraceFile(path, 10_000), TraceFile(path, 10_000)
    for number in range(20):
        (one if number % 2 else other).write(line_of(f"k{number}"))
    one.close()
    other.close()
    assert {key for key, _ in read_trace(path)} == {f"k{number}" for number in range(20)}


def test_a_failing_disk_is_no_failing_request(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "trace.txt", 1000)
    file.write(line_of("a"))
    assert file._file is not None
    os.close(file._file)
    file.flush()
    file.write(line_of("b"))
    file.flush()
    assert read_lines(tmp_path / "trace.txt") == []


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.anyio
async def test_plain_keys_keep_no_query(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"cache-status", b"other; fwd=miss, perfmw; fwd=uri-miss; stored")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"0123456789"})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    sent: list[str] = []
    file = TraceFile(tmp_path / "trace.txt", 10_000)
    recorder = Recorder(app, file, b"secret", plain=True)
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/a b", "raw_path": b"/a b"}
    await recorder({**scope, "headers": [(b"host", b"h")], "query_string": b"token=abc"}, receive, send)
    file.close()
    assert sent == ["http.response.start", "http.response.body"]
    (line,) = read_lines(tmp_path / "trace.txt")
    access = parse_line(line)
    assert access is not None
    assert access[0].startswith("http://h/a_b?")
    assert "abc" not in line
    assert access[1] == 10 + len(b"cache-status" + b"other; fwd=miss, perfmw; fwd=uri-miss; stored")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "recorded"),
    [
        (["perfmw; fwd=uri-miss; stored"], True),
        (["perfmw; hit; ttl=9", "perfmw; fwd=uri-miss; detail=no-freshness"], True),
        (["perfmw; hit; ttl=9, perfmw; fwd=uri-miss"], True),
        (["elsewhere; hit", "perfmw; fwd=uri-miss"], False),
        ([], False),
    ],
)
async def test_an_app_with_a_perfmw_of_its_own_is_recorded(
    fields: list[str], recorded: bool, tmp_path: Path
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"cache-status", value.encode()) for value in fields]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x"})

    async def nothing(_: Message | None = None) -> Message:
        return {"type": "http.request"}

    file = TraceFile(tmp_path / "trace.txt", 10_000)
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await Recorder(app, file, b"secret")(scope, nothing, nothing)  # type: ignore[arg-type]
    file.close()
    assert bool((tmp_path / "trace.txt").read_text()) is recorded


def test_lines_of_traces() -> None:
    assert parse_line("# a comment\n") is None
    assert parse_line("key 12 0.5 1700000000.0") == WorkloadEvent("key", 12, 1_700_000_000.0, seconds=0.5)
    assert parse_line("key 12") == WorkloadEvent("key", 12)
    with pytest.raises(ValueError, match="the cost and the time are seconds"):
        parse_line("key 12 soon later")
    with pytest.raises(ValueError, match="a line is a key"):
        parse_line("a 1 2 3 4")


def test_an_origin_takes_no_options_of_an_app(tmp_path: Path, run: Run) -> None:
    answer = run("record", "http://127.0.0.1:9", "--server", "granian", "-o", "t.txt")
    assert answer.returncode == 2
    assert "are for an app" in answer.stderr
    assert not (tmp_path / "t.txt").exists()
    assert run("record", "shop:app", "--server", "nginx").returncode == 2
