"""Who is served when more is asked of a real uvicorn than it can do, by each strategy of sharing places.

Users with API keys ask for about three times the 400 requests a second that there is room for, by rates of
their own, whether or not they are answered.

    python -m tests.benchmarks.bench_strategies
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from tests.benchmarks.bench_overload import app_of, figure

SECONDS, BEGIN = 6.0, 2.0
Users = dict[str, tuple[str, float]]
"""By API key, a path and requests a second."""
PLANS: dict[str, Users] = {
    "fair": {"greedy": ("/normal", 900.0), "modest": ("/normal", 120.0), "small": ("/normal", 60.0)},
    "weighted": {"a": ("/low", 400.0), "b": ("/normal", 400.0), "c": ("/high", 400.0)},
    "reserve": {"a": ("/low", 900.0), "c": ("/high", 50.0)},
    "priority": {"a": ("/low", 700.0), "b": ("/normal", 250.0), "c": ("/high", 150.0)},
}


def serve(strategy: str) -> None:
    import uvicorn

    from perfmw import PerfMiddleware, Settings

    settings = Settings.load(
        concurrency_limit="on",
        concurrency={"strategy": strategy},
        request_priorities={"/low": "low", "/high": "high"},
        plugins=[],
    )
    app: Any = PerfMiddleware(app_of("io"), settings)
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", timeout_keep_alive=300
    )
    uvicorn.Server(config).run(sockets=[listening])


async def one(port: int, path: str, key: str, idle: list[Any]) -> int:
    reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]))
    idle.append((reader, writer))
    return int(head[9:12])


async def user(port: int, key: str, path: str, rate: float) -> Counter[int]:
    """What one user was answered, from ``BEGIN`` on, by status."""
    idle: list[Any] = []
    found: Counter[int] = Counter()
    chance, tasks, begin = random.Random(key), [], time.monotonic()

    async def ask(counts: bool) -> None:
        status = await one(port, path, key, idle)
        found[status] += counts

    while (now := time.monotonic() - begin) < SECONDS:
        tasks.append(asyncio.create_task(ask(now >= BEGIN)))
        await asyncio.sleep(chance.expovariate(rate))
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    return found


async def drive(port: int, users: Users) -> dict[str, Counter[int]]:
    answers = await asyncio.gather(*(user(port, key, *plan) for key, plan in users.items()))
    return dict(zip(users, answers, strict=True))


def shares(strategy: str) -> dict[str, float]:
    """Of what each user asked for, the share that was served."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_strategies", "serve", strategy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = asyncio.run(drive(int(server.stdout.readline()), PLANS[strategy]))
        finally:
            server.terminate()
    for key, answers in found.items():
        rates = [answers[status] / (SECONDS - BEGIN) for status in (200, 503)]
        print(
            f"{strategy} {PLANS[strategy][key][0]} {key}: {rates[0]:.0f}/s served, {rates[1]:.0f}/s refused"
        )
    return {key: answers[200] / max(1, answers.total()) for key, answers in found.items()}


def main() -> None:
    found = {strategy: shares(strategy) for strategy in PLANS}
    fair, weighted, reserve = found["fair"], found["weighted"], found["reserve"]
    figure("fair: the small user is served", 100 * fair["small"], ">= 95 %", fair["small"] >= 0.95, "%")
    ratio = weighted["c"] / max(weighted["a"], 1e-9)
    figure("weighted: high over low, 6 to 1 in places", ratio, "3 to 9", 3.0 <= ratio <= 9.0, "x")
    kept = reserve["c"]
    figure("reserve: the class with a reserve is served", 100 * kept, ">= 80 %", kept >= 0.8, "%")
    high = found["priority"]["c"]
    figure("priority: high is served", 100 * high, ">= 99 %", high >= 0.99, "%")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        main()
