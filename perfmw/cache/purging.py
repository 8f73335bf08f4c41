"""Telling a CDN of invalidations: a bounded queue with retries, and a purger that speaks plain HTTP."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from perfmw.cache.cdn import KINDS
from perfmw.contracts import CacheLayerInfo, Purge, PurgeError, PurgeKind, Purger
from perfmw.settings import Cdn

log = logging.getLogger("perfmw.cdn")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
ATTEMPTS = 8


class PurgeQueue:
    """Purges on their way to one CDN. ``offer`` never waits and may be called from any thread.

    A purge that waits already is not queued again, and a hard one takes the place of a soft one. What fails
    is tried again, after pauses that double; what fails too often, or is refused for good, is counted among
    ``failed``. What finds no room is ``dropped``: the CDN then serves it until its time is over there.
    """

    def __init__(
        self,
        purger: Purger,
        *,
        room: int = 10_000,
        first_pause: float = FIRST_PAUSE,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.purger = purger
        self._room = room
        self._first_pause = first_pause
        self._attempts = attempts
        self._waiting: dict[tuple[PurgeKind, str], bool] = {}
        self._at_work = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.done = self.failed = self.dropped = 0
        self.healthy = True

    def offer(self, purges: Iterable[Purge]) -> None:
        """Queue purges; kinds that the CDN does not know are left out."""
        for purge in purges:
            if purge.kind not in self.purger.limits:
                continue
            name = purge.kind, purge.value
            soft = self._waiting.get(name, True) and purge.soft
            if name not in self._waiting and len(self._waiting) >= self._room:
                self.dropped += 1
                continue
            self._waiting[name] = soft
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Carry out what is offered, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        while True:
            self._wake.clear()
            while batch := self._next_batch():
                await self._carry_out(batch)
            self._idle.set()
            await self._wake.wait()
            self._idle.clear()

    async def flush(self, seconds: float) -> int:
        """Wait until nothing waits any more, for at most ``seconds``; how many still do."""
        if self._loop is None:
            await asyncio.sleep(0)  # ``run`` may be about to begin
        if len(self) and self._loop is asyncio.get_running_loop():
            self._idle.clear()
            self._wake.set()
            try:
                await asyncio.wait_for(self._idle.wait(), seconds)
            except TimeoutError:
                pass
        return len(self)

    async def close(self) -> None:
        """What still waits is given up; ``run`` must have ended."""
        if len(self):
            log.warning("CDN %r: %d purges were given up at the end", self.purger.name, len(self))
        self.dropped += len(self)
        self._waiting.clear()
        self._at_work = 0
        self._loop = None
        try:
            await self.purger.aclose()
        except Exception as error:
            log.warning("CDN %r did not close: %r", self.purger.name, error)

    def __len__(self) -> int:
        return len(self._waiting) + self._at_work

    def info(self) -> CacheLayerInfo:
        """The CDN as a layer: what it was told; it does not say what it serves."""
        return CacheLayerInfo(
            name=f"cdn.{self.purger.name}",
            kind="cdn",
            errors=self.failed,
            invalidations=self.done,
            queued=len(self),
            dropped=self.dropped,
            written=self.done,
            available=self.healthy,
        )

    def _next_batch(self) -> list[Purge]:
        for kind in KINDS:
            names = [name for name in self._waiting if name[0] == kind]
            if not names:
                continue
            soft = self._waiting[names[0]]
            alike = [name for name in names if self._waiting[name] == soft]
            chosen = alike[: max(1, self.purger.limits[kind])]
            for name in chosen:
                del self._waiting[name]
            self._at_work = len(chosen)
            return [Purge(kind, value, soft) for _, value in chosen]
        return []

    async def _carry_out(self, batch: Sequence[Purge]) -> None:
        pause = self._first_pause
        for attempt in range(1, self._attempts + 1):
            try:
                await self.purger.purge(batch)
            except Exception as error:
                if not self._worth_trying_again(error, attempt, batch):
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.done += len(batch)
                self.healthy = True
                break
        self._at_work = 0

    def _worth_trying_again(self, error: Exception, attempt: int, batch: Sequence[Purge]) -> bool:
        again = getattr(error, "retry", True) and attempt < self._attempts
        if self.healthy or not again:
            then = "it is tried again" if again else f"{len(batch)} purges are given up"
            log.warning("CDN %r did not carry out a purge, %s: %r", self.purger.name, then, error)
        self.healthy = False
        if not again:
            self.failed += len(batch)
        return again


class HttpPurger:
    """Purges by one HTTP request each, as Varnish, Fastly and nginx take them; see ``Settings.cdn``.

    :param token: sent in ``settings.token``.
    """

    name = "http"

    def __init__(self, settings: Cdn, token: str | None = None) -> None:
        self._settings = settings
        self._token = token
        limits = {"url": 1} if settings.purge_url is not None else {}
        if settings.ban_url is not None:
            limits["tag"] = 16
            limits |= {"prefix": 1} if settings.ban_prefix is not None else {}
        self.limits: Mapping[str, int] = limits

    async def purge(self, purges: Sequence[Purge]) -> None:
        """One request for all of them. Raises PurgeError."""
        status = await asyncio.to_thread(self._send, purges)
        if status in (404, 410) and purges[0].kind == "url":
            return  # it has nothing to forget
        if not 200 <= status < 300:
            retry = status in (408, 425, 429) or status >= 500
            raise PurgeError(f"it answered {status} to the purge of {purges[0].value!r}", retry=retry)

    async def aclose(self) -> None:
        """There is no connection to close."""

    def _send(self, purges: Sequence[Purge]) -> int:
        settings, first = self._settings, purges[0]
        by_url = first.kind == "url"
        template = settings.purge_url if by_url else settings.ban_url
        assert template is not None, "limits leave out what there is no URL for"
        target = urlsplit(_filled(template, first.value if first.kind != "tag" else ""))
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        connection = kind(target.hostname or "", target.port, timeout=settings.timeout)
        method = settings.purge_method if by_url else settings.ban_method
        try:
            connection.request(method, path, headers=self._headers(purges, template))
            with connection.getresponse() as answer:
                return answer.status
        finally:
            connection.close()

    def _headers(self, purges: Sequence[Purge], template: str) -> dict[str, str]:
        settings, first = self._settings, purges[0]
        headers = {"Content-Length": "0"}
        if first.kind == "tag":
            name = settings.ban_tags or settings.tags or "Surrogate-Key"
            separator = " " if name.lower() in ("surrogate-key", "xkey", "x-key") else ","
            headers[name] = separator.join(purge.value for purge in purges)
        elif first.kind == "prefix":
            headers[settings.ban_prefix or "X-Prefix"] = first.value
        elif "{url}" not in template and "{host}" not in template:
            headers["Host"] = urlsplit(first.value).netloc  # it is the resource's own that says which
        if first.soft and settings.soft is not None:
            headers[settings.soft] = "1"
        if self._token is not None:
            bearer = settings.token.lower() == "authorization"
            headers[settings.token] = f"Bearer {self._token}" if bearer else self._token
        return headers


def _filled(template: str, url: str) -> str:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    for name, value in (("{url}", url), ("{host}", parts.netloc), ("{path}", path)):
        template = template.replace(name, value)
    return template
