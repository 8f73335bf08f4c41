"""What an app's answer does to what is stored: HEAD, parts, writes, refusals, variants, reflections."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, hookimpl
from perfmw.testing import Client
from tests.exchange.test_stale import ETAG, HOUR, Script, control

pytestmark = pytest.mark.anyio


def wrapped(app: Any, plugins: Any = (), **settings: Any) -> PerfMiddleware:
    return PerfMiddleware(app, settings=Settings(**settings), plugins=plugins)


async def hit(client: Client, target: str = "/", headers: Any = ()) -> bool:
    answer = await client.get(target, headers)
    return (answer.header("cache-status") or "").startswith("perfmw; hit")


# ---- HEAD


async def test_a_head_that_shows_another_state_outdates_the_page() -> None:
    app = Script((200, b"one", HOUR, ETAG), (200, b"", HOUR, (b"etag", b'"b"')), (200, b"two", HOUR))
    client = Client(wrapped(app))
    await client.get("/")
    await client.head("/", {"cache-control": "no-cache"})
    assert (await client.get("/")).body == b"two"


async def test_a_head_that_shows_the_same_state_freshens_it() -> None:
    app = Script(
        (200, b"one", control("max-age=100"), ETAG), (200, b"", HOUR, ETAG, (b"content-length", b"3"))
    )
    client = Client(wrapped(app))
    await client.get("/")
    await client.head("/", {"cache-control": "no-cache"})
    answer = await client.get("/")
    assert (answer.body, answer.header("cache-control")) == (b"one", "max-age=3600")


async def test_a_head_does_not_make_the_url_uncacheable() -> None:
    client = Client(wrapped(Script((200, b"", HOUR), (200, b"one", HOUR))))
    await client.head("/")
    await client.get("/")
    assert await hit(client)


# ---- refusals


async def test_a_refusal_keeps_what_is_stored() -> None:
    client = Client(wrapped(Script((200, b"one", HOUR), (200, b"two", control("no-store")))))
    await client.get("/")
    assert (await client.get("/", {"cache-control": "no-cache"})).body == b"two"
    assert (await client.get("/")).body == b"one"


async def test_an_answer_that_is_stale_on_arrival_replaces_what_is_stored() -> None:
    client = Client(wrapped(Script((200, b"one", HOUR), (200, b"two", control("max-age=0")))))
    await client.get("/")
    await client.get("/", {"cache-control": "no-cache"})
    assert not await hit(client)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", 'proto=http;for="203.0.113.9"'),
        ("x-forwarded-for", "10.0.0.1, 203.0.113.9"),
    ],
)
@pytest.mark.parametrize("where", ["body", "field"])
async def test_a_page_that_shows_the_clients_address_is_not_stored(name: str, value: str, where: str) -> None:
    page = (200, b"you are 203.0.113.9", HOUR)
    client = Client(
        wrapped(Script(page if where == "body" else (200, b"", HOUR, (b"x-you", b"203.0.113.9"))))
    )
    await client.get("/", {name: value})
    assert not await hit(client, headers={name: "198.51.100.1"})


async def test_a_page_without_the_address_is_stored() -> None:
    client = Client(wrapped(Script((200, b"hello", HOUR))))
    await client.get("/", {"x-forwarded-for": "203.0.113.9"})
    assert await hit(client, headers={"x-forwarded-for": "198.51.100.1"})


async def test_a_rule_may_key_on_the_address() -> None:
    rules = [CacheRule(path="/**", ttl=60, vary=["x-real-ip"])]
    client = Client(wrapped(Script((200, b"you are 203.0.113.9")), cache_rules=rules))
    await client.get("/", {"x-real-ip": "203.0.113.9"})
    assert await hit(client, headers={"x-real-ip": "203.0.113.9"})
    assert not await hit(client, headers={"x-real-ip": "203.0.113.8"})


# ---- writes


async def test_a_post_may_leave_its_answer_behind_in_strict_mode_only() -> None:
    answer = (200, b"new", HOUR, (b"content-location", b"/"))
    for strict in (True, False):
        client = Client(wrapped(Script(answer), rfc_strict=strict))
        await client.post("/", body=b"x")
        assert await hit(client) is strict


async def test_a_post_outdates_before_it_leaves_its_answer() -> None:
    app = Script((200, b"one", HOUR), (200, b"two", HOUR, (b"content-location", b"/")))
    client = Client(wrapped(app, rfc_strict=True))
    await client.get("/")
    await client.post("/", body=b"x")
    answer = await client.get("/")
    assert (answer.body, len(app.scopes)) == (b"two", 2)


class OwnKeys:
    """Pages of one shelf share an entry, whatever their query."""

    @hookimpl
    def perfmw_cache_key(self, request: Any) -> str | None:
        return "shelf" if request.path.startswith(b"/shelf") else None


async def test_a_write_outdates_the_key_that_a_plugin_gave() -> None:
    client = Client(wrapped(Script((200, b"one", HOUR)), plugins=[OwnKeys()]))
    await client.get("/shelf?a")
    assert await hit(client, "/shelf?b")
    await client.post("/shelf?c", body=b"x")
    assert not await hit(client, "/shelf?a")


# ---- parts

BODY = b"0123456789"


class Ranged:
    """Serves ranges of ten bytes. ``tag``: its ETag."""

    def __init__(self) -> None:
        self.asked: list[bytes | None] = []
        self.tag = b'"a"'

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fields = dict(scope["headers"])
        wanted = fields.get(b"range")
        self.asked.append(wanted)
        headers = [HOUR, (b"etag", self.tag)]
        status, body = 200, BODY
        if wanted and fields.get(b"if-range", self.tag) == self.tag:
            first, last = wanted.removeprefix(b"bytes=").split(b"-")
            end = int(last or 9)
            status, body = 206, BODY[int(first) : end + 1]
            headers.append((b"content-range", b"bytes %s-%d/10" % (first, end)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_a_part_answers_what_lies_within_it() -> None:
    client = Client(wrapped(Ranged()))
    await client.get("/", {"range": "bytes=2-6"})
    answer = await client.get("/", {"range": "bytes=3-4"})
    assert (answer.status, answer.body, answer.header("content-range")) == (206, b"34", "bytes 3-4/10")


async def test_a_stored_beginning_is_completed() -> None:
    app = Ranged()
    client = Client(wrapped(app))
    await client.get("/", {"range": "bytes=0-4"})
    answer = await client.get("/")
    assert (answer.status, answer.body, answer.header("content-range")) == (200, BODY, None)
    assert answer.header("cache-status") == "perfmw; fwd=partial; fwd-status=206; stored"
    assert app.asked == [b"bytes=0-4", b"bytes=5-"]
    assert await hit(client)


async def test_a_beginning_of_what_has_changed_is_replaced() -> None:
    app = Ranged()
    client = Client(wrapped(app))
    await client.get("/", {"range": "bytes=0-4"})
    app.tag = b'"b"'
    answer = await client.get("/")
    assert (answer.status, answer.body, answer.header("etag")) == (200, BODY, '"b"')
    assert await hit(client)


async def test_parts_grow_together_until_they_are_the_whole() -> None:
    app = Ranged()
    client = Client(wrapped(app))
    for asked in ("bytes=6-9", "bytes=3-5", "bytes=0-4"):
        await client.get("/", {"range": asked})
    assert await hit(client)
    answer = await client.get("/")
    assert (answer.status, answer.body, answer.header("content-range")) == (200, BODY, None)
    assert len(app.asked) == 3


async def test_a_part_does_not_push_a_fresh_whole_out() -> None:
    client = Client(wrapped(Ranged()))
    await client.get("/")
    await client.get("/", {"range": "bytes=0-4", "cache-control": "no-cache"})
    assert await hit(client)


class Lying(Ranged):
    """Says 206 and sends other bytes than it says."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if dict(scope["headers"]).get(b"range") != b"bytes=5-":
            await super().__call__(scope, receive, send)
            return
        headers = [HOUR, (b"etag", b'"a"'), (b"content-range", b"bytes 5-9/10")]
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        await send({"type": "http.response.body", "body": b"567"})


