"""OTLP as a real collector hears it, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import logging
import socket
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

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from perfmw.exporters.otlp import OtlpExporter, Protocol
from perfmw.exporters.outage import Outage
from perfmw.exporters.spans import SpanQueue
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


def spans_of(received: Received) -> list[Any]:
    return [
        span
        for request in received.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


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
    spans = spans_of(received)
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


async def test_a_process_stops_though_nobody_takes_its_last_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.exporters.otlp.FAREWELL", 0.05)
    exporter = OtlpExporter("http://127.0.0.1:9", timeout=600.0)
    queue = exporter.span_processor()
    queue.on_end(span("GET /a", exporter))
    await asyncio.wait_for(exporter.aclose(), 30)
    assert isinstance(queue, SpanQueue)
    assert (queue.sent, queue.pending) == (0, 1)


def span(name: str, exporter: OtlpExporter) -> RequestSpan:
    made = RequestSpan(name, None, 1_800_000_000_000_000_000, exporter.resource)
    made.end(1_800_000_001_000_000_000)
    return made


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_an_outage_is_one_line_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: Protocol
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("perfmw.exporters.spans.FIRST_PAUSE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    exporter = OtlpExporter(f"http://127.0.0.1:{port}", protocol, timeout=0.2)
    exporter._pusher._first_pause = 0.01
    queue = exporter.span_processor()
    assert isinstance(queue, SpanQueue)
    queue._first_pause = queue._pause = 0.01
    queue._delay = 0.01
    snapshot = PerfMiddleware(site(), settings=Settings()).runtime.snapshot()
    for number in range(3):
        queue.on_end(span(f"GET /{number}", exporter))
    await exporter.export(snapshot)  # five attempts
    assert exporter._pusher.failures >= 5
    assert (queue.sent, queue.pending) == (0, 3)
    receiver = over_http if protocol == "http" else over_grpc
    with receiver(port) as (_, received):
        assert await asyncio.to_thread(queue.force_flush)
        await exporter.export(snapshot)
        await exporter.aclose()
        names = [one.name for one in spans_of(received)]
    assert sorted(names) == ["GET /0", "GET /1", "GET /2"]
    assert len(received.metrics) == 1
    away, back = [record for record in caplog.records if record.name != "asyncio"]
    assert "will be tried again" in away.getMessage()
    assert f"127.0.0.1:{port}: " in away.getMessage()
    assert "sent again after" in back.getMessage()


def test_the_end_of_an_outage_tells_what_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("collector")
    outage.failed("spans", "away")
    outage.failed("metrics", "away")
    outage.sent("spans", 3)
    assert len(caplog.records) == 1
    outage.sent("metrics")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert caplog.records[1].getMessage().endswith("; 3 spans were lost meanwhile, for want of room")


async def test_what_the_host_exports_itself_is_still_told(caplog: pytest.LogCaptureFixture) -> None:
    OtlpExporter("http://127.0.0.1:9")
    theirs = OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces", timeout=0.1)
    theirs.export([])
    theirs.shutdown()
    assert "Failed to export" in caplog.text


async def test_sending_is_not_traced_by_the_hosts_instrumentation() -> None:
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled

    from perfmw.exporters.outage import quietly

    assert is_instrumentation_enabled()
    with quietly():
        assert not is_instrumentation_enabled()
    assert is_instrumentation_enabled()
