"""Quotas that four workers share, and what it costs to sample all pools.

    python -m tests.benchmarks.bench_resources [quotas|sampling ...]

``quotas``: uvicorn with four workers, configured by the environment alone, which share a Valkey; half a dozen
seconds of twice what may come in, from keep-alive connections. ``sampling``: seconds of the processor for a
sample of every pool each second, beside a core.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORKERS, CONNECTIONS = 4, 32
LIMIT = 1000


def figure(name: str, value: float, needs: str, good: bool, unit: str = "") -> None:
    print(f"{name:52} {value:9.4g}{unit:3} needs {needs:10} {'ok' if good else 'FAILS'}", flush=True)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """What the workers serve: who answered, and when it was let in."""
    body = (f"{os.getpid()}" if scope["path"] == "/up" else f"{os.getpid()} {time.time()}").encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def workers(quota: dict[str, Any], redis_url: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    env = {
        **os.environ,
        "PERFMW_TARGET": "tests.benchmarks.bench_resources:app",
        "PERFMW_LAYERS": "memory,redis",
        "PERFMW_REDIS_URL": redis_url,
        "PERFMW_LAYER_DEADLINE": "5",
        "PERFMW_QUOTAS": json.dumps([quota]),
    }
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "perfmw.asgi:app",
        "--port",
        str(port),
        "--workers",
        str(WORKERS),
    ]
    server = subprocess.Popen([*command, "--log-level", "critical"], cwd=ROOT, env=env)
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(300):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
    raise OSError("the workers do not come up")


async def all_up(port: int) -> None:
    """Return once every worker has answered, by a path that no quota counts."""
    seen: set[bytes] = set()
    while len(seen) < WORKERS:
        opened = [await connect(port) for _ in range(CONNECTIONS)]
        for _, writer in opened:
            writer.write(b"POST /up HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        for reader, writer in opened:
            seen.add((await reader.read()).rpartition(b"\r\n\r\n")[2])
            writer.close()


async def ask(port: int, seconds: float, most: int) -> tuple[list[float], Counter[str]]:
    """When each request was let in (unix seconds), and how many each worker let in."""
    await all_up(port)
    passed: list[float] = []
    by: Counter[str] = Counter()
    left, until = most, time.time() + seconds

    async def one() -> None:
        nonlocal left
        reader, writer = await connect(port)
        while left > 0 and time.time() < until:
            left -= 1
            writer.write(b"POST /counted HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200"):
                worker, at = body.decode().split()
                passed.append(float(at))
                by[worker] += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return passed, by


def quotas() -> None:
    from tests.faults.servers import valkey

    with valkey() as server:
        day = {"name": "day", "limit": LIMIT, "window": 86_400, "shared": True, "path": "/counted"}
        with workers(day, server.url) as port:
            passed, by = asyncio.run(ask(port, 60.0, 3 * LIMIT))
        off = 100 * abs(len(passed) - LIMIT) / LIMIT
        print(
            f"{len(by)} workers let in {len(passed)} of {3 * LIMIT}, {LIMIT} allowed: {sorted(by.values())}"
        )
        figure("quota of a day, 4 workers, off the limit", off, "<= 2 %", off <= 2.0, "%")
        window = 2.0
        short = {"name": "short", "limit": 200, "window": window, "shared": True, "path": "/counted"}
        with workers(short, server.url) as port:
            passed, _ = asyncio.run(ask(port, 5 * window, 10**9))
        counts = Counter(int(at // window) for at in passed)
        whole = [count for number, count in sorted(counts.items())][1:-1]
        worst = 100 * max(abs(count - 200) / 200 for count in whole)
        print(f"let in in windows of {window:.0f} s, 200 allowed: {whole}")
        figure("quota of 2 s, 4 workers, off the limit at worst", worst, "<= 2 %", worst <= 2.0, "%")


def sampling() -> None:
    """All built-in pools, and those of a database and an HTTP client where these are installed."""
    asyncio.run(_sampling())


async def _sampling() -> None:
    from perfmw.contracts import ResourcePool
    from perfmw.resources import HttpClientPool, ResourceSampler, builtin_pools

    pools: dict[str, ResourcePool] = builtin_pools()
    try:
        import httpx

        pools["partner"] = HttpClientPool("partner", httpx.AsyncClient())
    except ImportError:
        pass
    sampler, costs = ResourceSampler(pools), list[float]()
    for number in range(200):
        begin = time.process_time()
        sampler.sample(float(number))
        costs.append(time.process_time() - begin)
        await asyncio.sleep(0)
    share = 100 * statistics.fmean(sorted(costs)[10:-10])
    print(f"{len(pools)} pools: {', '.join(pools)}")
    figure("sampling all pools each second, of a core", share, "< 0.3 %", share < 0.3, "%")


def main(arguments: Sequence[str]) -> None:
    for what in arguments or ("quotas", "sampling"):
        {"quotas": quotas, "sampling": sampling}[what]()


if __name__ == "__main__":
    main(sys.argv[1:])
