"""Spans that perfmw opens itself, for sampled requests alone, and who counts which request.

It is at work only where somebody wants spans: a share of requests was asked for (``trace_ratio``), or the
host has a tracer provider of the OpenTelemetry SDK, whose spans feed the profiles too. A request that is
not sampled pays for a random number; if it turns out slow or failed, its span is made afterwards.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextvars import Token
from time import perf_counter
from typing import Any, Protocol

from perfmw.http.messages import StoredResponse
from perfmw.profiles.breakdown import Part, Watch, broken_down, queued_seconds, watched
from perfmw.profiles.covered import mark_covered, open_server_span
from perfmw.profiles.flames import FlameSession
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.traces import Exemplar, Trace, Traces
from perfmw.profiles.tracked import profile_id

Messages = Callable[[Any], Awaitable[None]]
Scope = MutableMapping[str, Any]
Lags = Callable[[float], Iterable[tuple[float, float]]]

_SAMPLED = 0x01
_MOST_OPEN = 10_000
_LOOKS = 5
"""Sampled requests a second that are watched step by step; enough for any breakdown."""


class Answers(Protocol):
    """Answers requests, and tells by what: a response that was stored, or who has a name and a status.

    ``observed`` does the same and tells ``breakdown.watched`` when the app runs. ``plain`` is what they have
    found out about the scope. ``serves``: whether a request is for pages of their own, which get no span.
    """

    async def __call__(
        self, scope: Any, receive: Any, send: Any, told: list[object] | None = None, plain: Any = None
    ) -> None: ...

    @property
    def observed(self) -> Answers: ...

    def serves(self, scope: Any) -> bool: ...


def named(told: list[object]) -> tuple[str, int]:
    """Route and status of what answered a request; empty and 0 where nothing says."""
    if not told:
        return "", 0
    answered: Any = told[0]
    if type(answered) is StoredResponse:
        return answered.route, answered.status
    return getattr(answered, "name", "") or answered.route(), answered.status


def parent_of(scope: Mapping[str, Any]) -> bytes | None:
    """The request's ``traceparent``."""
    return next((value for name, value in scope["headers"] if name == b"traceparent"), None)


def _no_lags(since: float) -> Iterable[tuple[float, float]]:
    return ()


