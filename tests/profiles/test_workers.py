"""Four uvicorn workers are one site: whichever is asked, the figures are those of all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

APP = """
import os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from perfmw import PerfMiddleware

async def who(request):
    return JSONResponse(os.getpid(), headers={"cache-control": "no-store"})

app = PerfMiddleware(Starlette(routes=[Route("/who/{number}", who)]))
"""
REQUESTS, WORKERS = 120, 4


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site_of_workers.py").write_text(APP)
    command = [sys.executable, "-m", "uvicorn", "site_of_workers:app", "--port", "0"]
    environment = {
        **os.environ,
        "PERFMW_DASHBOARD": "loopback",
        "TMPDIR": str(tmp_path),
        "PERFMW_STATE_DIR": "",
    }
    with subprocess.Popen(
        [*command, "--workers", str(WORKERS), "--no-access-log"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        address, ready = "", 0
        for line in process.stderr:
            found = re.search(r"running on (http://[\d.:]+)", line)
            address = found[1] if found else address
            ready += "Application startup complete" in line
            if ready == WORKERS:
                break
        yield address
        process.terminate()
        process.communicate(timeout=20)
    left = list(tmp_path.glob("perfmw-*/workers-*"))
    assert len(left) == 1


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # a connection of its own each time
        return bytes(answer.read())


def requests_counted(exposition: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "perfmw_requests_total" and sample.labels["route"] == "GET /who/{number}"
    )


def settled(site: str) -> list[float]:
    """What the last dozen answers of /metrics said, once they agree or the time is over."""
    deadline, seen = time.monotonic() + 60.0, [0.0]
    while time.monotonic() < deadline:
        seen = [requests_counted(get(f"{site}/_perfmw/metrics").decode()) for _ in range(12)]
        if set(seen) == {float(REQUESTS)}:
            break
        time.sleep(0.2)
    return seen


def test_any_worker_tells_what_all_have_counted(site: str) -> None:
    pids = {json.loads(get(f"{site}/who/{number}")) for number in range(REQUESTS)}
    assert len(pids) > 1
    assert settled(site) == [float(REQUESTS)] * 12
    profiles = json.loads(get(f"{site}/_perfmw/api/v1/profiles"))["items"]
    counts = {profile["name"]: profile["metrics"]["latency"]["count"] for profile in profiles}
    assert counts["GET /who/{number}"] == REQUESTS
