"""The safety matrix: what must not happen, whatever rule a site has been given.

Each row asks a site whose every route has a rule of an hour, and returns what went wrong, or "".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.conformance.model import Answer
from tests.safety.ways import Ask

Row = Callable[[Ask], Awaitable[str]]
ROWS: dict[str, Row] = {}


def row(title: str) -> Callable[[Row], Row]:
    def add(check: Row) -> Row:
        ROWS[title] = check
        return check

    return add


def leaks(answer: Answer, secret: bytes) -> str:
    everything = answer.body + repr(answer.headers).encode()
    return f"{secret.decode('latin-1')} reached somebody else" if secret in everything else ""


@row("a rule caches what is safe")
async def cached(ask: Ask) -> str:
    await ask("/plain")
    answer = await ask("/plain")
    return "" if b"call 1" in answer.body else f"not cached: {answer.body!r}"


@row("two users with different Authorization")
async def authorization(ask: Ask) -> str:
    await ask("/me", [("Authorization", "Bearer ann-secret")])
    bob = await ask("/me", [("Authorization", "Bearer bob")])
    nobody = await ask("/me")
    return leaks(bob, b"ann-secret") or leaks(nobody, b"ann-secret")


@row("an anonymous page is not a user's")
async def anonymous(ask: Ask) -> str:
    await ask("/me")
    ann = await ask("/me", [("Authorization", "Bearer ann-secret")])
    return "" if b"ann-secret" in ann.body else "a user got the page of nobody"


@row("cookie-dependent pages without Vary")
async def cookies(ask: Ask) -> str:
    await ask("/account", [("Cookie", "session=ann-secret")])
    bob = await ask("/account", [("Cookie", "session=bob")])
    nobody = await ask("/account")
    ann = await ask("/account", [("Cookie", "session=ann-secret")])
    if b"ann-secret" not in ann.body:
        return "a user got the page of another"
    return leaks(bob, b"ann-secret") or leaks(nobody, b"ann-secret")


@row("Set-Cookie is never replayed")
async def set_cookie(ask: Ask) -> str:
    first = await ask("/login")
    second = await ask("/login")
    return "one cookie for two clients" if first.get("set-cookie") == second.get("set-cookie") else ""


@row("mixed-case Private and NO-STORE")
async def mixed_case(ask: Ask) -> str:
    for path in ("/private", "/nostore"):
        await ask(path)
        if not (await ask(path)).body.endswith(b"call 2"):
            return f"{path} was stored"
    return ""


@row("500 and 503 are never stored")
async def errors(ask: Ask) -> str:
    for status in (500, 502, 503, 504):
        await ask(f"/fail/{status}")
        if not (await ask(f"/fail/{status}")).body.endswith(b"call 2"):
            return f"{status} was stored"
    return ""


FORGED = (
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "evil-scheme"),
    ("X-Forwarded-Prefix", "/evil-prefix"),
    ("X-Forwarded-Port", "6666"),
    ("X-Forwarded-Server", "evil.example"),
    ("X-Host", "evil.example"),
    ("X-Original-URL", "/evil-url"),
    ("X-Rewrite-URL", "/evil-url"),
    ("X-HTTP-Method-Override", "EVIL"),
)


@row("reflected X-Forwarded-* fields")
async def forwarded(ask: Ask) -> str:
    for name, value in FORGED:
        path = f"/links/{name.lower()}"
        await ask(path, [(name, value)])
        if problem := leaks(await ask(path), value.encode()):
            return f"{name}: {problem}"
    return ""


@row("a client's address in the page")
async def address(ask: Ask) -> str:
    await ask("/ip", [("X-Forwarded-For", "203.0.113.9")])
    return leaks(await ask("/ip", [("X-Forwarded-For", "198.51.100.7")]), b"203.0.113.9")


@row("two Host values")
async def hosts(ask: Ask) -> str:
    await ask("/links", [("Host", "shop.example"), ("Host", "evil.example")])
    if problem := leaks(await ask("/links", [("Host", "shop.example")]), b"evil.example"):
        return problem
    await ask("/links/other", [("Host", "evil.example")])
    return leaks(await ask("/links/other", [("Host", "shop.example")]), b"evil.example")


DIFFERENT = [
    ("/a%2Fb", "/a/b"),
    ("/d/../e", "/e"),
    ("/f/./g", "/f/g"),
    ("/h%ff", "/h%fe"),
    ("/i;x=1", "/i;x=2"),
    ("/j?a=1&a=2", "/j?a=2&a=1"),
    ("/k?a=1;b=2", "/k?a=1"),
    ("/l?a=1&b=2", "/l?a=1&b=3"),
    ("/m//n", "/m/n"),
    ("/o%00", "/o"),
    ("/p%20", "/p+"),
    ("/Q", "/q"),
]


@row("%2F, dot segments, invalid UTF-8, ; and repeated parameters")
async def paths(ask: Ask) -> str:
    for one, other in DIFFERENT:
        first, second = await ask(one), await ask(other)
        if second.status == 200 and second.body.split(b" call")[0] == first.body.split(b" call")[0]:
            return f"{other} got the page of {one}"
    return ""


@row("a GET with a body")
async def bodies(ask: Ask) -> str:
    await ask("/body", body=b"ann-secret")
    return leaks(await ask("/body", body=b"bob"), b"ann-secret") or leaks(await ask("/body"), b"ann-secret")


@row("oversized fields")
async def oversized(ask: Ask) -> str:
    await ask("/big", [("X-Big", "a" * 60_000), *((f"X-{number}", "b") for number in range(200))])
    answer = await ask("/big")
    return "" if answer.status == 200 else f"the page is gone: {answer.status}"


@row("control characters in fields")
async def control(ask: Ask) -> str:
    for character in ("\x00", "\x01", "\x7f", "\t"):
        await ask("/links/control", [("X-Odd", f"evil{character}value")])
    answer = await ask("/links/control")
    return "" if answer.status == 200 and b"\x00" not in answer.body else f"the page is gone: {answer.status}"


@row("CR and LF in reflected values")
async def splitting(ask: Ask) -> str:
    target = "/go?to=x%0d%0aSet-Cookie:%20evil=1"
    await ask(target)
    second = await ask(target)
    return "a split header was served from the store" if "hit" in (second.get("cache-status") or "") else ""


@row("30 concurrent misses make one call")
async def herd(ask: Ask) -> str:
    answers = await asyncio.gather(*(ask("/slow") for _ in range(30)))
    called = max(answer.body.rpartition(b" ")[2] for answer in answers).decode("latin-1")
    return "" if {answer.body for answer in answers} == {b"slow call 1"} else f"{called} calls"
