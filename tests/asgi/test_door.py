"""The door before uvicorn: what it takes for one whole request, and what a parser makes of the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.asgi.door import Head, hang, read_head

httptools = pytest.importorskip("httptools")


class Parsed:
    """What httptools makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.url, self.headers = b"", list[tuple[bytes, bytes]]()
        self.begun = self.complete = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.complete += 1


PIECES = st.sampled_from(
    [b"GET", b"POST", b" ", b"/a", b"/%61?x=1", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r\n\r\n", b":",
     b"host: x", b"content-length: 3", b"Content-Length: 0", b"connection: close", b"abc", b"\t", b"\x00",
     b"transfer-encoding: chunked", b"upgrade: websocket", b"0\r\n\r\n"]
)  # fmt: skip
LINES = st.lists(PIECES, max_size=14).map(b"".join)
ALMOST = st.tuples(
    st.sampled_from(
        [b"GET / HTTP/1.1\r\n", b"POST /a%20b?q HTTP/1.1\r\nhost: x\r\n", b"GET  / HTTP/1.1\r\n"]
    ),
    LINES,
).map(b"".join)


@given(st.one_of(LINES, ALMOST))
def test_what_it_takes_for_a_request_is_one_to_the_parser_too(data: bytes) -> None:
    head = read_head(data)
    if head is None:
        return
    try:
        parsed = Parsed(data)
    except httptools.HttpParserError:
        return  # turned away with another status than it would have had
    assert (parsed.begun, parsed.complete) == (1, 1)
    assert parsed.method.decode() == head.method
    assert [(name, value.strip(b" \t")) for name, value in parsed.headers] == head.headers


def test_a_plain_request_is_read_as_uvicorn_does() -> None:
    head = read_head(b"GET /a%20b/c?d=%20 HTTP/1.1\r\nHost: x\r\nAccept:  */* \r\nConnection: close\r\n\r\n")
    assert head == Head(
        "GET", "/a b/c", b"/a%20b/c", b"d=%20",
        [(b"host", b"x"), (b"accept", b"*/*"), (b"connection", b"close")], closes=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "field", "closes"),
    [
        ("1.0", "accept: */*", True),
        ("1.0", "connection: keep-alive", True),
        ("1.1", "connection: Close", True),
        ("1.1", "connection: keep-alive", False),
        ("1.1", "accept: */*", False),
    ],
)
def test_the_last_request_of_a_connection_is_known(version: str, field: str, closes: bool) -> None:
    """One of HTTP/1.0, as nginx sends to what it is put before, may always be answered as the last."""
    head = read_head(f"GET / HTTP/{version}\r\nhost: x\r\n{field}\r\n\r\n".encode())
    assert head is not None
    assert head.closes is closes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\n\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: keep-alive, x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\nab",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\na",
        b"M-SEARCH / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)  # fmt: skip
def test_anything_unusual_is_left_to_the_server(data: bytes) -> None:
    assert read_head(data) is None


class Nobody:
    def at_ease(self, now: float) -> bool:
        return True

    def answer(self, head: Head, connection: Any, now: float) -> bytes | None:
        raise AssertionError("nobody is asked")


class Sender:
    """Of a server that is not uvicorn: its protocol is not one to put a door before."""

    class Config:
        http_protocol_class = dict

    config = Config()

    async def send(self, message: Any) -> None:
        """As a server's."""


def test_a_door_is_hung_in_uvicorn_alone() -> None:
    assert not hang(Sender().send, Nobody())
    assert not hang(test_a_door_is_hung_in_uvicorn_alone, Nobody())
    assert Sender.config.http_protocol_class is dict
