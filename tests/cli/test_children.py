from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from perfmw.cli.children import Child, ChildError
from perfmw.cli.wire import WireClient, WireResponse
from tests.cli.conftest import clean_env

APP = """
print("said while importing")

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
PARENT = """
import sys, time
from pathlib import Path
from perfmw.cli.children import Child
child = Child("served:app", bare=True, app_dir=Path(sys.argv[1]))
child.wait()
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served.py").write_text(APP)
    return tmp_path


def ask(child: Child) -> WireResponse:
    async def get() -> WireResponse:
        async with WireClient(child.wait()) as client:
            return await client.get("/")

    return asyncio.run(get())


def gone(pid: int, within: float = 20.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_child_serves_until_its_block_ends(folder: Path) -> None:
    with Child("served:app", app_dir=folder, bare=True) as child:
        assert ask(child).body == b"ok"
        assert child.alive
    assert not child.alive


def test_wrapped_unless_bare(folder: Path) -> None:
    with Child(
        "served:app", app_dir=folder, without=[name for name in os.environ if name.startswith("PERFMW_")]
    ) as child:
        assert ask(child).header(b"cache-status") is not None
    with Child("served:app", app_dir=folder, bare=True) as child:
        assert ask(child).header(b"cache-status") is None


def test_a_child_that_cannot_serve_says_why(folder: Path) -> None:
    log = folder / "log"
    child = Child("served:nothing", app_dir=folder, bare=True, log=log)
    with child, pytest.raises(ChildError, match="exit code 2") as caught:
        child.wait()
    assert caught.value.code == 2
    assert "has no attribute 'nothing'" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_parent(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_env()
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(number)
        parent.wait(20)
    assert gone(pid)
