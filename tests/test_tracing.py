"""Spans and requests: each is counted once, whoever instruments what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

Provided = tuple[TracerProvider, InMemorySpanExporter]


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provided]:
    """A tracer provider of the SDK set globally, as hosts do, and unset afterwards."""
    provider, memory = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    trace.set_tracer_provider(provider)
    yield provider, memory
    provider.shutdown()


def site() -> Starlette:
    async def item(request: Request) -> Response:
        with trace.get_tracer("app").start_as_current_span("orders", kind=trace.SpanKind.CLIENT) as span:
            span.set_attribute("db.system.name", "sqlite")
            span.set_attribute("db.query.text", "SELECT * FROM items WHERE id = 7")
        return PlainTextResponse("item")

    return Starlette(routes=[Route("/items/{number}", item)])


def counts(middleware: PerfMiddleware) -> dict[tuple[str, str], int]:
    profiles = middleware.runtime.profiles.snapshot()
    return {(profile.type, profile.name): profile.metrics.latency.count for profile in profiles}


ITEM, QUERY = ("component", "GET /items/{number}"), ("query", "SELECT * FROM items WHERE id = ?")


@pytest.mark.parametrize("where", ["no instrumentation", "inside perfmw", "around perfmw"])
async def test_a_request_is_counted_once_and_its_query_too(provided: Provided, where: str) -> None:
    inner: Any = OpenTelemetryMiddleware(site()) if where == "inside perfmw" else site()
    middleware = PerfMiddleware(inner, settings=Settings(cache_rules=[CacheRule(path="/items/1", ttl=60)]))
    app: Any = OpenTelemetryMiddleware(middleware) if where == "around perfmw" else middleware
    async with Client(app) as client:
        for number in (1, 1, 2, 2, 2):  # the second of these is a hit
            await client.get(f"/items/{number}")
        counted = counts(middleware)
    assert counted == {ITEM: 5, QUERY: 4}


async def test_the_first_request_is_counted_once_where_no_lifespan_comes(provided: Provided) -> None:
    middleware = PerfMiddleware(OpenTelemetryMiddleware(site()))
    client = Client(middleware)
    for _ in range(3):
        await client.get("/items/1")
    assert counts(middleware)[ITEM] == 3
    await middleware.runtime.stop()


async def test_perfmw_opens_spans_for_the_share_it_is_told_to(provided: Provided) -> None:
    _, memory = provided
    rules = [CacheRule(path="/items/1", ttl=60)]
    middleware = PerfMiddleware(site(), settings=Settings(trace_ratio=1.0, cache_rules=rules))
    async with Client(middleware) as client:
        await client.get("/items/1", {"user-agent": "test"})
        await client.get("/items/1")
        counted = counts(middleware)
    servers = [span for span in memory.get_finished_spans() if span.kind is trace.SpanKind.SERVER]
    assert [span.name for span in servers] == ["GET /items/{number}"] * 2
    attributes = [dict(span.attributes or {}) for span in servers]
    assert attributes[0]["http.route"] == "/items/{number}"
    assert attributes[0]["http.response.status_code"] == 200
    assert attributes[0]["user_agent.original"] == "test"
    assert "hit" in attributes[1]["http.response.header.cache-status"][0]  # type: ignore[index,operator]
    assert counted[ITEM] == 2


@pytest.mark.parametrize(("flags", "spans"), [("01", 1), ("00", 0)])
async def test_the_parents_decision_is_followed(provided: Provided, flags: str, spans: int) -> None:
    _, memory = provided
    middleware = PerfMiddleware(site(), settings=Settings(trace_ratio=0.5))
    parent = f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
    async with Client(middleware) as client:
        await client.get("/items/1", {"traceparent": parent})
    found = [span for span in memory.get_finished_spans() if span.kind is trace.SpanKind.SERVER]
    assert len(found) == spans
    assert all(f"{span.context.trace_id:032x}" in parent for span in found if span.context)


async def test_without_opentelemetry_nothing_is_observed() -> None:
    middleware = PerfMiddleware(site())
    async with Client(middleware) as client:
        await client.get("/items/1")
        assert middleware.runtime.tracing is None
