"""Apps on a real uvicorn, each in a process of its own, and what a request costs them.

The figure is requests per second of the server's own CPU time, since wall-clock rates on a shared machine
say more about the neighbours. Where two servers are compared, they are asked in turns, in many short
blocks; the figure is the median of the blocks' ratios, with an interval that needs no assumption on how
they scatter.
"""

from __future__ import annotations

import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CONNECTIONS = 16
FIELDS = (
    "host: shop.example",
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/142",
    "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "accept-language: en-GB,en;q=0.7",
    "accept-encoding: gzip, deflate, br, zstd",
    "referer: https://shop.example/",
    "upgrade-insecure-requests: 1",
    "dnt: 1",
)
"""What a browser sends."""


def request(path: str, fields: Sequence[str] = FIELDS) -> bytes:
    """A GET as it goes over the wire."""
    return "\r\n".join((f"GET {path} HTTP/1.1", *fields, "", "")).encode()


@dataclass
class Server:
    """One server that runs."""

    process: psutil.Process
    port: int

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, user and system."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        try:  # to the nanosecond, where Linux tells; psutil's clock ticks are too coarse for a short run
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        except (OSError, ValueError, IndexError):
            times = self.process.cpu_times()
            return float(times.user + times.system)

    def rate(self, raw: bytes, answer: Answer, requests: int) -> float:
        """Requests per second of its CPU time."""
        return self.rates(raw, answer, requests).cpu

    def rates(self, raw: bytes, answer: Answer, requests: int) -> Rates:
        """Ask ``CONNECTIONS`` at a time, so that it always has something to do; requests per second."""
        with ExitStack() as stack:
            callers = [stack.enter_context(Caller(self.port, answer)) for _ in range(CONNECTIONS)]
            rounds = requests // CONNECTIONS
            _ask(callers, raw, 2)  # connections are accepted, code is warm
            cpu, wall = self.cpu_seconds(), time.perf_counter()
            _ask(callers, raw, rounds)
            cpu, wall = self.cpu_seconds() - cpu, time.perf_counter() - wall
        return Rates(rounds * CONNECTIONS / cpu, rounds * CONNECTIONS / wall)


@dataclass(frozen=True)
class Rates:
    """Requests per second of the server's CPU time, and by the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Answer:
    """What every answer has to begin with and to say in its head, and the bytes of its body."""

    length: int
    starts: bytes = b"HTTP/1.1 200"
    says: bytes = b""


def serve(app: Any) -> None:
    """Run ``app``; its port is printed once it is bound."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="error", access_log=False, timeout_keep_alive=60)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def server(script: str, which: str) -> Iterator[Server]:
    """Run the benchmark in the file ``script`` with ``--serve which`` in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.{Path(script).stem}", "--serve", which]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(psutil.Process(process.pid), int(process.stdout.readline()))
        finally:
            process.terminate()


class Caller:
    """One connection. Blocking calls, which take least of the time that the server should have."""

    def __init__(self, port: int, answer: Answer) -> None:
        self._answer = answer
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *problem: object) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def take(self) -> None:
        """Read one answer, and see that it is right."""
        data, answer = b"", self._answer
        while (end := data.find(b"\r\n\r\n") + 4) < 4 or len(data) < end + answer.length:
            if not (more := self._socket.recv(65_536)):
                raise ConnectionError("the server hung up")
            data += more
        assert data.startswith(answer.starts), data
        assert answer.says in data, data


def _ask(callers: list[Caller], raw: bytes, rounds: int) -> None:
    for caller in callers:
        caller.send(raw)
    for _ in range(rounds - 1):
        for caller in callers:
            caller.take()
            caller.send(raw)
    for caller in callers:
        caller.take()


def compared(blocks: dict[str, Callable[[], Rates]], rounds: int) -> list[dict[str, Rates]]:
    """One block of each in every round, in an order drawn anew; what is first warms up, and is not kept."""
    drawn, rows = random.Random(5), []
    for _ in range(rounds + 1):
        order = list(blocks)
        drawn.shuffle(order)
        rows.append({name: blocks[name]() for name in order})
    return rows[1:]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and a 95% interval of it by order statistics."""
    ordered, many = sorted(values), len(values)
    reach = 0.98 * many**0.5
    low, high = max(0, int(many / 2 - reach)), min(many - 1, int(many / 2 + reach))
    return ordered[low], statistics.median(ordered), ordered[high]
