"""OpenTelemetry's own protocol, over HTTP or gRPC, through the exporters of its SDK (extra ``otlp``).

Metrics are made from a snapshot, by the semantic conventions, when it is time to export: no request ever
records into the SDK. Each process sends its own, as OpenTelemetry has it. Spans that perfmw opens go the
same way, unless the host has a tracer provider of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Buckets as _Buckets
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from perfmw.contracts.snapshot import Distribution, RuntimeSnapshot
from perfmw.exporters.buckets import exponential
from perfmw.exporters.outage import Outage, hear, quietly
from perfmw.exporters.pushing import Pusher
from perfmw.exporters.spans import SpanQueue

Protocol = Literal["http", "grpc"]
CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
FAREWELL: Final = 2.0
"""Seconds that a process which stops waits for somebody to take its last spans."""
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.26.0"
_SCOPE: Final = InstrumentationScope("perfmw", schema_url=_SCHEMA)
_Point = tuple[dict[str, str | int], float]


class OtlpExporter:
    """Sends metrics, and gives a span processor that sends spans.

    :param endpoint: of the collector, such as ``http://localhost:4318`` (HTTP) or ``http://localhost:4317``.
    :param protocol: ``http`` (protobuf) or ``grpc``.
    :param timeout: seconds for one attempt, the SDK's own retries included.
    :raises ImportError: the extra ``otlp`` is not installed.
    """

    name = "otlp"
    wants_details = True
    each_process = True
    """OpenTelemetry adds processes up itself: each worker sends its own."""

    def __init__(self, endpoint: str, protocol: Protocol = "http", timeout: float = 10.0) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._timeout = timeout
        self._protocol = protocol
        self.resource = Resource.create(
            {"service.instance.id": f"{os.uname().nodename}-{os.getpid()}", "process.pid": os.getpid()}
        )
        self._outage = Outage(self.name)
        self._exporter = self._make("metric")
        self._pusher = Pusher(self.name, self._send, outage=self._outage)
        self._queue: SpanQueue | None = None
        self._spans: Any = None
        self._lost = 0

    def _make(self, signal: Literal["metric", "trace"]) -> Any:
        if self._protocol == "grpc":
            made = _grpc(signal, self._endpoint, self._timeout)
        else:
            path = "metrics" if signal == "metric" else "traces"
            made = _http(signal, f"{self._endpoint}/v1/{path}", self._timeout)
        hear(made)
        return made

    def span_processor(self) -> SpanProcessor:
        """Takes finished spans, queues a bounded number of them and sends them from a thread of its own."""
        if self._queue is None:
            self._spans = self._make("trace")
            self._queue = SpanQueue(self._send_spans)
            self._queue.resource = self.resource  # type: ignore[attr-defined]
        return self._queue

    async def export(self, snapshot: RuntimeSnapshot) -> None:
        await self._pusher.push(snapshot)

    def _send(self, snapshot: RuntimeSnapshot) -> None:
        with quietly() as heard:
            result = self._exporter.export(metrics_of(snapshot, self.resource), self._timeout * 1e3)
        if result is not MetricExportResult.SUCCESS:
            raise OSError(self._reason(heard))

    def _send_spans(self, spans: Sequence[ReadableSpan]) -> bool:
        with quietly() as heard:
            taken: bool = self._spans.export(spans) is SpanExportResult.SUCCESS
        if taken:
            lost, self._lost = self._lost, self._queue.dropped if self._queue is not None else 0
            self._outage.sent("spans", self._lost - lost)
        else:
            self._outage.failed("spans", self._reason(heard))
        return taken

    def _reason(self, heard: list[str]) -> str:
        return f"{self._endpoint}: {heard[0] if heard else 'not taken'}"

    async def aclose(self) -> None:
        self._pusher.close()
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        """Send the last spans, unless nobody takes them: then its patience ends soon."""
        self._exporter.shutdown()
        if self._queue is None:
            return
        self._queue.shutdown(FAREWELL)
        self._spans.shutdown()
        self._queue.shutdown(FAREWELL)  # an attempt under way is given up


def _http(signal: str, url: str, timeout: float) -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    kind = OTLPMetricExporter if signal == "metric" else OTLPSpanExporter
    return kind(endpoint=url, timeout=timeout)


def _grpc(signal: str, endpoint: str, timeout: float) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    kind = OTLPMetricExporter if signal == "metric" else OTLPSpanExporter
    return kind(endpoint=endpoint, insecure=not endpoint.startswith("https"), timeout=timeout)


def metrics_of(snapshot: RuntimeSnapshot, resource: Resource) -> MetricsData:
    """A snapshot as OpenTelemetry's metrics, all of them cumulative."""
    metrics = [metric for metric in _metrics(snapshot) if metric.data.data_points]
    scope = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url=_SCHEMA)
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url=_SCHEMA)])


