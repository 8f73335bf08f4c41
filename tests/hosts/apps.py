"""The same small site in five frameworks: a public, a private and a streamed page, and a parameter."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

CHUNKS = [f"chunk {number}\n".encode() * 50 for number in range(5)]
CALLS: dict[str, int] = {}


def count(name: str) -> int:
    CALLS[name] = CALLS.get(name, 0) + 1
    return CALLS[name]


async def chunks() -> AsyncIterator[bytes]:
    for chunk in CHUNKS:
        yield chunk


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def hello(request: Request) -> Response:
        return PlainTextResponse(f"hello {count('starlette')}", headers={"cache-control": "max-age=60"})

    async def item(request: Request) -> Response:
        return PlainTextResponse(f"item {request.path_params['item_id']}")

    async def private(request: Request) -> Response:
        user = request.headers.get("x-user", "nobody")
        return PlainTextResponse(f"private page of {user}", headers={"cache-control": "private, max-age=60"})

    async def stream(request: Request) -> Response:
        return StreamingResponse(chunks(), media_type="text/plain", headers={"cache-control": "max-age=60"})

    return Starlette(
        routes=[
            Route("/hello", hello),
            Route("/items/{item_id:int}", item),
            Route("/private", private),
            Route("/stream", stream),
        ]
    )


def fastapi_app() -> Any:
    from fastapi import FastAPI, Header
    from fastapi.responses import PlainTextResponse, StreamingResponse

    app = FastAPI()

    @app.get("/hello")
    async def hello() -> PlainTextResponse:
        return PlainTextResponse(f"hello {count('fastapi')}", headers={"cache-control": "max-age=60"})

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> PlainTextResponse:
        return PlainTextResponse(f"item {item_id}")

    @app.get("/private")
    async def private(x_user: str = Header(default="nobody")) -> PlainTextResponse:
        return PlainTextResponse(
            f"private page of {x_user}", headers={"cache-control": "private, max-age=60"}
        )

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain", headers={"cache-control": "max-age=60"})

    return app


def litestar_app() -> Any:
    from tests.hosts.litestar_site import make_app

    return make_app()


def quart_app() -> Any:
    from quart import Quart, Response, request

    app = Quart(__name__)

    @app.get("/hello")
    async def hello() -> Any:
        return Response(
            f"hello {count('quart')}", content_type="text/plain", headers={"cache-control": "max-age=60"}
        )

    @app.get("/items/<int:item_id>")
    async def item(item_id: int) -> Any:
        return Response(f"item {item_id}", content_type="text/plain")

    @app.get("/private")
    async def private() -> Any:
        user = request.headers.get("x-user", "nobody")
        return Response(f"private page of {user}", headers={"cache-control": "private, max-age=60"})

    @app.get("/stream")
    async def stream() -> Any:
        return Response(chunks(), content_type="text/plain", headers={"cache-control": "max-age=60"})

    return app


def django_app() -> Any:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hosts.shopsite.settings"
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


APPS: dict[str, Callable[[], Any]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "django": django_app,
}
