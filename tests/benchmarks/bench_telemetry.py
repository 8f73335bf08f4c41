"""What it costs to observe everything, on a real uvicorn, and whether what is told is true.

    python -m tests.benchmarks.bench_telemetry [--observing] [--recording] [--truth] [--json]

Servers, each in a process of its own, answer a Starlette hello that cannot be cached: plain; under perfmw;
under perfmw with 1% of spans; under perfmw with a recorded span for every request; and under
opentelemetry-instrumentation-asgi as it comes, every request recorded. The SDK's batch processor takes the
spans of both, and an exporter that throws them away. They are asked in turns, each with 16 requests under
way, in short blocks that begin with requests that do not count, since a process that slept is slow at first.
A figure is the median of the blocks' ratios with its 95% interval, of requests per second of the server's own
CPU time and, beside it, by the clock. Then routes of varying speed are asked by a load generator, and their
p50, p95 and p99 are compared with those that perfmw reports; the median of five trials.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import statistics
import struct
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from tests.benchmarks import served
from tests.benchmarks.verdicts import told

BLOCK, WARM, ROUNDS, PACED, PACERS, TRIALS = 2_000, 400, 16, 1_600, 4, 5
STARTS = 6
"""How often the servers are started anew: where a process's memory happens to lie makes it some percent
faster or slower for all its life."""
SETTLING = 3.0
SO_TIMESTAMPNS = 35
"""Linux: tell when each packet came, in CLOCK_REALTIME."""
HELLO, HELLO_ANSWER = served.request("/hello"), served.Answer(len("hello, world"))
OFTEN = ("plain", "perfmw", "perfmw 1%")
SELDOM = ("perfmw 100%", "otel asgi")
COSTS = {
    "without_spans": ("everything observed, no spans, of plain", 0.90),
    "observing": ("everything observed, 1% of spans, of plain", 0.90),
    "recording": ("every request a recorded span, of otel asgi", 3.0),
}
"""What is told of each comparison, and what it needs."""


def site() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello, world")

    async def varying(request: Request) -> Response:
        await asyncio.sleep(random.lognormvariate(-4.5, 0.5))
        return PlainTextResponse("hello, world")

    return Starlette(
        routes=[Route("/hello", hello), *(Route(f"/varying/{trial}", varying) for trial in range(TRIALS))]
    )


def provide() -> None:
    """An SDK as hosts set it up, with an exporter that costs nothing."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=65_536))
    trace.set_tracer_provider(provider)


def app(which: str) -> Any:
    if which == "plain":
        return site()
    if which != "perfmw":
        provide()
    if which == "otel asgi":
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(site())
    from perfmw import PerfMiddleware, Settings

    ratio = {"perfmw": 0.0, "perfmw 1%": 0.01}.get(which, 1.0)
    return PerfMiddleware(site(), settings=Settings(trace_ratio=ratio, dashboard="loopback"))


def pace(port: int, path: str, requests: int) -> list[float]:
    """Seconds of each request on one connection, by blocking calls, from before it is sent until its answer
    is here: when the kernel took that in, where it tells, since this thread may have to wait for a processor.
    """
    request, times = served.request(path), []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for _ in range(requests):
            begun = time.time_ns()
            connection.sendall(request)
            answer, ended = b"", 0
            while not answer.endswith(b"hello, world"):
                data, told, _, _ = connection.recvmsg(65_536, 256)
                answer, ended = answer + data, _arrived(told)
            times.append((ended - begun) / 1e9)
    return times


def _arrived(told: list[tuple[int, int, bytes]]) -> int:
    """Unix nanoseconds when data arrived, by the kernel; now, where it does not say."""
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data[: struct.calcsize("@ll")])
            return int(seconds) * 10**9 + int(nanoseconds)
    return time.time_ns()


