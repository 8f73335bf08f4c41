from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perfmw.cli.looking import POOL_HEAD, SORTS, Look, alert_lines, as_text, route_rows
from perfmw.cli.top import columns_that_fit
from tests.cli.conftest import COMMAND, Run, Served, clean_env, serving

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def page(request):
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


app = Starlette(routes=[Route("/items/{id}", page), Route("/other", page)])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "perfmw.toml").write_text("plugins = []\nsample_interval = 0.1\n")
    with serving(folder, "shop:app") as served:
        for path in ("/items/1", "/items/1", "/other"):
            urllib.request.urlopen(served.url + path, timeout=10).close()
        wait_for_pools(served)
        yield served


def wait_for_pools(served: Served) -> None:
    """What the background measures comes a moment after the start."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{served.url}/_perfmw/api/v1/pools", timeout=10) as answer:
            if json.load(answer)["items"]:
                return
        time.sleep(0.1)
    raise AssertionError("no pool was sampled")


def row(name: str, **more: Any) -> dict[str, Any]:
    base = {"rate": 1.0, "p50": 0.1, "p95": 0.2, "hit_rate": 0.5, "errors": 0, "error_rate": 0.0}
    return {"name": name, "total": 1.0, "count": 9, **base, **more}


def seen(*routes: dict[str, Any], alerts: tuple[dict[str, Any], ...] = ()) -> Look:
    card = {"title": "T", "value": None, "unit": "ms"}
    cards = dict.fromkeys(("performance_score", "cache_hit_rate", "response_time"), card)
    return Look(100.0, cards, routes, len(routes), (), (), (), alerts)


@pytest.mark.parametrize(
    ("sort", "first"),
    [("total", "b"), ("rate", "a"), ("p95", "c"), ("errors", "b"), ("hits", "c"), ("name", "a")],
)
def test_routes_in_every_order(sort: str, first: str) -> None:
    routes = (
        row("b", total=9.0, error_rate=0.1),
        row("a", rate=9.0, hit_rate=None),
        row("c", p95=9.0, hit_rate=0.9),
    )
    assert sort in SORTS
    assert route_rows(seen(*routes), sort, 1)[0][0] == first


def test_names_cannot_steer_the_terminal() -> None:
    text = as_text(seen(row("GET /\x1b[2J\n")), "name", 5)
    assert "\x1b" not in text
    assert "GET /\ufffd[2J\ufffd" in text


def test_open_alerts_say_how_long() -> None:
    alert = {"severity": "high", "message": "slow", "raised_at": 40.0}
    assert alert_lines(seen(alerts=(alert,))) == ["high: slow (for 1.0 min)"]


def test_once_as_text(run: Run, server: Served) -> None:
    done = run("top", "--once", "--url", server.url, "--most", "1")
    assert done.returncode == 0, done.stderr
    assert "of 2" not in done.stdout
    assert "1 routes more" in done.stdout
    assert "memory" in done.stdout
    assert "no open alerts" in done.stdout


def test_once_as_json(run: Run, server: Served) -> None:
    told = json.loads(run("top", "--once", "--json", "--url", f"{server.url}/_perfmw/").stdout)
    items = {one["name"]: one for one in told["routes"]}
    assert items["GET /items/{id}"]["count"] == 2
    assert items["GET /items/{id}"]["hit_rate"] == 0.5
    assert told["layers"][0]["name"] == "memory"
    assert told["pools"]


def test_a_server_that_does_not_answer(run: Run, server: Served) -> None:
    done = run("top", "--once", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "see that the server runs" in done.stderr
    assert run("top", "--once", "--url", "nonsense").returncode == 2


def test_a_look_a_line_where_there_is_no_terminal(server: Served) -> None:
    command = [*COMMAND, "top", "--json", "--interval", "0.2", "--url", server.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_env(), text=True)
    try:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert looks[0]["at"] < looks[1]["at"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_live_in_a_terminal(server: Served, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    env = clean_env(TERM="xterm", COLUMNS="100", LINES="40")
    command = [*COMMAND, "top", "--interval", "0.2", "--url", server.url]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=tmp_path)
    os.close(theirs)
    try:
        text = read_until(ours, "s sort")
        assert "2 of 2 routes" in text
        os.write(ours, b"s")
        assert "by rate" in read_until(ours, "by rate")
        os.write(ours, b"p")
        assert "paused" in read_until(ours, "paused")
        os.write(ours, b"q")
        read_until(ours, "")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: str) -> str:
    """What the command wrote until ``wanted`` came; "" reads to its end."""
    text, until = "", time.monotonic() + 30
    while time.monotonic() < until and not (wanted and wanted in text):
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            text += os.read(terminal, 65_536).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            break
    return text


@pytest.mark.parametrize(
    ("width", "shown"),
    [(0, 1), (25, 1), (26, 2), (35, 2), (36, 3), (41, 3), (42, 4), (200, 4)],
)
def test_a_narrow_terminal_leaves_columns_out_before_it_cuts_them(width: int, shown: int) -> None:
    rows = [("the executor's", "3", "40", "7.5%"), ("memory", "1.2 GB", "8 GB", "15%")]
    assert columns_that_fit(POOL_HEAD, rows, width) == shown
