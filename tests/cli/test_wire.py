from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from perfmw.cli.wire import Origin, WireClient, WireError, parse_origin

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def canned(*connections: Sequence[bytes]) -> AsyncIterator[tuple[Origin, list[bytes]]]:
    """A server that answers on its n-th connection with ``connections[n]``, in order, and then closes it."""
    asked: list[bytes] = []
    scripts = iter(connections)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in next(scripts):
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await (writer.drain() if answer else reader.read())
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Origin("127.0.0.1", server.sockets[0].getsockname()[1]), asked


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\na: b\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            b"hi",
        ),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_framing_is_read_to_its_end(answer: bytes, body: bytes) -> None:
    async with canned([answer]) as (origin, _), WireClient(origin) as client:
        response = await client.get("/")
    assert (response.body, response.size) == (body, len(body))
    assert response.digest == hashlib.sha256(body).digest()


async def test_targets_and_fields_go_out_as_given() -> None:
    async with (
        canned([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]) as (origin, asked),
        WireClient(origin) as client,
    ):
        await client.get("/a/../b//c%2F?x=1&x=2", [(b"X-Thing", b"1"), (b"x-thing", b"2")])
    first, host, *fields = asked[0].split(b"\r\n")
    assert first == b"GET /a/../b//c%2F?x=1&x=2 HTTP/1.1"
    assert host == f"host: {origin.authority}".encode()
    assert fields[:2] == [b"X-Thing: 1", b"x-thing: 2"]


async def test_repeated_fields_stay_apart_and_in_order() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"
    async with canned([answer]) as (origin, _), WireClient(origin) as client:
        response = await client.get("/")
    assert response.all(b"set-cookie") == [b"a=1", b"b=2"]
    assert response.header(b"x") == b"y"
    assert response.header(b"absent") is None


async def test_head_has_no_body() -> None:
    async with (
        canned([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]) as (origin, _),
        WireClient(origin) as client,
    ):
        assert (await client.request("HEAD", "/")).size == 0


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"
    async with canned([answer], [answer]) as (origin, asked), WireClient(origin) as client:
        await client.get("/one")
        await client.get("/two")
    assert [line.split()[1] for line in asked] == [b"/one", b"/two"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "5 bytes short"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n", "invalid Content-Length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"220 ready\r\n\r\n", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\ncontent", "the connection broke"),
    ],
)
async def test_broken_answers_are_errors_with_a_reason(answer: bytes, reason: str) -> None:
    async with canned([answer]) as (origin, _), WireClient(origin) as client:
        with pytest.raises(WireError, match=reason):
            await client.get("/")


async def test_nobody_listening_is_an_error_that_names_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with WireClient(Origin("127.0.0.1", port)) as client:
        with pytest.raises(WireError, match=f"port {port}"):
            await client.get("/")


async def test_a_server_that_never_answers_times_out() -> None:
    async with canned([b""]) as (origin, _), WireClient(origin, timeout=0.05) as client:
        with pytest.raises(WireError, match="no complete answer within"):
            await client.get("/")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.example", Origin("a.example", 80)),
        ("https://a.example/x/", Origin("a.example", 443, True, "/x")),
        ("http://[::1]:8000", Origin("::1", 8000)),
    ],
)
def test_origins(url: str, origin: Origin) -> None:
    assert parse_origin(url) == origin
    assert parse_origin(origin.url) == origin


@pytest.mark.parametrize("url", ["", "a.example", "ftp://a.example", "http://"])
def test_what_is_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https URL"):
        parse_origin(url)
