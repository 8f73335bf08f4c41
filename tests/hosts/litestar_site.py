# Litestar reads annotations at run time, so they are not postponed here.
from typing import Any

from litestar import Litestar, Request, get
from litestar.params import FromPath
from litestar.response import Response, Stream

from tests.hosts.apps import chunks, count

FRESH = {"cache-control": "max-age=60"}


@get("/hello", media_type="text/plain")
async def hello() -> Response[str]:
    return Response(f"hello {count('litestar')}", headers=FRESH)


@get("/items/{item_id:int}", media_type="text/plain")
async def item(item_id: FromPath[int]) -> str:
    return f"item {item_id}"


@get("/private", media_type="text/plain")
async def private(request: Request[Any, Any, Any]) -> Response[str]:
    user = request.headers.get("x-user", "nobody")
    return Response(f"private page of {user}", headers={"cache-control": "private, max-age=60"})


@get("/stream")
async def stream() -> Stream:
    return Stream(chunks(), media_type="text/plain", headers=FRESH)


def make_app() -> Litestar:
    return Litestar([hello, item, private, stream], openapi_config=None)
