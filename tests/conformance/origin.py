"""An origin server that says, byte for byte, what the step of a case tells it to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.conformance.model import Case, Seen, Step, at, shown


class Origin:
    """Answers ``/<case>/…`` by the step that the request's Step field names; remembers what it was asked."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.seen: dict[str, list[Seen]] = {}
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        writer.close()
        self._writers.discard(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen = await self._read(reader)
        name = seen.target.split("/")[1].partition("?")[0]
        self.seen.setdefault(name, []).append(seen)
        step = self.cases[name].steps[seen.step - 1]
        if step.delay:
            await asyncio.sleep(step.delay)
        if step.close:
            return False
        raw, keep = response_bytes(step, seen)
        writer.write(raw)
        await writer.drain()
        return keep

    async def _read(self, reader: asyncio.StreamReader) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [
            (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        ]
        seen = Seen(0, method, target, headers)
        seen.step = int(seen.get("step") or 1)
        if (seen.get("transfer-encoding") or "") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                seen.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            seen.body = await reader.readexactly(int(seen.get("content-length") or 0))
        return seen


def body_of(case: Case, number: int) -> bytes:
    body = case.steps[number - 1].body
    return b"%s step %d" % (case.id.encode(), number) if body is None else body


def response_bytes(step: Step, seen: Seen) -> tuple[bytes, bool]:
    """The step's response; a conditional request gets a 304 where the step is to be validated."""
    conditional = seen.get("if-none-match") or seen.get("if-modified-since")
    status = 304 if step.expect == "validated" and conditional else step.status
    name = seen.target.split("/")[1].partition("?")[0].encode()
    body = step.body if step.body is not None else b"%s step %d" % (name, seen.step)
    size = len(body)
    if status in (204, 304) or seen.method == "HEAD":
        body = b""
    out = b"".join(_head(code, fields) for code, fields in step.interim)
    fields = list(step.answer)
    names = {key.lower() for key, _ in fields}
    if step.date and "date" not in names:
        fields.insert(0, ("Date", at(0)))
    if step.framing == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
        raw = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        raw = body[: len(body) - step.short]
        if step.framing == "length" and "content-length" not in names and status not in (204, 304):
            fields.append(("Content-Length", str(size)))
    keep = step.framing != "close" and not step.short
    return out + _head(status, fields) + raw + step.extra, keep


def _head(status: int, fields: list[tuple[str, object]] | object) -> bytes:
    lines = [f"HTTP/1.1 {status} Reason"]
    lines += [f"{name}: {shown(value)}" for name, value in fields]  # type: ignore[attr-defined]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
