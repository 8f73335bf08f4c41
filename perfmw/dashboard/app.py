"""Builds the dashboard: routes, the guard before them, headers on every answer."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Coroutine
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from perfmw.dashboard.answers import Answers
from perfmw.dashboard.api import api_routes
from perfmw.dashboard.assets import serve_asset
from perfmw.dashboard.auth import Authorize, Guard, tokens_of
from perfmw.dashboard.context import Context, bind
from perfmw.dashboard.flames import Flames
from perfmw.dashboard.headers import SecurityHeaders
from perfmw.dashboard.host import Host, Snapshots
from perfmw.dashboard.live import Feed
from perfmw.dashboard.metrics import Scrapes, serve_metrics
from perfmw.dashboard.origins import ForwardedPrefix, local_path
from perfmw.dashboard.pages import page_routes
from perfmw.dashboard.problems import Boundary, ProblemError, on_problem
from perfmw.dashboard.refreshes import patience
from perfmw.dashboard.render import load_templates
from perfmw.dashboard.view import route_table, run_view, to_json
from perfmw.dashboard.whatif import Rehearsals


def create_app(runtime: Host, *, authorize: Authorize | None = None) -> Starlette:
    """The dashboard as an ASGI app, to be mounted where ``root_path`` then ends.

    :param runtime: a ``perfmw.Runtime``.
    :param authorize: decides, from the ASGI scope, who may pass, instead of mode and tokens; for a host that
        mounts the dashboard behind its own sign-in. It returns a role, "read" or "operate", or True for the
        latter, or False; or it is a coroutine function that does.
    :raises ValueError: the setting ``dashboard`` is ``off`` and no ``authorize`` is given.
    """
    mode = runtime.settings.dashboard
    if mode == "off" and authorize is None:
        raise ValueError('dashboard = "off"; allowed here: "loopback" or "token"')
    snapshots = Snapshots(runtime)
    answers = Answers(runtime)
    context = Context(
        runtime,
        snapshots,
        _feed(runtime, snapshots),
        Flames(runtime),
        Rehearsals(getattr(runtime, "learning", None), answers),
        load_templates(),
        answers,
    )
    app = Starlette(
        routes=_routes(context),
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Boundary),
            *([Middleware(ForwardedPrefix)] if runtime.settings.dashboard_trust_proxy else []),
            Middleware(TrailingSlash),
            _guard(runtime, authorize),
        ],
        exception_handlers={ProblemError: on_problem, HTTPException: on_problem},
    )
    app.router.redirect_slashes = False
    app.state.feed = context.feed
    return app


def _guard(runtime: Host, authorize: Authorize | None) -> Middleware:
    settings = runtime.settings
    return Middleware(
        Guard,
        mode=settings.dashboard,
        tokens=tokens_of(runtime),
        authorize=authorize,
        hosts=settings.dashboard_hosts,
        trusted=settings.dashboard_trust_proxy,
    )


def _routes(context: Context) -> list[Route]:
    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route(
            "/metrics",
            bind(context, partial(serve_metrics, Scrapes(context.host, context.snapshots))),
            methods=["GET"],
        ),
        Route("/static/{name}", serve_asset, methods=["GET"]),
        *api_routes(context),
        *page_routes(context),
    ]


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _feed(runtime: Host, snapshots: Snapshots) -> Feed:
    def spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return runtime.spawn(coro, name="dashboard-events")

    feed = Feed(lambda: _state(runtime, snapshots, feed.listeners), spawn)
    return feed


def _state(runtime: Host, snapshots: Snapshots, pages: int) -> bytes:
    """One event. ``parts`` changes when the page should ask for its slower parts again, and at the latest
    after ``patience`` seconds."""
    snapshot = snapshots.get()
    state = runtime.optimization_state()
    slow = to_json([state, runtime.ledger.entries()[-3:], runtime.alerts])
    event = {
        "taken_at": snapshot.taken_at,
        "overview": runtime.overview(),
        "routes": route_table(snapshot),
        "optimization": state,
        "running": run_view(state).running,
        "parts": zlib.crc32(slow),
        "patience": patience(pages),
    }
    return to_json(event)


class TrailingSlash:
    """Sends ``/_perfmw`` to ``/_perfmw/``, by a relative URL so that no proxy's prefix is lost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and local_path(scope) == "":
            last = scope.get("root_path", "").rpartition("/")[2]
            await Response(status_code=307, headers={"location": f"./{last}/"})(scope, receive, send)
        else:
            await self.app(scope, receive, send)
