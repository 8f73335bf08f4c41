"""Apps on a real uvicorn, each in a process of its own, and what a request costs them.

The figure is requests per second of the server's own CPU time, since wall-clock rates on a shared machine
say more about the neighbours.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        before = self.cpu_seconds()
        asyncio.run(load(self.port, raw, answer, requests))
        return requests / (self.cpu_seconds() - before)


@dataclass(frozen=True)
class Answer:
    """What every answer has to begin with and to say in its head, and the bytes of its body."""

    length: int
    starts: bytes = b"HTTP/1.1 200"
    says: bytes = b""


def serve(app: Any) -> None:
    """Run ``app``; its port is printed once it is bound."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="error", access_log=False)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def server(script: str, which: str) -> Iterator[Server]:
    """Run ``script --serve which`` in a process of its own."""
    command = [sys.executable, script, "--serve", which]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(psutil.Process(process.pid), int(process.stdout.readline()))
        finally:
            process.terminate()


async def load(port: int, raw: bytes, answer: Answer, requests: int) -> list[float]:
    """Seconds of each request, from the first byte sent to the last one read."""
    times: list[float] = []

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            begun = time.perf_counter()
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(answer.starts), head
            assert answer.says in head, head
            await reader.readexactly(answer.length)
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(one(requests // CONNECTIONS) for _ in range(CONNECTIONS)))
    return times
