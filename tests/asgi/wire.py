"""An origin whose bytes a test writes itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[["Call"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nok"


@dataclass
class Call:
    """One request as it came, and the way to answer it. ``connection`` counts connections from 1."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int

    @property
    def target(self) -> bytes:
        return self.head.split(b" ")[1]

    @property
    def lines(self) -> list[bytes]:
        return self.head.split(b"\r\n")[1:-2]

    def values(self, name: bytes) -> list[bytes]:
        pairs = (line.partition(b": ") for line in self.lines)
        return [value for key, _, value in pairs if key.lower() == name]

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()


@dataclass
class Origin:
    port: int
    calls: list[Call] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None

    def close(self) -> None:
        """Take no more connections."""
        assert self.server is not None
        self.server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def origin(script: Script, port: int = 0) -> AsyncIterator[Origin]:
    """Calls ``script`` for every request; a script that closes the writer ends the connection."""
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        number = len(connections)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                call = Call(head, reader, writer, number)
                here.calls.append(call)
                await script(call)
        here.ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    here = Origin(server.sockets[0].getsockname()[1], server=server)
    try:
        yield here
    finally:
        server.close()
        for writer in connections:
            writer.close()


async def answer_ok(call: Call) -> None:
    await call.send(OK)


def answering(raw: bytes, *, close: bool = False) -> Script:
    async def script(call: Call) -> None:
        await call.send(raw)
        if close:
            call.writer.close()

    return script
