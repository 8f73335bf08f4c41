"""Trailers, informational responses and framing through a ``perfmw proxy`` process, byte by byte."""

from __future__ import annotations

import asyncio

import pytest

from tests.asgi.wire import OK, Call, answer_ok, answering, origin
from tests.conformance.engine import proxied

pytestmark = pytest.mark.anyio

TRAILED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie, Content-Length\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nSet-Cookie: a=b\r\nContent-Length: 99\r\nX-Other: 1\r\n\r\n"
)
WILLING = b"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0, trailers\r\nConnection: close, TE\r\n\r\n"


async def ask(port: int, raw: bytes) -> tuple[bytes, bytes]:
    """Head, in lower case, and the rest, as it came until the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    try:
        head, _, rest = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        return head.lower(), rest
    finally:
        writer.close()


def unchunked(rest: bytes) -> tuple[bytes, bytes]:
    """Content and trailer section."""
    content = b""
    while size := int(rest.partition(b"\r\n")[0], 16):
        start = rest.index(b"\r\n") + 2
        content, rest = content + rest[start : start + size], rest[start + size + 2 :]
    return content, rest.partition(b"\r\n")[2]


async def test_trailers_reach_a_client_that_takes_them() -> None:
    async with origin(answering(TRAILED)) as here, proxied(here) as port:
        head, rest = await ask(port, WILLING)
        assert b"trailer: x-sum\r\n" in head + b"\r\n"
        assert unchunked(rest) == (b"abcde", b"x-sum: 5\r\n\r\n")
        assert here.calls[0].values(b"te") == [b"trailers"]
        assert here.calls[0].values(b"connection") == [b"TE"]


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", WILLING.replace(b"trailers", b"x")],
)
async def test_other_clients_get_none_and_are_promised_none(request_: bytes) -> None:
    async with origin(answering(TRAILED)) as here, proxied(here) as port:
        head, rest = await ask(port, request_)
        assert b"trailer" not in head
        assert unchunked(rest) == (b"abcde", b"\r\n")
        assert here.calls[0].values(b"te") == []


async def test_a_client_of_http_1_0_gets_neither_chunks_nor_trailers() -> None:
    async with origin(answering(TRAILED)) as here, proxied(here) as port:
        head, rest = await ask(port, b"GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"trailer" not in head
        assert rest == b"abcde"


async def test_promised_trailers_may_fail_to_come() -> None:
    raw = TRAILED.partition(b"0\r\nX-Sum")[0] + b"0\r\n\r\n"
    async with origin(answering(raw)) as here, proxied(here) as port:
        _, rest = await ask(port, WILLING)
        assert unchunked(rest) == (b"abcde", b"\r\n")


async def test_trailers_of_a_response_with_a_length_are_none() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\nok"
    async with origin(answering(raw)) as here, proxied(here) as port:
        head, rest = await ask(port, WILLING)
        assert b"content-length: 2" in head
        assert rest == b"ok"


async def test_a_kept_connection_goes_on_after_trailers() -> None:
    async with origin(answering(TRAILED)) as here, proxied(here) as port:
        _, rest = await ask(port, WILLING.replace(b"close, ", b"") + WILLING)
        assert rest.count(b"\r\n0\r\nx-sum: 5\r\n\r\n") == 2
        assert {call.connection for call in here.calls} == {1}


async def test_a_response_that_breaks_off_within_its_trailers_is_not_complete() -> None:
    async with origin(answering(TRAILED[:-12], close=True)) as here, proxied(here) as port:
        _, rest = await ask(port, WILLING)
        assert b"\r\n0\r\n" not in rest


async def test_trailers_of_a_request_do_not_become_header_fields() -> None:
    async def script(call: Call) -> None:
        bodies.append(await call.reader.readuntil(b"0\r\n\r\n"))
        await call.send(OK)

    bodies: list[bytes] = []
    raw = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
        b"Trailer: X-Admin\r\n\r\n3\r\nabc\r\n0\r\nX-Admin: 1\r\nAuthorization: Basic x\r\nHost: evil\r\n\r\n"
    )
    async with origin(script) as here, proxied(here) as port:
        _, rest = await ask(port, raw)
        assert rest == b"ok"
        lines = here.calls[0].head.lower()
        assert b"trailer" not in lines
        assert b"x-admin" not in lines
        assert b"authorization" not in lines
        assert bodies == [b"3\r\nabc\r\n0\r\n\r\n"]


@pytest.mark.parametrize("filler", [b"X-%d: " + b"y" * 1000 + b"\r\n", b"z" * 1000])
async def test_an_endless_head_is_refused(filler: bytes) -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        answer = asyncio.ensure_future(reader.read(100))
        for number in range(2000):
            if answer.done() or writer.is_closing():
                break
            writer.write(filler % number if b"%d" in filler else filler)
            await asyncio.sleep(0)
        try:
            said = await asyncio.wait_for(answer, 10)
        except ConnectionError:
            said = b""  # the refusal may be lost when more was under way
        assert said == b"" or said.split(b" ")[1] in (b"431", b"400")
        assert here.calls == []
        writer.close()
