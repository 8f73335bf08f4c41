"""What reaches the client is what the app sent, when it sent it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
RULE = Settings(cache_rules=[CacheRule(path="/**", ttl=60)])


def wrap(app: Callable[..., Any], settings: Settings = RULE) -> PerfMiddleware:
    return PerfMiddleware(app, settings=settings)


async def test_chunks_pass_one_by_one_and_are_not_held_back() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"last"})

    client = Client(wrap(app))
    async with client.stream("GET", "/") as exchange:
        await exchange.next()
        first = await exchange.next()
        assert first is not None
        assert first["body"] == b"first"
        gate.set()
        assert (await exchange.finish()).body == b"firstlast"


async def test_an_event_stream_is_passed_on_and_never_stored() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {**START, "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"max-age=9")]}
        )
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    client = Client(wrap(app))
    for _ in range(2):
        answer = await client.get("/events")
        assert answer.header("cache-status") == "perfmw; fwd=uri-miss; detail=event-stream"


async def test_messages_perfmw_does_not_know_pass_unharmed() -> None:
    hints = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    debug = {"type": "http.response.debug", "info": {"template": object()}}
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(hints)
        await send({**START, "trailers": True})
        await send(debug)
        await send({"type": "http.response.body", "body": b"x"})
        await send(trailers)

    client = Client(wrap(app))
    answer = await client.get("/")
    assert [message for message in answer.messages if message in (hints, debug, trailers)] == [
        hints,
        debug,
        trailers,
    ]
    again = await client.get("/")
    assert again.header("cache-status") == "perfmw; fwd=uri-miss; detail=trailers"


async def test_a_message_the_app_reuses_is_not_changed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})

    client = Client(wrap(app))
    for path in ("/a", "/b", "/a"):
        assert len((await client.get(path)).header_lines("cache-status")) == 1
    assert START["headers"] == [(b"content-type", b"text/plain")]


async def test_a_file_sent_by_path_is_stored_and_served_from_the_store(tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    file.write_bytes(b"on disk")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.pathsend", "path": str(file)})

    client = Client(wrap(app), extensions={"http.response.pathsend": {}})
    assert (await client.get("/page")).body == b"on disk"
    file.unlink()
    second = await client.get("/page")
    assert (second.body, second.header("cache-status")) == (b"on disk", "perfmw; hit; ttl=59")


@pytest.mark.parametrize("length", [b"7", b"9000000000"])
async def test_a_file_that_is_not_to_be_stored_goes_by_path(tmp_path: Path, length: bytes) -> None:
    missing = str(tmp_path / "gone")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.pathsend", "path": missing})

    answer = await Client(wrap(app)).get("/page")
    assert answer.messages[-1] == {"type": "http.response.pathsend", "path": missing}


async def test_websockets_pass_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"].upper()})
        assert (await receive())["type"] == "websocket.disconnect"

    async with Client(wrap(app)).websocket("/ws") as socket:
        await socket.send_text("hello")
        assert (await socket.receive())["text"] == "HELLO"


async def test_the_app_sees_its_own_scope_state_and_extensions() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(START)
        await send({"type": "http.response.body", "body": b""})

    client = Client(wrap(app), extensions={"http.response.pathsend": {}})
    scope = client.scope("GET", "/x")
    await client.app(scope, None, _swallow)
    assert seen == [scope]
    assert seen[0] is scope
    assert "http.response.pathsend" in seen[0]["extensions"]


async def _swallow(message: Any) -> None:
    assert message["type"].startswith("http.")


async def test_an_exception_of_the_app_reaches_the_server() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("the app's own")

    middleware = wrap(app)
    with pytest.raises(LookupError, match="the app's own"):
        await Client(middleware).get("/")
    (profile,) = middleware.runtime.profiles.snapshot()
    assert profile.metrics.error_rates.exceptions == 1


async def test_switched_off_it_is_not_there() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"plain"})

    middleware = wrap(app, Settings(enabled=False))
    answer = await Client(middleware).get("/")
    assert (answer.body, answer.header("cache-status")) == (b"plain", None)
    assert not middleware.runtime.started
