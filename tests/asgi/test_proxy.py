"""The gateway against an origin of raw sockets: what goes through, what may not, and how failures look."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from perfmw.asgi.proxy import Limits, OriginFailedError, ReverseProxy
from perfmw.testing.client import Client
from tests.asgi.wire import OK, Call, Origin, Script, answer_ok, answering, origin

pytestmark = pytest.mark.anyio
QUICK = Limits(connect=1.0, read=0.3, write=1.0, pool=0.3)


@asynccontextmanager
async def proxied(script: Script, **options: object) -> AsyncIterator[tuple[Client, Origin]]:
    async with origin(script) as here:
        app = ReverseProxy(here.url, **options)  # type: ignore[arg-type]
        try:
            yield Client(app, base_url="http://shop.example"), here
        finally:
            await app.aclose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---- what goes through


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb",
        "/a/../b",
        "/a//b",
        "/%ff%00",
        "/x?b=1&a=2&b=3",
        "/x?",
        "/x;p=1;q",
        "/%41?q=%41+ ",
        "/a?b=c?d=e",
    ],
)
async def test_targets_arrive_byte_for_byte(target: str) -> None:
    path, _, query = target.replace(" ", "").partition("?")
    async with proxied(answer_ok) as (client, here):
        await client.get("/", raw_path=path.encode(), query_string=query.encode())
        assert here.calls[0].target == path.encode() + (b"?" + query.encode() if query else b"")


async def test_a_path_in_the_origins_url_comes_first() -> None:
    async with origin(answer_ok) as here:
        app = ReverseProxy(here.url + "/base/")
        await Client(app).get("/x")
        await app.aclose()
        assert here.calls[0].target == b"/base/x"


async def test_fields_keep_their_order_and_repetitions_and_none_is_added() -> None:
    sent = [("x-b", "1"), ("accept", "a"), ("x-a", "2"), ("x-b", "3")]
    async with proxied(answer_ok) as (client, here):
        await client.get("/", sent)
        assert here.calls[0].lines == [
            b"host: shop.example",
            b"x-b: 1",
            b"accept: a",
            b"x-a: 2",
            b"x-b: 3",
            b"x-forwarded-for: 127.0.0.1",
            b"x-forwarded-proto: http",
            b"x-forwarded-host: shop.example",
            b"via: 1.1 perfmw",
        ]


async def test_the_origins_own_name_can_be_sent_instead() -> None:
    async with proxied(answer_ok, pass_host=False) as (client, here):
        await client.get("/")
        assert here.calls[0].values(b"host") == [f"127.0.0.1:{here.port}".encode()]
        assert here.calls[0].values(b"x-forwarded-host") == [b"shop.example"]


CLAIMS = [
    ("x-forwarded-for", "10.0.0.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=10.0.0.9;host=evil.example"),
    ("via", "1.0 near"),
]


async def test_claims_of_clients_are_replaced() -> None:
    async with proxied(answer_ok) as (client, here):
        await client.get("/", CLAIMS)
        call = here.calls[0]
        assert call.values(b"x-forwarded-for") == [b"10.0.0.9, 127.0.0.1"]
        assert call.values(b"x-forwarded-proto") == [b"http"]
        assert call.values(b"x-forwarded-host") == [b"shop.example"]
        assert call.values(b"forwarded") == []
        assert call.values(b"via") == [b"1.0 near, 1.1 perfmw"]


async def test_claims_of_a_trusted_proxy_are_kept() -> None:
    async with proxied(answer_ok, trusted=True) as (client, here):
        await client.get("/", CLAIMS)
        call = here.calls[0]
        assert call.values(b"x-forwarded-proto") == [b"https"]
        assert call.values(b"x-forwarded-host") == [b"evil.example"]
        assert call.values(b"forwarded") == [b"for=10.0.0.9;host=evil.example"]


async def test_fields_of_one_connection_stay_on_it() -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nConnection: x-own, Cache-Control\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nCache-Control: no-store\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n"
    )
    sent = [
        ("connection", "x-mine, cookie"),
        ("x-mine", "1"),
        ("te", "trailers"),
        ("cookie", "a=b"),
        ("upgrade", "h2c"),
    ]
    async with proxied(answering(raw)) as (client, here):
        response = await client.get("/", sent)
        names = {name for name, _ in response.headers}
        assert names == {b"cache-control", b"x-kept", b"content-length", b"date", b"via"}
        assert here.calls[0].values(b"cookie") == [b"a=b"]
        for name in (b"connection", b"x-mine", b"te", b"upgrade"):
            assert here.calls[0].values(name) == []


async def test_responses_come_back_as_they_are() -> None:
    raw = (
        b"HTTP/1.1 302 Found\r\nLocation: /else\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Encoding: gzip\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: origin\r\nContent-Length: 7\r\n\r\nnotgzip"
    )
    async with proxied(answering(raw)) as (client, here):
        for _ in range(2):
            response = await client.get("/")
            assert (response.status, response.body) == (302, b"notgzip")
            assert response.header_lines("set-cookie") == ["a=1", "b=2"]
            assert response.header_lines("date") == ["Thu, 01 Jan 2026 00:00:00 GMT"]
            assert response.header("server") == "origin"
        assert here.calls[1].values(b"cookie") == []


async def test_a_date_is_added_only_where_there_is_none() -> None:
    async with proxied(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (client, _):
        response = await client.get("/")
        assert len(response.header_lines("date")) == 1
        assert response.header("server") is None


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with proxied(answer_ok) as (client, _):
        assert (await client.get("/")).status == 200


# ---- bodies


async def test_a_request_streams_up() -> None:
    first = asyncio.Event()

    async def script(call: Call) -> None:
        assert call.values(b"transfer-encoding") == [b"chunked"]
        assert await call.reader.readexactly(8) == b"3\r\nabc\r\n"
        first.set()
        assert await call.reader.readexactly(13) == b"3\r\ndef\r\n0\r\n\r\n"
        await call.send(OK)

    async with proxied(script) as (client, _):

        async def receive_slowly() -> dict[str, object]:
            if parts:
                part = parts.pop(0)
                if not parts:
                    await first.wait()
                return {"type": "http.request", "body": part, "more_body": bool(parts)}
            await asyncio.Event().wait()
            raise AssertionError

        parts = [b"abc", b"def"]
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = client.scope("POST", "/", [("transfer-encoding", "chunked")])
        await asyncio.wait_for(client.app(scope, receive_slowly, send), 5)
        assert sent[0]["status"] == 200


async def test_a_response_streams_down() -> None:
    more = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await more.wait()
        await call.send(b"3\r\ndef\r\n0\r\nX-Trailer: 1\r\n\r\n")

    async with proxied(script) as (client, _), client.stream("GET", "/") as exchange:
        start = await exchange.next()
        assert start is not None
        assert b"content-length" not in dict(start["headers"])
        assert b"transfer-encoding" not in dict(start["headers"])
        message = await exchange.next()
        assert message is not None
        assert message["body"] == b"abc"
        more.set()
        assert (await exchange.finish()).body == b"abcdef"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_responses_without_a_body_have_no_length(status: bytes) -> None:
    raw = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    async with proxied(answering(raw)) as (client, _):
        response = await client.get("/")
        assert (response.header("content-length"), response.body) == (None, b"")


async def test_a_head_keeps_the_length_of_what_a_get_would_get() -> None:
    async with proxied(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as (client, here):
        for _ in range(2):
            response = await client.head("/")
            assert (response.header("content-length"), response.body) == ("5", b"")
        assert here.calls[1].connection == 1


async def test_informational_responses_are_not_final() -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK
    async with proxied(answering(raw)) as (client, _):
        response = await client.get("/")
        assert (response.status, response.body, response.header("link")) == (200, b"ok", None)


# ---- failures


async def test_the_origin_may_come_up_later() -> None:
    port = free_port()
    app = ReverseProxy(f"http://127.0.0.1:{port}")
    client = Client(app)
    assert (await client.get("/")).status == 502
    async with origin(answer_ok, port):
        assert (await client.get("/")).status == 200
    await app.aclose()


async def test_an_origin_that_does_not_answer_in_time() -> None:
    async def script(call: Call) -> None:
        await asyncio.sleep(5)

    async with proxied(script, limits=QUICK) as (client, _):
        assert (await client.get("/")).status == 504


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_an_origin_that_does_not_speak_http(raw: bytes) -> None:
    async with proxied(answering(raw, close=True)) as (client, _):
        response = await client.get("/")
        assert (response.status, response.complete) == (502, True)


async def test_an_origin_that_stalls_within_its_response() -> None:
    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await asyncio.sleep(5)

    async with proxied(script, limits=QUICK) as (client, _):
        response = await client.get("/", raise_errors=False)
        assert isinstance(response.error, OriginFailedError)
        assert not response.complete


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_a_response_that_breaks_off_never_looks_complete(raw: bytes) -> None:
    async with proxied(answering(raw, close=True)) as (client, _):
        response = await client.get("/", raise_errors=False)
        assert (response.body, response.complete) == (b"abc", False)
        assert isinstance(response.error, OriginFailedError)


async def test_bytes_after_a_response_never_answer_the_next_request() -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with proxied(answering(OK + evil)) as (client, here):
        bodies = [(await client.get(f"/{number}")).body for number in range(3)]
        assert bodies == [b"ok", b"ok", b"ok"]
        assert [call.connection for call in here.calls] == [1, 2, 3]


async def test_a_body_where_none_belongs_never_answers_the_next_request() -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with proxied(answering(evil)) as (client, _):
        assert (await client.head("/")).body == b""
        assert (await client.get("/")).body == b"evil"


async def test_connections_are_used_again() -> None:
    async with proxied(answer_ok) as (client, here):
        for _ in range(3):
            await client.get("/")
        assert {call.connection for call in here.calls} == {1}


async def test_a_kept_connection_that_ended_is_replaced_for_requests_that_can_be_repeated() -> None:
    async def script(call: Call) -> None:
        if len(here.calls) != 2:
            await call.send(OK)
        else:
            call.writer.close()

    async with proxied(script) as (client, here):
        assert [(await client.get("/")).status for _ in range(2)] == [200, 200]
        assert len(here.calls) == 3


async def test_a_post_is_never_repeated() -> None:
    async def script(call: Call) -> None:
        if call.head.startswith(b"POST"):
            call.writer.close()
        else:
            await call.send(OK)

    async with proxied(script) as (client, here):
        await client.get("/")
        assert (await client.post("/", [("content-length", "1")], b"x")).status == 502
        assert len(here.calls) == 2


async def test_a_client_that_leaves_ends_the_origins_work() -> None:
    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await call.reader.read()
        call.writer.close()

    async with proxied(script) as (client, here):
        async with client.stream("GET", "/") as exchange:
            await exchange.next()
            exchange.disconnect()
            await exchange.finish()
        await asyncio.wait_for(here.ended.wait(), 5)
        assert not exchange.response.complete


async def test_a_client_that_leaves_before_its_body_is_sent() -> None:
    async def script(call: Call) -> None:
        await call.reader.read()
        call.writer.close()

    async with proxied(script) as (client, here):
        messages = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, object]:
            return messages.pop(0)

        async def send(message: object) -> None:
            raise AssertionError("nobody is there")

        scope = client.scope("POST", "/", [("content-length", "10")])
        await asyncio.wait_for(client.app(scope, receive, send), 5)
        await asyncio.wait_for(here.ended.wait(), 5)
        assert not messages


async def test_control_characters_become_spaces() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: a\x01b\x7f\r\nContent-Length: 0\r\n\r\n"
    async with proxied(answering(raw)) as (client, _):
        assert (await client.get("/")).header("x") == "a b "


# ---- requests that end here


async def test_max_forwards() -> None:
    async with proxied(answer_ok) as (client, here):
        assert (await client.request("OPTIONS", "/", [("max-forwards", "0")])).status == 200
        assert (await client.request("TRACE", "/", [("max-forwards", "0")])).status == 405
        assert here.calls == []
        await client.request("OPTIONS", "/", [("max-forwards", "3")])
        assert here.calls[0].values(b"max-forwards") == [b"2"]


async def test_a_request_that_goes_round_in_circles_is_stopped() -> None:
    async with proxied(answer_ok) as (client, here):
        via = ", ".join(["1.1 perfmw"] * 16)
        assert (await client.get("/", [("via", via)])).status == 508
        assert here.calls == []


async def call(app: ReverseProxy, scope: dict[str, object]) -> int:
    """The status that an app answers a scope with."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status


