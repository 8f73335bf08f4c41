"""OpenTelemetry spans become profiles. Importing this module imports the OpenTelemetry SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, get_tracer_provider

from perfmw.contracts.profiles import ProfileType
from perfmw.profiles.breakdown import Part, PartKind
from perfmw.profiles.covered import SpanMark, covered, open_server_span
from perfmw.profiles.paths import PathNames
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.request_span import RequestSpan
from perfmw.profiles.routes import METHODS, OTHER_METHOD, UNMATCHED, plain_template
from perfmw.profiles.statements import normalise_statement
from perfmw.profiles.store import ProfileStore

Attributes = Mapping[str, Any]
Target = tuple[ProfileType, str]
Classifier = Callable[[ReadableSpan], "tuple[str, str] | None"]

TYPES: Final = frozenset({"component", "workflow", "integration", "query", "system"})
WORKFLOW_ATTRIBUTE: Final = "perfmw.workflow"
"""A span with this attribute is a workflow: of that name, or with ``True`` of the span's own."""

SERIALISATION: Final = "serialise"
"""A span of this name is the making of a response's body."""

_MAX_OPEN: Final = 10_000
_log = logging.getLogger("perfmw.profiles")


class ProfileSpanProcessor(SpanProcessor):
    """Feeds finished spans into a ProfileStore; never raises into the host.

    ``classify`` may say (type, name) for a span, and is asked first; None leaves it to the semantic
    conventions. ``covered_by_host`` says of a server span's context that somebody records its request
    already, and ``counted`` says so of the code that runs now; requests that the middleware marked are
    recognised without them. ``on_part`` is told of every span that has a parent, with its trace's id.
    """

    leaves_requests_to_perfmw = True
    """The spans that perfmw opens are of no interest here: their requests are counted already."""

    def __init__(
        self,
        store: ProfileStore,
        classify: Classifier | None = None,
        covered_by_host: Callable[[SpanContext], bool] | None = None,
        counted: Callable[[], bool] | None = None,
        on_part: Callable[[int, Part], None] | None = None,
    ) -> None:
        self._store: ProfileStore | None = store
        self._classify = classify
        self._covered_by_host = covered_by_host
        self._counted = counted
        self._on_part = on_part
        self._classifier = SpanClassifier()
        self._open: dict[int, SpanMark] = {}
        self.failures = 0
        """Spans that could not be taken in."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        try:
            if self._store is not None and span.kind is SpanKind.SERVER and not _is_own(span):
                self._open_server(span)
        except Exception as error:
            self._failed(error)

    def _open_server(self, span: Span) -> None:
        context = span.get_span_context()
        by_host = self._covered_by_host is not None and self._covered_by_host(context)
        mark = SpanMark(by_host or covered.get() or (self._counted is not None and self._counted()))
        open_server_span.set(mark)
        if len(self._open) >= _MAX_OPEN:
            self._open.pop(next(iter(self._open)), None)
        self._open[context.span_id] = mark

    def on_end(self, span: ReadableSpan) -> None:
        store = self._store
        if store is None or _is_own(span):
            return  # its request is counted already
        try:
            if span.kind is SpanKind.SERVER and self._is_covered(span):
                return
            target = self._target(span)
            if self._on_part is not None and span.parent is not None and span.context is not None:
                self._on_part(span.context.trace_id, _part(span, target))
            if target is not None:
                record_span(store.recorder(target[1], target[0]), span)
        except Exception as error:
            self._failed(error)

    def _is_covered(self, span: ReadableSpan) -> bool:
        mark = self._open.pop(span.context.span_id, None) if span.context else None
        return mark is not None and mark.covered

    def _target(self, span: ReadableSpan) -> Target | None:
        if self._classify is not None:
            chosen = self._classify(span)
            if chosen is not None:
                return _checked(chosen)
        return self._classifier.target(span)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            _log.warning("perfmw left a span out of the profiles: %r", error)

    def stop(self) -> None:
        """Take nothing in from now on; a provider cannot let go of its processors."""
        self._store = None
        self._open.clear()

    def shutdown(self) -> None:
        self.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _is_own(span: object) -> bool:
    """Spans of requests that the middleware counts itself."""
    return type(span) is RequestSpan


def _part(span: ReadableSpan, target: Target | None) -> Part:
    """The span as a part of its request."""
    kind: PartKind = "internal"
    name = target[1] if target is not None else span.name
    if name == SERIALISATION:
        kind = "serialisation"
    elif target is not None and target[0] in ("query", "integration", "workflow"):
        kind = cast(PartKind, target[0])
    start, end = (span.start_time or 0) / 1e9, (span.end_time or 0) / 1e9
    failed = span.status.status_code is StatusCode.ERROR
    own = span.context.span_id if span.context else 0
    return Part(kind, name, start, end, failed, own, span.parent.span_id if span.parent else 0)


def _checked(chosen: tuple[str, str]) -> Target:
    kind, name = chosen
    if kind not in TYPES:
        raise ValueError(f"{kind!r} is no profile type; there are {', '.join(sorted(TYPES))}")
    return kind, str(name)  # type: ignore[return-value]


def record_span(recorder: Recorder, span: ReadableSpan) -> None:
    """Count a finished span: its duration, its HTTP status, or its failure."""
    if span.end_time is None or span.start_time is None:
        return
    seconds = (span.end_time - span.start_time) / 1e9
    attributes = span.attributes or {}
    status = _first(attributes, "http.response.status_code", "http.status_code")
    if isinstance(status, int) and status > 0:
        recorder.origin(seconds, status, "")
    elif span.status.status_code is StatusCode.ERROR:
        recorder.exception(seconds, "")
    else:
        recorder.done(seconds)


class SpanClassifier:
    """Names the profile of a span by OpenTelemetry's semantic conventions, stable and older names alike."""

    def __init__(self) -> None:
        self._paths = PathNames()

    def target(self, span: ReadableSpan) -> Target | None:
        """(type, name), or None for a span that is only a part of something."""
        attributes: Attributes = span.attributes or {}
        marked = attributes.get(WORKFLOW_ATTRIBUTE)
        if marked is True or (isinstance(marked, str) and marked):
            return "workflow", self._plain(span.name) if marked is True else marked
        if _first(attributes, "db.system.name", "db.system") is not None:
            return "query", query_name(attributes, span.name)
        if _first(attributes, "messaging.system") is not None:
            return "integration", self._messaging(attributes, span)
        if span.kind is SpanKind.SERVER:
            return self._server(attributes, span)
        if span.kind is SpanKind.CLIENT:
            return self._client(attributes)
        if span.parent is None:
            return "workflow", self._plain(span.name)
        return None

    def _server(self, attributes: Attributes, span: ReadableSpan) -> Target:
        method = _first(attributes, "http.request.method", "http.method")
        if method is None:
            return "component", _rpc(attributes) or self._plain(span.name)
        return "component", f"{_verb(method)} {self._route(attributes)}"

    def _route(self, attributes: Attributes) -> str:
        route = attributes.get("http.route")
        if isinstance(route, str) and route:
            return plain_template(route)
        if _first(attributes, "http.response.status_code", "http.status_code") == 404:
            return UNMATCHED
        path = _first(attributes, "url.path", "http.target", "http.url", "url.full")
        return self._paths.name(urlsplit(str(path)).path or "/") if path is not None else UNMATCHED

    def _client(self, attributes: Attributes) -> Target | None:
        method = _first(attributes, "http.request.method", "http.method")
        if method is not None:
            template = attributes.get("url.template")
            path = f" {template}" if isinstance(template, str) else ""
            return "integration", f"{_verb(method)} {peer(attributes)}{path}"
        name = _rpc(attributes)
        return ("integration", name) if name else None

    def _messaging(self, attributes: Attributes, span: ReadableSpan) -> str:
        operation = _first(
            attributes, "messaging.operation.name", "messaging.operation.type", "messaging.operation"
        )
        place = _first(attributes, "messaging.destination.template", "messaging.destination.name")
        if place is None:
            place = attributes.get("messaging.destination")
        if place is None or attributes.get("messaging.destination.temporary"):
            return self._plain(span.name)
        return f"{operation or span.kind.name.lower()} {self._plain(str(place))}"

    def _plain(self, name: str) -> str:
        """A span name with what looks like an identifier replaced, since some hosts put ids into it."""
        return " ".join(self._paths.name("/" + word).removeprefix("/") for word in name.split()[:8])


