"""What could be faster, what is being tried, and what came of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.host import RECENT
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.render import render
from perfmw.dashboard.view import outcomes, waiting

LEDGER_LINES = 50
ROWS = 50


def automatic(host: Any) -> bool:
    """Whether perfmw optimizes without being asked."""
    optimizing = getattr(host, "optimizing", None)
    return bool(optimizing.automatic if optimizing is not None else host.settings.auto_optimization)


async def show(context: Context, request: Request) -> Response:
    shared = frame(context, request, "optimization")
    rest = partial(_figures, context, shared["window"])
    return await render(context, request, "optimization.html", rest, **shared)


def _figures(context: Context, window: float) -> dict[str, Any]:
    host, shown = context.host, figures_of(context, window, RECENT)
    found = shown["snapshot"].optimizations
    return {
        **shown,
        "opportunities": found.identified[:ROWS],
        "potentials": found.potential[:ROWS],
        "advice": found.recommendations[:ROWS],
        "ledger": outcomes(host.ledger, LEDGER_LINES),
        "standing": [entry.opportunity.title for entry in host.ledger.kept()],
        "automatic": automatic(host),
        "shared": host.settings.state_dir is not None,
        "waiting": waiting(host.ledger),
        "level": host.settings.optimization_level,
    }


PAGES: dict[str, Handler] = {"/optimization": show}
