from __future__ import annotations

import contextvars
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from perfmw.profiles import ProfileStore
from perfmw.profiles.covered import cover, covered, mark_covered, uncover
from perfmw.profiles.spans import ProfileSpanProcessor, attach, peer, query_name
from perfmw.profiles.statements import LONGEST, normalise_statement

pytestmark = pytest.mark.anyio


class Host:
    """A tracer provider of the real SDK with our processor, and the store it feeds."""

    def __init__(self, **options: Any) -> None:
        self.store = ProfileStore()
        self.processor = ProfileSpanProcessor(self.store, **options)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("test")

    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Any],
        *,
        failed: bool = False,
        inside: bool = True,
    ) -> None:
        """One span of 0.25 s, by default within another one."""
        parent = trace.NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1)))
        context = trace.set_span_in_context(parent) if inside else None
        span = self.tracer.start_span(name, context, kind, attributes, start_time=10**9)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(10**9 + 250_000_000)

    def profiles(self) -> dict[tuple[str, str], int]:
        return {(one.type, one.name): one.metrics.latency.count for one in self.store.snapshot()}


@pytest.fixture
def host() -> Host:
    return Host()


CASES = [
    (
        SpanKind.SERVER,
        {"http.request.method": "GET", "http.route": "/items/{id}", "http.response.status_code": 200},
        ("component", "GET /items/{id}"),
    ),
    (
        SpanKind.SERVER,
        {"http.method": "POST", "http.route": "items/<int:id>", "http.status_code": 200},
        ("component", "POST /items/{id}"),
    ),
    (
        SpanKind.SERVER,
        {"http.request.method": "GET", "url.path": "/items/42", "http.response.status_code": 200},
        ("component", "GET /items/{id}"),
    ),
    (
        SpanKind.SERVER,
        {"http.method": "GET", "http.target": "/items/42?q=1", "http.status_code": 200},
        ("component", "GET /items/{id}"),
    ),
    (
        SpanKind.SERVER,
        {"http.request.method": "GET", "url.path": "/wp-login.php", "http.response.status_code": 404},
        ("component", "GET (unmatched)"),
    ),
    (
        SpanKind.SERVER,
        {"http.request.method": "BREW", "http.route": "/pot"},
        ("component", "_OTHER /pot"),
    ),
    (
        SpanKind.SERVER,
        {"rpc.system": "grpc", "rpc.service": "shop.Prices", "rpc.method": "Get"},
        ("component", "shop.Prices/Get"),
    ),
    (
        SpanKind.CLIENT,
        {"db.system.name": "postgresql", "db.query.summary": "SELECT items", "db.query.text": "x"},
        ("query", "SELECT items"),
    ),
    (
        SpanKind.CLIENT,
        {"db.system.name": "sqlite", "db.query.text": "SELECT * FROM t WHERE id = 42"},
        ("query", "SELECT * FROM t WHERE id = ?"),
    ),
    (
        SpanKind.CLIENT,
        {"db.system": "sqlite", "db.statement": "SELECT * FROM t WHERE id = 'x'"},
        ("query", "SELECT * FROM t WHERE id = ?"),
    ),
    (
        SpanKind.CLIENT,
        {"db.system": "mongodb", "db.operation": "find", "db.mongodb.collection": "items"},
        ("query", "find items"),
    ),
    (SpanKind.CLIENT, {"db.system": "redis"}, ("query", "span")),
    (
        SpanKind.CLIENT,
        {"http.request.method": "GET", "server.address": "api.example", "server.port": 443},
        ("integration", "GET api.example"),
    ),
    (
        SpanKind.CLIENT,
        {"http.request.method": "GET", "server.address": "api.example", "url.template": "/p/{id}"},
        ("integration", "GET api.example /p/{id}"),
    ),
    (
        SpanKind.CLIENT,
        {"http.method": "GET", "http.url": "http://api.example:8080/p/42"},
        ("integration", "GET api.example:8080"),
    ),
    (
        SpanKind.CLIENT,
        {"rpc.system": "grpc", "rpc.service": "shop.Prices", "rpc.method": "Get"},
        ("integration", "shop.Prices/Get"),
    ),
    (
        SpanKind.PRODUCER,
        {
            "messaging.system": "kafka",
            "messaging.operation.type": "publish",
            "messaging.destination.name": "orders",
        },
        ("integration", "publish orders"),
    ),
    (
        SpanKind.CONSUMER,
        {"messaging.system": "rabbitmq", "messaging.destination": "orders"},
        ("integration", "consumer orders"),
    ),
    (SpanKind.INTERNAL, {"perfmw.workflow": "checkout"}, ("workflow", "checkout")),
    (SpanKind.INTERNAL, {"perfmw.workflow": True}, ("workflow", "span")),
]