def _metrics(snapshot: RuntimeSnapshot) -> Iterator[Metric]:
    durations, now = snapshot.distributions(), _nanoseconds(snapshot.taken_at)
    since = min((one.since for one in durations), default=snapshot.taken_at - snapshot.window_seconds)
    requests = [one for one in durations if one.type == "component"]
    yield _histogram("http.server.request.duration", "Duration of HTTP server requests.", requests, now)
    others = [one for one in durations if one.type != "component"]
    yield _histogram("perfmw.operation.duration", "Duration of queries, calls and jobs.", others, now)
    began = _nanoseconds(since)
    yield from _process(snapshot, began, now)
    yield from _cache(snapshot, began, now)
    yield from _profiles(snapshot, began, now)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _histogram(name: str, help_text: str, durations: Iterable[Distribution], now: int) -> Metric:
    points = [_histogram_point(one, now) for one in durations if one.count]
    return Metric(name, help_text, "s", ExponentialHistogram(points, CUMULATIVE))


def _histogram_point(one: Distribution, now: int) -> ExponentialHistogramDataPoint:
    shape = exponential(one)
    return ExponentialHistogramDataPoint(
        attributes=attributes_of(one),
        start_time_unix_nano=_nanoseconds(one.since),
        time_unix_nano=now,
        count=one.count,
        sum=one.sum,
        scale=shape.scale,
        zero_count=shape.zero_count,
        positive=_Buckets(shape.offset, shape.counts),
        negative=_Buckets(0, ()),
        flags=0,
        min=one.min,
        max=one.max,
        exemplars=[_exemplar(*exemplar) for exemplar in one.exemplars],
    )


def _exemplar(trace_id: int, span_id: int, seconds: float, at: float) -> Any:
    from opentelemetry.sdk.metrics import Exemplar

    return Exemplar({}, seconds, _nanoseconds(at), span_id, trace_id)


def attributes_of(one: Distribution) -> dict[str, str | int]:
    """The attributes of a data point, by the HTTP semantic conventions for requests."""
    if one.type != "component":
        failed = {"error.type": "_OTHER"} if one.status == 0 else {}
        return {"perfmw.profile.type": one.type, "perfmw.profile.name": one.name, **failed}
    method, _, route = one.name.partition(" ")
    known: dict[str, str | int] = {"http.request.method": method, "http.route": route or one.name}
    known["perfmw.cache.outcome"] = "hit" if one.status == -1 else "forwarded"
    if one.status >= 100:
        known["http.response.status_code"] = one.status
    if one.status >= 500 or one.status == 0:
        known["error.type"] = str(one.status) if one.status else "exception"
    return known


def _sum(
    name: str, help_text: str, unit: str, points: Iterable[_Point], times: tuple[int, int], up: bool = True
) -> Metric:
    data = [NumberDataPoint(cast(Any, known), *times, value) for known, value in points]
    return Metric(name, help_text, unit, Sum(data, CUMULATIVE, is_monotonic=up))


def _gauge(name: str, help_text: str, unit: str, points: Iterable[_Point], times: tuple[int, int]) -> Metric:
    data = [NumberDataPoint(cast(Any, known), times[1], times[1], value) for known, value in points]
    return Metric(name, help_text, unit, Gauge(data))


def _process(snapshot: RuntimeSnapshot, began: int, now: int) -> Iterator[Metric]:
    if not snapshot.processes:
        return
    process, times = snapshot.processes[0], (began, now)
    active: list[_Point] = [({}, float(process.active_requests))]
    yield _sum("http.server.active_requests", "Requests under way.", "{request}", active, times, up=False)
    if process.cpu_seconds is not None:
        yield _sum("process.cpu.time", "Processor time used.", "s", [({}, process.cpu_seconds)], times)
    if process.memory_bytes is not None:
        used: list[_Point] = [({}, float(process.memory_bytes))]
        yield _sum("process.memory.usage", "Resident memory.", "By", used, times, up=False)
    yield _sum("perfmw.gc.pause.time", "Time of garbage collection.", "s", [({}, process.gc_seconds)], times)
    lags = (("p50", process.loop_lag_p50), ("p99", process.loop_lag_p99), ("max", process.loop_lag_max))
    points: list[_Point] = [({"perfmw.statistic": name}, lag) for name, lag in lags if lag is not None]
    yield _gauge("perfmw.event_loop.lag", "How late the event loop comes.", "s", points, times)
    yield _gauge("perfmw.event_loop.tasks", "Tasks.", "{task}", [({}, float(process.tasks))], times)


def _cache(snapshot: RuntimeSnapshot, began: int, now: int) -> Iterator[Metric]:
    times = (began, now)
    for name in ("hits", "misses", "evictions", "errors"):
        points: list[_Point] = [
            ({"perfmw.cache.layer": layer.name}, float(getattr(layer, name))) for layer in snapshot.layers
        ]
        yield _sum(f"perfmw.cache.{name}", f"Cache {name} by layer.", f"{{{name}}}", points, times)
    for name, unit in (("entries", "{entry}"), ("bytes", "By")):
        held: list[_Point] = [
            ({"perfmw.cache.layer": layer.name}, float(value))
            for layer in snapshot.layers
            if (value := getattr(layer, name)) is not None
        ]
        yield _gauge(f"perfmw.cache.{name}", f"Held by a layer: {name}.", unit, held, times)


def _profiles(snapshot: RuntimeSnapshot, began: int, now: int) -> Iterator[Metric]:
    scores: list[_Point] = [
        ({"perfmw.profile.type": one.type, "perfmw.profile.name": one.name}, score)
        for one in snapshot.profiles
        if (score := one.performance.current_score) is not None
    ]
    yield _gauge("perfmw.profile.score", "Performance score, 0 to 100.", "1", scores, (began, now))
