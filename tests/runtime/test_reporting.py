from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perfmw import Runtime, Settings
from perfmw.contracts import Alert
from perfmw.dashboard.report_files import make, markdown
from perfmw.monitoring.telling import ReportFile
from perfmw.runtime import reporting
from perfmw.runtime.reporting import Reports, write
from tests.monitoring.receiver import receiving

pytestmark = pytest.mark.anyio
NOW = 1_760_000_040.0


def runtime_of(monitoring: dict[str, Any] | None = None, **settings: Any) -> Runtime:
    """With ten minutes of requests, the later five slower."""
    runtime = Runtime(Settings.load(env={}, cwd="/", plugins=(), monitoring=monitoring or {}, **settings))
    now = [NOW]
    runtime.profiles._clock = lambda: now[0]
    recorder = runtime.profiles.recorder("GET /<b>x</b>|y")
    for second in range(600):
        now[0] += 1.0
        for _ in range(5):
            recorder.origin(0.01 if second < 300 else 0.03, 200, "uri-miss")
        runtime.profiles.tick(now[0])
    return runtime


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = runtime_of()
    yield runtime
    await runtime.stop()


async def test_the_html_needs_no_other_file_and_shows_charts(runtime: Runtime) -> None:
    report = make(runtime)
    text = report.html.decode()
    assert text.count('<path class="series') == 3
    assert "@media print" in text
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#|data:)|@import', text)
    assert "<script" not in text
    assert "GET /&lt;b&gt;x&lt;/b&gt;|y" in text
    assert "Compared with before" in text


async def test_the_periods_are_compared(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", runtime.profiles._clock)
    data = json.loads(make(runtime).json)
    rows = {row["name"]: row for row in data["comparison"]}
    assert rows["Response time"]["now"] == pytest.approx(30.0, rel=0.15)
    assert rows["Response time"]["before"] == pytest.approx(10.0, rel=0.15)
    assert rows["Response time"]["worse"] is True
    assert rows["Requests"]["now"] == pytest.approx(5.0, rel=0.15)


async def test_markdown_escapes_what_is_no_markup(runtime: Runtime) -> None:
    text = make(runtime).markdown
    assert r"| GET /\<b\>x\</b\>\|y | 3000 |" in text
    assert text.startswith("# Performance report, ")
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


async def test_alerts_are_in_every_form(runtime: Runtime) -> None:
    runtime.rounds.watching.manager._past.append(
        Alert("k", "t", "high", "GET /x became <slow>", "GET /x", NOW, NOW + 60.0)
    )
    report = make(runtime)
    assert b"GET /x became &lt;slow&gt;" in report.html
    assert json.loads(report.json)["alerts"][0]["message"] == "GET /x became <slow>"
    assert r"GET /x became \<slow\> | resolved" in report.markdown


async def test_an_empty_runtime_has_a_report_too() -> None:
    runtime = Runtime(Settings.load(env={}, cwd="/", plugins=()))
    report = make(runtime)
    assert b"There is nothing to compare with yet" in report.html
    assert markdown(json.loads(report.json)) == report.markdown


def test_a_bounded_number_is_kept(tmp_path: Path) -> None:
    for number in range(8):
        report = ReportFile(f"perfmw-report-2026010{number}", "t", "s", b"<p>", b"{}", "")
        write(report, tmp_path / "reports", 3)
    names = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert names == [f"perfmw-report-2026010{n}.{end}" for n in (5, 6, 7) for end in ("html", "json")]


async def test_a_report_is_written_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FIRST_PAUSE", 0.01)
    async with receiving(500, 204, 204) as receiver, receiving(*[503] * 9) as broken:
        channels = {
            "broken": {"type": "webhook", "url": broken.url, "reports": True},
            "ops": {"type": "slack", "url": receiver.url, "reports": True},
            "silent": {"type": "slack", "url": receiver.url},
        }
        runtime = runtime_of({"channels": channels, "report_dir": str(tmp_path)})
        await Reports(runtime).publish()
    assert len(receiver.messages) == 2, "only who wants reports; it was away the first time"
    assert len(broken.messages) == 5, "and who never takes them keeps nobody from them"
    assert [name.endswith(".html") for name in sorted(os.listdir(tmp_path))] == [True, False]


async def test_the_schedule_comes_round(tmp_path: Path) -> None:
    runtime = runtime_of({"reporting_schedule": "*/5 * * * *"}, state_dir=str(tmp_path))
    now = [1_760_000_399.9]  # the next full five minutes begin with 1_760_000_400
    reports = Reports(runtime, clock=lambda: now[0])
    task = asyncio.create_task(reports.run())
    await asyncio.sleep(0.2)
    assert reports.folder is not None
    assert not reports.folder.exists()
    now[0] += 0.2
    async with asyncio.timeout(20):
        while not list(reports.folder.glob("*.html")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    task.cancel()
