"""WebSockets through a ``perfmw proxy`` process, between a real client and a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.asgi.wire import Call, answer_ok, answering, origin
from tests.conformance.client import fetch
from tests.conformance.engine import proxied

pytestmark = pytest.mark.anyio
Talk = Callable[[ServerConnection], Awaitable[None]]


@dataclass
class Site:
    """A WebSocket server and what it saw."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    ended: asyncio.Queue[tuple[int | None, str | None]] = field(default_factory=asyncio.Queue)


@asynccontextmanager
async def site(talk: Talk, **options: object) -> AsyncIterator[Site]:
    here = Site()

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        here.requests.append(connection.request)
        try:
            await talk(connection)
            await connection.wait_closed()
        finally:
            here.ended.put_nowait((connection.close_code, connection.close_reason))

    async with serve(handle, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        here.port = next(iter(server.sockets)).getsockname()[1]
        yield here


@asynccontextmanager
async def through(
    talk: Talk, path: str = "/", **options: object
) -> AsyncIterator[tuple[ClientConnection, Site]]:
    async with site(talk, max_size=1 << 24) as here, proxied(here) as port:
        url = f"ws://127.0.0.1:{port}{path}"
        async with connect(url, proxy=None, max_size=1 << 24, **options) as client:  # type: ignore[arg-type]
            yield client, here


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_messages_go_both_ways_as_they_are() -> None:
    async with through(echo) as (client, _):
        for message in ("text", "grüße", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 3_000_000):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "several ", "frames"])
        assert await client.recv() == "in several frames"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_extensions_are_settled_between_the_two_ends(compression: str | None) -> None:
    async with through(echo, compression=compression) as (client, _):
        await client.send("a" * 10_000)
        assert await client.recv() == "a" * 10_000
        assert client.response is not None
        agreed = client.response.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in agreed) == (compression is not None)


async def test_the_handshake_reaches_the_origin() -> None:
    extra = {"Cookie": "a=b", "X-Forwarded-Host": "evil.example", "Connection": "X-Own", "X-Own": "1"}
    async with through(echo, "/chat/%2F?room=1&x=%41", additional_headers=extra) as (client, here):
        request = here.requests[0]
        assert request.path == "/chat/%2F?room=1&x=%41"
        fields = request.headers
        assert (fields["Cookie"], fields["Via"]) == ("a=b", "1.1 perfmw")
        assert (fields["Connection"], fields["Upgrade"]) == ("Upgrade", "websocket")
        assert fields["X-Forwarded-For"] == "127.0.0.1"
        assert fields["X-Forwarded-Proto"] == "http"
        assert fields["X-Forwarded-Host"] == fields["Host"] != "evil.example"
        assert "X-Own" not in fields
        assert client.response is not None
        assert client.response.headers["Via"] == "1.1 perfmw"


async def test_a_subprotocol_is_chosen_by_the_origin() -> None:
    offered = [Subprotocol("chat.v1"), Subprotocol("chat.v2")]
    async with (
        site(echo, subprotocols=[Subprotocol("chat.v2")]) as here,
        proxied(here) as port,
        connect(f"ws://127.0.0.1:{port}/", subprotocols=offered, proxy=None) as client,
    ):
        assert client.subprotocol == "chat.v2"


async def test_pings_are_answered_by_the_other_end() -> None:
    seen: asyncio.Queue[float] = asyncio.Queue()

    async def ping(connection: ServerConnection) -> None:
        seen.put_nowait(await (await connection.ping(b"origin's")))
        await echo(connection)

    async with through(ping) as (client, _):
        assert await asyncio.wait_for(await client.ping(b"client's"), 10) >= 0
        assert await asyncio.wait_for(seen.get(), 10) >= 0


async def test_the_clients_close_reaches_the_origin() -> None:
    async with through(echo) as (client, here):
        await client.close(4001, "enough")
        assert await asyncio.wait_for(here.ended.get(), 10) == (4001, "enough")


async def test_the_origins_close_reaches_the_client() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(4002, "full")

    async with through(leave) as (client, _):
        await client.send("hello")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4002, "full")


async def test_a_client_that_vanishes_is_told_to_the_origin() -> None:
    async with through(echo) as (client, here):
        await client.send("hello")
        await client.recv()
        client.transport.abort()
        assert (await asyncio.wait_for(here.ended.get(), 10))[0] == 1006


async def test_an_origin_that_vanishes_is_told_to_the_client() -> None:
    async def vanish(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with through(vanish) as (client, _):
        await client.send("hello")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 10)
        assert client.close_code == 1006


async def test_a_slow_reader_slows_the_sender_down() -> None:
    sent = 0

    async def flood(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(400):
            await connection.send(b"x" * 100_000)
            sent += 1

    async with through(flood, max_queue=1, compression=None) as (client, _):
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.5)
        assert 0 < sent < 300
        for _ in range(400):
            assert len(await client.recv()) == 100_000


# ---- refusals


async def test_the_origins_refusal_is_passed_on() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")
        response.headers["WWW-Authenticate"] = "Basic"
        return response

    async with site(echo, process_request=refuse) as here, proxied(here) as port:
        with pytest.raises(InvalidStatus) as raised:
            await connect(f"ws://127.0.0.1:{port}/", proxy=None)
        response = raised.value.response
        assert (response.status_code, response.body) == (401, b"who are you?\n")
        assert response.headers["WWW-Authenticate"] == "Basic"


