"""What a request costs in process: a hit and an uncacheable request, against the same Starlette app.

    python tests/benchmarks/bench_request_path.py [--json]

Rounds of the bare app, a hit and an uncacheable request are interleaved, and the ratio is the median of
the rounds' ratios, so that a change of the machine's speed meets all three alike.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings

HEADERS = [
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.7"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"https://shop.example/"),
    (b"connection", b"keep-alive"),
    (b"upgrade-insecure-requests", b"1"),
]
CALLS, ROUNDS = 2_000, 25


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello, world")


async def secret(request: Request) -> Response:
    return PlainTextResponse("hello, world", headers={"cache-control": "no-store"})


def site() -> Starlette:
    return Starlette(routes=[Route("/hello", hello), Route("/plain", hello), Route("/secret", secret)])


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": HEADERS,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    pass


async def cost(app: Any, path: str) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        await app(scope(path), receive, send)
    return (time.perf_counter() - begun) / CALLS


async def measure() -> dict[str, float]:
    bare = site()
    rule = CacheRule(path="/hello", ttl=3600)
    wrapped = PerfMiddleware(site(), settings=Settings(cache_rules=[rule]))
    await wrapped(scope("/hello"), receive, send)
    for path in ("/hello", "/plain", "/secret"):
        await cost(bare, path), await cost(wrapped, path)
    rows = []
    for _ in range(ROUNDS):
        plain, hit = await cost(bare, "/plain"), await cost(wrapped, "/hello")
        passed, secret, secret_passed = (
            await cost(wrapped, "/plain"),
            await cost(bare, "/secret"),
            await cost(wrapped, "/secret"),
        )
        rows.append((plain, hit, passed, secret, secret_passed))
    await wrapped.runtime.stop()

    def median(figure: Callable[..., float]) -> float:
        return statistics.median(figure(*row) for row in rows)

    return {
        "starlette_us": median(lambda plain, *_: plain) * 1e6,
        "hit_us": median(lambda plain, hit, *_: hit) * 1e6,
        "uncacheable_us": median(lambda plain, hit, passed, *_: passed) * 1e6,
        "no_store_us": median(lambda plain, hit, passed, secret, stored: stored) * 1e6,
        "hit_ratio": median(lambda plain, hit, *_: hit / plain),
        "added_ratio": median(lambda plain, hit, passed, *_: (passed - plain) / plain),
        "added_no_store_ratio": median(lambda plain, hit, passed, secret, other: (other - secret) / secret),
    }


def main() -> None:
    figures = asyncio.run(measure())
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    rows = [
        ("Starlette, uncached", "starlette_us", "", ""),
        ("perfmw, hit", "hit_us", "hit_ratio", "≤ 0.50"),
        ("perfmw, uncacheable", "uncacheable_us", "added_ratio", "added ≤ 0.60"),
        ("perfmw, no-store", "no_store_us", "added_no_store_ratio", "added ≤ 0.60"),
    ]
    for label, cost_name, ratio_name, wanted in rows:
        ratio = f"ratio {figures[ratio_name]:.3f} ({wanted})" if ratio_name else ""
        print(f"{label:22s} {figures[cost_name]:6.2f} µs   {ratio}")


if __name__ == "__main__":
    main()
