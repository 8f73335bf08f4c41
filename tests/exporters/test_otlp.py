"""OTLP as a real collector hears it, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.profiles.request_span import RequestSpan
from perfmw.testing import Client

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otlp is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the extra otlp is not installed")

from perfmw.exporters.otlp import OtlpExporter
from tests.exporters.receivers import Received, over_grpc, over_http

pytestmark = pytest.mark.anyio

Receiver = Callable[[], AbstractContextManager[tuple[str, Received]]]


def site() -> Starlette:
    async def item(request: Request) -> Response:
        if request.path_params["id"] == "13":
            return PlainTextResponse("no", 503)
        return PlainTextResponse("item")

    return Starlette(routes=[Route("/items/{id}", item)])


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def metrics(received: Received) -> dict[str, Any]:
    (resource,) = received.metrics[-1].resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "perfmw"
    assert attributes(resource.resource.attributes)["process.pid"] > 0
    return {metric.name: metric for metric in scope.metrics}


@pytest.mark.parametrize(("receiver", "protocol"), [(over_http, "http"), (over_grpc, "grpc")])
async def test_metrics_and_spans_arrive(receiver: Receiver, protocol: str) -> None:
    with receiver() as (endpoint, received):
        settings = Settings(
            otlp_endpoint=endpoint,
            otlp_protocol=protocol,
            trace_ratio=1.0,
            cache_rules=[CacheRule(path="/items/1", ttl=60)],
        )
        middleware = PerfMiddleware(site(), settings=settings)
        async with Client(middleware) as client:
            for number in (1, 1, 1, 2, 3, 13):
                await client.get(f"/items/{number}")
            runtime = middleware.runtime
            runtime.tick(runtime.profiles.started_at + 1.0)
            exporter = runtime.exporters["otlp"]
            assert isinstance(exporter, OtlpExporter)
            await exporter.export(runtime.snapshot())
        found = metrics(received)
    duration = found["http.server.request.duration"]
    assert duration.unit == "s"
    points = {
        (known["perfmw.cache.outcome"], known.get("http.response.status_code")): point
        for point in duration.exponential_histogram.data_points
        if (known := attributes(point.attributes))["http.route"] == "/items/{id}"
    }
    assert {key: point.count for key, point in points.items()} == {
        ("hit", None): 2,
        ("forwarded", 200): 3,
        ("forwarded", 503): 1,
    }
    assert duration.exponential_histogram.aggregation_temporality == 2
    for point in points.values():
        assert sum(point.positive.bucket_counts) + point.zero_count == point.count
        assert 0.0 < point.min <= point.sum
        assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert attributes(points["forwarded", 503].attributes)["error.type"] == "503"
    spans = [
        span
        for request in received.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [span.name for span in spans] == ["GET /items/{id}"] * 6
    exemplars = [one for point in points.values() for one in point.exemplars]
    assert exemplars
    assert {one.trace_id for one in exemplars} <= {span.trace_id for span in spans}
    (active,) = found["http.server.active_requests"].sum.data_points
    assert active.as_double == 0.0
    assert found["process.memory.usage"].sum.data_points[0].as_double > 1e6
    assert found["process.cpu.time"].sum.is_monotonic
    layers = found["perfmw.cache.hits"].sum.data_points
    assert {attributes(one.attributes)["perfmw.cache.layer"] for one in layers} == {"memory"}


async def test_what_was_refused_is_sent_again_and_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    with over_http() as (endpoint, received):
        received.refuse = 1
        exporter = OtlpExporter(endpoint)
        exporter._pusher._first_pause = 0.01
        middleware = PerfMiddleware(site(), settings=Settings())
        async with Client(middleware) as client:
            await client.get("/items/1")
            await exporter.export(middleware.runtime.snapshot())
        await exporter.aclose()
        assert len(received.metrics) == 1
        assert exporter._pusher.failures == 1


async def test_a_collector_that_is_away_costs_one_waiting_snapshot() -> None:
    exporter = OtlpExporter("http://127.0.0.1:9", timeout=0.2)
    snapshot = PerfMiddleware(site(), settings=Settings()).runtime.snapshot()
    sending = asyncio.create_task(exporter.export(snapshot))
    await asyncio.sleep(0.01)
    for _ in range(5):
        await asyncio.wait_for(exporter.export(snapshot), 0.1)
    assert exporter._pusher.dropped == 4
    sending.cancel()
    await exporter.aclose()


async def test_a_process_stops_though_nobody_takes_its_last_spans(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("perfmw.exporters.otlp.FAREWELL", 0.05)
    exporter = OtlpExporter("http://127.0.0.1:9", timeout=600.0)
    processor = exporter.span_processor()
    processor.on_end(RequestSpan("GET", None, 1_800_000_000_000_000_000, exporter.resource))
    await asyncio.wait_for(exporter.aclose(), 30)
    assert "aborting retry" in caplog.text
