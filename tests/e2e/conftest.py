"""A site under requests and a real Chromium, for the tests that look at every page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Shop:
    """The site of ``shop.py`` as a process of its own."""

    url: str

    @property
    def dashboard(self) -> str:
        return f"{self.url}/_perfmw/"

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def visit(self, times: int = 1) -> None:
        for number in range(times):
            for path in (f"/items/{number % 5}", "/basket", "/fails"):
                self.get(path)

    def id_of(self, name: str) -> str:
        with urllib.request.urlopen(f"{self.dashboard}api/v1/profiles?limit=1000", timeout=30) as answer:
            return next(one["id"] for one in json.load(answer)["items"] if one["name"] == name)

    def slow_trace(self, name: str) -> str:
        """The id of a kept request that has parts."""
        url = f"{self.dashboard}api/v1/profiles/{self.id_of(name)}/details"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return next(one["trace_id"] for one in json.load(answer)["slow"] if one["parts"])

    def post(self, path: str, body: object) -> None:
        headers = {"content-type": "application/json", "origin": self.url}
        request = urllib.request.Request(f"{self.dashboard}{path}", json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=30).close()

    def vitals(self) -> None:
        told = json.dumps({"path": "/basket", "LCP": 1900, "INP": 320, "CLS": 0.31, "TTFB": 90}).encode()
        headers = {"content-type": "application/json", "origin": self.url}
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/_vitals", told, headers), timeout=10
        ).close()


@contextmanager
def serving(port: int = 0) -> Iterator[Shop]:
    """The site in a process of its own, which must not end by itself."""
    python = [sys.executable, "-X", "faulthandler"]
    command = [*python, "-m", "uvicorn", "shop:app", "--port", str(port), "--no-access-log"]
    with subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            found = re.search(r"running on (http://[\d.:]+)", line)
            if found:
                break
        else:
            raise AssertionError("".join(seen))
        drain = threading.Thread(target=lambda: seen.extend(process.stderr or ()), daemon=True)
        drain.start()
        crashed = None
        try:
            yield Shop(found[1])
            crashed = process.poll()
        finally:  # also after a failure: leaving waits for who reads its words
            process.terminate()
            process.wait(20)
            drain.join(10)
        assert crashed is None, "".join(seen[-80:])


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with serving() as shop:
        yield visited(shop)


def visited(shop: Shop) -> Shop:
    """So that every page has something to show."""
    shop.visit(25)
    shop.get("/blocks")
    time.sleep(1.2)
    shop.get("/basket?slow=1")  # alone, so that it is watched: of many at a time only some are
    shop.visit(5)
    return shop


@pytest.fixture(scope="package")  # not the session's: while it is there, no other event loop can run
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A page, what it complained about (policy violations are console errors), and bytes on the wire."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    received: int = 0

    def go(self, url: str) -> None:
        self.page.goto(url)
        if not url.endswith("/report"):  # which stays as it is
            self.page.wait_for_selector('#live[data-state="live"]')

    def barriers(self, *rules: str) -> list[tuple[str, list[Any]]]:
        """What axe-core finds serious on the page as it is now, by all rules or by ``rules``."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        found = self.page.evaluate(BARRIERS, options)
        return [(one["id"], one["nodes"]) for one in found]


BARRIERS = """async (options) => (await axe.run(document, options)).violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => ({ id: one.id, nodes: one.nodes.slice(0, 3).map((node) => node.target) }))"""


def opened(browser: Any, **options: Any) -> Visit:
    page = browser.new_context(**options).new_page()
    visit = Visit(page)
    page.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    return visit


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    visit = opened(browser)
    yield visit
    visit.page.context.close()
    assert visit.complaints == []
