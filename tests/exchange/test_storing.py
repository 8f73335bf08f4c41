"""Only a response known to be complete is stored, and it is there before its last byte has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

RULE = Settings(cache_rules=[CacheRule(path="/**", ttl=60)])
Steps = Callable[[Callable[[Any], Awaitable[None]], Callable[[], Awaitable[Any]]], Awaitable[None]]


def site(steps: Steps) -> PerfMiddleware:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await steps(send, receive)

    return PerfMiddleware(app, settings=RULE)


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def stored(middleware: PerfMiddleware, path: str = "/") -> bool:
    answer = await Client(middleware).get(path, {"cache-control": "only-if-cached"})
    return answer.status == 200


@pytest.mark.parametrize(
    ("length", "sent", "kept"),
    [(b"4", b"four", True), (b"9", b"four", False), (b"2", b"four", False), (b"x", b"four", False)],
)
async def test_the_length_must_be_what_was_announced(length: bytes, sent: bytes, kept: bool) -> None:
    async def steps(send: Any, receive: Any) -> None:
        await send(start((b"content-length", length)))
        await send(body(sent))

    middleware = site(steps)
    assert (await Client(middleware).get("/")).body == sent
    assert await stored(middleware) is kept


async def test_with_a_proven_length_it_is_stored_before_the_last_byte_leaves() -> None:
    seen: list[int] = []

    async def steps(send: Any, receive: Any) -> None:
        await send(start((b"content-length", b"8")))
        await send(body(b"half", more=True))
        await send(body(b"half"))

    middleware = site(steps)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            seen.append(len(middleware.runtime.cache.memory or ()))

    await middleware(Client(middleware).scope("GET", "/"), _never, send)
    assert seen == [0, 1]


async def _never() -> Any:
    await asyncio.Event().wait()


async def test_background_tasks_do_not_delay_storing() -> None:
    gate = asyncio.Event()

    async def page(request: Request) -> Response:
        return PlainTextResponse("page", background=BackgroundTask(gate.wait))

    middleware = PerfMiddleware(Starlette(routes=[Route("/", page)]), settings=RULE)
    first = asyncio.create_task(Client(middleware).get("/"))
    for _ in range(5_000):
        if await stored(middleware):
            break
        await asyncio.sleep(0.001)
    assert await stored(middleware)
    assert not first.done()
    gate.set()
    assert (await first).text == "page"


async def test_without_a_length_an_error_after_the_last_message_forbids_storing() -> None:
    async def steps(send: Any, receive: Any) -> None:
        await send(start())
        await send(body(b"looks complete"))
        raise OSError("but was not")

    middleware = site(steps)
    with pytest.raises(OSError, match="but was not"):
        await Client(middleware).get("/")
    assert not await stored(middleware)


async def test_a_stream_broken_off_by_the_client_is_not_stored() -> None:
    """BaseHTTPMiddleware ends such a stream with an empty last message and no exception."""

    async def chunks() -> Any:
        for _ in range(50):
            yield b"chunk"
            await asyncio.sleep(0.01)

    async def page(request: Request) -> Response:
        return StreamingResponse(chunks())

    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    app = Starlette(routes=[Route("/", page)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    middleware = PerfMiddleware(app, settings=RULE)
    asgi = {"version": "3.0", "spec_version": "2.3"}  # then Starlette itself looks for the disconnect
    answer = await Client(middleware).request("GET", "/", disconnect_after=3, raise_errors=False, asgi=asgi)
    assert not answer.complete
    assert not await stored(middleware)


async def test_a_cancelled_request_is_not_stored_and_releases_those_who_wait() -> None:
    calls = 0

    async def steps(send: Any, receive: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            led.set()
            await asyncio.Event().wait()
        await send(start())
        await send(body(b"second try"))

    led = asyncio.Event()
    middleware = site(steps)
    leader = asyncio.create_task(Client(middleware).get("/"))
    await led.wait()
    follower = asyncio.create_task(Client(middleware).get("/"))
    await asyncio.sleep(0.01)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (await follower).text == "second try"
    assert await stored(middleware)


async def test_a_body_beyond_the_limit_passes_and_is_not_stored() -> None:
    async def steps(send: Any, receive: Any) -> None:
        await send(start())
        for _ in range(4):
            await send(body(b"x" * 400, more=True))
        await send(body(b""))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await steps(send, receive)

    settings = Settings(cache_rules=RULE.cache_rules, max_body_bytes=1000)
    middleware = PerfMiddleware(app, settings=settings)
    assert len((await Client(middleware).get("/")).body) == 1600
    assert not await stored(middleware)


async def test_fifty_who_miss_at_once_make_one_call() -> None:
    calls = 0

    async def steps(send: Any, receive: Any) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.05)
        await send(start((b"content-length", b"4")))
        await send(body(b"page"))

    middleware = site(steps)
    answers = await asyncio.gather(*(Client(middleware).get("/") for _ in range(50)))
    assert calls == 1
    assert {answer.body for answer in answers} == {b"page"}
    words = [str(answer.header("cache-status")).split(";")[1].strip() for answer in answers]
    assert (words.count("fwd=uri-miss"), words.count("hit")) == (1, 49)


async def test_what_cannot_be_stored_is_not_waited_for() -> None:
    everybody = asyncio.Barrier(20)

    async def steps(send: Any, receive: Any) -> None:
        await send(start((b"cache-control", b"private")))
        await everybody.wait()
        await send(body(b"mine"))

    middleware = site(steps)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(Client(middleware).get("/") for _ in range(20)))
    assert [answer.body for answer in answers] == [b"mine"] * 20
