"""``perfmw profiles`` against a running server: from the first sight of a target to another host."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from tests.cli.conftest import serving

APP = """
FIELD = (b"cache-control", b"no-store")


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [FIELD]})
        await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("profiled")
    (folder / "hello.py").write_text(APP)
    (folder / "perfmw.toml").write_text('dashboard = "loopback"\nplugins = []\n')
    with serving(folder, "hello:app") as served:
        for path in ("a", "a", "a", "b"):
            with urllib.request.urlopen(f"{served.url.rstrip('/')}/{path}", timeout=30) as answer:
                assert answer.read() == b"hello"
        yield f"{served.url.rstrip('/')}/_perfmw"


def run(server: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["profiles", *arguments, "--url", server])


def told(server: str, *arguments: str) -> Any:
    done = run(server, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_targets_are_listed_and_shown(server: str) -> None:
    found = told(server, "list", "--type", "component")["items"]
    assert [(one["name"], one["metrics"]["latency"]["count"]) for one in found] == [
        ("GET /a", 3),
        ("GET /b", 1),
    ]
    assert "GET /a" in run(server, "list").output
    text = run(server, "show", "GET /a").output
    assert "requests: 3" in text
    assert "p95:" in text
    assert "trend: stable (0% sure)" in text
    assert "apdex: 1.00 (T 500 ms)" in text
    assert "T 200 ms" in run(server, "update", "GET /b", "--apdex-t", "200ms").output
    assert told(server, "show", found[0]["id"])["name"] == "GET /a"


def test_one_is_made_changed_pinned_and_forgotten(server: str) -> None:
    made = told(server, "create", "checkout", "--type", "workflow", "--latency", "200ms")
    assert made["performance"]["targets"]["latency"] == 0.2
    changed = told(server, "update", "checkout", "--throughput", "5", "--level", "advanced", "--auto")
    assert changed["performance"]["targets"] == {
        "latency": 0.2,
        "throughput": 5.0,
        "resource_utilization": None,
    }
    pinned = told(server, "baseline", "checkout", "--latency", "80ms", "--throughput", "3")
    assert pinned["performance"]["baseline"]["source"] == "pinned"
    assert "80 ms" in run(server, "show", "checkout").output
    assert run(server, "delete", "checkout").exit_code == 2  # nobody is there to be asked
    assert told(server, "delete", "checkout", "--yes")["deleted"]
    assert run(server, "show", "checkout").exit_code == 1


def test_two_are_compared_and_one_with_its_past(server: str) -> None:
    found = told(server, "compare", "GET /a", "GET /b")
    assert (found["first_requests"], found["second_requests"]) == (3, 1)
    assert {one["figure"] for one in found["differences"]} >= {"mean", "p95", "error_rate", "score"}
    assert "sure that they differ" in run(server, "compare", "GET /a", "GET /b").output
    text = run(server, "compare", "GET /a").output
    assert "before" in text.splitlines()[0]
    assert "no requests in 300 s to compare by: before;" in text
    told(server, "create", "GET /idle")
    text = run(server, "compare", "GET /idle", "GET /a", "--window", "60").output
    assert "no requests in 60 s to compare by: GET /idle;" in text


def test_a_file_carries_them_elsewhere(server: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    told(server, "baseline", "GET /b", "--latency", "50ms")
    assert told(server, "export", "GET /b", "-o", str(file))["bytes"] == file.stat().st_size
    told(server, "delete", "GET /b", "--yes")
    (known,) = told(server, "import", str(file))["ids"]
    back = told(server, "show", known)
    assert (back["name"], back["metrics"]["latency"]["count"]) == ("GET /b", 1)
    told(server, "import", str(file), "--only", "baselines")
    assert told(server, "show", "GET /b")["performance"]["baseline"]["source"] == "file"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("update", "GET /a"), "nothing to change"),
        (("update", "GET /a", "--throughput", "5"), "add --latency"),
        (("update", "GET /a", "--latency", "soon"), "is no duration"),
        (("update", "GET /a", "--latency", "0"), "more than 0 seconds"),
        (("compare", "GET /a", "GET /nothing"), "there is no profile"),
        (("import", __file__), "is not JSON"),
    ],
)
def test_what_does_not_fit_is_said(server: str, arguments: tuple[str, ...], said: str) -> None:
    done = run(server, *arguments)
    assert done.exit_code in (1, 2), done.output
    assert said in done.output
    assert "Traceback" not in done.output