@pytest.mark.parametrize(("kind", "attributes", "wanted"), CASES)
def test_spans_are_named_by_the_semantic_conventions(
    host: Host, kind: SpanKind, attributes: dict[str, Any], wanted: tuple[str, str]
) -> None:
    host.span("span", kind, attributes)
    assert host.profiles() == {wanted: 1}


def test_a_root_span_is_a_workflow_and_an_inner_one_is_nothing(host: Host) -> None:
    host.span("nightly import", SpanKind.INTERNAL, {}, inside=False)
    host.span("job 12345", SpanKind.INTERNAL, {}, inside=False)
    host.span("parse", SpanKind.INTERNAL, {})
    host.span("somewhere", SpanKind.CLIENT, {})
    assert host.profiles() == {("workflow", "nightly import"): 1, ("workflow", "job {id}"): 1}


def test_duration_status_and_failure_are_taken_over(host: Host) -> None:
    server = {"http.request.method": "GET", "http.route": "/a"}
    host.span("GET /a", SpanKind.SERVER, server | {"http.response.status_code": 503}, failed=True)
    host.span(
        "SELECT", SpanKind.CLIENT, {"db.system.name": "sqlite", "db.query.text": "SELECT 1"}, failed=True
    )
    host.span("SELECT", SpanKind.CLIENT, {"db.system.name": "sqlite", "db.query.text": "SELECT 2"})
    request = host.store.metrics("GET /a")
    query = host.store.metrics("SELECT ?", "query")
    assert request is not None
    assert query is not None
    assert request.latency.mean == pytest.approx(0.25)
    assert request.error_rates.by_kind == {"503": 1}
    assert query.error_rates.by_kind == {"exception": 1}
    assert query.latency.count == 2


def test_a_classifier_is_asked_first() -> None:
    def classify(span: ReadableSpan) -> tuple[str, str] | None:
        return ("workflow", "mine") if span.name == "x" else None

    host = Host(classify=classify)
    host.span("x", SpanKind.CLIENT, {"db.system.name": "sqlite"})
    host.span("y", SpanKind.CLIENT, {"db.system.name": "sqlite"})
    assert host.profiles() == {("workflow", "mine"): 1, ("query", "y"): 1}


