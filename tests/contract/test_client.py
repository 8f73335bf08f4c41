"""The in-process client behaves as a server does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perfmw.testing import Client

pytestmark = pytest.mark.anyio


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    headers = [
        (b"x-raw", scope["raw_path"]),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"x-query", scope["query_string"]),
    ]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send(
        {"type": "http.response.body", "body": scope["path"].encode() + b"|" + body, "more_body": False}
    )


async def test_a_request_and_its_response() -> None:
    response = await Client(echo).post("/a b/%2Fc?x=1&y", {"X-Test": "1"}, [b"one", b"two"])
    assert (response.status, response.complete) == (201, True)
    assert response.header("x-raw") == "/a%20b/%2Fc"
    assert response.header("x-query") == "x=1&y"
    assert response.header("x-a") == "1, 2"
    assert response.header_lines("X-A") == ["1", "2"]
    assert response.header("absent") is None
    assert response.text == "/a b//c|onetwo"
    assert [message["type"] for message in response.messages] == ["http.response.start", "http.response.body"]


async def test_the_scope_has_what_servers_give() -> None:
    scope = Client(echo, base_url="https://example.org", root_path="/r").scope(
        "get", "/x", [(b"Accept", "a")]
    )
    assert scope["headers"] == [(b"host", b"example.org"), (b"accept", b"a")]
    assert (scope["method"], scope["scheme"], scope["root_path"]) == ("GET", "https", "/r")
    assert Client(echo).scope("GET", "/", [("Host", "other")])["headers"] == [(b"host", b"other")]


async def test_a_client_that_leaves_is_told_to_the_app_and_gets_no_more() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        seen.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"2", "more_body": False})

    response = await Client(app).get("/", disconnect_after=2)
    assert seen == ["http.request", "http.disconnect"]
    assert (response.body, response.complete) == (b"1", False)


async def test_streamed_messages_come_one_by_one() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"last"})
        await send({"type": "http.response.trailers", "headers": []})

    async with Client(app).stream("GET", "/") as exchange:
        assert (await exchange.next() or {})["type"] == "http.response.start"
        assert (await exchange.next() or {})["body"] == b"first"
        assert not exchange.response.complete
        go_on.set()
        response = await exchange.finish()
    assert response.body == b"firstlast"
    assert response.messages[-1]["type"] == "http.response.trailers"


async def test_leaving_a_stream_cancels_the_app() -> None:
    cancelled = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Client(app).stream("GET", "/"):
        await asyncio.sleep(0)
    assert cancelled.is_set()


async def test_errors_of_the_app_are_raised_or_kept() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await Client(app).get("/")
    response = await Client(app).get("/", raise_errors=False)
    assert isinstance(response.error, KeyError)
    assert (response.status, response.complete) == (200, False)


async def test_lifespan_and_its_state() -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": scope["state"]["status"], "headers": []})
            await send({"type": "http.response.body"})
            return
        for step in ("startup", "shutdown"):
            events.append((await receive())["type"])
            scope["state"]["status"] = 299
            await send({"type": f"lifespan.{step}.complete"})

    async with Client(app) as client:
        assert events == ["lifespan.startup"]
        assert (await client.get("/")).status == 299
    assert events == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_app_without_lifespan_is_served_all_the_same() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await echo(scope, receive, send)

    async with Client(app) as client:
        assert (await client.get("/")).status == 201


async def test_a_failed_startup_is_an_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="no database"):
        async with Client(app):
            pass


async def test_websockets() -> None:
    codes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        if scope["path"] == "/closed":
            await send({"type": "websocket.close", "code": 4403})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        codes.append(message["code"])

    async with Client(app).websocket("/open") as socket:
        await socket.send_text("hello")
        assert (await socket.receive())["text"] == "HELLO"
    assert codes == [1000]
    with pytest.raises(ConnectionRefusedError):
        async with Client(app).websocket("/closed"):
            pass
