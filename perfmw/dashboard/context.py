"""What every page and API resource is handed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts.resources import ResourceOptimizationResult
from perfmw.dashboard.answers import Answers
from perfmw.dashboard.flames import Flames
from perfmw.dashboard.host import Host, Snapshots
from perfmw.dashboard.live import Feed
from perfmw.dashboard.refreshes import Refreshes
from perfmw.dashboard.whatif import Rehearsals

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Context:
    """``templates`` is None when jinja2 is not installed: the API and ``/metrics`` work without it."""

    host: Host
    snapshots: Snapshots
    feed: Feed
    flames: Flames
    rehearsals: Rehearsals
    templates: Environment | None
    answers: Answers
    refreshes: Refreshes = field(default_factory=Refreshes)

    def allocations(self) -> dict[str, ResourceOptimizationResult]:
        """Resource manager id -> what came of optimizing it last."""
        return self.answers.every("allocation ", ResourceOptimizationResult)


Handler = Callable[[Context, Request], Awaitable[Response]]


def bind(context: Context, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler as Starlette's router calls it."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(context, request)
        finally:
            if request.method not in ("GET", "HEAD"):
                context.snapshots.forget()  # whoever asks next is to see what was changed
                context.refreshes.forget()

    return endpoint
