"""Hits on a real uvicorn against a bare ASGI app that returns the same bytes.

    python tests/benchmarks/bench_uvicorn_hits.py [--json]

Both are served in processes of their own; the figure is requests per second of the server's own CPU time,
since wall-clock rates on a shared machine say more about the neighbours. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

REQUESTS, CONNECTIONS, ROUNDS = 12_000, 16, 7
BODY = b"hello, world" * 10
ETAG = b'"v1"'
FIELDS = [
    (b"etag", ETAG),
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(BODY)),
]
REQUEST = (
    b"GET /hello HTTP/1.1\r\nhost: shop.example\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/142\r\n"
    b"accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\naccept-language: en-GB,en;q=0.7\r\n"
    b"accept-encoding: gzip, deflate, br, zstd\r\nreferer: https://shop.example/\r\n"
    b"upgrade-insecure-requests: 1\r\ndnt: 1\r\n\r\n"
)


CONDITIONAL = REQUEST.replace(b"dnt: 1", b"if-none-match: " + ETAG)


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


def serve(which: str) -> None:
    """Run one server; its port is printed once it is bound."""
    import uvicorn

    config = uvicorn.Config(
        bare if which == "bare" else cached(), port=0, log_level="error", access_log=False
    )
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def server(which: str) -> Iterator[tuple[psutil.Process, int]]:
    command = [sys.executable, __file__, "--serve", which]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield psutil.Process(process.pid), int(process.stdout.readline())
        process.terminate()


async def load(port: int, requests: int, request: bytes) -> None:
    confirmed = request is CONDITIONAL

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 304" if confirmed else b"HTTP/1.1 200"), head
            assert b"hit; ttl" in head, head
            await reader.readexactly(0 if confirmed else len(BODY))
        writer.close()

    await asyncio.gather(*(one(requests // CONNECTIONS) for _ in range(CONNECTIONS)))


def rate(process: psutil.Process, port: int, request: bytes = REQUEST) -> float:
    """Requests per second of the server's CPU time, user and system."""
    before = process.cpu_times()
    asyncio.run(load(port, REQUESTS, request))
    after = process.cpu_times()
    return REQUESTS / (after.user + after.system - before.user - before.system)


def measure() -> dict[str, float]:
    with server("bare") as (rival, rival_port), server("cached") as (ours, port):
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/hello")):
            pass  # another Host: warms the code, not the entry
        filling = urllib.request.Request(f"http://127.0.0.1:{port}/hello", headers={"host": "shop.example"})
        with urllib.request.urlopen(filling):
            time.sleep(0.1)
        for process, number in ((rival, rival_port), (ours, port)):
            rate(process, number)
        rows = [
            (rate(rival, rival_port), rate(ours, port), rate(ours, port, CONDITIONAL)) for _ in range(ROUNDS)
        ]
    return {
        "bare_per_cpu_second": statistics.median(row[0] for row in rows),
        "hit_per_cpu_second": statistics.median(row[1] for row in rows),
        "not_modified_per_cpu_second": statistics.median(row[2] for row in rows),
        "not_modified_cost_ratio": statistics.median(row[1] / row[2] for row in rows),
        "ratio": statistics.median(row[1] / row[0] for row in rows),
    }


def main() -> None:
    if "--serve" in sys.argv:
        serve(sys.argv[-1])
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
