"""Single requests and functions: kept traces, and flame graphs on demand."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.asked import trace_of, traces_of
from perfmw.dashboard.details import trace_row
from perfmw.dashboard.problems import ProblemError
from perfmw.runtime.flames import Session

LONGEST = 120.0
FLAME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "seconds": {"type": "number", "minimum": 1, "maximum": LONGEST, "default": 10},
        "memory": {"type": "boolean", "default": False, "description": "allocations too; slows everything"},
    },
}


async def list_traces(context: Context, request: Request) -> Response:
    traces, route = traces_of(context.host), request.query_params.get("route")
    slow = [trace_row(one) for one in traces.slow(route)] if traces is not None else []
    failed = [trace_row(one) for one in traces.failed(route)] if traces is not None else []
    return answer(request, {"slow": slow, "failed": failed})


async def get_trace(context: Context, request: Request) -> Response:
    return answer(request, trace_of(context.host, request.path_params["id"]))


async def start_flame(context: Context, request: Request) -> Response:
    body = await json_object(request)
    seconds, memory = body.get("seconds", 10), body.get("memory", False)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= LONGEST:
        raise ProblemError(422, f"seconds must be from 1 to {LONGEST:.0f}.")
    if not isinstance(memory, bool) or set(body) - set(FLAME_SCHEMA["properties"]):
        raise ProblemError(422, "The body takes seconds and memory (true or false).")
    session = context.flames.start(request.path_params["id"], float(seconds), memory)
    return answer(request, session, 202)


async def get_flame(context: Context, request: Request) -> Response:
    session: Session | None = context.flames.get(request.path_params["id"])
    if session is None:
        raise ProblemError(404, "This route was not profiled; POST here to begin.")
    return answer(request, session)


async def list_processes(context: Context, request: Request) -> Response:
    return page(request, sorted(context.snapshots.get().processes, key=lambda one: one.pid))


_FLAME = "/profiles/{id}/flame"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/traces",
        "The slowest and the last failed requests that were kept",
        list_traces,
        query={"route": {"type": "string"}},
    ),
    Endpoint("GET", "/traces/{id}", "One request with what it did", get_trace),
    Endpoint(
        "POST", _FLAME, "Watch a route with a sampling profiler", start_flame, body=FLAME_SCHEMA, status=202
    ),
    Endpoint("GET", _FLAME, "The last flame graph of a route", get_flame),
    Endpoint(
        "GET",
        "/processes",
        "The workers of this host: event loop, tasks, GC, memory",
        list_processes,
        query=PAGING,
    ),
)
