"""``perfmw alerts`` against a running server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from tests.cli.conftest import serving

APP = """
from perfmw.runtime import rounds

rounds.CHECK_SECONDS = 0.2  # what takes two looks need not take ten seconds here


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""
SETTINGS = """
dashboard = "loopback"
plugins = []
sample_interval = 0.2
resource_alerts = { memory_bytes = 1000 }
"""
"""Every process has more memory than that: there is an incident from the start."""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["alerts", *arguments])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("alerting")
    (folder / "hello.py").write_text(APP)
    (folder / "perfmw.toml").write_text(SETTINGS)
    with serving(folder, "hello:app") as served:
        yield f"{served.url.rstrip('/')}/_perfmw"


def listed(server: str, state: str) -> list[dict[str, Any]]:
    done = run("list", "--url", server, "--state", state, "--json")
    assert done.exit_code == 0, done.output
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items


def incident(server: str, state: str = "open") -> dict[str, Any]:
    """The first one; it must be there in two rounds."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := listed(server, state):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("there was no incident")


def test_an_incident_from_its_first_sight_to_its_end(server: str) -> None:
    key = incident(server)["key"]
    text = run("list", "--url", server).output
    assert key in text
    assert "open" in text
    shown = run("show", key, "--url", server)
    assert shown.exit_code == 0, shown.output
    assert "severity:" in shown.output
    assert "since:" in shown.output
    assert json.loads(run("show", key, "--url", server, "--json").stdout)["key"] == key
    assert run("resolve", key, "--url", server).output == f"{key} is resolved\n"
    assert incident(server, "resolved")["key"] == key
    assert "no incident" in run("show", "nosuch", "--url", server).stderr.lower()
    again = run("resolve", "nosuch", "--url", server)
    assert (again.exit_code, "No incident" in again.stderr) == (1, True), again.output


def test_silences_and_maintenance_come_and_go(server: str) -> None:
    made = run("silence", "GET /reports/*", "--for", "2h", "--why", "we know", "--url", server, "--json")
    assert made.exit_code == 0, made.output
    silence = json.loads(made.stdout)
    assert silence["until"] - time.time() == pytest.approx(7200, abs=60)
    window = json.loads(run("maintenance", "--for", "30m", "--url", server, "--json").stdout)
    assert window["pattern"] == "*"
    text = run("silences", "--url", server).output
    assert "GET /reports/*" in text
    assert "we know" in text
    for one in (silence, window):
        assert "is over" in run("unsilence", one["id"], "--url", server).output
    assert "no silences" in run("silences", "--url", server).output
    gone = run("unsilence", silence["id"], "--url", server)
    assert (gone.exit_code, "no such silence" in gone.stderr) == (1, True), gone.output


def test_what_was_done_is_noted(server: str) -> None:
    assert "noted: deploy: shop 2.4.1" in run("annotate", "shop 2.4.1", "--url", server).output
    done = run("annotate", "bigger pool", "--kind", "config", "--by", "ann", "--url", server, "--json")
    assert json.loads(done.stdout)["who"] == "ann"
    text = run("annotations", "--url", server).output
    assert text.index("bigger pool") < text.index("shop 2.4.1"), "the newest first"


def test_channels_are_shown(server: str) -> None:
    found = json.loads(run("channels", "--url", server, "--json").stdout)["items"]
    assert "log" in {one["name"] for one in found}
    assert "ok" in run("channels", "--url", server).output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["silence", "*", "--for", "soon"], 2, "is no duration"),
        (["silence", "*"], 2, "--for"),
        (["list", "--url", "http://127.0.0.1:1/_perfmw"], 1, "does not answer"),
        (["list", "--state", "maybe"], 2, "maybe"),
        (["annotate", ""], 2, "Say what was done"),
    ],
)
def test_what_cannot_be_done_is_told(server: str, arguments: list[str], code: int, said: str) -> None:
    given = arguments if "--url" in arguments else [*arguments, "--url", server]
    done = run(*given)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
