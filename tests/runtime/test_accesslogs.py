"""One line of an access log for so many requests, and one for each failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

from perfmw import PerfMiddleware, Settings
from perfmw.runtime.accesslogs import AccessLogs, SampledLog

pytestmark = pytest.mark.anyio


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Iterator[Lines]:
    """What the logger named as the test's parameter, or ``uvicorn.access``, writes."""
    handler, logger = Lines(), logging.getLogger(getattr(request, "param", "uvicorn.access"))
    was = logger.level, logger.propagate, logger.disabled, logger.handlers
    logger.handlers, logger.propagate, logger.disabled = [handler], False, False
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(was[0])
    _, logger.propagate, logger.disabled, logger.handlers = was


def record(*args: Any, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", level, __file__, 1, "%s", args, None)


def named(**values: Any) -> logging.LogRecord:
    made: Mapping[str, Any] = values
    return logging.LogRecord("gunicorn.access", logging.INFO, __file__, 1, "%(s)s", (made,), None)


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.4, 0.999])
def test_a_share_passes_evenly(ratio: float) -> None:
    one = SampledLog(ratio)
    passed = [place for place in range(1_000) if one.filter(record("1.2.3.4", "GET", "/", "1.1", 200))]
    assert len(passed) == pytest.approx(1_000 * ratio, abs=1)
    assert passed[0] == 0
    assert max(b - a for a, b in pairwise(passed)) <= 1 / ratio + 1


@pytest.mark.parametrize(
    "failed",
    [
        record("1.2.3.4", "GET", "/", "1.1", 500),
        record("1.2.3.4", "GET", "/", "1.1", 404),
        record("slow", level=logging.WARNING),
        named(s="503"),
        named(s=404),
        named(status=500),
    ],
)
def test_failures_always_pass(failed: logging.LogRecord) -> None:
    one = SampledLog(1e-9)
    assert one.filter(record("GET", 200))
    assert not one.filter(record("GET", 200))
    assert not one.filter(named(s="200", b="404"))
    assert not one.filter(record())
    assert one.filter(failed)


@pytest.mark.parametrize("lines", ["tests.access"], indirect=True)
def test_the_logs_are_left_as_they_were(lines: Lines) -> None:
    logger, logs = logging.getLogger("tests.access"), AccessLogs(["tests.access"])
    assert logs.ratio == 1.0
    logs.ratio = 0.1
    logs.ratio = 0.5
    for _ in range(11):
        logger.info("%s", 200)
    assert len(lines.records) == 6
    assert {vars(one)["perfmw_log_ratio"] for one in lines.records} == {0.5}
    logs.restore()
    logs.restore()
    assert logger.filters == []
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="access_log_ratio"):
            logs.ratio = wrong
    logger.setLevel(logging.ERROR)
    assert logs.ratio is None, "nothing is written"


async def app(scope: Any, _receive: Any, send: Any) -> None:
    status = 500 if scope["path"] == "/broken" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"a"})


async def test_the_access_log_of_a_server_gets_shorter_and_longer_again(lines: Lines) -> None:
    site = PerfMiddleware(app, settings=Settings(plugins=[]))
    server = uvicorn.Server(uvicorn.Config(site, port=0, log_config=None, lifespan="off"))
    controls = site.runtime.controls
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await anyio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert controls.options()["access_log_ratio"] == 1.0
            controls.set_option("access_log_ratio", 0.1)
            for path in ["/"] * 20 + ["/broken"] * 3:
                await client.get(path)
            assert [one.args[4] for one in lines.records if one.args] == [200, 200, 500, 500, 500]
            assert site.runtime.snapshot().options["access_log_ratio"] == 0.1
        server.should_exit = True
    await site.runtime.stop()
    assert logging.getLogger("uvicorn.access").filters == [], "as it was before"
