"""Where the time of a request goes, and which requests are kept to be looked at."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.profiles.breakdown import (
    MOST_PARTS,
    Part,
    Watch,
    broken_down,
    covered_seconds,
    metered,
    queued_seconds,
    repeated,
    watched,
)
from perfmw.profiles.traces import Exemplar, Trace, Traces
from perfmw.profiles.usage import resident, transferred

pytestmark = pytest.mark.anyio


def part(kind: Any, start: float, end: float, name: str = "SELECT ?") -> Part:
    return Part(kind, name, start, end)


def test_the_parts_add_up() -> None:
    watch = Watch(0.0, app_began=0.1, app_seconds=0.8, busy=0.2, cpu=0.15, serialising=0.05)
    watch.parts = [part("query", 10.0, 10.2), part("query", 10.1, 10.3), part("integration", 10.3, 10.4)]
    found = broken_down(watch, 1.0, 0.25, [(0.2, 0.5), (5.0, 9.0)])
    assert found.database == pytest.approx(0.3)
    assert found.integrations == pytest.approx(0.1)
    assert found.cache == pytest.approx(0.2)
    assert found.app == pytest.approx(0.15)
    assert found.serialisation == 0.05
    assert found.loop_lag == pytest.approx(0.1)
    assert found.other == pytest.approx(0.1)
    assert found.queueing == 0.25


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1),
    st.lists(st.tuples(st.sampled_from(["query", "integration"]), st.floats(0, 1), st.floats(0, 1))),
)  # fmt: skip
def test_they_always_add_up(
    app: float, busy: float, serialising: float, lag: float, spans: list[tuple[str, float, float]]
) -> None:
    watch = Watch(0.0, app_seconds=app, busy=min(busy, app), serialising=serialising)
    watch.parts = [part(kind, start, start + length * app) for kind, start, length in spans]
    found = broken_down(watch, 1.0, 0.0, [(0.0, lag)])
    parts = (
        found.cache, found.app, found.database, found.integrations, found.serialisation, found.loop_lag,
        found.other,
    )  # fmt: skip
    assert sum(parts) == pytest.approx(1.0)
    assert min(parts) >= -1e-12


def test_a_blocking_driver_is_no_code_of_the_app() -> None:
    watch = Watch(0.0, app_seconds=1.0, busy=1.0, parts=[part("query", 0.0, 0.7)])
    found = broken_down(watch, 1.0, 0.0, ())
    assert found.database == pytest.approx(0.7)
    assert found.app == pytest.approx(0.3)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=20))
def test_overlapping_spans_count_once(spans: list[tuple[int, int]]) -> None:
    pairs = [(start, start + length) for start, length in spans]
    seconds = {second for start, end in pairs for second in range(start, end)}
    assert covered_seconds(pairs) == len(seconds)


def test_a_statement_run_for_each_row_is_found() -> None:
    parts = [part("query", n, n + 0.5, "SELECT item") for n in range(7)]
    parts += [part("query", 9.0, 9.1, "SELECT list"), *[part("integration", 1, 2, "GET x")] * 9]
    found = repeated(parts)
    assert [(one.statement, one.count, one.seconds) for one in found] == [("SELECT item", 7, 3.5)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"t=1000.0", 0.5),
        (b"1000000", None),
        (b"1700000000000", None),
        (b"soon", 0.0),
        (b"t=2000", 0.0),
        (b"10", 0.0),
    ],
)
def test_queueing_is_what_the_proxy_says(value: bytes, seconds: float | None) -> None:
    found = queued_seconds([(b"host", b"x"), (b"x-request-start", value)], 1000.5)
    assert found == pytest.approx(0.0 if seconds is None else seconds)


def test_queueing_in_milliseconds_and_microseconds() -> None:
    now = 1_800_000_000.0
    for factor in (1, 1e3, 1e6):
        fields = [(b"x-queue-start", b"t=%d" % ((now - 2.0) * factor))]
        assert queued_seconds(fields, now) == pytest.approx(2.0)


async def run(app: Any) -> Watch:
    watch = Watch(time.perf_counter())
    token = watched.set(watch)
    try:
        await metered(app)({}, None, None)
    finally:
        watched.reset(token)
    return watch


async def test_running_and_waiting_are_told_apart() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.05)

    watch = await run(app)
    assert watch.app_seconds >= 0.07
    assert 0.02 <= watch.busy <= watch.app_seconds - 0.045
    assert 0.0 < watch.cpu <= watch.busy + 0.01


async def test_exceptions_and_cancellation_pass_through() -> None:
    seen = []

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise LookupError("no")

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(LookupError):
        await run(fails)
    task = asyncio.create_task(run(waits))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_without_a_watch_an_app_is_just_called() -> None:
    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)

    await metered(app)({"a": 1}, None, None)
    assert calls == [{"a": 1}]


def test_parts_are_bounded() -> None:
    watch = Watch(0.0)
    for _ in range(MOST_PARTS + 10):
        watch.add(part("query", 0, 1))
    assert len(watch.parts) == MOST_PARTS


def trace(seconds: float, at: float = 0.0, status: int = 200, route: str = "GET /a") -> Trace:
    return Trace(f"{at:.0f}-{seconds}", "s", route, at, seconds, status)


def test_the_slowest_and_the_last_failed_are_kept() -> None:
    traces = Traces(slowest=3)
    for number in range(20):
        traces.keep(trace(number % 7 + 1.0, at=float(number)))
        traces.keep(trace(0.1, at=float(number), status=500 if number % 2 else 0))
    assert [one.seconds for one in traces.slow("GET /a")] == [7.0, 7.0, 6.0]
    assert [one.at for one in traces.failed()] == [19.0, 18.0, 17.0]
    assert not traces.wants("GET /a", 5.0, failed=False, at=20.0)
    assert traces.wants("GET /a", 6.5, failed=False, at=20.0)
    assert traces.wants("GET /a", 0.0, failed=True, at=20.0)
    assert traces.find("19-0.1") == traces.failed()[0]
    assert traces.find("nothing") is None


def test_old_slow_traces_make_way() -> None:
    traces = Traces(slowest=2)
    traces.keep(trace(9.0, at=0.0))
    traces.keep(trace(8.0, at=0.0))
    traces.keep(trace(1.0, at=7200.0))
    assert [one.seconds for one in traces.slow()] == [1.0]


def test_yesterdays_slow_traces_do_not_keep_todays_out() -> None:
    traces = Traces(slowest=2)
    for seconds in (9.0, 8.0):
        assert traces.wants("GET /a", seconds, False, 0.0)
        traces.keep(trace(seconds, at=0.0))
    assert not traces.wants("GET /a", 1.0, False, 3599.0)
    assert traces.wants("GET /a", 1.0, True, 3599.0)
    assert traces.wants("GET /a", 1.0, False, 3601.0)


def test_routes_are_bounded() -> None:
    traces = Traces(routes=5)
    for number in range(50):
        traces.keep(trace(1.0, route=f"GET /{number}"))
        traces.keep(trace(1.0, route=f"GET /{number}", status=500))
        traces.point_at(f"GET /{number}", Exemplar(1, 2, 0.1, 0.0))
    assert len(traces.slow()) == len(traces.failed()) == 5
    assert [traces.exemplars("GET /0"), len(traces.exemplars("GET /49"))] == [[], 1]


def test_workers_that_hear_of_failures_in_another_order_keep_the_same() -> None:
    one, other = Traces(), Traces()
    failed = [trace(1.0, status=500, at=float(number)) for number in range(8)]
    for kept in failed:
        one.keep(kept)
    for kept in reversed(failed):
        other.keep(kept)
    assert one.failed() == other.failed()


def test_an_exemplar_stands_for_its_bucket() -> None:
    traces = Traces()
    for number, seconds in enumerate((0.010, 0.012, 0.1, 3.0)):
        traces.point_at("GET /a", Exemplar(number, number, seconds, float(number)))
    assert [one.seconds for one in traces.exemplars("GET /a")] == [0.012, 0.1, 3.0]


def test_an_exemplar_of_a_slow_bucket_has_a_trace_to_look_at() -> None:
    traces = Traces()
    at = 0.0
    for number in range(1, 400):
        at, seconds = at + 1.0, 1.01 + (number * 37 % 400) / 450
        kept = traces.wants("GET /a", seconds, False, at)
        traces.point_at("GET /a", Exemplar(number, number, seconds, at, kept))
        if kept:
            traces.keep(Trace(f"{number:032x}", f"{number:016x}", "GET /a", at, seconds, 200))
    (exemplar,) = traces.exemplars("GET /a")
    assert traces.find(f"{exemplar.trace_id:032x}") is not None
    traces.point_at("GET /a", Exemplar(500, 500, 1.5, at + 7200.0))  # an old one makes way
    assert [one.trace_id for one in traces.exemplars("GET /a")] == [500]


async def test_making_json_is_told_apart_while_somebody_watches() -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from perfmw import PerfMiddleware, Settings
    from perfmw.testing import Client

    async def rows(request: Request) -> JSONResponse:
        return JSONResponse([{"id": number} for number in range(5000)])

    plain = JSONResponse.render
    middleware = PerfMiddleware(Starlette(routes=[Route("/rows", rows)]), settings=Settings(trace_ratio=1.0))
    async with Client(middleware) as client:
        assert (await client.get("/rows")).status == 200
        assert JSONResponse.render is not plain
        tracing = middleware.runtime.tracing
        assert tracing is not None
        found = tracing.traces.slow("GET /rows")[0].breakdown
    assert JSONResponse.render is plain
    assert found is not None
    assert 0.0 < found.serialisation < found.total


async def test_memory_and_bodies_are_attributed_to_the_request_that_used_them() -> None:
    kept = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"question"
        kept.append(b"x" * 32_000_000)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"question", "more_body": False}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    watch = Watch(time.perf_counter())
    token = watched.set(watch)
    try:
        await metered(app)({"type": "http"}, receive, send)
    finally:
        watched.reset(token)
    found = broken_down(watch, 1.0, 0.0, ())
    assert found.network_bytes == len("question") + len("answer")
    if resident():
        assert found.memory_bytes == pytest.approx(32_000_000, rel=0.2)
    assert found.io_bytes >= 0
    assert kept


def test_the_system_says_what_a_process_uses() -> None:
    before = resident()
    block = bytearray(b"x" * 24_000_000)
    if sys.platform == "linux":
        assert resident() - before > 12_000_000
        assert transferred() % 512 == 0
    assert len(block) == 24_000_000
