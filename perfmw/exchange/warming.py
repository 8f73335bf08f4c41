"""Asking for a URL on nobody's behalf: through the cache as any request, counted as none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from time import perf_counter
from typing import Any
from urllib.parse import unquote, urlsplit

from perfmw.asgi.types import BACKGROUND, Message, Scope
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.exchange import Exchange
from perfmw.http.messages import Header, StoredResponse
from perfmw.runtime.warming.warmer import Answer

NOBODY = ("192.0.2.1", 0)
"""The client's address, of those that nobody has (RFC 5737): some apps tell visitors from this host more."""


class WarmingExchange(Exchange):
    """An exchange that remembers what came of it, and is no client's: nothing of it is counted."""

    outcome: str = ""
    refusal: str = ""
    answered: int = 0
    """The status of what was found in the store."""

    async def store(self, stored: StoredResponse, tags: Sequence[str] = ()) -> bool:
        kept = await super().store(stored, tags)
        self.outcome = "stored" if kept else ""
        self.refusal = "" if kept else "not-kept"
        return kept

    async def serve(self, stored: StoredResponse, *, status: bytes | None = None, detail: str = "") -> None:
        self.outcome = self.outcome or "fresh"
        self.answered = stored.status
        await self.reply(stored, status or b"")

    def on_abandon(self, reason: str) -> None:
        self.refusal = reason
        super().on_abandon(reason)

    def _count(self) -> None:
        pass

    def count_failure(self) -> None:
        pass


class Asker:
    """What a warm-up asks with."""

    def __init__(self, cache: HttpCache) -> None:
        self._cache = cache

    async def __call__(self, url: str, headers: Sequence[Header], keep: int = 0) -> Answer:
        """Ask for an absolute URL by GET.

        :param headers: fields to send beside Host. :param keep: the most bytes of the body to hand back.
        :raises Exception: what the app raises.
        """
        client = _Client(keep)
        scope = _scope(url, headers, self._cache.state)
        call = WarmingExchange(self._cache, scope, client.receive, client.send, perf_counter(), time.time())
        await call.run()
        status = call.status or call.answered or client.status
        body = bytes(client.body)
        if call.outcome == "stored":
            return Answer("stored", "", status, client.size, body)
        if call.outcome == "fresh":
            return Answer("fresh", "", status, client.size, body)
        if status >= 500 or not status:
            return Answer("failed", str(status or "no answer"), status, client.size, body)
        reason = call.refusal or call.detail or call.fwd
        if status >= 300:
            reason = f"{reason} ({status})"
        return Answer("refused", reason, status, client.size, body)


class _Client:
    """A client that sent no body, never leaves, and keeps what it was promised of the answer."""

    def __init__(self, keep: int) -> None:
        self.status = self.size = 0
        self.body = bytearray()
        self._keep = keep
        self._asked = False
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if self._asked:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            self.size += len(part)
            if len(self.body) + len(part) <= self._keep:
                self.body += part
            if not message.get("more_body", False):
                self._gone.set()


def _scope(url: str, headers: Sequence[Header], state: Any) -> Scope:
    parts = urlsplit(url)
    path = parts.path or "/"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": parts.scheme,
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": parts.query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", parts.netloc.encode("ascii", "replace")), *headers],
        "client": NOBODY,
        BACKGROUND: True,
        "server": (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)),
        "extensions": {},
        "state": dict(state or {}),
    }
