"""How many answers are really old: learned lifetimes on a live uvicorn, over sockets.

Run it as a script: ``python -m tests.benchmarks.bench_ttl_live [--seconds 20] [--rate 150]``. The origin's
values change by a plan that the client knows too, so that each answer is judged by the value that was in
force when its request was sent, whatever the cache believes. Each kind of change has a rule, and so an
``AdaptiveTTL``, of its own; reads are Poisson, Zipf over the keys. Misses are calls of the origin; those of a
fixed TTL that would have been stale as often are told beside them, on the same reads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from perfmw.learning import fixed_miss_ratio
from tests.benchmarks import served
from tests.benchmarks.verdicts import told

KEYS, CAP = 60, 0.05
Plan = dict[str, list[float]]


def alone(chance: random.Random, seconds: float) -> list[list[float]]:
    """Each key by itself, at random, some a hundred times as often as others."""
    return [_random(chance, chance.lognormvariate(-2.5, 1.2), seconds) for _ in range(KEYS)]


def deploys(chance: random.Random, seconds: float) -> list[list[float]]:
    """All keys at the same moments."""
    moments = _random(chance, 0.4, seconds)
    return [moments for _ in range(KEYS)]


def imports(chance: random.Random, seconds: float) -> list[list[float]]:
    """A third of the keys at the same moments, and each by itself."""
    moments = _random(chance, 0.4, seconds)
    return [
        sorted([at for at in moments if chance.random() < 0.3] + _random(chance, 0.03, seconds))
        for _ in range(KEYS)
    ]


def awakes(chance: random.Random, seconds: float) -> list[list[float]]:
    """Nothing at all for half of the time, then every key twice a second."""
    return [[seconds / 2 + at for at in _random(chance, 2.0, seconds / 2)] for _ in range(KEYS)]


def bursts(chance: random.Random, seconds: float) -> list[list[float]]:
    """Changes that come in bursts, and pauses between."""

    def times() -> list[float]:
        found, now = [], 0.0
        while now < seconds:
            found.append(now)
            now += chance.weibullvariate(5.0, 0.5) + 0.01
        return found[1:]

    return [times() for _ in range(KEYS)]


KINDS: dict[str, Callable[[random.Random, float], list[list[float]]]] = {
    kind.__name__: kind for kind in (alone, deploys, imports, awakes, bursts)
}


def _random(chance: random.Random, rate: float, seconds: float) -> list[float]:
    found, now = list[float](), chance.expovariate(rate)
    while now < seconds:
        found.append(now)
        now += chance.expovariate(rate)
    return found


def plan(seconds: float, seed: int) -> Plan:
    """When the value of each path changes, in seconds from the start; the same in both processes."""
    chance = random.Random(seed)
    made = {name: kind(chance, seconds) for name, kind in KINDS.items()}
    return {f"/{name}/{key}": times for name, all_of in made.items() for key, times in enumerate(all_of)}


def origin(start: float, seconds: float, seed: int) -> Any:
    """The app: what it answers is how often the value had changed by now."""
    from perfmw import CacheRule, PerfMiddleware, Settings

    changes, calls = plan(seconds, seed), dict.fromkeys(KINDS, 0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/told":
            body = json.dumps({"calls": calls, **wrapped.runtime.learning.told()}).encode()
        else:
            calls[path.split("/")[1]] += 1
            body = b"%d" % bisect_right(changes[path], time.time() - start)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    rules = [CacheRule(path=f"/{name}/*", name=name, ttl=3_600, max_stale=CAP) for name in KINDS]
    wrapped = PerfMiddleware(app, settings=Settings(dynamic_ttl=True, cache_rules=rules))
    return wrapped


class Visitor:
    """One connection that reads one kind; remembers what was read when, and whether it was old."""

    def __init__(self, port: int, start: float, changes: Plan, kind: str) -> None:
        self._port, self._start, self._changes, self._kind = port, start, changes, kind
        self.reads: list[tuple[float, str]] = []
        self.old = 0

    async def run(self, seconds: float, rate: float, chance: random.Random) -> None:
        paths = [f"/{self._kind}/{key}" for key in range(KEYS)]
        weights = [1 / (rank + 1) ** 0.9 for rank in range(KEYS)]
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        due = 0.0
        while due < seconds:
            due += chance.expovariate(rate)
            await asyncio.sleep(max(0.0, self._start + due - time.time()))
            path = chance.choices(paths, weights)[0]
            now = time.time() - self._start
            body = await ask(reader, writer, path)
            self.reads.append((now, path))
            self.old += int(body) < bisect_right(self._changes[path], now)
        writer.close()
        await writer.wait_closed()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    whole = b""
    while size := int(await reader.readline(), 16):
        whole += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return whole


async def measure(port: int, start: float, seconds: float, rate: float, seed: int) -> dict[str, Any]:
    changes = plan(seconds, seed)
    visitors = {name: Visitor(port, start, changes, name) for name in KINDS}
    await asyncio.gather(
        *(one.run(seconds, rate, random.Random(f"{name}{seed}")) for name, one in visitors.items())
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = json.loads(await ask(reader, writer, "/told"))
    writer.close()
    return {
        name: {
            "stale": one.old / len(one.reads),
            "believed": found["lifetimes"][name]["stale_share"],
            "misses": found["calls"][name] / len(one.reads),
            "fixed": fixed_miss_ratio(one.reads, changes, one.old / len(one.reads), steps=10),
        }
        for name, one in visitors.items()
    }


def main() -> int:
    if "--serve" in sys.argv:
        began, length, seed = sys.argv[-1].split(",")
        served.serve(origin(float(began), float(length), int(seed)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=150.0, help="reads a second, of each kind of change")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.time() + 3.0
    with served.server(__file__, f"{start},{options.seconds},{options.seed}") as ours:
        rows = asyncio.run(measure(ours.port, start, options.seconds, options.rate, options.seed))
    for name, row in rows.items():
        print(
            f"{name:8} cap {CAP}: stale {row['stale']:.4f} (believed {row['believed']:.4f}),"
            f" misses {row['misses']:.3f}, a fixed TTL as stale {row['fixed']:.3f}"
        )
    worst = max(row["stale"] for row in rows.values())
    return int(not told("stale answers in truth, worst kind of change", worst, most=CAP))


if __name__ == "__main__":
    sys.exit(main())
