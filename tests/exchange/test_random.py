"""Random traffic to an app that marks nothing: what one user sees is never another's, and never torn."""

from __future__ import annotations

import random
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client
from perfmw.testing.client import Response
from tests.exchange.test_stale import Clock

pytestmark = pytest.mark.anyio

CONTROLS = [
    b"",
    b"max-age=3",
    b"max-age=0",
    b"no-cache",
    b"no-store",
    b"private",
    b"public, max-age=2",
    b"s-maxage=2",
    b"max-age=1, stale-while-revalidate=5",
    b"max-age=1, stale-if-error=9",
    b"max-age=2, must-revalidate",
]
SAID = [b"public, max-age=2", b"s-maxage=2", b"max-age=2, must-revalidate"]
"""What an app says of a response to Authorization that is for everyone (RFC 9111 section 3.5)."""
USERS = [None, None, None, None, "ann", "bob", "eve"]
ASKED = ["", "", "", "no-cache", "max-age=0", "max-stale=5", "only-if-cached", "no-store", "min-fresh=2"]


class Personal:
    """Greets whoever has a cookie or a token by name, in headers and body, and says nothing about it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.version = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        chance, fields = self.chance, dict(scope["headers"])
        if chance.random() < 0.05:
            raise RuntimeError("broken")
        if chance.random() < 0.3:
            self.version += 1
        name = fields.get(b"cookie", fields.get(b"authorization", b"user=nobody"))
        page = b"<%s %s v%d>" % (scope["raw_path"], name, self.version)
        etag = b'"%s-%d"' % (name, self.version)
        headers = [(b"x-name", name), (b"vary", chance.choice([b"accept", b"accept-encoding"]))]
        control = chance.choice(CONTROLS)
        if control and not (b"authorization" in fields and control in SAID):
            headers.append((b"cache-control", control))
        if chance.random() < 0.5:
            headers.append((b"etag", etag))
        if chance.random() < 0.1:
            headers.append((b"set-cookie", name))
        status = chance.choice([200] * 8 + [404, 500, 503])
        if fields.get(b"if-none-match") == etag:
            status, page = 304, b""
        elif chance.random() < 0.5:
            headers.append((b"content-length", b"%d" % len(page)))
        body = b"" if scope["method"] == "HEAD" else page
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for at in range(0, len(body), 10):
            await send({"type": "http.response.body", "body": body[at : at + 10], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def request(chance: random.Random, user: str | None, known: list[str]) -> tuple[str, list[tuple[str, str]]]:
    headers = [(chance.choice(["cookie", "authorization"]), f"user={user}")] if user else []
    for name, values in {
        "accept": ["a", "b"],
        "accept-encoding": ["gzip", "gzip, br", "identity"],
        "cache-control": ASKED,
        "if-none-match": ["", "", "", *known[-3:]],
        "range": ["", "", "", "bytes=0-3", "bytes=-4", "bytes=2-"],
    }.items():
        if value := chance.choice(values):
            headers.append((name, value))
    return f"/{chance.randrange(3)}", headers


def problem(user: str | None, path: str, answer: Response) -> str:
    seen = answer.body + b" " + b" ".join(value for _, value in answer.headers)
    others = [name for name in ("ann", "bob", "eve") if name != user and f"user={name}".encode() in seen]
    if others:
        return f"{user} saw {others}"
    if answer.status == 200 and not (
        answer.body.startswith(b"<" + path.encode()) and answer.body.endswith(b">")
    ):
        return f"a torn page: {answer.body!r}"
    length = answer.header("content-length")
    if answer.status in (200, 206) and length is not None and int(length) != len(answer.body):
        return f"{len(answer.body)} bytes for {length}"
    return ""


@pytest.mark.parametrize("seed", range(12))
async def test_nobody_sees_anothers_page_nor_a_torn_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, clock = random.Random(seed), Clock(monkeypatch)
    rules = [CacheRule(path="/**", ttl=4)] if seed % 2 else []
    middleware = PerfMiddleware(
        Personal(chance), settings=Settings(cache_rules=rules, add_etag=seed % 3 == 0)
    )
    client, known, hits = Client(middleware), ["*"], 0
    for _ in range(500):
        clock.ahead += chance.random() / 4
        user = chance.choice(USERS)
        path, headers = request(chance, user, known)
        answer = await client.get(path, headers, raise_errors=False)
        if answer.error is not None:
            assert str(answer.error) == "broken"
            continue
        assert problem(user, path, answer) == "", (path, headers, answer.status, answer.headers)
        hits += "; hit" in (answer.header("cache-status") or "")
        known += answer.header_lines("etag")
    assert hits > 5
    await middleware.runtime.stop()
