"""What zstd saves of JSON and HTML, what it costs for 4 KiB, and what a hit of a compressed response costs.

Run it as ``python -m tests.benchmarks.bench_codecs``. Efficiency is 1 - stored bytes / plain bytes,
over pages whose sizes and paths are those of an access log (``PERFMW_DATA``), else over pages made here. Hits
are of one 16 KiB page in process, with and without ``compress_responses``, interleaved.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.cache.codecs import ZstdCodec
from perfmw.testing import Client
from tests.benchmarks.verdicts import told

WORDS = ["the", "order", "of", "shop", "item", "price", "stock", "colour", "size", "review", "star", "buyer"]


def _paths() -> list[tuple[str, int]]:
    log = Path(os.environ.get("PERFMW_DATA", "")) / "logs" / "blog-2015.log.gz"
    if not log.is_file():
        return [(f"/items/{number}", 1_000 + 500 * (number % 40)) for number in range(200)]
    found = []
    with gzip.open(log, "rt", errors="replace") as lines:
        for line in lines:
            parts = line.split('"')
            words = parts[1].split()
            size = parts[2].split()[-1]
            if len(words) == 3 and size.isdigit() and 500 <= int(size) <= 100_000:
                found.append((words[1], int(size)))
    return found[:400]


def _html(path: str, size: int, source: random.Random) -> bytes:
    rows = [f"<!doctype html><title>{path}</title><main class='page'>"]
    while sum(map(len, rows)) < size:
        text = " ".join(source.choice(WORDS) for _ in range(12))
        rows.append(
            f'<article class="card"><a href="{path}?id={source.randrange(9999)}">{text}</a></article>'
        )
    return "\n".join(rows).encode()


def _json(path: str, size: int, source: random.Random) -> bytes:
    items = []
    while len(items) * 110 < size:
        name = " ".join(source.choice(WORDS) for _ in range(4))
        items.append(
            {"id": source.randrange(10**6), "name": name, "price": source.randrange(9999) / 100, "url": path}
        )
    return json.dumps({"items": items}).encode()


async def hits() -> dict[str, float]:
    """What a hit costs of one without compression: sent as it is kept, and uncompressed for the client."""
    body = _html("/page", 16_384, random.Random(3))
    headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def cost(asked: Client, accepted: bytes) -> float:
        scope = asked.scope("GET", "/page", [(b"accept-encoding", accepted)])
        began = time.perf_counter()
        for _ in range(500):
            await asked.app(scope, None, _drop)
        return time.perf_counter() - began

    rules = [CacheRule(path="/**", ttl=3600)]
    plain, packing = (
        Client(PerfMiddleware(app, settings=Settings(cache_rules=rules, compress_responses=mode)))
        for mode in ("off", "shared")
    )
    for asked in (plain, packing):
        await asked.get("/page")
    rows = []
    for _ in range(21):
        base = await cost(plain, b"gzip, br, zstd")
        rows.append((await cost(packing, b"gzip, br, zstd") / base, await cost(packing, b"gzip, br") / base))
    for asked in (plain, packing):
        await asked.app.runtime.stop()  # type: ignore[attr-defined]
    return {
        "as it is kept": statistics.median(row[0] for row in rows),
        "uncompressed": statistics.median(row[1] for row in rows),
    }


async def _drop(message: Any) -> None:
    pass


def main() -> int:
    """Print the figures; exit status 1 when one is not met."""
    codec, source = ZstdCodec(), random.Random(2)
    met = True
    for name, make in (("HTML", _html), ("JSON", _json)):
        pages = [make(path, size, source) for path, size in _paths()]
        stored = sum(len(codec.encode(page, {})) for page in pages)
        efficiency = 1 - stored / sum(map(len, pages))
        page = make("/items", 4096, source)[:4096]
        times = []
        for _ in range(400):
            began = time.perf_counter()
            codec.encode(page, {})
            times.append(time.perf_counter() - began)
        cost = statistics.median(times) * 1e6
        met = told(f"{name}: 1 - stored bytes / plain bytes", 100 * efficiency, least=80, unit="%") and met
        met = told(f"{name}: zstd of 4 KiB", cost, most=30, unit="us") and met
    for name, ratio in asyncio.run(hits()).items():
        print(f"a hit of a compressed page, {name}: {ratio:.2f} of a hit without compression")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
