"""Validating stale responses behind the client's back (RFC 5861 section 3)."""

from __future__ import annotations

import asyncio
import time
from time import perf_counter

from perfmw.asgi.types import BACKGROUND, Message
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.exchange import Exchange
from perfmw.http.messages import StoredResponse
from perfmw.http.reuse import conditionals_for

_CLIENTS_OWN = frozenset(
    {
        b"cache-control",
        b"content-length",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"pragma",
        b"range",
        b"transfer-encoding",
    }
)
"""What the client asked of its own copy: the cache asks for itself."""


class Background:
    """Starts validations that answer nobody: one for each key, at most ``limit`` at once."""

    def __init__(self, cache: HttpCache, limit: int = 32) -> None:
        self._cache = cache
        self._limit = limit
        self._running: set[str] = set()

    def revalidate(self, exchange: Exchange, key: str, stored: StoredResponse) -> None:
        """Ask the app, by the request of ``exchange``, whether ``stored`` still holds. Returns at once."""
        if key in self._running or len(self._running) >= self._limit:
            return
        self._running.add(key)
        call = _behind(self._cache, exchange, stored)
        self._cache.runtime.spawn(self._run(key, call), name="perfmw-revalidate")

    async def _run(self, key: str, call: Unseen) -> None:
        try:
            await call.forward()
        finally:
            self._running.discard(key)


class Unseen(Exchange):
    """An exchange without a client: what it learns goes to the store, and it counts as nobody's request."""

    async def reply(self, stored: StoredResponse, status: bytes) -> None:
        pass

    async def serve(self, stored: StoredResponse, *, status: bytes | None = None, detail: str = "") -> None:
        pass

    def _count(self) -> None:
        pass

    def count_failure(self) -> None:
        pass


def _behind(cache: HttpCache, exchange: Exchange, stored: StoredResponse) -> Unseen:
    """The same request as a GET of the whole, with the cache's own conditions, from nobody to nobody."""
    conditionals = conditionals_for(stored)
    headers = [field for field in exchange.scope["headers"] if field[0] not in _CLIENTS_OWN]
    scope = {**exchange.scope, "method": "GET", "headers": [*headers, *conditionals], BACKGROUND: True}
    if "state" in scope:
        scope["state"] = dict(scope["state"])
    call = Unseen(cache, scope, _Nothing().receive, _drop, perf_counter(), time.time())
    call.key, call.rule, call.known = exchange.key, exchange.rule, True
    call.fwd, call.detail, call.stored = "request", "revalidating", stored
    call.asking = "validate" if conditionals else ""
    return call


class _Nothing:
    """A client that sent no body and never leaves."""

    def __init__(self) -> None:
        self._asked = False

    async def receive(self) -> Message:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}


async def _drop(message: Message) -> None:
    pass
