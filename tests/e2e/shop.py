"""A small site with everything a dashboard can show: queries, failures, a blocking view, a rule."""

from __future__ import annotations

import sqlite3
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings, hookimpl
from perfmw.contracts import DashboardPanel

trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("shop")
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
database.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"item {n}") for n in range(20)])


def load(id: int) -> str:
    statement = "SELECT name FROM items WHERE id = ?"
    about = {"db.system.name": "sqlite", "db.query.text": statement}
    with tracer.start_as_current_span("SELECT items", kind=trace.SpanKind.CLIENT, attributes=about):
        (name,) = database.execute(statement, (id,)).fetchone()
    return str(name)


def work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def item(request: Request) -> Response:
    return PlainTextResponse(load(int(request.path_params["id"]) % 20))


async def basket(request: Request) -> Response:
    names = [load(id) for id in range(8)]
    work(0.2 if "slow" in request.query_params else 0.02)
    return JSONResponse(names)


async def blocks(request: Request) -> Response:
    time.sleep(0.25)  # noqa: ASYNC251 - what the dashboard is to find
    return PlainTextResponse("at last")


async def fails(request: Request) -> Response:
    return PlainTextResponse("no", 503)


routes = [
    Route("/items/{id}", item),
    Route("/basket", basket),
    Route("/blocks", blocks),
    Route("/fails", fails),
]
settings = Settings(
    cache_rules=[CacheRule(path="/items/*", ttl=600)],
    trace_ratio=1.0,
    usage_pattern_learning=True,
    dashboard="loopback",
    dashboard_token="an operator's 7114-SECRET",
    vitals_path="/_vitals",
    plugins=(),
)


class Stock:
    """A plugin with a panel on a page of its own."""

    @hookimpl
    def perfmw_register_dashboard_panels(self, settings: Settings) -> list[DashboardPanel]:
        rows = [("item 3", "2")]
        return [DashboardPanel("stock", "Running short", ("Item", "Left"), lambda: rows, page="Stock")]


app = PerfMiddleware(Starlette(routes=routes), settings=settings, plugins=[Stock()])
