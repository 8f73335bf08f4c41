"""What becomes of a server that is asked for more than it can do, with the limiter and without.

A real uvicorn in a process of its own; the requests come from another, by a schedule made beforehand,
whether or not the ones before were answered. Latency counts from when a request was due. ``io`` waits for
one of 20 places behind it and holds it for 50 ms; ``cpu`` takes 10 ms of the processor, ``cpu2`` 2 ms and
``cpu20`` 20 ms. A request is served if its answer is a 200 and comes within a second.

    python tests/benchmarks/bench_overload.py [io|cpu|cpu2|cpu20|calm|cost ...]

Where one thread computes and refuses, refusals take their time from those served. ``left by refusals in
uvicorn`` is what goodput an app would have that refuses at once, in uvicorn without perfmw. ``BENCH_HTTP``
(``h11``, ``httptools``) and ``BENCH_LOOP`` (``asyncio``, ``uvloop``) say what uvicorn uses;
``BENCH_CONNECTIONS=fresh`` has clients connect anew for each request. The peak is that before and after,
without the limiter at 95% of the capacity. The processes ask for priority (Linux, root); on a busy machine
without it the figures say more about the neighbours.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

COMPUTES = {"cpu": 0.01, "cpu2": 0.002, "cpu20": 0.02}
CAPACITY = {"io": 400.0} | {kind: 1.0 / seconds for kind, seconds in COMPUTES.items()}
PATIENCE = 1.0
HOLD = 0.25
MOST_CONNECTIONS = 3000
FRESH = "connection: close\r\n" * (os.environ.get("BENCH_CONNECTIONS") == "fresh")
AHEAD = 0 if FRESH else 600
PATHS = ("/low", "/normal", "/high")


# ---- the server


def app_of(kind: str) -> Any:
    places = asyncio.Semaphore(20)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "io":
            async with places:
                await asyncio.sleep(0.05)
        elif kind in COMPUTES:
            end = time.thread_time() + COMPUTES[kind]
            while time.thread_time() < end:
                pass
        fields = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        status = 503 if kind == "empty" else 200
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


class Decisions:
    """Notes whom a limiter lets in: how often a low one right after it refused a high one."""

    def __init__(self, limiter: Any) -> None:
        self.violations = self.high_refused = self.low_admitted = 0
        self._refused_at = float("-inf")
        self._inner, limiter.admit = limiter.admit, self._admit
        self._refusing, limiter.refuse = limiter.refuse, self._refuse

    def _admit(self, now: float, priority: int = 1, who: str = "") -> Any:
        answer = self._inner(now, priority, who)
        if not isinstance(answer, str):
            self._let_in(now, priority)
        return answer

    def _let_in(self, now: float, priority: int) -> None:
        if priority == 0:
            self.low_admitted += 1
            self.violations += now - self._refused_at < HOLD

    def _refuse(self, now: float, priority: int, why: Any) -> Any:
        """By ``admit``, and at the door."""
        if priority == 2:
            self.high_refused += 1
            self._refused_at = now
        return self._refusing(now, priority, why)


def limited_app(kind: str, mode: str) -> Any:
    from perfmw import PerfMiddleware, Settings

    priorities = {"/low": "low", "/normal": "normal", "/high": "high"}
    limit = "on" if mode == "unwatched" else mode
    app: Any = PerfMiddleware(
        app_of(kind), Settings.load(concurrency_limit=limit, request_priorities=priorities, plugins=[])
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

    return asked


def serve(kind: str, mode: str) -> None:
    import socket

    import uvicorn

    app = app_of(kind) if mode == "bare" else limited_app(kind, mode)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, backlog=4096, timeout_keep_alive=300, lifespan="off",
        http=os.environ.get("BENCH_HTTP", "auto"), loop=os.environ.get("BENCH_LOOP", "auto"),
    )  # fmt: skip
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
        self.transport.write(f"GET {PATHS[request[1]]} HTTP/1.1\r\nhost: x\r\n{FRESH}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self.request is None:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self.request[2:] = [int(head[9:12]), time.perf_counter()]
            self.request = None
            if FRESH or b"connection: close" in head.lower():
                self.transport.close()
            else:
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
    """``served``: latencies of requests due within it. ``answered``: how many were served within it."""

    served: list[float]
    answered: int
    refused: int
    failed: int
    seconds: float

    @property
    def goodput(self) -> float:
        return self.answered / self.seconds

    @property
    def p99(self) -> float:
        return sorted(self.served)[int(0.99 * len(self.served))] if self.served else float("nan")


def phase(requests: Sequence[Sequence[float]], begin: float, end: float) -> Phase:
    came = [one for one in requests if begin <= one[0] < end]
    served = [one[3] for one in came if one[2] == 200 and one[3] <= PATIENCE]
    refused = sum(one[2] == 503 for one in came)
    good = sum(one[2] == 200 and one[3] <= PATIENCE and begin <= one[0] + one[3] < end for one in requests)
    return Phase(served, good, refused, len(came) - len(served) - refused, end - begin)


def go_first() -> None:
    """Before the neighbours, where this user may."""
    try:
        Path("/proc/self/autogroup").write_text("-19")
        os.nice(-19)
    except OSError:
        pass


@contextmanager
def server(kind: str, mode: str) -> Iterator[tuple[int, psutil.Process]]:
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", kind, mode],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with suppress(HTTPError), urlopen(f"http://127.0.0.1:{port}/normal", timeout=30):
            pass
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


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


def figure(name: str, value: float, needs: str, good: bool, unit: str = "") -> None:
    print(f"{name:52} {value:9.3g}{unit:3} needs {needs:10} {'ok' if good else 'FAILS'}", flush=True)


CALM, OVER, REST = 4.0, 6.0, 6.0
STARTS, WARM, CALLS = 6, 30, {"io": 100, "cpu": 150, "cpu2": 400}
LOADS = (2, 5, 10)


def processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def refusing_in_uvicorn(rate: float) -> float:
    """Seconds of the processor that a request costs which an app without perfmw refuses at once."""
    with server("empty", "bare") as (port, process):
        run(port, [(rate, 1.0)])
        before = processor_time(process)
        requests = run(port, [(rate, 4.0)])
        return (processor_time(process) - before) / len(requests)


def overload(kind: str) -> None:
    capacity = CAPACITY[kind]
    with server(kind, "off") as (port, _):
        unloaded, before = at_best(port, capacity)
        without = phase(run(port, [(2 * capacity, OVER)]), 3, OVER)
    with server(kind, "on") as (port, _):
        phases = [(0.5 * capacity, CALM)]
        for load in LOADS:
            phases += [(load * capacity, OVER), (0.5 * capacity, REST)]
        requests = run(port, phases)
        calm = phase(requests, 1, CALM)
        limit = told(port)["groups"][0]["limit"]
    with server(kind, "off") as (port, _):
        peak = (before + at_best(port, capacity)[1]) / 2.0
    print(f"{kind}: unloaded (half of capacity) p99 {unloaded.p99 * 1e3:.0f} ms", end="; ")
    print(f"peak {peak:.0f}/s; without a limiter at 2x {without.goodput:.0f}/s; limit at the end {limit}")
    share = calm.refused / max(1, calm.refused + len(calm.served))
    figure(f"{kind} refused without overload", 100 * share, "<= 1 %", share <= 0.01, "%")
    for number, load in enumerate(LOADS):
        judge(kind, load, requests, CALM + number * (OVER + REST), unloaded, peak)
    if kind in COMPUTES:
        what_is_left(kind, requests)


def at_best(port: int, capacity: float) -> tuple[Phase, float]:
    """At half of the capacity, and the goodput just below it."""
    requests = run(port, [(0.5 * capacity, CALM), (0.95 * capacity, OVER)])
    return phase(requests, 1, CALM), phase(requests, CALM + 2, CALM + OVER).goodput


def judge(
    kind: str, load: int, requests: Sequence[Sequence[float]], at: float, unloaded: Phase, peak: float
) -> None:
    one = phase(requests, at + 1, at + OVER)
    back = recovery(requests, at + OVER, at + OVER + REST, 3 * unloaded.p99)
    share, slower = one.goodput / max(1.0, peak), one.p99 / unloaded.p99
    print(
        f"{kind} {load}x: {one.goodput:.0f}/s, p99 {one.p99 * 1e3:.0f} ms, "
        f"refused {one.refused}, unanswered {one.failed}"
    )
    figure(f"{kind} {load}x goodput of peak", 100 * share, ">= 90 %", share >= 0.9, "%")
    figure(f"{kind} {load}x p99 of accepted over unloaded", slower, "<= 3", slower <= 3, "x")
    figure(f"{kind} {load}x recovery", back, "<= 5 s", back <= 5, "s")


def what_is_left(kind: str, requests: Sequence[Sequence[float]]) -> None:
    """The goodput beside what refusals in uvicorn, by an app that does nothing else, would leave for it."""
    capacity, seconds = CAPACITY[kind], COMPUTES[kind]
    for number, load in enumerate(LOADS):
        at = CALM + number * (OVER + REST)
        refusing = refusing_in_uvicorn(load * capacity)
        left = max(0.0, 1.0 - load * capacity * refusing) / (seconds - refusing)
        share = phase(requests, at + 1, at + OVER).goodput / left if left else float("nan")
        print(
            f"{kind} {load}x: a refusal by an app costs uvicorn alone {refusing * 1e6:.0f} us, left by "
            f"refusals in uvicorn {left:.0f}/s ({left / capacity:.0%} of capacity); goodput is "
            f"{share:.0%} of that"
        )


def priorities(kind: str) -> None:
    capacity = CAPACITY[kind]
    with server(kind, "on") as (port, _):
        requests = run(port, [(0.5 * capacity, 2.0), (5 * capacity, 7.0)], (0, 0, 0, 0, 0, 0, 0, 1, 1, 2))
        found = told(port)
    shares = []
    for priority in (0, 1, 2):
        one = phase([each for each in requests if each[1] == priority], 3, 9)
        shares.append(len(one.served) / max(1, len(one.served) + one.refused + one.failed))
    print(
        f"{kind} 5x, a tenth high, a fifth normal: served low {shares[0]:.0%}, normal {shares[1]:.0%}, "
        f"high {shares[2]:.1%}; high refused {found['high_refused']}"
    )
    wrong = found["violations"]
    figure(f"{kind} low let in while high is refused", wrong, "0", wrong == 0)


def calm() -> None:
    """Where nothing is too much: the same requests without, without again and with, in turn, one at a time.

    By the clock, and by the processor time of the thread that serves: each request's, read before and after
    it. Over servers started anew, since where a process's memory happens to lie makes it slower or faster
    for all its life. The second column is a server without the limiter against another, which is what such
    a comparison can tell. From the least to the most of ``STARTS`` is an interval of 97% for the median.
    """
    for kind, calls in CALLS.items():
        starts = [_calm_start(kind, calls) for _ in range(STARTS)]
        for what, unit in (("clock", "latency"), ("processor", "processor time")):
            same, more = ([one[what][each] for one in starts] for each in (0, 1))
            found = statistics.median(more)
            figure(f"{kind} {unit} without overload", 100 * found, "<= 2 %", found <= 0.02, "%")
            print(f"    {_interval(more)}; of two without a limiter {_interval(same)}")


def _interval(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):+.2f}% to {100 * max(shares):+.2f}%"


def _calm_start(kind: str, calls: int) -> dict[str, tuple[float, float]]:
    """How much longer the second and the third of three servers took than the first, by medians."""
    with ExitStack() as stack:
        servers = [stack.enter_context(server(kind, mode)) for mode in ("off", "off", "unwatched")]
        asked = [Asked(*one) for one in servers]
        for number in range(calls + WARM):
            for which in range(3):
                asked[(number + which) % 3].once(counts=number >= WARM)
        clock = [statistics.median(one.clock) for one in asked]
        processor = [statistics.median(one.processor) for one in asked]
    for one in asked:
        one.connection.close()
    return {
        "clock": (clock[1] / clock[0] - 1.0, clock[2] / clock[0] - 1.0),
        "processor": ((processor[1] - processor[0]) / clock[0], (processor[2] - processor[0]) / clock[0]),
    }


class Asked:
    """A server that is asked one request after the other."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.connection = HTTPConnection("127.0.0.1", port)
        self.clock: list[float] = []
        self.processor: list[float] = []
        self._process = process

    def once(self, *, counts: bool) -> None:
        before, begin = nanoseconds(self._process), time.perf_counter()
        self.connection.request("GET", "/normal")
        self.connection.getresponse().read()
        seconds = time.perf_counter() - begin
        time.sleep(0.0003)  # until what is left to do after the answer is done
        if counts:
            self.clock.append(seconds)
            self.processor.append((nanoseconds(self._process) - before) / 1e9)


def nanoseconds(process: psutil.Process) -> int:
    """Processor time of the thread that serves."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


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
    figure("a decision, admit and done", min(best) * 1e6, "<= 5 us", min(best) <= 5e-6, "us")
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
    elif arguments[:1] != ["first"]:
        command = [sys.executable, __file__, "first", *arguments]
        subprocess.run(command, check=True, start_new_session=True, preexec_fn=go_first)
    else:
        alone, arguments = {"cost": cost, "calm": calm}, arguments[1:]
        for what in arguments or ("io", "cpu", "calm", "cost"):
            if what in alone:
                alone[what]()
            else:
                overload(what)
                priorities(what)


if __name__ == "__main__":
    main(sys.argv[1:])
