"""``perfmw optimize rehearse``: what would be tried on recorded traffic."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from perfmw.cli.optimize import rehearsed

APP = """
import asyncio


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.03)
    headers = [(b"cache-control", b"no-store")] if scope["path"] == "/basket" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"the same for everybody"})
"""


def rehearse(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["optimize", "rehearse", *arguments])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of busy pages and a private one."""
    folder = tmp_path_factory.mktemp("rehearsing")
    (folder / "slow.py").write_text(APP)
    began = datetime(2026, 1, 5, 12, tzinfo=UTC)
    lines = [
        f"10.0.0.{n % 9} - - [{began + timedelta(seconds=n):%d/%b/%Y:%H:%M:%S +0000}] "
        f'"GET {"/basket" if n % 3 == 0 else f"/offers/{n % 4}"} HTTP/1.1" 200 22'
        for n in range(180)
    ]
    path = folder / "access.log"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def _at_home(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(log.parent)


def test_what_would_be_tried_and_what_not(log: Path) -> None:
    done = rehearse(str(log), "--target", "slow:app", "--seconds", "6", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["requests"], found["errors"]) == (180, 0)
    [would] = [one for one in found["opportunities"] if one["type"] == "cache_route"]
    assert would["target"].endswith("/offers/{id}")
    assert would["expected_gain"] > 0.5
    assert any("/basket" in one["target"] and "no-store" in one["missing"] for one in found["lacking"])
    said = rehearsed(found, log)
    assert f"180 requests of {log} sent, 0 failed" in said
    assert f"would try: {would['title']}: {would['expected_gain']:.0%} of" in said
    assert "  not: cache_route of GET /basket: " in said
    assert "nothing would be tried" not in said


def test_where_nothing_would_be_tried_it_is_told_why(log: Path) -> None:
    few = log.with_name("few.log")
    few.write_text("".join(log.read_text().splitlines(keepends=True)[:60]))
    done = rehearse(str(few), "--target", "slow:app", "--seconds", "1")
    assert done.exit_code == 0, done.output
    assert f"60 requests of {few} sent, 0 failed" in done.output
    assert "nothing would be tried" in done.output
    assert "too quiet: 40 requests of 50 needed" in done.output


@pytest.mark.parametrize(
    ("target", "said"), [("nosuch:app", "did not start"), ("slow:none", "did not start")]
)
def test_wrong_input_is_told(log: Path, target: str, said: str) -> None:
    done = rehearse(str(log), "--target", target)
    assert done.exit_code in (1, 2)
    assert said in done.stderr


def test_no_log(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("nothing\n")
    done = rehearse(str(tmp_path / "empty.log"), "--target", "slow:app")
    assert (done.exit_code, "no access log" in done.stderr) == (2, True)
