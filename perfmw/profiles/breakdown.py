"""Where the time of a sampled request went. Pure, apart from reading two clocks while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter, thread_time
from typing import Any, Final, Literal

from perfmw.profiles.usage import counted_receive, counted_send, resident, transferred

MOST_PARTS: Final = 400
"""Child spans kept of one request."""
MANY_QUERIES: Final = 5
"""So many runs of one statement in a request look like a query for each row of another (N+1)."""

PartKind = Literal["query", "integration", "serialisation", "workflow", "internal"]


@dataclass(slots=True, frozen=True)
class Part:
    """Something a request did: a span below the request's own. Unix seconds."""

    kind: PartKind
    name: str
    start: float
    end: float
    failed: bool = False
    span_id: int = 0
    parent_id: int = 0


@dataclass(slots=True, frozen=True)
class Repeated:
    """A statement that one request ran again and again, and the time that took in seconds."""

    statement: str
    count: int
    seconds: float


@dataclass(slots=True, frozen=True)
class Breakdown:
    """Seconds of one request; the parts from ``queueing`` to ``other`` add up to ``total`` + ``queueing``.

    ``queueing``: before perfmw, in a proxy that says when it took the request, as far as known.
    ``cache``: in perfmw, looking up, deciding, storing, waiting for another request's answer.
    ``app``: running the app's own code. ``database``, ``integrations``: waiting for them.
    ``loop_lag``: ready to go on, while the event loop was busy with others. ``other``: waiting for something
    that no span tells of, such as a client that reads slowly. ``cpu`` is processor time, part of the others.

    ``memory_bytes``: by how much the process's resident memory grew while the app's own code ran for this
    request. ``io_bytes``: what that code read from disks and wrote to them. ``network_bytes``: the bodies.
    """

    total: float
    queueing: float = 0.0
    cache: float = 0.0
    app: float = 0.0
    database: float = 0.0
    integrations: float = 0.0
    serialisation: float = 0.0
    loop_lag: float = 0.0
    other: float = 0.0
    cpu: float = 0.0
    memory_bytes: int = 0
    io_bytes: int = 0
    network_bytes: int = 0
    repeated: tuple[Repeated, ...] = ()


@dataclass(slots=True)
class Watch:
    """What is noted while a sampled request runs. Times are of ``perf_counter``."""

    began: float
    app_began: float = 0.0
    app_seconds: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    serialising: float = 0.0
    memory: int = 0
    io: int = 0
    network: int = 0
    parts: list[Part] = field(default_factory=list)

    def passed(self, size: int) -> None:
        """Bytes of a body went by."""
        self.network += size

    def add(self, part: Part) -> None:
        """Note a part; beyond the bound it is dropped."""
        if len(self.parts) < MOST_PARTS:
            self.parts.append(part)


watched: ContextVar[Watch | None] = ContextVar("perfmw_watched", default=None)

App = Callable[[Any, Any, Any], Awaitable[None]]


def metered(app: App) -> App:
    """An app that tells the request's ``Watch``, if there is one, how long it ran and how long it waited."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        watch = watched.get()
        if watch is None:
            await app(scope, receive, send)
            return
        watch.app_began = begun = perf_counter()
        try:
            counted = counted_receive(receive, watch.passed), counted_send(send, watch.passed)
            await _Metered(app(scope, *counted), watch)
        finally:
            watch.app_seconds += perf_counter() - begun

    return run


class _Metered:
    """Steps an awaitable as the event loop does, and adds up the steps."""

    __slots__ = ("_inner", "_watch")

    def __init__(self, inner: Awaitable[None], watch: Watch) -> None:
        self._inner = inner.__await__()
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, None]:
        step: Callable[[Any], Any] = self._inner.send
        value: Any = None
        while True:
            memory, io = resident(), transferred()
            clock, cpu = perf_counter(), thread_time()
            try:
                awaited = step(value)
            except StopIteration:
                return
            finally:
                watch = self._watch
                watch.busy += perf_counter() - clock
                watch.cpu += thread_time() - cpu
                watch.memory += resident() - memory
                watch.io += transferred() - io
            try:
                value, step = (yield awaited), self._inner.send
            except BaseException as error:
                value, step = error, self._inner.throw


def broken_down(
    watch: Watch, total: float, queueing: float, lags: Iterable[tuple[float, float]]
) -> Breakdown:
    """The breakdown of a request that took ``total`` seconds.

    ``lags``: stretches (``perf_counter``) in which the event loop was held up; what of them the request
    did itself is taken off.
    """
    database = covered_seconds((part.start, part.end) for part in watch.parts if part.kind == "query")
    calls = covered_seconds((part.start, part.end) for part in watch.parts if part.kind == "integration")
    serialising = min(watch.serialising, watch.busy)
    waiting = max(0.0, watch.app_seconds - watch.busy)
    held = covered_seconds(_clipped(lags, watch.began, watch.began + total))
    away_database, away_calls = min(database, waiting), min(calls, max(0.0, waiting - database))
    # A synchronous driver is not waited for: its time is part of the app's steps.
    inside = min(database + calls - away_database - away_calls, watch.busy - serialising)
    share = database / (database + calls) if database + calls > 0.0 else 0.0
    left = waiting - away_database - away_calls
    lag = min(max(0.0, held - watch.busy), left)
    return Breakdown(
        total=total,
        queueing=queueing,
        cache=max(0.0, total - watch.app_seconds),
        app=max(0.0, watch.busy - serialising - inside),
        database=away_database + inside * share,
        integrations=away_calls + inside * (1.0 - share),
        serialisation=serialising,
        loop_lag=lag,
        other=max(0.0, left - lag),
        cpu=watch.cpu,
        memory_bytes=watch.memory,
        io_bytes=watch.io,
        network_bytes=watch.network,
        repeated=repeated(watch.parts),
    )


def covered_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that at least one of the (start, end) pairs covers."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        if end > until:
            total += end - max(start, until)
            until = end
    return total


def _clipped(spans: Iterable[tuple[float, float]], low: float, high: float) -> list[tuple[float, float]]:
    return [(max(start, low), min(end, high)) for start, end in spans if end > low and start < high]


def repeated(parts: Iterable[Part]) -> tuple[Repeated, ...]:
    """Statements run at least ``MANY_QUERIES`` times in one request, the most time first."""
    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for part in parts:
        if part.kind == "query":
            counts[part.name] += 1
            seconds[part.name] += part.end - part.start  # type: ignore[assignment]
    found = [Repeated(name, n, float(seconds[name])) for name, n in counts.items() if n >= MANY_QUERIES]
    return tuple(sorted(found, key=lambda one: -one.seconds))


def queued_seconds(fields: Iterable[tuple[bytes, bytes]], now: float) -> float:
    """How long ago a proxy took the request, by X-Request-Start or X-Queue-Start; 0.0 where none says.

    The value is unix time in seconds, milliseconds or microseconds, with or without ``t=`` (nginx, Heroku).
    """
    for name, value in fields:
        if name in (b"x-request-start", b"x-queue-start"):
            try:
                at = float(value.removeprefix(b"t="))
            except ValueError:
                return 0.0
            while at > 1e11:
                at /= 1e3
            return now - at if 0.0 < now - at < 600.0 else 0.0
    return 0.0
