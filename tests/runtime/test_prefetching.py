"""Prefetches are marked wherever one looks, delay nobody and give way; over real sockets where it matters."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import anyio
import pytest
import uvicorn

from perfmw import PerfMiddleware, Settings
from perfmw.exporters.prometheus import PrometheusExporter
from perfmw.profiles.background_span import background_span
from perfmw.profiles.tracing import RequestTracing

pytestmark = pytest.mark.anyio


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No neighbour on the machine makes the loop look busy."""
    monkeypatch.setattr("perfmw.runtime.prefetching._BUSY", 60.0)


class Site:
    """Notes who asked for what; the style is made once it is let go."""

    def __init__(self, *, slow: bool = False) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.go = threading.Event()
        if not slow:
            self.go.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        fields = dict(scope["headers"])
        self.asked.append((scope["path"], fields.get(b"sec-purpose", b"")))
        assert b"cookie" not in fields
        while scope["path"] == "/style.css" and not self.go.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


@contextmanager
def served(app: Any) -> Iterator[int]:
    """A uvicorn in a thread of its own; its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def get(port: int, path: str) -> str:
    """Cache-Status."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.headers["cache-status"]


def learned(app: PerfMiddleware, port: int) -> None:
    """Several visitors have asked for the style after the page."""
    prefetcher = app.runtime.learning.prefetching
    assert prefetcher is not None
    for number in range(6):
        for second, path in enumerate(("/page", "/style.css")):
            key = f"GET http://127.0.0.1:{port}{path}"
            prefetcher.prefetcher.observe(
                f"visitor {number}", key, time.time() - 9_000 + 1_000 * number + second
            )


def eventually(holds: Any) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(holds())


@pytest.mark.usefixtures("calm")
def test_over_sockets_a_prefetch_is_marked_and_the_next_request_is_a_hit() -> None:
    site = Site()
    app = PerfMiddleware(site, settings=Settings(intelligent_prefetching=True))
    with served(app) as port:
        learned(app, port)
        get(port, "/page")
        assert eventually(lambda: app.runtime.learning.prefetches().get("stored"))
        status = get(port, "/style.css")
    assert status.startswith("perfmw; hit")
    assert site.asked == [("/page", b""), ("/style.css", b"prefetch")]


@pytest.mark.usefixtures("calm")
def test_a_slow_prefetch_delays_nobody() -> None:
    site = Site(slow=True)
    app = PerfMiddleware(site, settings=Settings(predictive_prefetching=True))
    with served(app) as port:
        learned(app, port)
        get(port, "/page")
        assert eventually(lambda: ("/style.css", b"prefetch") in site.asked)
        others = get(port, "/other")  # answered while the prefetch is under way
        threading.Timer(0.1, site.go.set).start()
        same = get(port, "/style.css")  # no longer than without: it joins what is under way
    assert "fwd=uri-miss" in others
    assert "collapsed" in same
    assert site.asked.count(("/style.css", b"")) == 0


@pytest.mark.usefixtures("calm")
def test_what_a_full_memory_threw_out_is_fetched_ahead_again() -> None:
    site = Site()
    app = PerfMiddleware(site, settings=Settings(predictive_prefetching=True, memory_max_bytes=5_000))
    with served(app) as port:
        for number in range(40):  # six pages, each with a style of its own; there is room for four or so
            get(port, f"/page/{number % 6}")
            get(port, f"/style/{number % 6}")
        assert eventually(lambda: app.runtime.learning.prefetches().get("stored"))
    assert any(mark == b"prefetch" for _, mark in site.asked)


async def test_where_the_loop_is_busy_prefetches_are_dropped() -> None:
    app = PerfMiddleware(Site(), settings=Settings(predictive_prefetching=True))
    runtime = app.runtime
    await runtime.start()
    prefetching = runtime.learning.prefetching
    assert prefetching is not None
    learned(app, 80)
    prefetching.seen("somebody", "GET http://127.0.0.1:80/page", time.time(), None)
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - somebody computes
    with anyio.fail_after(5):
        while not prefetching.outcomes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await runtime.stop()
    assert prefetching.outcomes["dropped"] > 0
    assert prefetching.outcomes["stored"] == 0


async def test_prometheus_is_told_what_came_of_them() -> None:
    app = PerfMiddleware(Site(), settings=Settings(predictive_prefetching=True))
    prefetching = app.runtime.learning.prefetching
    assert prefetching is not None
    prefetching.outcomes["stored"] += 3
    text = PrometheusExporter().render(app.runtime.snapshot())
    assert 'perfmw_prefetches_total{outcome="stored"} 3' in text
    off = PerfMiddleware(Site(), settings=Settings())
    assert "perfmw_prefetches" not in PrometheusExporter().render(off.runtime.snapshot())


class Collector:
    """A span processor that keeps what it is given."""

    resource = None

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def on_end(self, span: Any) -> None:
        self.spans.append(span)


async def test_its_span_has_an_attribute_that_says_so() -> None:
    app = PerfMiddleware(Site(), settings=Settings(predictive_prefetching=True, trace_ratio=1.0))
    collector, runtime = Collector(), app.runtime
    assert runtime.tracing is not None
    runtime.tracing.processor = collector
    await runtime.start()
    prefetching = runtime.learning.prefetching
    assert prefetching is not None
    assert await prefetching._ask("http://shop.example/style.css?v=1") == "stored"
    await runtime.stop()
    [span] = [one for one in collector.spans if one.attributes.get("perfmw.prefetch")]
    assert span.attributes["url.path"] == "/style.css"
    assert span.attributes["perfmw.prefetch.outcome"] == "stored"
    assert span.attributes["http.response.status_code"] == 200


async def test_the_span_of_a_prefetch_that_fails_says_that_too() -> None:
    tracing, collector = RequestTracing(1.0), Collector()
    tracing.processor = collector
    with pytest.raises(OSError, match="gone"), background_span(tracing, "http://shop.example/", {}):
        raise OSError("gone")
    [span] = collector.spans
    assert span.attributes["error.type"] == "OSError"
