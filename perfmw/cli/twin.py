"""The sample shop's twin: the same app without a cache, asked for every page that a visitor got."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from perfmw.cli.replaying import difference
from perfmw.cli.wire import WireResponse
from perfmw.testing import Client

_MOMENT = re.compile(rb' data-moment="(\d+)" data-lasts="(\d+)"')
_MAX_AGE = re.compile(rb"max-age=(\d+)")
_SLACK = 2.0
"""Seconds that the ages of HTTP, which are whole, may be off in all."""
_MOST_PAGES = 20_000
_ASKERS = 2
"""Requests to the twin at a time: it shares the machine with the shop."""


class Page(NamedTuple):
    """What an answer depends on: who asked for what, and the time that a page says it is of."""

    target: str
    user: str | None
    moment: float | None


class Twin:
    """Compares answers with those of an uncached app. ``wrong`` counts those that differ, or are too old.

    Pages are a function of their ``Page``, so the twin is asked once for each; every answer is compared.
    """

    def __init__(self, app: Any) -> None:
        self.checked = self.wrong = 0
        self.examples: list[str] = []
        self._app = app
        self._client = Client(app)
        self._known: OrderedDict[Page, WireResponse] = OrderedDict()
        self._open: dict[Page, list[WireResponse]] = {}
        self._queue: asyncio.Queue[Page] = asyncio.Queue()
        self._clock = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Answers that are not compared yet."""
        return sum(map(len, self._open.values()))

    def see(
        self, target: str, user: str | None, response: WireResponse, sent: float, received: float
    ) -> None:
        """Have an answer compared. ``sent`` and ``received``: unix seconds of the visitor's clock."""
        found = _MOMENT.search(response.body)
        page = Page(target, user, float(found[1]) if found else None)
        if found and not sent - _oldest(response, float(found[2])) <= float(found[1]) <= received:
            self._note(page, f"of {sent - float(found[1]):.1f} s ago")
        bare = replace(response, body=b"")
        known = self._known.get(page)
        if known is not None:
            self._compare(page, bare, known)
            return
        if page not in self._open:
            self._queue.put_nowait(page)
        self._open.setdefault(page, []).append(bare)

    async def run(self) -> None:
        """Ask for what is waiting, until cancelled."""
        await asyncio.gather(*(self._work() for _ in range(_ASKERS)))

    async def settle(self, seconds: float) -> None:
        """Wait until everything is compared, or the time is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), seconds)

    async def _work(self) -> None:
        while True:
            page = await self._queue.get()
            known = self._known[page] = await self._ask(page)
            if len(self._known) > _MOST_PAGES:
                self._known.popitem(last=False)
            for response in self._open.pop(page):
                self._compare(page, response, known)
            self._queue.task_done()

    async def _ask(self, page: Page) -> WireResponse:
        async with self._clock if page.moment is not None else nullcontext():
            if page.moment is not None:  # one clock for all who ask
                self._app.state.clock = lambda: page.moment
            cookies = [("cookie", f"shop_user={page.user}")] if page.user else []
            try:
                answer = await self._client.get(page.target, headers=cookies)
            except Exception as error:
                self.examples.append(f"{page.target}: the twin failed: {error!r}")
                return WireResponse(0, [], 0, b"")
        return WireResponse(answer.status, answer.headers, len(answer.body), sha256(answer.body).digest())

    def _compare(self, page: Page, response: WireResponse, known: WireResponse) -> None:
        self.checked += 1
        found = difference(response, known)
        if found is not None:
            self._note(page, found)

    def _note(self, page: Page, what: str) -> None:
        self.wrong += 1
        if len(self.examples) < 10:
            self.examples.append(f"{page.target} for {page.user or 'nobody'}: {what}")


def _oldest(response: WireResponse, lasts: float) -> float:
    """How many seconds ago a page may have begun to hold: it lasts, and may be kept as long as it says."""
    stated = _MAX_AGE.search(response.header(b"cache-control") or b"")
    return lasts + (float(stated[1]) + _SLACK if stated else 0.0)


@asynccontextmanager
async def open_twin(package: str, folder: Path | None, database: Path) -> AsyncIterator[Twin]:
    """The twin of the shop in ``package``, with a partner of its own, all in this process.

    :param folder: where the package is, if Python does not know.
    """
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    httpx = importlib.import_module("httpx")
    shop, pricing = (importlib.import_module(f"{package}.{name}") for name in ("app", "pricing"))
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(app=pricing.app)
        partner = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://partner")
        )
        app = shop.make_app(database, partner)
        await stack.enter_async_context(app.router.lifespan_context(app))
        twin = Twin(app)
        working = asyncio.create_task(twin.run())
        try:
            yield twin
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
