"""Other caches for ASGI apps, set up as their documents say: an hour for every GET.

None of them is needed to test perfmw; install the one to compare, then for example
``python -m tests.safety.run hishel=tests.safety.peers:hishel``.
"""

# No postponed annotations here: frameworks read those of the routes, whose names are imported in functions.
import tempfile
from pathlib import Path
from typing import Any

from tests.safety.site import Site

_LONGEST = 3600


async def _call(site: Site, scope: Any, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The site's answer, for caches that sit on a framework's routes."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await site(scope, receive, send)
    return sent[0]["status"], sent[0]["headers"], sent[1]["body"]


def hishel(site: Site) -> Any:
    """hishel's ASGI middleware, which by rule rather than by header caches with ``rfc=False``."""
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    path = Path(tempfile.mkdtemp()) / "cache.db"
    return ASGICacheMiddleware(site, storage=AsyncSqliteStorage(database_path=str(path)), rfc=False)


def fastapi_cache(site: Site) -> Any:
    """fastapi-cache2's decorator on a route for every path."""
    from fastapi import FastAPI, Request
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.reset()
    FastAPICache.init(InMemoryBackend())
    app = FastAPI()

    @app.get("/{path:path}")
    @cache(expire=_LONGEST)
    async def page(request: Request, path: str) -> str:
        _, _, body = await _call(site, request.scope, await request.body())
        return body.decode("latin-1")  # it stores what a route returns, not the response

    return app


def litestar(site: Site) -> Any:
    """Litestar's response cache on a route for every path."""
    from litestar import Litestar, Request, Response, get

    @get(["/", "/{path:path}"], cache=_LONGEST)
    async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        status, headers, body = await _call(site, request.scope, await request.body())
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        return Response(body, status_code=status, headers=fields, media_type="text/plain")

    return Litestar([page])
