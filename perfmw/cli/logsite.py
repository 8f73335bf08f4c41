"""A site made from an access log: for every logged URL a document of the logged status and size.

``LOGSITE_LOG`` names the log, ``app`` serves it. The bytes of a document depend on its URL alone, so
two servers of the same log give the same answers, and an answer for the wrong URL is seen at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from perfmw.asgi.types import ASGIApp
from perfmw.cli.accesslog import LogEntry, LogStats, read_log

ENV_LOG = "LOGSITE_LOG"
_BLOCK = 64 * 1024
_LAST_MODIFIED = b"Tue, 01 Aug 1995 00:00:00 GMT"
_FRESH = b"public, max-age=3600"


class Document(NamedTuple):
    status: int
    size: int


_NOT_LOGGED = Document(404, 9)


def documents(entries: Iterable[LogEntry]) -> dict[str, Document]:
    """What the log knows of each URL: its largest complete answer, or else what it answered first.

    A URL only ever answered 304 exists, but its size is not logged: it becomes an empty document.
    """
    known: dict[str, Document] = {}
    for entry in entries:
        if entry.method not in ("GET", "HEAD"):
            continue
        status = 200 if entry.status < 200 or entry.status in (206, 304, 416) else entry.status
        size = (entry.size or 0) if entry.method == "GET" and status not in (204, 205) else 0
        target = entry.target.removesuffix("?")  # a server is not told of an empty query
        before = known.get(target)
        if before is None or (status == 200, size) > (before.status == 200, before.size):
            known[target] = Document(status, size)
    return known


def body(target: str, size: int) -> Iterator[bytes]:
    """The document's bytes in parts of at most 64 KiB; every later part carries its number."""
    block = hashlib.shake_256(target.encode()).digest(min(size, _BLOCK))
    for number, start in enumerate(range(0, size, _BLOCK)):
        part = number.to_bytes(8, "big") + block[8:] if number else block
        yield part[: size - start]


def head(target: str, document: Document) -> list[tuple[bytes, bytes]]:
    """Header fields: documents may be kept for an hour, what a program answered must not be."""
    if document.status == 204:
        return []  # RFC 9110 section 8.6: no Content-Length here
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % document.size)]
    if 300 <= document.status < 400:
        return [*headers, (b"location", b"/")]
    if document.status != 200:
        return headers
    if "?" in target or "/cgi-bin/" in target:
        return [*headers, (b"cache-control", b"no-store")]
    etag = hashlib.sha256(f"{document.size} {target}".encode()).hexdigest()[:16].encode()
    validators = [(b"etag", b'"' + etag + b'"'), (b"last-modified", _LAST_MODIFIED)]
    return [*headers, *validators, (b"cache-control", _FRESH)]


def make_site(known: dict[str, Document]) -> ASGIApp:
    """The ASGI app that serves these documents."""

    async def site(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        target = _target(scope)
        document = known.get(target, _NOT_LOGGED)
        headers = head(target, document)
        if _unchanged(scope, headers):
            kept = [pair for pair in headers if pair[0] not in (b"content-length", b"content-type")]
            await send({"type": "http.response.start", "status": 304, "headers": kept})
            await send({"type": "http.response.body"})
            return
        await send({"type": "http.response.start", "status": document.status, "headers": headers})
        if scope["method"] != "HEAD":
            for part in body(target, document.size):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    return site


def _target(scope: Any) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _unchanged(scope: Any, headers: list[tuple[bytes, bytes]]) -> bool:
    """RFC 9110 section 13.2.2, for documents that never change."""
    asked = dict(scope["headers"])
    own = dict(headers)
    if b"etag" not in own:
        return False
    if b"if-none-match" in asked:
        return own[b"etag"] in asked[b"if-none-match"]
    return asked.get(b"if-modified-since") == _LAST_MODIFIED


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = make_site(documents(read_log(Path(os.environ[ENV_LOG]), LogStats())))
    globals()["app"] = made
    return made