def compare(port: int, path: str) -> dict[str, float]:
    """How far p50, p95 and p99 as reported are from those measured, beyond 0.2 ms, as a share."""
    with ThreadPoolExecutor(PACERS) as pool:
        paced = pool.map(lambda _: pace(port, path, PACED // PACERS), range(PACERS))
        seen = sorted(seconds for times in paced for seconds in times)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_perfmw/api/v1/profiles") as answer:
        profiles = json.loads(answer.read())["items"]
    ours = next(one for one in profiles if one["name"] == f"GET {path}")["metrics"]["latency"]
    assert ours["count"] == len(seen)
    figures = {}
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        measured = seen[int(q * (len(seen) - 1))]
        figures[f"{name}_measured_ms"], figures[f"{name}_told_ms"] = measured * 1e3, ours[name] * 1e3
        figures[f"{name}_off"] = max(0.0, abs(ours[name] - measured) - 2e-4) / measured
    return figures


def block(one: served.Server, requests: int) -> served.Rates:
    one.rates(HELLO, HELLO_ANSWER, WARM)
    return one.rates(HELLO, HELLO_ANSWER, requests)


def in_turns(servers: Sequence[str], requests: int) -> list[dict[str, served.Rates]]:
    return [row for _ in range(STARTS) for row in started(servers, requests, ROUNDS)]


def started(servers: Sequence[str], requests: int, rounds: int) -> list[dict[str, served.Rates]]:
    with ExitStack() as stack:
        there = {which: stack.enter_context(served.server(__file__, which)) for which in servers}
        for one in there.values():
            one.rates(HELLO, HELLO_ANSWER, WARM)
        time.sleep(SETTLING)  # what a process imports and learns once is no part of a request
        return served.compared({which: partial(block, one, requests) for which, one in there.items()}, rounds)


def observing() -> dict[str, float]:
    rows = in_turns(OFTEN, BLOCK)
    figures = {which: statistics.median(row[which].cpu for row in rows) for which in OFTEN}
    return figures | ratios("without_spans", rows, *OFTEN[1::-1]) | ratios("observing", rows, *OFTEN[2::-2])


def recording() -> dict[str, float]:
    rows = in_turns(SELDOM, BLOCK // 2)
    figures = {which: statistics.median(row[which].cpu for row in rows) for which in SELDOM}
    return figures | ratios("recording", rows, *SELDOM)


def ratios(name: str, rows: list[dict[str, served.Rates]], ours: str, theirs: str) -> dict[str, float]:
    """``ours`` of ``theirs``, by CPU time and by the clock, with 95% intervals."""
    figures = {}
    for clock in ("cpu", "wall"):
        low, middle, high = served.interval(
            [getattr(row[ours], clock) / getattr(row[theirs], clock) for row in rows]
        )
        figures |= {f"{name}_{clock}": middle, f"{name}_{clock}_low": low, f"{name}_{clock}_high": high}
    return figures


def truth() -> dict[str, float]:
    with served.server(__file__, "perfmw 1%") as one:
        trials = [compare(one.port, f"/varying/{trial}") for trial in range(TRIALS)]
    return {name: statistics.median(trial[name] for trial in trials) for name in trials[0]}


def tell_cost(figures: dict[str, float]) -> bool:
    for which in (*OFTEN, *SELDOM):
        if which in figures:
            print(f"{which:12s} {figures[which]:8.0f} requests per CPU second")
    good = True
    for name, (label, least) in COSTS.items():
        for clock, unit in (("cpu", "CPU time"), ("wall", "the clock")):
            if f"{name}_{clock}" in figures:
                low, high = figures[f"{name}_{clock}_low"], figures[f"{name}_{clock}_high"]
                what = f"{label}, by {unit} (95%: {low:.3f} to {high:.3f})"
                good &= told(what, figures[f"{name}_{clock}"], least=least)
    return good


def tell_truth(figures: dict[str, float]) -> bool:
    good = True
    for name in ("p50", "p95", "p99"):
        said, measured = figures[f"{name}_told_ms"], figures[f"{name}_measured_ms"]
        what = f"{name} told {said:.2f} ms, measured {measured:.2f} ms, beyond 0.2 ms off by"
        good &= told(what, figures[f"{name}_off"] * 100, most=2.0, unit="%")
    return good


def main() -> int:
    if "--serve" in sys.argv:
        served.serve(app(sys.argv[-1]))
        return 0
    parts = {
        "--observing": (observing, tell_cost),
        "--recording": (recording, tell_cost),
        "--truth": (truth, tell_truth),
    }
    chosen = [part for flag, part in parts.items() if flag in sys.argv] or parts.values()
    good = True
    for measure, tell in chosen:
        figures = measure()
        if "--json" in sys.argv:
            print(json.dumps(figures))
        else:
            good &= tell(figures)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
