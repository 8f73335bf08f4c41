"""The span of a request, as perfmw makes it: all of OpenTelemetry's API at a fraction of the SDK's cost.

The SDK's own span takes locks, bounded containers and a validation for each attribute. This one belongs
to a single request, so that plain containers do; it becomes what the SDK's processors and exporters expect
(``ReadableSpan``) when it ends. Importing this module imports the SDK.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from random import getrandbits
from time import time_ns
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY

from perfmw.profiles.covered import open_server_span

MOST_ATTRIBUTES: Final = 128
MOST_EVENTS: Final = 128

_SCOPE: Final = InstrumentationScope("perfmw", schema_url="https://opentelemetry.io/schemas/1.26.0")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status(StatusCode.UNSET)
_FAILED: Final = Status(StatusCode.ERROR)
_IDLE_AT_START: Final = (BatchSpanProcessor, SimpleSpanProcessor)
"""What these do when a span starts is nothing."""
_NO_CONTEXT: Final = otel_context.Context()
_TRACEPARENT: Final = b"traceparent"
_HOST, _AGENT, _CARRIER = range(3)
"""What a request field tells a span."""


class RequestSpan(trace.Span, ReadableSpan):
    """A server span that is being recorded.

    :param parent: the remote caller's span context, None for a root.
    :param start_time: unix nanoseconds.
    :param attributes: what is known of the request when it begins; the span's own from now on.
    :param carried: whether the request has fields of a caller's trace.
    """

    _kind = SpanKind.SERVER
    _end_time: int | None = None
    _status = _UNSET
    _events: Sequence[Event] = ()
    _links: Sequence[trace.Link] = ()
    _instrumentation_scope = _SCOPE
    _instrumentation_info = None

    def __init__(
        self,
        name: str,
        parent: SpanContext | None,
        start_time: int,
        resource: Resource,
        attributes: dict[str, Any] | None = None,
        carried: bool = False,
    ) -> None:
        if parent is None:
            trace_id, state = getrandbits(128) or 1, None
        else:
            trace_id, state = parent.trace_id, parent.trace_state
        self._name = name
        self._context: SpanContext = SpanContext(trace_id, getrandbits(64) or 1, False, _SAMPLED, state)
        self._parent = parent
        self._start_time = start_time
        self._attributes: dict[str, Any] = {} if attributes is None else attributes
        self._resource = resource
        self.carried = carried

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        if self._end_time is None and (key in self._attributes or len(self._attributes) < MOST_ATTRIBUTES):
            self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        if self._end_time is None and len(self._events) < MOST_EVENTS:
            self._events = [*self._events, Event(name, attributes, timestamp)]

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        if self._end_time is None and len(self._links) < MOST_EVENTS:
            self._links = [*self._links, trace.Link(context, attributes)]

    def update_name(self, name: str) -> None:
        if self._end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if self._end_time is None and self._status.status_code is not StatusCode.OK:
            self._status = Status(status, description) if isinstance(status, StatusCode) else status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        known = {
            "exception.type": f"{type(exception).__module__}.{type(exception).__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            **(attributes or {}),
        }
        self.add_event("exception", known, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End the span; it is told to nobody, which is the business of ``SpanSink``."""
        if self._end_time is None:
            self._end_time = time_ns() if end_time is None else end_time


