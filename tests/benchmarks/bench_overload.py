"""What becomes of a server that is asked for more than it can do, with the limiter and without.

A real uvicorn in a process of its own; the requests come from another, by a schedule made beforehand,
whether or not the ones before were answered. Latency counts from when a request was due. ``io`` waits for
one of 20 places behind it and holds it for 50 ms; ``cpu`` computes for 10 ms. A request is served if its
answer is a 200 and comes within a second. ``python tests/benchmarks/bench_overload.py [io|cpu|cost]``
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[2]))

CAPACITY = {"io": 400.0, "cpu": 100.0}
PATIENCE = 1.0
HOLD = 0.25
MOST_CONNECTIONS = 3000
AHEAD = 600
PATHS = ("/low", "/normal", "/high")


# ---- the server


def app_of(kind: str) -> Any:
    places = asyncio.Semaphore(20)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "io":
            async with places:
                await asyncio.sleep(0.05)
        else:
            end = time.perf_counter() + 0.01
            while time.perf_counter() < end:
                pass
        fields = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


class Decisions:
    """Notes whom a limiter lets in: how often a low one right after it refused a high one."""

    def __init__(self, limiter: Any) -> None:
        self.violations = self.high_refused = self.low_admitted = 0
        self._refused_at = float("-inf")
        admit, limiter.admit = limiter.admit, self._admit
        self._inner = admit

    def _admit(self, now: float, priority: int = 1) -> Any:
        answer = self._inner(now, priority)
        if isinstance(answer, str):
            if priority == 2:
                self.high_refused += 1
                self._refused_at = now
        elif priority == 0:
            self.low_admitted += 1
            self.violations += now - self._refused_at < HOLD
        return answer


def serve(kind: str, mode: str) -> None:
    import socket

    import uvicorn

    from perfmw import PerfMiddleware, Settings

    priorities = {"/low": "low", "/normal": "normal", "/high": "high"}
    app: Any = PerfMiddleware(
        app_of(kind), Settings.load(concurrency_limit=mode, request_priorities=priorities, plugins=[])
    )
    decisions = Decisions(app.runtime.limits.gates["default"].limiter) if mode == "on" else None

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/decisions":
            found = {name: value for name, value in vars(decisions).items() if name[0] != "_"}
            body = json.dumps({**found, **app.runtime.limits.state()}).encode()
            fields = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": body})
        else:
            await app(scope, receive, send)

    config = uvicorn.Config(asked, log_level="error", access_log=False, backlog=4096, timeout_keep_alive=300)
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


# ---- the generator


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.request: list[Any] | None = None
        self.transport: Any = None
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: list[Any]) -> None:
        self.request, self._data = request, b""
        path = PATHS[request[1]]
        self.transport.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self.request is None:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self.request[2:] = [int(head[9:12]), time.perf_counter()]
            self.request = None
            self.generator.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.generator.connections -= 1
        self.transport = None


class Generator:
    def __init__(self, port: int, phases: Sequence[tuple[float, float]], mix: Sequence[int]) -> None:
        self.port, self.phases, self.mix = port, phases, mix
        self.idle: deque[Connection] = deque()
        self.connections = 0

    def schedule(self) -> list[list[Any]]:
        """Requests as [when it is due, class, status, when answered]."""
        chance, due, begin = random.Random(7), 0.0, 0.0
        requests: list[list[Any]] = []
        for rate, seconds in self.phases:
            due = begin
            while (due := due + chance.expovariate(rate)) < begin + seconds:
                requests.append([due, chance.choice(self.mix), 0, 0.0])
            begin += seconds
        return requests

    async def run(self) -> list[list[Any]]:
        requests, loop = self.schedule(), asyncio.get_running_loop()
        under_way: list[asyncio.Task[None]] = []
        for _ in range(AHEAD // 50):  # so that nothing is measured of how connections are accepted
            await asyncio.gather(*(self._connect() for _ in range(50)))
        begin = time.perf_counter() + 0.2
        for request in requests:
            request[0] += begin
            await asyncio.sleep(max(0.0, request[0] - time.perf_counter()))
            if self.idle:
                self.idle.popleft().ask(request)
            elif self.connections < MOST_CONNECTIONS:
                under_way.append(loop.create_task(self._connect(request)))
        await asyncio.sleep(PATIENCE)
        return [[due - begin, kind, status, done and done - due] for due, kind, status, done in requests]

    async def _connect(self, request: list[Any] | None = None) -> None:
        self.connections += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        if request is None:
            self.idle.append(connection)
        else:
            connection.ask(request)


def generate(port: str, phases: str, mix: str) -> None:
    generator = Generator(int(port), json.loads(phases), json.loads(mix))
    print(json.dumps(asyncio.run(generator.run())))


# ---- judging


@dataclass
class Phase:
    served: list[float]
    refused: int
    failed: int
    seconds: float

    @property
    def goodput(self) -> float:
        return len(self.served) / self.seconds

    @property
    def p99(self) -> float:
        return sorted(self.served)[int(0.99 * len(self.served))] if self.served else float("nan")


def phase(requests: Sequence[Sequence[float]], begin: float, end: float) -> Phase:
    came = [one for one in requests if begin <= one[0] < end]
    served = [one[3] for one in came if one[2] == 200 and one[3] <= PATIENCE]
    refused = sum(one[2] == 503 for one in came)
    return Phase(served, refused, len(came) - len(served) - refused, end - begin)


@contextmanager
def server(kind: str, mode: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", kind, mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with urlopen(f"http://127.0.0.1:{port}/normal", timeout=30):
            pass
        yield port
    finally:
        process.terminate()
        process.wait()


def run(port: int, phases: Sequence[tuple[float, float]], mix: Sequence[int] = (1,)) -> list[list[float]]:
    command = [sys.executable, __file__, "generate", str(port), json.dumps(phases), json.dumps(mix)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: list[list[float]] = json.loads(found.stdout)
    return answer


def told(port: int) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{port}/decisions") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def recovery(requests: Sequence[Sequence[float]], end: float, until: float, good: float) -> float:
    """Seconds after ``end`` since when nobody had to wait or was turned away."""
    bad = [one[0] for one in requests if end <= one[0] < until and (one[2] != 200 or one[3] > good)]
    return max(bad, default=end) - end


def overload(kind: str) -> None:
    capacity = CAPACITY[kind]
    calm, over, rest = 5.0, 7.0, 7.0
    with server(kind, "off") as port:
        requests = run(port, [(0.5 * capacity, calm), (0.95 * capacity, over)])
        unloaded, peak = phase(requests, 1, calm), phase(requests, calm + 2, calm + over)
        requests = run(port, [(2 * capacity, over)])
        without = phase(requests, 3, over)
    print(f"{kind}: unloaded (half of capacity) p99 {unloaded.p99 * 1e3:.0f} ms", end="; ")
    print(f"peak {peak.goodput:.0f}/s; without a limiter at 2x {without.goodput:.0f}/s")
    with server(kind, "on") as port:
        phases = [(0.5 * capacity, calm)]
        for load in (2, 5, 10):
            phases += [(load * capacity, over), (0.5 * capacity, rest)]
        requests = run(port, phases)
        calm_phase = phase(requests, 1, calm)
        share = calm_phase.refused / max(1, calm_phase.refused + len(calm_phase.served))
        print(f"{kind}: limiter on, no overload: {share:.2%} refused, p99 {calm_phase.p99 * 1e3:.0f} ms")
        at = calm
        for load in (2, 5, 10):
            one = phase(requests, at + 1, at + over)
            back = recovery(requests, at + over, at + over + rest, 3 * unloaded.p99)
            print(
                f"{kind} {load:>2}x: goodput {one.goodput:.0f}/s "
                f"({one.goodput / max(1.0, peak.goodput):.0%} of peak), "
                f"p99 of accepted {one.p99 * 1e3:.0f} ms ({one.p99 / unloaded.p99:.1f}x), "
                f"refused {one.refused}, unanswered {one.failed}, recovered after {back:.1f} s"
            )
            at += over + rest
        state = told(port)
        print(f"{kind}: limit at the end {state['groups'][0]['limit']}")


def priorities(kind: str) -> None:
    capacity = CAPACITY[kind]
    with server(kind, "on") as port:
        requests = run(port, [(0.5 * capacity, 3.0), (5 * capacity, 8.0)], (0, 0, 0, 0, 0, 0, 0, 1, 1, 2))
        found = told(port)
    shares = []
    for priority in (0, 1, 2):
        one = phase([each for each in requests if each[1] == priority], 4, 11)
        shares.append(len(one.served) / max(1, len(one.served) + one.refused + one.failed))
    print(
        f"{kind} 5x, a tenth high, a fifth normal: served low {shares[0]:.0%}, normal {shares[1]:.0%}, "
        f"high {shares[2]:.1%}; high refused {found['high_refused']}, low let in right after "
        f"{found['violations']}"
    )


def cost() -> None:
    """Of a decision, and of the limiter where there is no overload."""
    from perfmw.resources import ConcurrencyLimiter

    limiter, rounds = ConcurrencyLimiter(), 20_000
    best = []
    for _ in range(7):
        begin = time.perf_counter()
        for number in range(rounds):
            ticket = limiter.admit(number * 1e-4)
            limiter.done(ticket, number * 1e-4 + 5e-5)  # type: ignore[arg-type]
        best.append((time.perf_counter() - begin) / rounds)
    print(f"admit and done: {min(best) * 1e6:.2f} us")
    asyncio.run(_live())


async def _live() -> None:
    """An in-process request with and without, interleaved."""
    from perfmw import PerfMiddleware, Settings

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(message: Any = None) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    apps = {
        mode: PerfMiddleware(app, Settings.load(concurrency_limit=mode, plugins=[])) for mode in ("off", "on")
    }
    scope = {
        "type": "http", "method": "GET", "path": "/a", "raw_path": b"/a", "query_string": b"",
        "headers": [(b"host", b"x")], "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1),
    }  # fmt: skip
    times: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(15):
        for mode, wrapped in apps.items():
            begin = time.perf_counter()
            for _ in range(1000):
                await wrapped(dict(scope), nothing, nothing)
            times[mode].append((time.perf_counter() - begin) / 1000)
    for wrapped in apps.values():
        await wrapped.runtime.stop()
    off, on = (statistics.median(times[mode]) for mode in ("off", "on"))
    print(
        f"a request in process: {off * 1e6:.1f} us without, {on * 1e6:.1f} us with: +{(on - off) * 1e6:.1f}"
    )


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["serve"]:
        serve(*arguments[1:])
    elif arguments[:1] == ["generate"]:
        generate(*arguments[1:])
    else:
        for what in arguments or ("io", "cpu", "cost"):
            if what == "cost":
                cost()
            else:
                overload(what)
                priorities(what)


if __name__ == "__main__":
    main(sys.argv[1:])
