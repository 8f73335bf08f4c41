"""The traffic of an access log, sent to an app so that the optimizers see it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perfmw.cli.accesslog import LogEntry, LogStats, read_log
from perfmw.cli.api import Api
from perfmw.cli.children import Child, ChildError
from perfmw.cli.output import BAD_INPUT, Failure, Refusal
from perfmw.cli.replaying import REPLAYED_METHODS, Replay, ReplayResult
from perfmw.cli.wire import Origin, WireClient

_CONCURRENCY = 32
_MOST = 500
_POLL_SECONDS, _LOOK_SECONDS = 0.1, 60.0
"""How often, and for how long at most, a look at what was sent is waited for."""


def observe(log: Path, target: str, *, factory: bool, seconds: float, level: str) -> dict[str, Any]:
    """What would be tried, and what lacks evidence, after the log's requests. JSON values.

    :raises Refusal: the log has no requests, or there is no such app.
    """
    entries = _requests(log)
    span = max(entries[-1].time - entries[0].time, 1.0)
    with TemporaryDirectory(prefix="perfmw-rehearse-") as scratch:
        env = {
            "PERFMW_DASHBOARD": "loopback",
            "PERFMW_STATE_DIR": scratch,  # what the app kept elsewhere is not touched
            "PERFMW_OPTIMIZATION_LEVEL": level,
            "PERFMW_AUTO_OPTIMIZATION": "false",
            "PERFMW_SAMPLE_INTERVAL": "0.25",  # a round of which looks what could be done
        }
        with Child(target, factory=factory, env=env) as child:
            try:
                origin = child.wait()
            except ChildError as error:
                raise (Refusal if error.code == BAD_INPUT else Failure)(str(error)) from None
            result = asyncio.run(_send(origin, entries, span / seconds))
            with Api(origin.url) as api:
                _look(api, {"dry_run": True, "level": level, "max_steps": 50})
                found = api.get("opportunities", limit=_MOST)["items"]
                profiles = api.get("profiles", type="component", limit=_MOST)["items"]
    lacking = [one for profile in profiles for one in profile["optimizations"]["potential"]]
    return {"requests": result.sent, "errors": result.errors, "opportunities": found, "lacking": lacking}


def _look(api: Api, request: dict[str, Any]) -> None:
    """Have the server look what could be done now: after a run, even a dry one, the next round does.

    :raises Failure: it did not.
    """
    since = time.time()
    api.post("optimization/start", request)
    while api.get("optimization")["surveyed_at"] < since:
        if time.time() > since + _LOOK_SECONDS:
            raise Failure("the server did not look at what was sent to it")
        time.sleep(_POLL_SECONDS)


def _requests(log: Path) -> list[LogEntry]:
    try:
        entries = [entry for entry in read_log(log, LogStats()) if entry.method in REPLAYED_METHODS]
    except OSError as error:
        raise Refusal(f"{log}: cannot be read: {error}") from None
    if not entries:
        raise Refusal(f"{log}: no access log, or none with GET or HEAD")
    return sorted(entries, key=lambda entry: entry.time)


async def _send(origin: Origin, entries: list[LogEntry], speed: float) -> ReplayResult:
    async with WireClient(origin) as client:
        return await Replay(client, speed=speed).run(iter(entries), _CONCURRENCY)
