"""The warm-ups of one runtime: one at a time, in a task of its own, begun at start or when asked for."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from perfmw.runtime.warming.admission import Admission, origin_of
from perfmw.runtime.warming.documents import MOST_BYTES, DocumentError
from perfmw.runtime.warming.sources import Sources, split_source
from perfmw.runtime.warming.warmer import Answer, Bounds, Warmer, WarmUpResult

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

MOST_HOSTS = 20
_numbers = itertools.count(1)
Header = tuple[bytes, bytes]
FORBIDDEN = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"host", b"content-length", b"transfer-encoding"}
)
"""Request fields that a warm-up does not send: credentials, and what is not its to choose."""


class Asker(Protocol):
    """Asks the app through the cache, as nobody in particular."""

    def __call__(self, url: str, headers: Sequence[Header], keep: int = 0) -> Awaitable[Answer]: ...


def checked_headers(headers: Iterable[Header]) -> list[Header]:
    """Request fields to send, names in lower case.

    :raises ValueError: one of them carries credentials, or is not a client's to choose.
    """
    fields = [(name.strip().lower(), value.strip()) for name, value in headers]
    for name, value in fields:
        if name in FORBIDDEN:
            raise ValueError(f"a warm-up does not send {name.decode('latin-1')}: it asks as anybody could")
        if not name or b"\r" in value or b"\n" in value:
            raise ValueError(f"{name!r} is no header field")
    return fields


class WarmUp:
    """Starts, tells of and stops warm-ups of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._task: asyncio.Task[Any] | None = None
        self._result: WarmUpResult | None = None
        self._about: dict[str, Any] = {}

    async def begin(self) -> None:
        """What the settings want at start. What cannot be done is told to the log; nobody waits for it."""
        settings = self._runtime.settings
        bounds = Bounds(limit=settings.warm_up_limit, rate=settings.warm_up_rate)
        await self._runtime.caching.start()  # which keys were the hottest
        try:
            self.start(settings.warm_up, origin=settings.warm_up_origin, bounds=bounds)
        except (RuntimeError, ValueError) as error:
            log.warning("no warm-up: %s", error)

    def start(
        self,
        sources: Sequence[str] = (),
        urls: Sequence[str] = (),
        *,
        origin: str | None = None,
        headers: Iterable[Header] = (),
        bounds: Bounds | None = None,
    ) -> dict[str, Any]:
        """Begin a warm-up in the background; its state.

        :param sources: such as ``hottest`` and ``sitemap:/sitemap.xml``.
        :param urls: URLs and paths, asked for before the sources'.
        :param origin: the site's, such as ``https://shop.example``; needed unless ``hottest`` is all.
        :param headers: request fields to send, for variants; none that carry credentials.
        :raises RuntimeError: one is under way, or no middleware uses this runtime.
        :raises ValueError: for a source or origin that is none, or a header that is not sent.
        """
        runtime = self._runtime
        if self.running:
            raise RuntimeError("a warm-up is under way; wait for it or cancel it")
        if runtime.asker is None:
            raise RuntimeError("there is no app: no PerfMiddleware uses this runtime")
        for source in sources:
            split_source(source)
        fields = checked_headers(headers)
        admission = Admission(*self._origins(sources, origin), closed=self._closed())
        self._result = WarmUpResult()
        self._about = {
            "id": f"{os.getpid()}-{next(_numbers)}",
            "sources": [*sources],
            "urls": len(urls),
            "origin": admission.origin,
        }
        work = self._run(runtime.asker(), admission, sources, urls, fields, bounds or Bounds())
        self._task = runtime.spawn(work, name="perfmw-warm-up")
        return self.state()

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def wait(self) -> dict[str, Any]:
        """Wait for the end of the one under way; the state then."""
        if self._task is not None:
            await asyncio.wait([self._task])
        return self.state()

    def state(self) -> dict[str, Any]:
        """``status`` is idle or running; ``result`` what the last one did, or this one did so far.

        ``id`` tells it from others, also from those of other workers: each worker has its own.
        """
        result = self._result
        return {
            "status": "running" if self.running else "idle",
            **self._about,
            "result": None if result is None else result.as_data(),
        }

    def cancel(self) -> bool:
        """Stop the one under way; False when there is none."""
        if self._task is None or not self._task.cancel():
            return False
        if self._result is not None:
            self._result.stopped = "cancelled"  # also when it has not had a first turn
        return True

    def _origins(self, sources: Sequence[str], origin: str | None) -> list[str]:
        """The site's origin; where only the hottest keys are wanted, theirs: this site answered them."""
        if origin is not None:
            return [origin_of(origin)]
        if list(sources) != ["hottest"]:
            raise ValueError("say which site it is: an origin such as https://shop.example (warm_up_origin)")
        keys = [key.removeprefix("GET ") for key in self._hottest()]
        found = list(dict.fromkeys(map(origin_of, keys)))[:MOST_HOSTS]
        if not found:
            raise ValueError("no hottest keys are known yet, of this run or the one before")
        return found

    def _hottest(self) -> list[str]:
        """Those of the run before, and those of this one that are new."""
        caching = self._runtime.caching
        keys = [key for key, _ in caching.previous]
        return list(dict.fromkeys([*keys, *(key for key, _ in caching.hottest.top(500))]))

    def _closed(self) -> tuple[str, ...]:
        settings = self._runtime.settings
        return tuple(path for path in (settings.dashboard_path, settings.vitals_path) if path)

    async def _run(
        self,
        ask: Asker,
        admission: Admission,
        sources: Sequence[str],
        urls: Sequence[str],
        headers: Sequence[Header],
        bounds: Bounds,
    ) -> None:
        result = self._result or WarmUpResult()
        warmer = Warmer(lambda url: ask(url, headers), admission, bounds, result)
        documents = Admission(admission.origin)
        reading = Sources(_fetcher(ask), documents, self._hottest(), result.problems)
        async with aclosing(reading.candidates(sources, urls)) as candidates:
            await warmer.run(candidates)
        log.info("warm-up: %s", result.as_data())


def _fetcher(ask: Asker) -> Callable[[str], Awaitable[bytes]]:
    async def fetch(url: str) -> bytes:
        answer = await ask(url, (), keep=MOST_BYTES)
        if answer.status != 200:
            raise DocumentError(f"it answered {answer.status or answer.reason}")
        if answer.size > len(answer.body):
            raise DocumentError(f"it has more than {MOST_BYTES:,} bytes")
        return answer.body

    return fetch
