"""Requests as they come over the wire to a ``perfmw proxy`` process: targets, methods, one try or two."""

from __future__ import annotations

import asyncio

import pytest

from tests.asgi.wire import Call, answer_ok, answering, origin
from tests.cli.test_proxy_trailers import ask
from tests.conformance.client import fetch
from tests.conformance.engine import proxied

pytestmark = pytest.mark.anyio
END = b" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "sent", "host"),
    [
        (b"GET http://b.example:81/x?q=1", b"GET /x?q=1", b"b.example:81"),
        (b"GET http://b.example", b"GET /", b"b.example"),
        (b"GET HTTP://b.example?q", b"GET /?q", b"b.example"),
        (b"GET http://b.example/x#y", b"GET /x", b"b.example"),
        (b"OPTIONS http://b.example", b"OPTIONS *", b"b.example"),
        (b"OPTIONS *", b"OPTIONS *", b"a.example"),
        (b"GET /http://b.example/", b"GET /http://b.example/", b"a.example"),
        (b"GET //b.example/x", b"GET //b.example/x", b"a.example"),
    ],
)
async def test_a_target_may_name_its_authority(line: bytes, sent: bytes, host: bytes) -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        head, rest = await ask(port, line + END)
        assert (head[:12], rest) == (b"http/1.1 200", b"ok")
        assert here.calls[0].head.startswith(sent + b" HTTP/1.1\r\n")
        assert here.calls[0].values(b"host") == [host]


async def test_the_authority_of_the_target_is_the_key() -> None:
    fresh = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
    async with origin(answering(fresh)) as here, proxied(here) as port:
        await ask(port, b"GET http://b.example/" + END)
        await ask(port, b"GET /" + END)
        assert len(here.calls) == 2
        await ask(port, b"GET /" + END.replace(b"a.example", b"b.example"))
        assert len(here.calls) == 2


@pytest.mark.parametrize("target", [b"http://u:p@b.example/", b"ftp://b.example/", b"b.example:80", b"x"])
async def test_targets_of_another_form_are_refused(target: bytes) -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        head, _ = await ask(port, b"GET " + target + END)
        assert head[:12] == b"http/1.1 400"
        assert here.calls == []


@pytest.mark.parametrize("method", [b"FOO", b"get", b"MADE-UP~1"])
async def test_methods_nobody_knows_go_through_and_outdate(method: bytes) -> None:
    async def script(call: Call) -> None:
        if length := call.values(b"content-length"):
            assert await call.reader.readexactly(int(length[0])) == b"body"
        await call.send(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n%s"
            % (len(call.head), call.head)
        )

    async with origin(script) as here, proxied(here) as port:
        for _ in range(2):
            await ask(port, b"GET /" + END)
        assert len(here.calls) == 1
        _, rest = await ask(
            port, method + b" /" + END.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\nbody")
        )
        assert rest.startswith(method + b" / HTTP/1.1\r\n")
        await ask(port, b"GET /" + END)
        assert len(here.calls) == 3


async def test_a_method_nobody_knows_leaves_the_connection_as_it_was() -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for method in (b"FOO", b"GET", b"BAR", b"HEAD"):
            writer.write(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n" if method == b"HEAD" else b"\r\n\r\nok"), 10)
        writer.close()
        assert [call.head.split(b" ")[0] for call in here.calls] == [b"FOO", b"GET", b"BAR", b"HEAD"]


@pytest.mark.parametrize(("directive", "tries"), [(b"max-age=1", 2), (b"max-age=1, must-revalidate", 3)])
async def test_what_can_be_answered_stale_is_not_asked_twice(directive: bytes, tries: int) -> None:
    """An origin that drops a request on a kept connection is asked again only where nothing else answers."""

    async def script(call: Call) -> None:
        if len(here.calls) > 1:
            call.writer.close()
            return
        await call.send(b"HTTP/1.1 200 OK\r\nCache-Control: %s\r\nContent-Length: 2\r\n\r\nok" % directive)

    async with origin(script) as here, proxied(here, "--rfc") as port:
        first = await fetch(port, "GET", "/", [])
        assert first.status == 200
        await asyncio.sleep(1.2)
        assert (await fetch(port, "GET", "/", [])).status == (200 if tries == 2 else 502)
        assert len(here.calls) == tries


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_chain_of_addresses_names_everyone_once(
    trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFMW_TRUST_FORWARDED_HOST", str(trusted).lower())
    async with origin(answer_ok) as here, proxied(here) as port:
        await fetch(port, "GET", "/", [("X-Forwarded-For", "10.1.2.3")])
        assert here.calls[0].values(b"x-forwarded-for") == [b"10.1.2.3, 127.0.0.1"]
