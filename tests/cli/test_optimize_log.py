"""``perfmw optimize rehearse``: what would be tried on recorded traffic."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli

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


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three minutes of a busy and a private page."""
    (tmp_path / "slow.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    began = datetime(2026, 1, 5, 12, tzinfo=UTC)
    lines = [
        f"10.0.0.{n % 9} - - [{began + timedelta(seconds=n):%d/%b/%Y:%H:%M:%S +0000}] "
        f'"GET {"/basket" if n % 3 == 0 else "/offers"} HTTP/1.1" 200 22'
        for n in range(180)
    ]
    path = tmp_path / "access.log"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_would_be_tried_and_what_not(log: Path) -> None:
    done = rehearse(str(log), "--target", "slow:app", "--seconds", "20", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["requests"], found["errors"]) == (180, 0)
    [would] = [one for one in found["opportunities"] if one["type"] == "cache_route"]
    assert would["target"].endswith("/offers")
    assert would["expected_gain"] > 0.5
    assert any("/basket" in one["target"] and "no-store" in one["missing"] for one in found["lacking"])


def test_it_is_told_in_words(log: Path) -> None:
    done = rehearse(str(log), "--target", "slow:app", "--seconds", "5")
    assert done.exit_code == 0, done.output
    assert "180 requests of" in done.output
    assert "nothing would be tried" in done.output, "five seconds are no evidence"
    assert "not enough samples yet" in done.output


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
