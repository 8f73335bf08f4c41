"""Explain a URL from within the running app: ask it once, store nothing, say what the cache makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

from perfmw.asgi.types import Message, Scope
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.requests import request_of
from perfmw.http.explain import explain
from perfmw.http.messages import Header, Request, ResponseHead, StoredResponse

SECONDS = 10.0
"""How long the app has to begin its answer."""


class Explainer:
    """What ``Runtime.explain`` calls for the app behind the middleware."""

    def __init__(self, cache: HttpCache) -> None:
        self._cache = cache

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Sequence[Header] = ()
    ) -> dict[str, Any]:
        """The explanation of one exchange as JSON values, and what is stored of the URL now.

        :param url: absolute. :param headers: fields to send, names in lower case.
        :raises ValueError: the URL is not absolute, or the method is not GET or HEAD.
        :raises TimeoutError: the app did not begin to answer in time.
        """
        scope = _scope(url, method, headers)
        request = request_of(scope)
        head = await self._ask(scope)
        rule = self._cache.rules.match(request.method, request.path)
        found = explain(request, head, now=time.time(), policy=self._cache.policy, rule=rule)
        return {"status": head.status, **asdict(found), "stored": await self._stored(request)}

    async def _ask(self, scope: Scope) -> ResponseHead:
        """The head of the app's own answer; its body is not waited for."""
        answered: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

        async def receive() -> Message:
            if answered.done():
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and not answered.done():
                fields = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
                answered.set_result(ResponseHead(message["status"], fields))

        async def asking() -> None:
            await self._cache.app(scope, receive, send)
            if not answered.done():
                answered.set_exception(ValueError("the app returned without an answer"))

        call = asyncio.create_task(asking())
        call.add_done_callback(lambda task: _pass_error(task, answered))
        try:
            async with asyncio.timeout(SECONDS):
                return await answered
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def _stored(self, request: Request) -> list[dict[str, Any]]:
        key = self._cache.key(request)
        if key is None:
            return []
        now = time.time()
        return [_row(stored, now) for stored in await self._cache.store.find(key, request)]


def _pass_error(task: asyncio.Task[None], answered: asyncio.Future[ResponseHead]) -> None:
    """What the app raises before it answers, whoever waits for the answer is to see."""
    if not task.cancelled() and (error := task.exception()) is not None and not answered.done():
        answered.set_exception(error)


def _row(stored: StoredResponse, now: float) -> dict[str, Any]:
    names = [name.decode("latin-1") for name in stored.vary]
    return {
        "status": stored.status,
        "age": round(stored.age(now), 3),
        "ttl": round(stored.fresh_until - now, 3),
        "bytes": len(stored.body),
        "vary": names,
        "rule": stored.rule,
        "route": stored.route,
    }


def _scope(url: str, method: str, headers: Sequence[Header]) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"url must be absolute, such as https://example.org/items/1, not {url!r}")
    if method not in ("GET", "HEAD"):
        raise ValueError(f"only GET and HEAD can be asked without consequences, not {method!r}")
    path = parts.path or "/"
    fields: Mapping[bytes, bytes] = dict(headers)
    host = [] if b"host" in fields else [(b"host", parts.netloc.encode("ascii", "replace"))]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(path),
        "raw_path": path.encode("utf-8"),
        "query_string": parts.query.encode("utf-8"),
        "root_path": "",
        "headers": [*host, *headers],
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname or "", parts.port or 80),
        "extensions": {},
        "state": {},
    }
