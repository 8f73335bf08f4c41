"""A small HTTP/1.1 client that sends targets exactly as given and shows responses exactly as received.

General clients normalise URLs, decode bodies and merge headers: right for applications, wrong for
comparing bytes. This one also costs a tenth of their CPU time, which matters when the load generator
shares its machine with what it measures. RFC 9112 names the sections below.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]
_CHUNK = 256 * 1024
_MAX_HEAD = 256 * 1024


class WireError(OSError):
    """The exchange failed: no connection, a broken response or a timeout."""


class Origin(NamedTuple):
    """Where requests go. ``prefix`` is put before every target."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.authority}{self.prefix}"


def parse_origin(url: str) -> Origin:
    """The origin that an http or https URL names.

    :raises ValueError: it is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https URL")
    tls = parts.scheme == "https"
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class WireResponse:
    """A complete response. Header names are lower-case, in the order received.

    ``size`` is the body's bytes and ``digest`` their SHA-256; ``body`` is kept only if asked for.
    """

    status: int
    headers: Headers
    size: int
    digest: bytes
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        return next((value for found, value in self.headers if found == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.headers if found == name]


class _Connection:
    """One connection; ``reusable`` once a response was read to its end and the server keeps it open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.used = False
        self.reusable = False
        self.answered = False

    async def exchange(self, request: bytes, method: str, keep: bool) -> WireResponse:
        self.reusable = self.answered = False
        self._writer.write(request)
        await self._writer.drain()
        status, headers = await self._head()
        while 100 <= status < 200 and status != 101:
            status, headers = await self._head()
        response, delimited = await self._response(status, headers, method, keep)
        self.used = True
        self.reusable = delimited and (response.header(b"connection") or b"").lower() != b"close"
        return response

    async def _head(self) -> tuple[int, Headers]:
        raw = await self._reader.readuntil(b"\r\n\r\n")
        self.answered = True
        first, *lines = raw[:-4].split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise WireError(f"not an HTTP/1 response: {first[:60]!r}")
        pairs = (line.partition(b":") for line in lines)
        return int(rest[:3]), [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]

    async def _response(
        self, status: int, headers: Headers, method: str, keep: bool
    ) -> tuple[WireResponse, bool]:
        """The response and whether its end was told by its framing, not by the connection's end."""
        hasher, size, kept = hashlib.sha256(), 0, []
        body, delimited = self._framing(status, headers, method)
        async for part in body:
            hasher.update(part)
            size += len(part)
            if keep:
                kept.append(part)
        return WireResponse(status, headers, size, hasher.digest(), b"".join(kept)), delimited

    def _framing(self, status: int, headers: Headers, method: str) -> tuple[AsyncIterator[bytes], bool]:
        """RFC 9112 section 6.3: what tells where the body ends."""
        if method == "HEAD" or status in (204, 304):
            return self._exactly(0), True
        coding = b",".join(value for name, value in headers if name == b"transfer-encoding").lower()
        if coding.endswith(b"chunked"):
            return self._chunked(), True
        length = next((value for name, value in headers if name == b"content-length"), None)
        if length is None:
            return self._to_end(), False
        if not length.isdigit():
            raise WireError(f"invalid Content-Length {length[:40]!r}")
        return self._exactly(int(length)), True

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            part = await self._reader.read(min(size, _CHUNK))
            if not part:
                raise WireError(f"the body ended {size} bytes short of its Content-Length")
            size -= len(part)
            yield part

    async def _chunked(self) -> AsyncIterator[bytes]:
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                break
            async for part in self._exactly(size):
                yield part
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers

    async def _to_end(self) -> AsyncIterator[bytes]:
        while part := await self._reader.read(_CHUNK):
            yield part

    def close(self) -> None:
        self._writer.close()


class WireClient:
    """Requests to one origin over kept-alive connections. Use as an async context manager.

    :param timeout: seconds that a whole exchange may take.
    """

    def __init__(self, origin: Origin, *, timeout: float = 60.0) -> None:
        self.origin = origin
        self._timeout = timeout
        self._idle: list[_Connection] = []
        self._tls = ssl.create_default_context() if origin.tls else None

    async def __aenter__(self) -> WireClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await asyncio.sleep(0)  # the transports close in the loop's next round

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def get(self, target: str, headers: Headers = (), *, keep: bool = True) -> WireResponse:
        return await self.request("GET", target, headers, keep=keep)

    async def request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, keep: bool = False
    ) -> WireResponse:
        """One exchange. ``target`` (path and query) is sent as it is, after the origin's prefix.

        :raises WireError: it failed.
        """
        raw = self._serialise(method, target, headers, body)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._attempt(raw, method, keep)
        except TimeoutError:
            raise WireError(f"no complete answer within {self._timeout:g} s") from None
        except (asyncio.LimitOverrunError, ValueError) as error:
            raise WireError(f"a malformed response: {error}") from None

    async def _attempt(self, raw: bytes, method: str, keep: bool) -> WireResponse:
        while True:
            connection = self._idle.pop() if self._idle else await self._open()
            try:
                response = await connection.exchange(raw, method, keep)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                # A kept connection may be closed by the server just as it is used again (RFC 9112
                # section 9.3.1): repeat on another. Nothing was answered, so nothing is read twice.
                if connection.used and not connection.answered and method in ("GET", "HEAD"):
                    continue
                raise WireError(f"the connection broke: {error}") from error
            finally:
                if not connection.reusable:
                    connection.close()
            if connection.reusable:
                self._idle.append(connection)
            return response

    async def _open(self) -> _Connection:
        host, port = self.origin.host, self.origin.port
        try:
            streams = await asyncio.open_connection(host, port, ssl=self._tls, limit=_MAX_HEAD)
        except OSError as error:
            number: int = error.errno or 0  # asyncio's own words name no reason; below 0 are look-ups
            why = os.strerror(number) if number > 0 else error.strerror or str(error)
            raise WireError(
                f"cannot connect to {host} port {port}: {why}; does a server run there?"
            ) from error
        return _Connection(*streams)

    def _serialise(self, method: str, target: str, headers: Headers, body: bytes) -> bytes:
        first = f"{method} {self.origin.prefix}{target} HTTP/1.1\r\nhost: {self.origin.authority}\r\n"
        lines = [first.encode("ascii")]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(b"content-length: %d\r\n" % len(body))
        return b"".join([*lines, b"\r\n", body])