class RequestTracing:
    """Opens a server span for a sampled request; marks every request as counted by the middleware.

    :param ratio: the share of requests without a parent that get a span, 0..1. A request with a valid
        ``traceparent`` gets one if and only if its parent was sampled (W3C Trace Context), and ``ratio`` > 0.
    :param slow: seconds from which a request gets a span however it was sampled; so do failed ones.
    :param store: where estimates of what requests used are kept.
    :param foreign: let the instrumentation of OpenTelemetry for ASGI make the spans of sampled requests.
    """

    def __init__(
        self,
        ratio: float,
        *,
        slow: float = 2.0,
        store: ProfileStore | None = None,
        foreign: bool = False,
        lags: Lags = _no_lags,
    ) -> None:
        self.ratio = ratio
        self.slow = slow
        self.foreign = foreign
        self.traces = Traces()
        self.processor: Any = None
        """A span processor of perfmw's own, such as the one of an exporter."""
        self.chance = ratio
        """The share of requests without a parent that ``run`` is to answer."""
        self._flames: FlameSession | None = None
        self._store = store
        self._lags = lags
        self._sink: Any = None
        self._kit: Any = None
        self._looks = _LOOKS
        self._looks_at = 0.0
        self._open: dict[int, Watch] = {}

    @property
    def flames(self) -> FlameSession | None:
        """Set while a route is being profiled."""
        return self._flames

    @flames.setter
    def flames(self, session: FlameSession | None) -> None:
        self._flames = session
        self.chance = self.ratio if session is None else 1.0

    def takes(self, parent: bytes | None, drawn: bool) -> bool:
        """Whether ``run`` is to answer a request: it is sampled, or being profiled.

        To be asked unless the request has no ``traceparent``, runs within no server span and was not drawn.

        :param parent: its ``traceparent``.
        :param drawn: whether a random number within 0..1 was below ``chance``.
        """
        mark = open_server_span.get()
        if mark is not None:
            mark.covered = True  # the host's span around perfmw need not be counted
        if parent is None or self._flames is not None or self.ratio <= 0.0:
            return drawn
        try:
            return bool(int(parent.split(b"-")[3], 16) & _SAMPLED)
        except (IndexError, ValueError):
            return drawn

    def run(
        self, answers: Answers, scope: Scope, receive: Any, send: Messages, plain: Any = None
    ) -> Awaitable[None]:
        """Have the request answered within a span, or watched by a profiler; to be awaited."""
        if self._flames is not None:
            return self._profiled(self._flames, answers, scope, receive, send)
        return self._traced(answers, scope, receive, send, plain)

    async def unsampled(self, scope: Scope, told: list[object], answer: Awaitable[None]) -> None:
        """Await ``answer``, which fills ``told``; if it was slow or failed, make its span afterwards."""
        begun = perf_counter()
        try:
            await answer
        except Exception as error:
            self._afterwards(scope, perf_counter() - begun, told, error)
            raise
        seconds = perf_counter() - begun
        if seconds >= self.slow or (told and told[0].status >= 500):  # type: ignore[attr-defined]
            self._afterwards(scope, seconds, told, None)

    def afterwards(self, scope: Scope, seconds: float, answered: object) -> None:
        """Make the span of a request that was slow or failed, after the fact."""
        self._afterwards(scope, seconds, [answered], None)

    def failed(self, scope: Scope, seconds: float, answered: object, error: BaseException) -> None:
        """Make the span of a request that ended in an exception; one that was cancelled gets none."""
        if isinstance(error, Exception):
            self._afterwards(scope, seconds, [answered], error)

    @property
    def sink(self) -> Any:
        """Where spans go; made when the first one does, since it imports the SDK."""
        if self._sink is None:
            from perfmw.profiles import request_span

            self._kit = request_span
            self._sink = request_span.SpanSink(self.processor, getattr(self.processor, "resource", None))
        return self._sink

    def refresh(self) -> None:
        """The host may have a tracer provider by now."""
        if self._sink is not None:
            self._sink.refresh()

    # ---- sampled

    async def _traced(self, answers: Answers, scope: Scope, receive: Any, send: Messages, plain: Any) -> None:
        sink, kit = self.sink, self._kit
        if (self.foreign or sink.starters) and answers.serves(scope):
            await answers(scope, receive, send, [])
            return
        if self.foreign:
            await self._by_others(answers, scope, receive, send)
            return
        started, begun = time.time_ns(), perf_counter()
        span, context = sink.open(scope, started)
        noted, looked = _Noted(send), self._look(span._context[0], begun)
        token, error = kit.attach(context), None
        told: list[object] = []
        try:
            below = sink.handed_down(scope, span, context)
            await (answers if looked is None else answers.observed)(below, receive, noted, told, plain)
        except BaseException as problem:
            error = problem
            raise
        finally:
            seconds = perf_counter() - begun
            kit.detach(token)
            watch = self._looked(span._context[0], looked)
            route, status = named(told)
            left = bool(told) and bool(getattr(told[0], "finished_at", 0.0))
            if noted.status or (error is not None and not left):
                status = noted.status  # what passed by; a head that is used again does not
            cache = noted.cache or (getattr(told[0], "cache_status", None) if told else None)
            kit.describe(span, route=route, status=status, cache_status=cache, error=error)
            span._end_time = started + int(seconds * 1e9)
            if told or error is not None:  # what was asked of the dashboard is no request
                sink.send(span)
            if route:
                self._note(scope, span._context, started / 1e9, route, status, seconds, watch)

    def _look(self, trace_id: int, now: float) -> tuple[Watch, Token[Watch | None]] | None:
        """Watch this request, unless there have been enough in this second."""
        if now - self._looks_at >= 1.0:
            self._looks, self._looks_at = _LOOKS, now
        if self._looks <= 0 or len(self._open) >= _MOST_OPEN:
            return None
        self._looks -= 1
        watch = self._open[trace_id] = Watch(now)
        return watch, watched.set(watch)

    def _looked(self, trace_id: int, looked: tuple[Watch, Token[Watch | None]] | None) -> Watch | None:
        """The request has ended: what was seen of it."""
        if looked is None:
            return None
        watch, token = looked
        _unwatch(token)
        if self._open.get(trace_id) is watch:  # several requests may belong to one trace
            del self._open[trace_id]
        return watch

    async def _by_others(self, answers: Answers, scope: Scope, receive: Any, send: Messages) -> None:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        async def app(scope: Scope, receive: Any, send: Messages) -> None:
            await self._within(answers, scope, receive, send)

        with mark_covered():
            await OpenTelemetryMiddleware(app)(scope, receive, send)

    async def _within(self, answers: Answers, scope: Scope, receive: Any, send: Messages) -> None:
        """Have a request answered within a span of somebody else's, which is the current one."""
        from opentelemetry.trace import get_current_span

        context, at, begun = get_current_span().get_span_context(), time.time(), perf_counter()
        noted, looked = _Noted(send), self._look(context.trace_id, begun)
        told: list[object] = []
        try:
            await answers.observed(scope, receive, noted, told)
        finally:
            watch, route = self._looked(context.trace_id, looked), named(told)[0]
            if route and context.is_valid:
                self._note(scope, context, at, route, noted.status, perf_counter() - begun, watch)

    def _note(
        self,
        scope: Scope,
        context: Any,
        at: float,
        route: str,
        status: int,
        seconds: float,
        watch: Watch | None,
    ) -> None:
        """Keep what is worth it of a request with a span of ``context`` that began ``at`` unix seconds."""
        kept = self.traces.wants(route, seconds, status >= 500 or status == 0, at)
        if kept or not self.traces.pointed(route, seconds, at):
            self.traces.point_at(route, Exemplar(context[0], context[1], seconds, at, kept))
        breakdown = None
        if watch is not None:
            queueing = queued_seconds(scope["headers"], at)
            breakdown = broken_down(watch, seconds, queueing, self._lags(watch.began))
            self._account(route, breakdown)
        if kept:
            parts = watch.parts if watch is not None else ()
            self.traces.keep(_trace(context, route, at, seconds, status, breakdown, parts))

    def _account(self, route: str, breakdown: Any) -> None:
        tracked = self._store.tracked(profile_id("component", route)) if self._store is not None else None
        if tracked is not None:
            tracked.account(breakdown)

    def add_part(self, trace_id: int, part: Part) -> None:
        """A span below a request's own has ended."""
        watch = watched.get() or self._open.get(trace_id)
        if watch is not None:
            watch.add(part)

    async def _profiled(
        self, flames: FlameSession, answers: Answers, scope: Scope, receive: Any, send: Messages
    ) -> None:
        told: list[object] = []
        await flames.run(lambda: answers(scope, receive, send, told), lambda: named(told)[0])

    # ---- not sampled, but slow or failed

    def _afterwards(
        self, scope: Scope, seconds: float, told: list[object], error: BaseException | None
    ) -> None:
        ended, sink = time.time_ns(), self.sink
        span = sink.retrospective(scope, ended - int(seconds * 1e9))
        route, status = named(told)
        self._kit.describe(span, route=route, status=status, cache_status=None, error=error)
        span.end(ended)
        sink.send(span)
        if route:
            context, at = span.get_span_context(), ended / 1e9 - seconds
            self.traces.point_at(route, Exemplar(context.trace_id, context.span_id, seconds, at, True))
            self.traces.keep(_trace(context, route, at, seconds, status, None, ()))


