"""What Prometheus asks for: made between requests piece by piece, once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import RuntimeSnapshot
from perfmw.dashboard.context import Context
from perfmw.dashboard.headers import compressed
from perfmw.dashboard.host import Host, Snapshots
from perfmw.dashboard.problems import ProblemError


@dataclass(slots=True)
class Scrapes:
    """Expositions and their content types."""

    host: Host
    snapshots: Snapshots
    _under_way: dict[str, asyncio.Task[tuple[bytes, str]]] = field(default_factory=dict)

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """The exposition in the form asked for. Raises ProblemError 501 when no exporter has the name."""
        exporter = self.host.exporters.get("prometheus")
        if exporter is None:
            raise ProblemError(501, "No exporter is registered under the name 'prometheus'.")
        task = self._under_way.get(accept)
        if task is None:
            work = _exposition(exporter, self.snapshots.get(max_age=0.0), accept)
            task = self._under_way[accept] = self.host.spawn(work, name="perfmw-metrics")
            task.add_done_callback(lambda _: self._under_way.pop(accept, None))
        return await asyncio.shield(task)  # who gives up does not take it from the others


async def _exposition(exporter: Any, snapshot: RuntimeSnapshot, accept: str) -> tuple[bytes, str]:
    """Piece by piece, and in the form asked for, if the exporter knows how; else at once."""
    pieces = getattr(exporter, "pieces", None)
    if pieces is None:
        return exporter.render(snapshot).encode(), exporter.content_type
    made, (parts, content_type) = [], pieces(snapshot, accept)
    for piece in parts:
        made.append(piece)
        await asyncio.sleep(0)  # requests go first
    return b"".join(made), content_type


async def serve_metrics(scrapes: Scrapes, context: Context, request: Request) -> Response:
    body, content_type = await scrapes.answer(request.headers.get("accept", ""))
    response = Response(body, headers={"content-type": content_type, "vary": "accept"})
    return compressed(response, request.headers)