HANDSHAKE = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


async def ask(port: int, headers: list[tuple[str, str]], more: bytes = b"") -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = ["GET / HTTP/1.1", "Host: a", *(f"{name}: {value}" for name, value in headers), "", ""]
    writer.write("\r\n".join(lines).encode() + more)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_an_origin_that_is_not_there_is_a_502() -> None:
    async with origin(answer_ok) as here:
        here.close()
        async with proxied(here) as port:
            answer = await fetch(port, "GET", "/", HANDSHAKE)
            assert answer.status == 502


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (SWITCH + b"\r\n", b"502"),
        (SWITCH + b"Sec-WebSocket-Accept: bogus=\r\n\r\n", b"502"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + ACCEPT + b"\r\n",
            b"502",
        ),
        (b"nonsense\r\n\r\n", b"502"),
        (b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno", b"426"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"200"),
    ],
)
async def test_only_a_right_handshake_opens_the_tunnel(raw: bytes, status: bytes) -> None:
    async with origin(answering(raw, close=True)) as here, proxied(here) as port:
        answer = await ask(port, HANDSHAKE)
        assert answer.split(b" ")[1] == status
        assert b"transfer-encoding" not in answer


async def test_bytes_sent_with_the_handshake_are_not_lost() -> None:
    async def script(call: Call) -> None:
        await call.send(SWITCH + ACCEPT + b"\r\nwelcome")
        await call.send(await call.reader.readexactly(5))
        call.writer.close()

    async with origin(script) as here, proxied(here) as port:
        answer = await ask(port, HANDSHAKE, b"early")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert answer.endswith(b"\r\n\r\nwelcomeearly")


async def test_a_client_that_leaves_during_the_handshake_ends_it() -> None:
    async def script(call: Call) -> None:
        asked.set()
        assert await call.reader.read() == b""
        call.writer.close()

    asked = asyncio.Event()
    async with origin(script) as here, proxied(here) as port:
        asking = asyncio.ensure_future(ask(port, HANDSHAKE))
        await asyncio.wait_for(asked.wait(), 10)
        asking.cancel()
        await asyncio.wait_for(here.ended.wait(), 10)
        assert len(here.calls) == 1


async def test_a_websocket_is_not_answered_from_the_cache() -> None:
    fresh = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
    async with origin(answering(fresh)) as here, proxied(here, "--rfc") as port:
        await fetch(port, "GET", "/", [])
        await ask(port, HANDSHAKE)
        await fetch(port, "GET", "/", [])
        assert len(here.calls) == 2


async def test_the_server_stops_with_websockets_open() -> None:
    async with site(echo) as here:
        async with proxied(here) as port:
            client = await connect(f"ws://127.0.0.1:{port}/", proxy=None)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 10)
        assert (await asyncio.wait_for(here.ended.get(), 10))[0] == 1006


# ---- other upgrades


async def other(port: int, raw: bytes, answers: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    found = b""
    try:
        async with asyncio.timeout(10):
            while found.count(b"\r\n\r\nok") < answers:
                found += await reader.readuntil(b"\r\n\r\nok")
    finally:
        writer.close()
    return found


@pytest.mark.parametrize(
    "first",
    [
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Content-Length: 3\r\n\r\nabc",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.0, foo\r\n\r\n",
    ],
)
async def test_other_upgrades_are_ignored_and_the_connection_goes_on(first: bytes) -> None:
    async def script(call: Call) -> None:
        if length := call.values(b"content-length"):
            bodies.append(await call.reader.readexactly(int(length[0])))
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    bodies: list[bytes] = []
    async with origin(script) as here, proxied(here) as port:
        found = await other(port, first + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 2)
        assert found.count(b"HTTP/1.1 200") == 2
        assert [call.target for call in here.calls] == [b"/1", b"/2"]
        assert here.calls[0].values(b"upgrade") == here.calls[0].values(b"connection") == []
        assert bodies == ([b"abc"] if b"abc" in first else [])


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_an_upgrade_of_http_1_0_is_ignored() -> None:
    old = "GET / HTTP/1.0\r\nHost: a\r\n" + "".join(f"{n}: {v}\r\n" for n, v in HANDSHAKE) + "\r\n"
    async with origin(answering(PLAIN)) as here, proxied(here) as port:
        assert b" 200 " in await other(port, old.encode(), 1)
        assert here.calls[0].values(b"upgrade") == []


async def test_no_tunnel_is_opened_for_connect() -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 501 ")
        writer.close()
        assert here.calls == []


async def test_a_trusted_proxy_in_front_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMW_TRUST_FORWARDED_HOST", "true")
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Host": "shop.example"}
    async with through(echo, additional_headers=claims) as (client, here):
        await client.send("hello")
        assert await client.recv() == "hello"
        fields = here.requests[0].headers
        assert fields["X-Forwarded-Proto"] == "https"
        assert fields["X-Forwarded-Host"] == "shop.example"
        assert fields["X-Forwarded-For"] == "10.1.2.3, 127.0.0.1"


async def test_requests_with_too_many_hosts_open_nothing() -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        assert (await ask(port, [("Host", "b"), *HANDSHAKE])).split(b" ")[1] == b"400"
        assert here.calls == []
