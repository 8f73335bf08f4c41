"""What a new user types: wrong input is named with its fix, and nothing ends in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, Run, clean_env, serving

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def page(request):
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


app = Starlette(routes=[Route("/", page)])


def make():
    return app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "number.py").write_text("app = 5\n")
    (tmp_path / "raising.py").write_text("raise RuntimeError('not today')\n")
    (tmp_path / "binary.log").write_bytes(b"\x00\xff\xfe\n\x01\n")
    (tmp_path / "wide.trace").write_text("a b c d e f\n")
    (tmp_path / "perfmw.toml").write_text("plugins = []\n")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code", "complaint"),
    [
        ("dcotor", 2, "Did you mean 'doctor'?"),
        ("run nosuch:app --port 0", 2, "no module named 'nosuch'"),
        ("run nosuch:app --port 0 --workers 2", 2, "no module named 'nosuch'"),
        ("run shop:ap --port 0", 2, "did you mean app?"),
        ("run number:app --port 0", 2, "not an ASGI app"),
        ("run raising:app --port 0", 1, "not today"),
        ("run shop:make --port 0", 2, "add --factory"),
        ("run shop:app --workers 2 --reload", 2, "do not go together"),
        ("run shop:app --host 192.0.2.1", 2, "is not an address of this machine"),
        ("run shop:app --record nowhere/trace", 2, "cannot be written"),
        ("proxy nonsense", 2, "is not the URL of an origin"),
        ("replay missing.log --target shop:app", 2, "does not exist"),
        ("replay binary.log --target shop:app", 2, "no line is of the common or combined log format"),
        ("replay binary.log --target http://127.0.0.1:1 --compare", 2, "needs an app"),
        ("simulate wide.trace", 2, "line 1: a line is a key"),
        ("simulate shop.py --size none", 2, "shop.py, line"),
        ("export prometheus --url http://127.0.0.1:1", 1, "see that the server runs"),
        ("export json --url nonsense", 2, "is no URL of a dashboard"),
        ("export grafana -o nowhere/x.json", 2, "cannot be written"),
        ("export profiles nowhere", 2, "does not exist"),
        ("explain nonsense", 2, "not an http or https URL"),
        ("explain http://127.0.0.1:1/", 1, "does a server run there?"),
        ("cache stats", 2, "--url URL"),
        ("cache stats --url http://127.0.0.1:1", 1, "see that the server runs"),
        ("top --once --url http://127.0.0.1:1", 1, "see that the server runs"),
        ("completion tcsh", 2, "is not one of"),
    ],
)
def test_what_is_wrong_is_said(run: Run, folder: Path, line: str, code: int, complaint: str) -> None:
    done = run(*line.split())
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr or "raising" in line
    assert done.stdout == ""


def test_a_port_in_use_is_named_with_its_fix(run: Run, folder: Path) -> None:
    with serving(folder, "shop:app") as served:
        done = run("run", "shop:app", "--port", served.url.rpartition(":")[2])
    assert done.returncode == 2
    assert "choose another with --port N" in done.stderr


def _once_it_listens(url: str) -> Any:
    """The URL is told while the workers are still being started."""
    for _ in range(200):
        try:
            return urllib.request.urlopen(url, timeout=20)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise AssertionError(f"nobody listens at {url}")


def test_a_factory_and_several_workers_are_served(folder: Path) -> None:
    options = ("--factory", "--workers", "2")
    with serving(folder, "shop:make", *options) as served, _once_it_listens(served.url) as answer:
        assert answer.read() == b"page"
        assert "perfmw" in answer.headers["cache-status"]


def test_a_token_that_is_wanted(run: Run, folder: Path) -> None:
    env = {"PERFMW_DASHBOARD_TOKEN": "open-sesame-please"}
    with serving(folder, "shop:app", "--dashboard", "token", env=env) as served:
        for command in (
            ["top", "--once", "--url", served.url],
            ["export", "prometheus", "--url", served.url],
        ):
            refused = run(*command, "--token", "wrong-token")
            assert (refused.returncode, "wants its token" in refused.stderr) == (2, True)
            assert run(*command, env=env).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
@pytest.mark.parametrize("line", ["bench shop:app --seconds 60", "top --json --url {url}"])
def test_ctrl_c_ends_it_without_a_word_too_much(folder: Path, line: str) -> None:
    with serving(folder, "shop:app") as served:
        words = line.format(url=served.url).split()
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=folder,
            env=clean_env(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        if words[0] == "top":
            process.stdout.readline()
        else:
            wait_for_children(process.pid, 2)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == (0 if words[0] == "top" else 130)
    assert "Traceback" not in said


def wait_for_children(pid: int, count: int) -> None:
    import psutil

    parent = psutil.Process(pid)
    while len(parent.children()) < count:
        assert parent.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_PERFMW_COMPLETE" in done.stdout


def test_completion_knows_the_commands(run: Run) -> None:
    env = {"_PERFMW_COMPLETE": "bash_complete", "COMP_WORDS": "perfmw sim", "COMP_CWORD": "1"}
    assert run(env=env).stdout == "plain,simulate\n"


def test_no_color_is_heeded(run: Run, folder: Path) -> None:
    code = (
        "import click, sys\nfrom perfmw.cli import main\n"
        "click.utils.should_strip_ansi = lambda stream=None, color=None: color is False\n"
        "sys.argv = ['perfmw', 'doctor', 'shop:app']\nmain()"
    )
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        said = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=clean_env(**env), capture_output=True, text=True
        ).stdout
        assert ("\x1b[" in said) is coloured


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_a_reader_that_has_seen_enough(folder: Path) -> None:
    command = " ".join([*COMMAND, "export", "grafana"])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} | head -n 1"], env=clean_env(), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("{\n", "")
