"""Reports as time goes by: into a folder, and to those who asked for them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmw.monitoring.cron import Schedule

if TYPE_CHECKING:
    from perfmw.monitoring.telling import ReportFile
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.alerts")

_LONGEST_WAIT = 300.0
"""Seconds between two looks at the clock, which somebody may set."""
_LONGEST_SEND = 120.0
_ATTEMPTS = 5
FIRST_PAUSE = 2.0
"""Seconds between the first two attempts; each pause is twice the one before."""
_PATTERN = "perfmw-report-*.html"


class Reports:
    """Makes a report at every time of ``reporting_schedule``; of several workers the one that leads does."""

    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._settings = runtime.settings.monitoring
        self._clock = clock
        schedule = self._settings.reporting_schedule
        self.schedule = Schedule.parse(schedule) if schedule is not None else None

    @property
    def folder(self) -> Path | None:
        """Where they are written; None for nowhere."""
        if self._settings.report_dir is not None:
            return Path(self._settings.report_dir)
        state = self._runtime.settings.state_dir
        return Path(state) / "reports" if state is not None else None

    async def run(self) -> None:
        """Until cancelled; a report that fails is logged, and the next one comes all the same."""
        assert self.schedule is not None
        due = self.schedule.next(self._clock())
        while due is not None:
            await asyncio.sleep(min(_LONGEST_WAIT, max(0.05, due - self._clock())))
            if self._clock() < due:
                continue
            due = self.schedule.next(self._clock())
            if self._runtime.leads:
                try:
                    await self.publish()
                except Exception:
                    log.exception("a report failed")

    async def publish(self) -> ReportFile:
        """Make one now, write it and send it.

        :raises RuntimeError: without jinja2.
        """
        # by its name: the dashboard is above the runtime, and only who wants reports needs it
        report: ReportFile = import_module("perfmw.dashboard.report_files").make(self._runtime)
        folder = self.folder
        if folder is not None:
            await asyncio.to_thread(write, report, folder, self._settings.reports_kept)
        channels = self._runtime.plugins.alert_channels
        wanted = [name for name, channel in self._settings.channels.items() if channel.reports]
        await asyncio.gather(*(_send(channels.get(name), report) for name in wanted))
        return report


async def _send(channel: Any, report: ReportFile) -> None:
    """Some times, while the channel asks for that; what no channel takes is in the folder all the same."""
    send = getattr(channel, "send_report", None)
    if send is None:
        return
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with asyncio.timeout(_LONGEST_SEND):
                await send(report)
            return
        except Exception as error:
            if attempt == _ATTEMPTS or not getattr(error, "retry", True):
                log.warning("channel %r did not take a report: %r", channel.name, error)
                return
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))


def write(report: ReportFile, folder: Path, most: int) -> Path:
    """Write a report's HTML and JSON; the oldest beyond ``most`` go. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for suffix, data in ((".json", report.json), (".html", report.html)):
        path = folder / f"{report.name}{suffix}"
        part = path.with_suffix(f"{suffix}.{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(path)  # nobody reads half a report
    for old in sorted(folder.glob(_PATTERN))[:-most]:
        old.unlink(missing_ok=True)
        old.with_suffix(".json").unlink(missing_ok=True)
    return folder / f"{report.name}.html"
