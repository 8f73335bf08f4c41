from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cli.accesslog import LogEntry
from perfmw.cli.logsite import Document, body, documents, head
from perfmw.cli.replaying import cache_outcome, difference, quantiles
from perfmw.cli.wire import WireResponse
from tests.cli.conftest import COMMAND, Run, clean_env, serving

LOG = """\
a - - [10/Oct/2000:13:55:36 +0000] "GET /page HTTP/1.0" 200 2326
a - - [10/Oct/2000:13:55:36 +0000] "GET /page HTTP/1.0" 200 2326 "http://a.example/" "Agent/1.0"
b [29:23:53:25] "GET /page HTTP/1.0" 304 0
b [29:23:53:26] "HEAD /page HTTP/1.0" 200 0
b [29:23:53:27] "GET /cgi-bin/count HTTP/1.0" 200 12
b [29:23:53:27] "GET /cgi-bin/count HTTP/1.0" 200 12
this line is broken
b [29:23:53:28] "POST /form HTTP/1.0" 200 10
b [29:23:53:29] "GET /gone?x=a%20b HTTP/1.0" 404 -
b [29:23:53:29] "GET /failing HTTP/1.0" 500 7
b [29:23:53:29] "GET /moved HTTP/1.0" 302 -
b [29:23:53:30] "GET /big HTTP/1.0" 200 300000
b [29:23:53:31] "GET /big HTTP/1.0" 200 300000
"""
APP = """
import itertools
numbers = itertools.count()

async def answer(send, status, body):
    headers = [(b"cache-control", b"max-age=60")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

async def changing(scope, receive, send):
    assert scope["type"] == "http"
    for _ in range(scope["path"] == "/page"):
        next(numbers)
    await answer(send, 200, b"%d %d" % (id(numbers), next(numbers)))

async def failing(scope, receive, send):
    assert scope["type"] == "http"
    await answer(send, 503 if scope["path"] == "/page" else 200, b"x")
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LOG)
    (tmp_path / "apps.py").write_text(APP)
    return path


@pytest.mark.usefixtures("log")
def test_a_log_replayed_against_a_site_of_its_sizes(run: Run) -> None:
    done = run("replay", "access.log", "--target", "sizes", "--compare", "--concurrency", "1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["lines"], result["broken_lines"], result["skipped_methods"], result["requests"]) == (
        13,
        1,
        1,
        11,
    )
    assert result["broken_examples"] == [{"line": 7, "reason": "not in common, combined or EPA format"}]
    assert (result["errors"], result["mismatches"]) == (0, 0)
    assert result["through_perfmw"]["statuses"] == {"200": 7, "302": 1, "304": 1, "404": 1, "500": 1}
    assert result["through_perfmw"]["bytes"] == 2 * 2326 + 2 * 12 + 7 + 2 * 300_000
    assert result["without_perfmw"]["bytes"] == result["through_perfmw"]["bytes"]
    # /page again, its 304, its HEAD, and /big again
    assert result["cache_status"]["hit"] == 4
    assert result["hit_rate"] == pytest.approx(4 / 11)
    assert 0 < result["through_perfmw"]["latency"]["p50"] <= result["through_perfmw"]["latency"]["max"]


def test_gzipped_limited_and_for_people(run: Run, log: Path) -> None:
    log.write_bytes(gzip.compress(LOG.encode()))
    done = run("replay", "access.log", "--target", "sizes", "--limit", "2", "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 requests replayed against sizes")
    assert "hit rate      50.0% of requests, 50.0% of bytes" in done.stdout
    assert "mismatches" not in done.stdout


@pytest.mark.usefixtures("log")
def test_answers_that_differ_are_mismatches_and_a_failure(run: Run) -> None:
    done = run("replay", "access.log", "--target", "apps:changing", "--compare", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert result["mismatches"] > 0
    assert any("another body" in example for example in result["mismatch_examples"])


@pytest.mark.usefixtures("log")
def test_server_errors_that_the_log_does_not_have_are_a_failure(run: Run) -> None:
    done = run("replay", "access.log", "--target", "apps:failing", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert result["errors"] == 4
    assert result["error_examples"][0] == "GET /page: answered 503"


def test_a_running_server_is_replayed_against_by_its_url(run: Run, log: Path) -> None:
    with serving(log.parent, "apps:changing") as served:
        done = run("replay", "access.log", "--target", served.url, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["requests"] == 11


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nosuch.log", "--target", "sizes"], 2, "'nosuch.log' does not exist"),
        (["access.log"], 2, "Missing option '--target'"),
        (["access.log", "--target", "ftp://a.example/"], 2, "not an http or https URL"),
        (["access.log", "--target", "http://127.0.0.1:1/", "--compare"], 2, "the target is a URL"),
        (["access.log", "--target", "http://127.0.0.1:1/", "--limit", "1"], 1, "cannot connect"),
        (["access.log", "--target", "nosuch:app"], 2, "no module named 'nosuch'"),
        (["access.log", "--target", "sizes", "--speed", "0"], 2, "--speed"),
    ],
)
@pytest.mark.usefixtures("log")
def test_what_cannot_be_replayed(run: Run, arguments: list[str], code: int, said: str) -> None:
    done = run("replay", *arguments)
    assert done.returncode == code
    assert said in done.stderr + done.stdout


def test_the_timing_of_the_log_is_kept_when_asked_for(run: Run, tmp_path: Path) -> None:
    lines = [f'a [01:00:00:{second:02}] "GET /page HTTP/1.0" 200 5' for second in (0, 30)]
    (tmp_path / "access.log").write_text("\n".join(lines))
    done = run("replay", "access.log", "--target", "sizes", "--speed", "60", "--json")
    assert json.loads(done.stdout)["seconds"] >= 0.5


@pytest.mark.data
@pytest.mark.parametrize("name", ["epa-http.log.gz", "blog-2015.log.gz"])
def test_recorded_logs(data_dir: Path, tmp_path: Path, name: str) -> None:
    path = data_dir / "logs" / name
    command = [*COMMAND, "replay", str(path), "--target", "sizes", "--compare", "--json", "--limit", "4000"]
    done = subprocess.run(command, cwd=tmp_path, env=clean_env(), capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["errors"], result["mismatches"]) == (0, 0)
    assert result["requests"] + result["skipped_methods"] == 4000
    assert result["hit_rate"] > 0.4


def response(status: int = 200, content: bytes = b"x", **fields: str) -> WireResponse:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return WireResponse(status, headers, len(content), hashlib.sha256(content).digest())


@pytest.mark.parametrize(
    ("field", "outcome"),
    [
        ("perfmw; hit; ttl=42", "hit"),
        ("perfmw; fwd=uri-miss; stored", "uri-miss"),
        ("origin; fwd=stale, perfmw; hit", "hit"),
        ("perfmw; hit, cdn; fwd=bypass", "bypass"),
        ("perfmw; detail=off", "detail=off"),
        ("perfmw", "none"),
    ],
)
def test_the_nearest_cache_tells_the_outcome(field: str, outcome: str) -> None:
    assert cache_outcome(response(cache_status=field)) == outcome


def test_no_cache_status_is_an_outcome_too() -> None:
    assert cache_outcome(response()) == "none"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (response(404), "status 200 instead of 404"),
        (response(content=b"y"), "another body (1 instead of 1 bytes)"),
        (response(content=b"xx"), "another body (1 instead of 2 bytes)"),
        (response(etag='"a"'), "etag"),
    ],
)
def test_differences_are_told(other: WireResponse, said: str) -> None:
    found = difference(response(), other)
    assert found is not None
    assert said in found


def test_delivery_may_differ() -> None:
    assert (
        difference(response(age="3", date="now", cache_status="perfmw; hit"), response(date="then")) is None
    )


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_values_of_the_right_rank(seconds: list[float], q: float) -> None:
    (value,) = quantiles(array("d", seconds), [q])
    assert sum(second < value for second in seconds) <= q * len(seconds)
    assert sum(second <= value for second in seconds) >= q * len(seconds)


def entry(target: str, status: int, size: int | None, method: str = "GET") -> LogEntry:
    return LogEntry("c", 0.0, method, target, status, size)


@pytest.mark.parametrize(
    ("entries", "document"),
    [
        ([entry("/a", 200, 5), entry("/a", 200, 9), entry("/a", 200, 7)], Document(200, 9)),
        ([entry("/a", 404, 50), entry("/a", 200, 5)], Document(200, 5)),
        ([entry("/a", 304, None), entry("/a", 206, 3)], Document(200, 3)),
        ([entry("/a", 304, 0)], Document(200, 0)),
        ([entry("/a", 200, 5, "HEAD")], Document(200, 0)),
        ([entry("/a?", 200, 5)], Document(200, 5)),
        ([entry("/a", 204, 5)], Document(204, 0)),
    ],
)
def test_documents_of_a_log(entries: list[LogEntry], document: Document) -> None:
    assert documents(entries) == {"/a": document}


@given(st.text(max_size=30), st.integers(0, 200_000))
def test_bodies_have_their_size_and_depend_on_their_url(target: str, size: int) -> None:
    parts = list(body(target, size))
    assert sum(map(len, parts)) == size
    assert b"".join(parts) == b"".join(body(target, size))
    if size > 16:
        assert b"".join(body(target + "x", size)) != b"".join(parts)


def test_programs_answers_are_not_to_be_kept() -> None:
    assert (b"cache-control", b"no-store") in head("/cgi-bin/x", Document(200, 1))
    assert (b"cache-control", b"no-store") in head("/x?y", Document(200, 1))
    assert (b"cache-control", b"public, max-age=3600") in head("/x", Document(200, 1))