def query_name(attributes: Attributes, span_name: str) -> str:
    """The summary of a query, or its statement without values, or its operation and collection."""
    summary = attributes.get("db.query.summary")
    if isinstance(summary, str) and summary:
        return normalise_statement(summary)
    text = _first(attributes, "db.query.text", "db.statement")
    if isinstance(text, str) and text.strip():
        return normalise_statement(text)
    operation = _first(attributes, "db.operation.name", "db.operation")
    place = _first(attributes, "db.collection.name", "db.sql.table", "db.mongodb.collection")
    known = [str(part) for part in (operation, place) if part]
    return normalise_statement(" ".join(known) or span_name)


def peer(attributes: Attributes) -> str:
    """The host a client span talks to, with its port unless that is the scheme's own."""
    host = _first(attributes, "server.address", "net.peer.name", "http.host")
    port = _first(attributes, "server.port", "net.peer.port")
    if host is None:
        host, port = _host_of(str(_first(attributes, "url.full", "http.url") or ""))
    return f"{host or 'unknown'}:{port}" if port not in (None, 80, 443) else str(host or "unknown")


def _host_of(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def _verb(method: object) -> str:
    return method if isinstance(method, str) and method in METHODS else OTHER_METHOD


def _rpc(attributes: Attributes) -> str | None:
    service, method = attributes.get("rpc.service"), attributes.get("rpc.method")
    if service is None and method is None:
        return None
    return "/".join(str(part) for part in (service, method) if part)


def _first(attributes: Attributes, *names: str) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def attach(processor: ProfileSpanProcessor) -> Callable[[], None] | None:
    """Add ``processor`` to the host's tracer provider, if that is one of the SDK.

    Gives a callable that detaches it again and makes it inert; None if there is no such provider (yet).
    """
    provider = get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return None
    provider.add_span_processor(processor)

    def detach() -> None:
        processor.stop()
        _forget(provider, processor)

    return detach


def _forget(provider: TracerProvider, processor: ProfileSpanProcessor) -> None:
    """The SDK has no call to remove a processor; where its tuple is out of reach, the inert one stays."""
    group = getattr(provider, "_active_span_processor", None)
    held = getattr(group, "_span_processors", None)
    if group is not None and isinstance(held, tuple):
        group._span_processors = tuple(one for one in held if one is not processor)