async def test_requests_without_one_host_are_refused() -> None:
    async with proxied(answer_ok) as (client, here):
        assert (await client.get("/", [("host", "a"), ("host", "b")])).status == 400
        scope = client.scope("GET", "/", []) | {"headers": []}
        assert await call(client.app, scope) == 400
        assert here.calls == []
        assert await call(client.app, scope | {"http_version": "1.0"}) == 200
        assert here.calls[0].values(b"host") == [f"127.0.0.1:{here.port}".encode()]


async def test_tunnels_and_websockets_are_refused() -> None:
    async with proxied(answer_ok) as (client, here):
        assert (await client.request("CONNECT", "/")).status == 501
        with pytest.raises(ConnectionRefusedError):
            async with client.websocket("/"):
                pass
        assert here.calls == []


@pytest.mark.parametrize("url", ["ftp://a", "a.example", "http://", "http://a/?x=1", "http://u:p@a/"])
def test_urls_that_name_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of an origin"):
        ReverseProxy(url)


async def test_the_lifespan_closes_the_connections() -> None:
    async with origin(answer_ok) as here:
        async with Client(ReverseProxy(here.url)) as client:
            await client.get("/")
        await asyncio.wait_for(here.ended.wait(), 5)
        assert len(here.calls) == 1


# ---- informational responses