@pytest.mark.parametrize("answer", [("nonsense", "x"), "x", 3, ("component",)])
def test_a_classifier_that_answers_nonsense_harms_nobody(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(classify=lambda span: answer)
    host.span("x", SpanKind.INTERNAL, {}, inside=False)
    host.span("x", SpanKind.INTERNAL, {}, inside=False)
    assert host.profiles() == {}
    assert host.processor.failures == 2
    assert len(caplog.records) == 1


def test_a_classifier_that_raises_harms_nobody() -> None:
    def classify(span: ReadableSpan) -> tuple[str, str] | None:
        raise RuntimeError("plugin")

    host = Host(classify=classify)
    host.span("x", SpanKind.SERVER, {})
    assert host.processor.failures == 1


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def application() -> Starlette:
    return Starlette(routes=[Route("/items/{id}", hello)])


class Covering:
    """Stands for perfmw's middleware: covers the request and records nothing here."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with mark_covered():
            await self.app(scope, receive, send)


async def get(app: Any, path: str) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://shop.example"
    ) as client:
        assert (await client.get(path)).status_code == 200


async def test_requests_of_the_real_asgi_instrumentation(host: Host) -> None:
    app = OpenTelemetryMiddleware(application(), tracer_provider=host.provider)
    await get(app, "/items/1")
    await get(app, "/items/2")
    [(kind, name)] = host.profiles()
    assert kind == "component"
    assert name in ("GET /items/{id}", "GET /items/2", "GET /items/1")
    assert name == "GET /items/{id}"


async def test_a_request_is_not_counted_twice_with_the_middleware_outside(host: Host) -> None:
    app = Covering(OpenTelemetryMiddleware(application(), tracer_provider=host.provider))
    await get(app, "/items/1")
    assert host.profiles() == {}
    assert covered.get() is False


async def test_a_request_is_not_counted_twice_with_the_middleware_inside(host: Host) -> None:
    app = OpenTelemetryMiddleware(Covering(application()), tracer_provider=host.provider)
    await get(app, "/items/1")
    await get(app, "/items/2")
    assert host.profiles() == {}


async def test_calls_inside_a_covered_request_are_counted(host: Host) -> None:
    async def partner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = AsyncOpenTelemetryTransport(httpx.ASGITransport(partner), tracer_provider=host.provider)
    with mark_covered():
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get("http://partner.example/prices/7")
    [(kind, name)] = host.profiles()
    assert (kind, name) == ("integration", "GET partner.example")


def test_the_host_may_cover_requests_itself() -> None:
    seen: list[int] = []

    def by_host(context: SpanContext) -> bool:
        seen.append(context.span_id)
        return True

    host = Host(covered_by_host=by_host)
    host.span("GET", SpanKind.SERVER, {"http.request.method": "GET", "http.route": "/a"})
    assert host.profiles() == {}
    assert len(seen) == 1


def test_server_spans_that_never_end_do_not_pile_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.profiles.spans._MAX_OPEN", 10)
    for _ in range(50):
        host.tracer.start_span("GET", kind=SpanKind.SERVER)
    assert len(host.processor._open) == 10


def test_covering_nests_and_ends_in_another_context() -> None:
    outer = cover()
    inner = cover()
    uncover(inner)
    assert covered.get() is True
    uncover(outer)
    assert covered.get() is False
    token = contextvars.copy_context().run(cover)
    uncover(token)
    assert covered.get() is False


def test_unsampled_spans_are_left_to_the_middleware() -> None:
    store = ProfileStore()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(ProfileSpanProcessor(store))
    with provider.get_tracer("t").start_as_current_span("job"):
        pass
    assert store.names() == []


def test_attached_to_the_hosts_provider_and_detached_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmw.profiles.spans.get_tracer_provider", lambda: host.provider)
    store = ProfileStore()
    processor = ProfileSpanProcessor(store)
    detach = attach(processor)
    assert detach is not None
    host.span("job", SpanKind.INTERNAL, {}, inside=False)
    assert store.names() == ["job"]
    open_span = host.tracer.start_span("late")
    detach()
    open_span.end()
    host.span("job two", SpanKind.INTERNAL, {}, inside=False)
    assert store.names() == ["job"]
    assert processor not in host.provider._active_span_processor._span_processors
    assert ("workflow", "job two") in host.profiles(), "other processors go on"


def test_without_a_provider_of_the_sdk_nothing_is_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.profiles.spans.get_tracer_provider", trace.NoOpTracerProvider)
    assert attach(ProfileSpanProcessor(ProfileStore())) is None


LATE = """
import sys
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.tracing import HostSpans
store = ProfileStore()
tracing = HostSpans(store, None)
assert tracing.attach() is False
assert "opentelemetry.sdk.trace" not in sys.modules, "nothing imported for nothing"
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
assert tracing.attach() is False, "imported, but not set up"
trace.set_tracer_provider(TracerProvider())
assert tracing.attach() is True and tracing.attach() is True
with trace.get_tracer("t").start_as_current_span("job"): pass
assert store.names() == ["job"], store.names()
tracing.detach()
assert tracing.attached is False
with trace.get_tracer("t").start_as_current_span("later"): pass
assert store.names() == ["job"]
"""


def test_the_host_may_set_its_tracing_up_late() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", LATE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT * FROM t WHERE a = 'it''s' -- note\n AND b=1.5e3", "SELECT * FROM t WHERE a = ? AND b=?"),
        ("SELECT a1, t2.b FROM t2 WHERE c IN (1, 2,3)", "SELECT a1, t2.b FROM t2 WHERE c IN (?)"),
        ("INSERT INTO t VALUES (1,'a'),(2,'b')", "INSERT INTO t VALUES (?)"),
        ("SELECT %s, %(name)s, :name, $1, ?", "SELECT ?, ?, ?, ?, ?"),
        ('SELECT "col 1", `x 2` FROM t', 'SELECT "col 1", `x 2` FROM t'),
        ("SELECT x::text, $$it's$$ /* hi */ FROM t", "SELECT x::text, ? FROM t"),
        ("  SELECT\n\t1  ", "SELECT ?"),
        ("SELECT N'x', 0xFF, -5", "SELECT ?, ?, ?"),
    ],
)
def test_statements_lose_their_values(text: str, wanted: str) -> None:
    assert normalise_statement(text) == wanted


def test_long_statements_are_cut() -> None:
    assert len(normalise_statement("SELECT " + "column_name, " * 10_000)) == LONGEST


def test_names_without_attributes() -> None:
    assert query_name({}, "span 1") == "span ?"
    assert peer({}) == "unknown"
    assert peer({"http.url": "http://[broken"}) == "unknown"