async def test_an_end_that_does_not_fit_is_not_joined() -> None:
    client = Client(wrapped(Lying()))
    await client.get("/", {"range": "bytes=0-4"})
    answer = await client.get("/")
    assert (answer.status, answer.body) == (200, BODY)


# ---- the short ways


async def test_a_304_is_answered_on_the_short_way_with_what_it_must_carry() -> None:
    client = Client(wrapped(Script((200, b"one", HOUR, ETAG, (b"content-type", b"text/plain")))))
    await client.get("/")
    answer = await client.get("/", {"if-none-match": 'W/"x", "a"'})
    assert (answer.status, answer.body) == (304, b"")
    assert sorted(name for name, _ in answer.headers) == [b"age", b"cache-control", b"cache-status", b"etag"]
    assert (await client.get("/", {"if-none-match": '"x"'})).body == b"one"


async def test_variants_are_served_on_the_short_way() -> None:
    app = Script((200, b"one", HOUR, (b"vary", b"accept-encoding")))
    middleware = wrapped(app)
    client = Client(middleware)
    for coding in ("gzip", "br"):
        await client.get("/", {"accept-encoding": coding})
    for coding in ("gzip", "br", "GZIP"):
        assert await hit(client, headers={"accept-encoding": coding})
    assert len(app.scopes) == 2
    assert not await hit(client, headers={"accept-encoding": "zstd"})


async def test_a_body_is_served_as_the_object_that_was_stored() -> None:
    big = bytes(1024 * 1024)
    client = Client(wrapped(Script((200, big, HOUR, (b"content-length", b"1048576")))))
    await client.get("/")
    first = (await client.get("/")).messages[1]["body"]
    second = (await client.get("/")).messages[1]["body"]
    assert first is second is big


async def test_an_etag_is_made_where_it_is_asked_for() -> None:
    client = Client(wrapped(Script((200, b"one", HOUR)), add_etag=True))
    await client.get("/")
    etag = (await client.get("/")).header("etag")
    assert etag is not None
    assert (await client.get("/", {"if-none-match": etag})).status == 304


async def test_cookies_are_stored_where_it_is_asked_for() -> None:
    page = (200, b"one", HOUR, (b"set-cookie", b"a=b"))
    for allowed in (True, False):
        client = Client(wrapped(Script(page), allow_set_cookie=allowed))
        await client.get("/")
        assert await hit(client) is allowed


async def test_other_targets_may_be_named() -> None:
    page = (200, b"one", control("no-cache"), (b"x-cdn", b"max-age=60"))
    for targets in (["x-cdn"], []):
        client = Client(wrapped(Script(page), targets=targets))
        await client.get("/")
        assert await hit(client) is bool(targets)
