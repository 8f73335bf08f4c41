"""A real HTTP receiver for what is posted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receiver:
    """Answers the statuses of ``answers`` one after the other, then 204; None never answers."""

    url: str = ""
    answers: list[int | str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            self.bodies.append(await reader.readexactly(int(fields["content-length"])))
            self.headers.append({"": head[0], **fields})
            answer = self.answers.pop(0) if self.answers else 204
            self.came.set()
            if answer is None:
                await reader.read()
                return
            text = answer if isinstance(answer, str) else f"HTTP/1.1 {answer} X\r\ncontent-length: 0\r\n\r\n"
            writer.write(text.encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until(self, count: int) -> None:
        """Wait for so many messages."""
        async with asyncio.timeout(20):
            while len(self.bodies) < count:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def receiving(*answers: int | str | None) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers))
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?x=1"
    try:
        yield receiver
    finally:
        server.close()
        for writer in receiver.writers:
            writer.close()
