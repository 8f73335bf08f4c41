"""Hits on a real uvicorn against a bare ASGI app that returns the same bytes.

    python -m tests.benchmarks.bench_uvicorn_hits [--json]

Both are served in processes of their own; the figure is requests per second of the server's own CPU time,
since wall-clock rates on a shared machine say more about the neighbours. Rounds alternate.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.request
from typing import Any

from tests.benchmarks import served

REQUESTS, ROUNDS = 12_000, 7
BODY = b"hello, world" * 10
ETAG = b'"v1"'
FIELDS = [
    (b"etag", ETAG),
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(BODY)),
]
PLAIN = served.request("/hello")
CONDITIONAL = served.request("/hello", [*served.FIELDS[:-1], f"if-none-match: {ETAG.decode()}"])
WHOLE = served.Answer(len(BODY), says=b"hit; ttl")
CONFIRMED = served.Answer(0, b"HTTP/1.1 304", says=b"hit; ttl")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The rival: no routing, no cache, the bytes of a hit."""
    if scope["type"] != "http":
        return
    extra = [(b"age", b"0"), (b"cache-status", b"perfmw; hit; ttl=3599")]
    await send({"type": "http.response.start", "status": 200, "headers": [*FIELDS, *extra]})
    await send({"type": "http.response.body", "body": BODY})


def cached() -> Any:
    """perfmw in front of an app that a rule makes cacheable."""
    from perfmw import CacheRule, PerfMiddleware, Settings

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": FIELDS})
        await send({"type": "http.response.body", "body": BODY})

    return PerfMiddleware(app, settings=Settings(cache_rules=[CacheRule(path="/hello", ttl=3600)]))


def measure() -> dict[str, float]:
    with served.server(__file__, "bare") as rival, served.server(__file__, "cached") as ours:
        url = f"http://127.0.0.1:{ours.port}/hello"
        with urllib.request.urlopen(url):
            pass  # another Host: warms the code, not the entry
        with urllib.request.urlopen(urllib.request.Request(url, headers={"host": "shop.example"})):
            time.sleep(0.1)

        def once() -> tuple[float, float, float]:
            return (
                rival.rate(PLAIN, WHOLE, REQUESTS),
                ours.rate(PLAIN, WHOLE, REQUESTS),
                ours.rate(CONDITIONAL, CONFIRMED, REQUESTS),
            )

        once()
        rows = [once() for _ in range(ROUNDS)]
    return {
        "bare_per_cpu_second": statistics.median(row[0] for row in rows),
        "hit_per_cpu_second": statistics.median(row[1] for row in rows),
        "not_modified_per_cpu_second": statistics.median(row[2] for row in rows),
        "not_modified_cost_ratio": statistics.median(row[1] / row[2] for row in rows),
        "ratio": statistics.median(row[1] / row[0] for row in rows),
    }


def main() -> None:
    if "--serve" in sys.argv:
        served.serve(bare if sys.argv[-1] == "bare" else cached())
        return
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"bare ASGI app  {figures['bare_per_cpu_second']:8.0f} requests per CPU second")
    print(f"perfmw, hits   {figures['hit_per_cpu_second']:8.0f}   ratio {figures['ratio']:.3f} (≥ 0.80)")
    cost = figures["not_modified_cost_ratio"]
    print(f"perfmw, 304    {figures['not_modified_per_cpu_second']:8.0f}   costs {cost:.3f} of a hit (≤ 1.0)")


if __name__ == "__main__":
    main()
