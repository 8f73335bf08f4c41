"""A client that sends exactly what it is told and shows exactly what came back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.conformance.model import Answer


async def fetch(
    port: int, method: str, target: str, headers: list[tuple[str, str]], content: bytes = b""
) -> Answer:
    """One request on a connection of its own. A response that breaks off is not ``complete``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        lines = [f"{method} {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: 127.0.0.1:{port}")
        lines += [f"{name}: {value}" for name, value in headers]
        if content or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(content)}")
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + content)
        return await asyncio.wait_for(_read(reader, method), 20)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, method: str) -> Answer:
    answer = Answer()
    try:
        while answer.status < 200:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            answer.status = int(first.split(" ")[1])
            pairs = (line.partition(":") for line in lines)
            answer.headers = [(name.lower(), value.strip()) for name, _, value in pairs]
            if answer.status < 200:
                answer.interim.append((answer.status, answer.headers))
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if (answer.get("transfer-encoding") or "") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif (length := answer.get("content-length")) is not None:
            answer.body = await reader.readexactly(int(length))
        else:
            answer.body = await reader.read()
    except asyncio.IncompleteReadError as error:
        answer.complete = False
        answer.body += error.partial
    except (ConnectionError, ValueError):
        answer.complete = False
    return answer


async def wait_for_port(port: int, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