class SpanSink:
    """Where finished request spans go: the host's processors, else those of perfmw's own exporter."""

    def __init__(self, own: SpanProcessor | None = None, resource: Resource | None = None) -> None:
        self._own = own
        self._own_resource = resource or Resource.create({})
        self._fields: tuple[object, dict[bytes, int]] = (None, {})
        self.starters: list[SpanProcessor] = []
        self.enders: list[SpanProcessor] = []
        self.resource = self._own_resource
        self.refresh()

    def refresh(self) -> None:
        """Look for the host's tracer provider again; it may have been set since."""
        provider = trace.get_tracer_provider()
        known: tuple[SpanProcessor, ...] = ()
        self.resource = self._own_resource
        if isinstance(provider, TracerProvider):
            self.resource = provider.resource
            group = provider._active_span_processor
            known = getattr(group, "_span_processors", (group,))
        listed = [one for one in known if not getattr(one, "leaves_requests_to_perfmw", False)]
        self.starters = [one for one in listed if not isinstance(one, _IDLE_AT_START)]
        self.enders = listed if self._own is None else [*listed, self._own]

    def open(self, scope: Mapping[str, Any], start_time: int) -> tuple[RequestSpan, Any]:
        """A span for a request that begins, and the OpenTelemetry context it is current in."""
        span, context = self._begun(scope, start_time)
        context = otel_context.Context({**context, _SPAN_KEY: span})
        for processor in self.starters:
            processor.on_start(span, context)  # type: ignore[arg-type]
        return span, context

    def retrospective(self, scope: Mapping[str, Any], start_time: int) -> RequestSpan:
        """A span for a request that has ended already."""
        return self._begun(scope, start_time)[0]

    def handed_down(
        self, scope: MutableMapping[str, Any], span: RequestSpan, context: Any
    ) -> MutableMapping[str, Any]:
        """The scope with ``span``, current in ``context``, as the caller, as a proxy would send it on.

        An instrumentation within, or an origin behind, that goes by the fields then joins the trace.
        """
        if _TRACEPARENT in self._propagated():  # all else that W3C's fields tell is as it came
            own = span._context
            others = scope["headers"]
            if span.carried:
                others = [one for one in others if one[0] != _TRACEPARENT]
            return {**scope, "headers": [*others, (_TRACEPARENT, b"00-%032x-%016x-01" % (own[0], own[1]))]}
        told: dict[str, str] = {}
        propagate.inject(told, context)
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
        replaced = {name for name, _ in fields}
        kept = [field for field in scope["headers"] if field[0] not in replaced]
        return {**scope, "headers": [*kept, *fields]}

    def _begun(self, scope: Mapping[str, Any], start_time: int) -> tuple[RequestSpan, otel_context.Context]:
        """A span for a request, and the context of its caller."""
        attributes, carried = asked(scope, self._propagated())
        context, parent = self._caller(scope, carried)
        span = RequestSpan(scope["method"], parent, start_time, self.resource, attributes, carried)
        return span, context

    def _caller(
        self, scope: Mapping[str, Any], carried: bool
    ) -> tuple[otel_context.Context, SpanContext | None]:
        """The host's server span around perfmw, if there is one; else the caller's context, by whatever
        propagators the host has chosen. ``carried``: whether the request has a field of theirs.
        """
        if open_server_span.get() is not None:
            around = trace.get_current_span()
            if around.is_recording():  # servers may leave the context of an old request behind
                return otel_context.get_current(), around.get_span_context()
        if carried:
            carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            context = propagate.extract(carrier, _NO_CONTEXT)
            parent = trace.get_current_span(context).get_span_context()
            return context, parent if parent.is_valid else None
        return _NO_CONTEXT, None

    def _propagated(self) -> dict[bytes, int]:
        """The request fields to look at, those that the host's propagators read among them."""
        propagator = propagate.get_global_textmap()
        if self._fields[0] is not propagator:
            carriers = {name.lower().encode(): _CARRIER for name in propagator.fields}
            self._fields = (propagator, {b"host": _HOST, b"user-agent": _AGENT} | carriers)
        return self._fields[1]

    def send(self, span: RequestSpan) -> None:
        """Hand a finished span to the processors."""
        for processor in self.enders:
            processor.on_end(span)


def attach(context: Any) -> Any:
    """Make a context current; gives the token for ``detach``."""
    return otel_context.attach(context)


def detach(token: Any) -> None:
    """Undo ``attach``; does nothing where the request ended in another context."""
    try:
        otel_context._RUNTIME_CONTEXT.detach(token)
    except ValueError:
        otel_context.attach(_NO_CONTEXT)


def asked(scope: Mapping[str, Any], known_fields: Mapping[bytes, int]) -> tuple[dict[str, Any], bool]:
    """What a request that begins tells, as attributes by the stable HTTP semantic conventions (1.26); and
    whether it has a field of a caller's trace, by what ``known_fields`` says of names.
    """
    method, carried = scope["method"], False
    known = method in _METHODS
    attributes: dict[str, Any] = {
        "http.request.method": method if known else "_OTHER",
        "url.scheme": scope.get("scheme", "http"),
        "url.path": scope["path"],
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if not known:
        attributes["http.request.method_original"] = method
    if scope.get("query_string"):
        attributes["url.query"] = _SECRET.sub(r"\1=REDACTED", scope["query_string"].decode("latin-1"))
    for name, value in scope["headers"]:
        kind = known_fields.get(name)
        if kind is None:
            continue
        if kind is _HOST:
            _name_host(attributes, value.decode("latin-1"))
        elif kind is _AGENT:
            attributes["user_agent.original"] = value.decode("latin-1")
        else:
            carried = True
    client = scope.get("client")
    if client:
        attributes["client.address"] = client[0]
    return attributes, carried


def describe(
    span: RequestSpan, *, route: str, status: int, cache_status: str | None, error: BaseException | None
) -> None:
    """Name and attributes that are known once the request has ended."""
    attributes = span._attributes
    if route:
        span._name = route
        attributes["http.route"] = route.partition(" ")[2]
    if status:
        attributes["http.response.status_code"] = status
    if cache_status is not None:
        attributes["http.response.header.cache-status"] = (cache_status,)
    if error is not None:
        span.record_exception(error, escaped=True)
        attributes["error.type"] = type(error).__qualname__
        span._status = _FAILED
    elif status >= 500:
        attributes["error.type"] = str(status)
        span._status = _FAILED


_SECRET: Final = re.compile(r"((?:^|(?<=&))(?:AWSAccessKeyId|Signature|sig|X-Goog-Signature))=[^&]*")
"""What of ``url.query`` the semantic conventions want left out."""
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)


def _name_host(attributes: dict[str, Any], text: str) -> None:
    host, _, port = text.rpartition(":")
    if port.isdigit() and host:
        text, attributes["server.port"] = host, int(port)
    attributes["server.address"] = text[1:-1] if text[:1] == "[" else text
