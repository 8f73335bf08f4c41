"""Spans and requests: each is counted once, whoever instruments what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
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
    found = {(profile.type, profile.name): profile.metrics.latency.count for profile in profiles}
    found.pop(("system", "process"), None)
    return found


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


def shop(provided: Provided) -> Starlette:
    async def rows(request: Request) -> Response:
        tracer = trace.get_tracer("app")
        trace.get_current_span().set_attribute("shop.rows", 8)
        trace.get_current_span().add_event("looked up")
        for _ in range(8):
            with tracer.start_as_current_span("orders", kind=trace.SpanKind.CLIENT) as span:
                span.set_attributes(
                    {"db.system.name": "sqlite", "db.query.text": "SELECT * FROM t WHERE id = 1"}
                )
        return PlainTextResponse("rows")

    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.1)
        return PlainTextResponse("slow")

    async def failing(request: Request) -> Response:
        return PlainTextResponse("no", 503)

    async def raising(request: Request) -> Response:
        raise LookupError("gone")

    names = {"rows": rows, "slow": slow, "failing": failing, "raising": raising}
    return Starlette(routes=[Route(f"/{name}/{{id}}", endpoint) for name, endpoint in names.items()])


def servers(provided: Provided) -> list[ReadableSpan]:
    return [span for span in provided[1].get_finished_spans() if span.kind is trace.SpanKind.SERVER]


async def test_slow_and_failed_requests_get_a_span_though_nobody_sampled_them(provided: Provided) -> None:
    middleware = PerfMiddleware(shop(provided), settings=Settings(trace_ratio=1e-12, trace_slow=60.0))
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    async with Client(middleware) as client:
        await client.get("/rows/1")
        tracing = middleware.runtime.tracing
        assert tracing is not None
        assert tracing.slow == 60.0
        tracing.slow = 0.05  # from now on: however busy the machine is, the first was none
        await client.get("/slow/1")
        tracing.slow = 60.0
        await client.get("/failing/1", {"traceparent": parent})
        with pytest.raises(LookupError):
            await client.get("/raising/1")
    found = {span.name: span for span in servers(provided)}
    assert set(found) == {"GET /slow/{id}", "GET /failing/{id}", "GET /raising/{id}"}
    slow, failing, raising = found.values()
    assert slow.end_time is not None
    assert slow.start_time is not None
    assert 0.1 <= (slow.end_time - slow.start_time) / 1e9 < 5.0
    assert failing.context is not None
    assert f"{failing.context.trace_id:032x}" in parent
    assert (failing.attributes or {})["error.type"] == "503"
    assert not failing.status.is_ok
    assert raising.events[0].name == "exception"
    assert [one.route for one in tracing.traces.slow()] == ["GET /slow/{id}"]
    assert {one.route for one in tracing.traces.failed()} == {"GET /failing/{id}", "GET /raising/{id}"}
    assert [one.trace_id for one in tracing.traces.exemplars("GET /failing/{id}")] == [
        failing.context.trace_id
    ]


async def test_a_sampled_request_is_broken_down(provided: Provided) -> None:
    middleware = PerfMiddleware(shop(provided), settings=Settings(trace_ratio=1.0))
    async with Client(middleware) as client:
        await client.get("/rows/1")
        kept = middleware.runtime.tracing.traces.slow("GET /rows/{id}")[0]  # type: ignore[union-attr]
        usage = middleware.runtime.profiles.metrics("GET /rows/{id}").resource_usage  # type: ignore[union-attr]
    (span,) = servers(provided)
    attributes = dict(span.attributes or {})
    assert attributes["shop.rows"] == 8
    assert attributes["http.route"] == "/rows/{id}"
    assert attributes["http.request.method"] == "GET"
    assert [event.name for event in span.events] == ["looked up"]
    children = [one for one in provided[1].get_finished_spans() if one.kind is trace.SpanKind.CLIENT]
    assert {one.parent.span_id for one in children if one.parent} == {span.context.span_id}  # type: ignore[union-attr]
    assert kept.trace_id == f"{span.context.trace_id:032x}"  # type: ignore[union-attr]
    assert [part.kind for part in kept.parts] == ["query"] * 8
    assert kept.breakdown is not None
    assert [(one.statement, one.count) for one in kept.breakdown.repeated] == [
        ("SELECT * FROM t WHERE id = ?", 8)
    ]
    assert kept.breakdown.database > 0.0
    assert kept.breakdown.app > 0.0
    assert usage.sampled == 1
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds > 0.0


async def test_an_instrumentation_within_that_goes_by_the_fields_joins_the_trace(provided: Provided) -> None:
    inner = shop(provided)

    async def instrumented(scope: Any, receive: Any, send: Any) -> None:
        """As FastAPI's own telemetry does, whatever span is current."""
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        carrier = {name.decode(): value.decode() for name, value in scope["headers"]}
        context = propagate.extract(carrier)
        tracer = trace.get_tracer("framework")
        with tracer.start_as_current_span("GET", context, kind=trace.SpanKind.SERVER):
            await inner(scope, receive, send)

    middleware = PerfMiddleware(instrumented, settings=Settings(trace_ratio=1.0))
    caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with Client(middleware) as client:
        await client.get("/rows/1")
        await client.get("/rows/2", headers={"traceparent": caller, "tracestate": "vendor=1"})
        kept = middleware.runtime.tracing.traces.slow("GET /rows/{id}")  # type: ignore[union-attr]
        counted = counts(middleware)
    assert counted["component", "GET /rows/{id}"] == 2
    theirs = [span for span in servers(provided) if span.name == "GET"]
    ours = {span.context.span_id for span in servers(provided) if span.name != "GET"}
    assert {span.parent.span_id for span in theirs if span.parent} == ours
    assert {len(one.parts) for one in kept} == {8}
    (continued,) = (one for one in kept if one.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736")
    assert continued.breakdown is not None
    assert continued.breakdown.database > 0.0


async def test_the_app_is_told_by_the_fields_that_the_host_has_chosen(
    provided: Provided, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[bytes, bytes]] = []

    class Own(TraceContextTextMapPropagator):
        fields = frozenset({"x-trace"})

        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            carrier["X-Trace"] = f"{trace.get_current_span(context).get_span_context().span_id:x}"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(dict(scope["headers"]))
        await shop(provided)(scope, receive, send)

    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", Own())
    async with Client(PerfMiddleware(app, settings=Settings(trace_ratio=1.0))) as client:
        await client.get("/rows/1", headers={"x-trace": "spoofed"})
    (span,) = servers(provided)
    assert seen[0][b"x-trace"] == f"{span.context.span_id:x}".encode()  # type: ignore[union-attr]
    assert b"traceparent" not in seen[0]


@pytest.mark.parametrize("how", ["perfmw", "opentelemetry", "told at the start"])
async def test_what_is_asked_of_the_dashboard_has_no_span(provided: Provided, how: str) -> None:
    if how == "told at the start":
        provided[0].add_span_processor(Starts())
    settings = Settings(
        trace_ratio=1.0,
        dashboard="loopback",
        trace_with="opentelemetry" if how == "opentelemetry" else "perfmw",
    )
    async with Client(PerfMiddleware(shop(provided), settings=settings)) as client:
        assert (await client.get("/_perfmw/metrics")).status == 401
        await client.get("/rows/1")
    assert [str(span.name).partition("/rows/")[0] for span in servers(provided)] == ["GET "]


@pytest.mark.parametrize("came", ["nonsense", "00-00000000000000000000000000000000-0000000000000000-01"])
async def test_the_app_is_told_of_one_caller_alone(provided: Provided, came: str) -> None:
    """What came in place of a caller's trace does not go on beside the own one."""
    seen: list[list[bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append([value for name, value in scope["headers"] if name == b"traceparent"])
        await shop(provided)(scope, receive, send)

    async with Client(PerfMiddleware(app, settings=Settings(trace_ratio=1.0))) as client:
        await client.get("/rows/1", headers={"traceparent": came})
    (span,) = servers(provided)
    assert span.context is not None
    assert span.parent is None
    assert seen == [[b"00-%032x-%016x-01" % (span.context.trace_id, span.context.span_id)]]


class Starts(SpanProcessor):
    """Keeps what is known of spans when they start."""

    def __init__(self) -> None:
        self.known: list[dict[str, Any]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.known.append(dict(span.attributes))


async def test_a_span_that_starts_tells_of_its_request(provided: Provided) -> None:
    starts = Starts()
    provided[0].add_span_processor(starts)
    async with Client(PerfMiddleware(site(), settings=Settings(trace_ratio=1.0))) as client:
        await client.get("/items/1?page=2", {"user-agent": "test"})
    server = starts.known[0]
    assert server["http.request.method"] == "GET"
    assert (server["url.path"], server["url.query"]) == ("/items/1", "page=2")
    assert server["user_agent.original"] == "test"
    assert "http.response.status_code" not in server


async def test_requests_of_one_trace_may_overlap(provided: Provided) -> None:
    middleware = PerfMiddleware(shop(provided), settings=Settings(trace_ratio=1.0))
    caller = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    async with Client(middleware) as client:
        paths = ("/slow/1", "/slow/2", "/rows/1")
        answers = await asyncio.gather(*(client.get(path, headers=caller) for path in paths))
        traces = middleware.runtime.tracing.traces  # type: ignore[union-attr]
        parts = {
            name: [len(one.parts) for one in traces.slow(f"GET /{name}/{{id}}")] for name in ("slow", "rows")
        }
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert parts == {"slow": [0, 0], "rows": [8]}


async def test_the_span_is_a_child_of_the_hosts_around_it(provided: Provided) -> None:
    middleware = PerfMiddleware(shop(provided), settings=Settings(trace_ratio=1.0))
    async with Client(OpenTelemetryMiddleware(middleware, exclude_spans=["receive", "send"])) as client:
        for number in (1, 2):  # what an earlier request left behind is nobody's parent
            await client.get(f"/rows/{number}")
    (first, one), (second, two) = [
        (own, around)
        for own in servers(provided)
        for around in servers(provided)
        if own.parent is not None and own.parent.span_id == around.context.span_id
    ]
    assert one is not two
    assert {first.name, second.name} == {"GET /rows/{id}"}


async def test_the_instrumentation_of_opentelemetry_may_make_the_spans(provided: Provided) -> None:
    settings = Settings(trace_ratio=1.0, trace_with="opentelemetry")
    middleware = PerfMiddleware(shop(provided), settings=settings)
    async with Client(middleware) as client:
        await client.get("/rows/1")
        counted = counts(middleware)
    (span,) = servers(provided)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "opentelemetry.instrumentation.asgi"
    assert counted["component", "GET /rows/{id}"] == 1
    tracing = middleware.runtime.tracing
    assert tracing is not None
    (kept,) = tracing.traces.slow()
    assert (kept.trace_id, kept.route) == (f"{span.context.trace_id:032x}", "GET /rows/{id}")
    assert kept.breakdown is not None
    assert kept.breakdown.app > 0.0
    assert "query" in {part.kind for part in kept.parts}
    (exemplar,) = tracing.traces.exemplars("GET /rows/{id}")
    assert exemplar.trace_id == span.context.trace_id


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"shop.example", "shop.example", None),
        (b"shop.example:8080", "shop.example", 8080),
        (b"[::1]:8080", "::1", 8080),
        (b"[::1]", "::1", None),
    ],
)
def test_spans_name_the_host_and_leave_signatures_out(host: bytes, address: str, port: int | None) -> None:
    from perfmw.profiles.request_span import SpanSink, describe

    query = b"sig=abc&page=2&X-Goog-Signature=def&design=oak"
    scope = {
        "method": "GET",
        "path": "/hello",
        "query_string": query,
        "headers": [(b"host", host)],
        "client": ("192.0.2.1", 5000),
    }
    span = SpanSink().retrospective(scope, 1)
    describe(span, route="GET /hello", status=200, cache_status=None, error=None)
    assert span.attributes is not None
    assert span.attributes["url.query"] == "sig=REDACTED&page=2&X-Goog-Signature=REDACTED&design=oak"
    assert span.attributes["server.address"] == address
    assert span.attributes.get("server.port") == port
    assert span.attributes["client.address"] == "192.0.2.1"