def _trace(
    context: Any, route: str, at: float, seconds: float, status: int, breakdown: Any, parts: Iterable[Part]
) -> Trace:
    ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return Trace(*ids, route, at, seconds, status, breakdown, tuple(parts))


def _unwatch(token: Token[Watch | None]) -> None:
    try:
        watched.reset(token)
    except ValueError:  # the request ended in another context
        watched.set(None)


class _Noted:
    """The client's ``send``, which notes the status and Cache-Status that pass by.

    Like a method it tells whose it is, as far as ``send`` does: the server's request under way.
    """

    __slots__ = ("__self__", "_send", "cache", "status")

    def __init__(self, send: Messages) -> None:
        self._send = send
        self.__self__ = getattr(send, "__self__", None)
        self.status = 0
        self.cache: str | None = None

    def __call__(self, message: Any) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", ()):
                if name == b"cache-status":
                    self.cache = value.decode("latin-1")
        return self._send(message)


class HostSpans:
    """Lets the spans of the host's own OpenTelemetry instrumentation feed the profiles, once it has any.

    ``counted``: whether the running code belongs to a request that the middleware counts.
    """

    def __init__(
        self,
        store: ProfileStore,
        classify: Callable[[Any], Any] | None,
        counted: Callable[[], bool] | None = None,
    ) -> None:
        self._store = store
        self._classify = classify
        self._counted = counted
        self._detach: Callable[[], None] | None = None
        self.tracing: RequestTracing | None = None
        """Who is told of spans below a request's."""

    @property
    def attached(self) -> bool:
        return self._detach is not None

    def attach(self) -> bool:
        """Attach to the host's tracer provider; whether it is attached. Cheap, to be asked again later."""
        if self._detach is None and "opentelemetry.sdk.trace" in sys.modules:
            from perfmw.profiles.spans import ProfileSpanProcessor, attach

            processor = ProfileSpanProcessor(
                self._store, self._classify, counted=self._counted, on_part=self._part
            )
            self._detach = attach(processor)
        return self.attached

    def _part(self, trace_id: int, part: Part) -> None:
        if self.tracing is not None:
            self.tracing.add_part(trace_id, part)

    def detach(self) -> None:
        """Take in no more spans."""
        if self._detach is not None:
            self._detach()
            self._detach = None
