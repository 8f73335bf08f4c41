"""A small HTTP/1.1 client for what is posted elsewhere: no thread, cancelled at any moment, bounded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

_HEAD_LIMIT: Final = 64 * 1024
_RETRIED: Final = frozenset({408, 425, 429})


class DeliveryError(Exception):
    """It was not delivered. ``retry``: whether to try again, in ``after`` seconds if they are known."""

    def __init__(self, message: str, *, retry: bool = True, after: float | None = None) -> None:
        super().__init__(message)
        self.retry = retry
        self.after = after


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is posted: an http or https URL taken apart."""

    host: str
    port: int
    secure: bool
    path: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises ValueError, without the URL: it may hold a secret."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("not an http or https URL without a user")
        secure = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ValueError("a path that is no part of a URL")
        return cls(parts.hostname, parts.port or (443 if secure else 80), secure, path, parts.netloc)


async def post(place: Place, body: bytes, headers: Mapping[str, str], timeout: float) -> int:
    """Post ``body`` and return the status, 200 to 299.

    Redirections are not followed.

    :raises DeliveryError: for any other status, or no answer within ``timeout`` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            status, fields = await _exchange(place, body, headers)
    except TimeoutError:
        raise DeliveryError(f"{place.host} did not answer within {timeout:.3g} s") from None
    except (OSError, EOFError, ssl.SSLError, asyncio.LimitOverrunError, ValueError) as error:
        raise DeliveryError(f"{place.host}: {error or type(error).__name__}") from None
    if not 200 <= status < 300:
        again = status in _RETRIED or status >= 500
        raise DeliveryError(f"{place.host} answered {status}", retry=again, after=_after(fields))
    return status


def _after(fields: Mapping[str, str]) -> float | None:
    """Retry-After in seconds (RFC 9110 section 10.2.3); a date is left out."""
    text = fields.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


async def _exchange(place: Place, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    context = _context() if place.secure else None
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context, limit=_HEAD_LIMIT)
    try:
        fields = {"host": place.authority, "content-length": str(len(body)), "connection": "close", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        if "\n" in head.replace("\r\n", ""):
            raise ValueError("a header value with a line break")
        writer.write(f"POST {place.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await writer.drain()
        while True:
            status, answered = _parsed(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:  # what comes before is interim
                return status, answered
    finally:
        writer.transport.abort()  # the answer's body is of no interest


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("the answer is no HTTP/1.1")
    fields = (line.partition(":") for line in lines if ":" in line)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in fields}


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()
