"""What a request costs in process: a hit and an uncacheable request, against the same Starlette app.

    python -m tests.benchmarks.bench_request_path [--json]

Rounds of the bare app, a hit and an uncacheable request are interleaved, and the ratio is the median of
the rounds' ratios, so that a change of the machine's speed meets all three alike.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from tests.benchmarks.verdicts import told

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


# as many fields, one of them the client's own copy
CONDITIONAL = [
    (b"if-none-match", b'"v1"') if name == b"referer" else (name, value) for name, value in HEADERS
]


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello, world")


async def tagged(request: Request) -> Response:
    return PlainTextResponse("hello, world", headers={"etag": '"v1"'})


async def secret(request: Request) -> Response:
    return PlainTextResponse("hello, world", headers={"cache-control": "no-store"})


def site() -> Starlette:
    routes = {"/hello": hello, "/tagged": tagged, "/plain": hello, "/secret": secret}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()])


def scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    pass


async def cost(app: Any, path: str, headers: list[tuple[bytes, bytes]] = HEADERS) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        await app(scope(path, headers), receive, send)
    return (time.perf_counter() - begun) / CALLS


async def one_round(bare: Any, wrapped: Any) -> dict[str, float]:
    """Seconds a call, of each kind once."""
    return {
        "starlette": await cost(bare, "/plain"),
        "hit": await cost(wrapped, "/hello"),
        "uncacheable": await cost(wrapped, "/plain"),
        "starlette_secret": await cost(bare, "/secret"),
        "no_store": await cost(wrapped, "/secret"),
        "tagged_hit": await cost(wrapped, "/tagged"),
        "not_modified": await cost(wrapped, "/tagged", CONDITIONAL),
    }


async def measure() -> dict[str, float]:
    rules = [CacheRule(path=path, ttl=3600) for path in ("/hello", "/tagged")]
    bare, wrapped = site(), PerfMiddleware(site(), settings=Settings(cache_rules=rules))
    for path in ("/hello", "/tagged"):
        await wrapped(scope(path, HEADERS), receive, send)
    await one_round(bare, wrapped)
    rows = [await one_round(bare, wrapped) for _ in range(ROUNDS)]
    await wrapped.runtime.stop()

    def ratio(of: str, to: str, less: float = 0.0) -> float:
        return statistics.median(row[of] / row[to] for row in rows) - less

    return {f"{name}_us": statistics.median(row[name] for row in rows) * 1e6 for name in rows[0]} | {
        "hit_ratio": ratio("hit", "starlette"),
        "added_ratio": ratio("uncacheable", "starlette", 1.0),
        "added_no_store_ratio": ratio("no_store", "starlette_secret", 1.0),
        "not_modified_ratio": ratio("not_modified", "tagged_hit"),
    }


def main() -> int:
    figures = asyncio.run(measure())
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return 0
    print(f"Starlette, uncached: {figures['starlette_us']:.2f} µs")
    rows = [
        ("a hit, of that", "hit", "hit_ratio", 0.50),
        ("what an uncacheable request adds to it", "uncacheable", "added_ratio", 0.60),
        ("what a no-store answer adds to it", "no_store", "added_no_store_ratio", 0.60),
        ("a 304, of a hit", "not_modified", "not_modified_ratio", 1.0),
    ]
    good = [
        told(f"{label} ({figures[f'{cost_name}_us']:.2f} µs)", figures[ratio_name], most=most)
        for label, cost_name, ratio_name, most in rows
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