HINTS = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n"
)


async def through(extension: str, *parts: bytes, version: str = "1.1") -> list[dict[str, object]]:
    async def script(call: Call) -> None:
        for part in parts:
            await call.send(part)
            await asyncio.sleep(0.02)

    async with proxied(script) as (client, _):
        client.extensions = {extension: {}}
        response = await client.get("/", http_version=version)
        assert (response.status, response.body) == (200, b"ok")
        return [dict(message) for message in response.messages]


@pytest.mark.parametrize(
    "parts", [(HINTS + OK,), (HINTS, OK), (HINTS[:40], HINTS[40:], OK), (HINTS + OK[:3], OK[3:])]
)
async def test_informational_responses_are_passed_on_where_the_server_can(parts: tuple[bytes, ...]) -> None:
    first, *rest = await through("perfmw.informational", *parts)
    assert first == {"type": "perfmw.informational", "status": 103, "headers": [(b"link", b"</a>")]}
    assert [message["type"] for message in rest] == ["http.response.start", "http.response.body"]


async def test_early_hints_are_passed_on_as_asgi_knows_them() -> None:
    first, *_ = await through("http.response.early_hint", HINTS + OK)
    assert first == {"type": "http.response.early_hint", "links": [b"</a>"]}


async def test_clients_of_http_1_0_and_other_servers_get_none() -> None:
    for extension, version in (("perfmw.informational", "1.0"), ("other", "1.1")):
        messages = await through(extension, HINTS + OK, version=version)
        assert [message["type"] for message in messages] == ["http.response.start", "http.response.body"]


async def test_a_body_that_looks_informational_is_none() -> None:
    body = b"HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n"
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def script(call: Call) -> None:
        await call.send(raw)
        await asyncio.sleep(0.02)
        await call.send(body)

    async with proxied(script) as (client, _):
        client.extensions = {"perfmw.informational": {}}
        response = await client.get("/")
        assert response.body == body
        assert {message["type"] for message in response.messages} == {
            "http.response.start",
            "http.response.body",
        }
