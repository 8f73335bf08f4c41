"""Open pages ask for their figures again and again: alike questions share an answer for a while.

A page that opens is made anew, and so is one whose visitor just changed something. Those that merely keep up
to date name, in ``Perfmw-Parts``, the state that they heard of; what is made for one of them serves all that
heard of the same, until the share of the server that all of them may take is used up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from perfmw.dashboard.auth import role_of
from perfmw.dashboard.headers import accepts_gzip
from perfmw.dashboard.live import SHARE

HEARD: Final = "perfmw-parts"
MOST: Final = 64
"""Answers that are kept; the oldest goes first."""
SOONEST: Final = 5.0
"""Seconds between two refreshes of a page, with few open."""
PER_PAGE: Final = 0.5
"""Seconds that each open page adds to those, so that all together ask no more than twice a second."""

SHORTEST: Final = 1.0
LONGEST: Final = 30.0
"""Seconds for which an answer serves, whatever it cost."""

Key = tuple[object, ...]
Make = Callable[[], Awaitable[Response]]


def patience(pages: int) -> float:
    """Seconds that each of so many open pages should wait before it asks again."""
    return max(SOONEST, PER_PAGE * pages)


class Kept(Response):
    """What a server was sent, to be sent again until a moment of the clock."""

    def __init__(self, until: float, messages: list[Message]) -> None:
        self.until = until
        self.messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send({**message, "headers": [*message["headers"]]} if "headers" in message else message)


@dataclass(slots=True)
class Refreshes:
    """Answers by everything that they depend on."""

    clock: Callable[[], float] = time.monotonic
    cost: Callable[[], float] = time.thread_time
    _kept: dict[Key, Kept] = field(default_factory=dict)

    async def answer(self, request: Request, make: Make) -> Response:
        if HEARD not in request.headers:
            return await make()
        key = _key(request)
        kept = self._kept.get(key)
        if kept is None or self.clock() >= kept.until:
            kept = await self._make(key, request, make)
        return kept

    def forget(self) -> None:
        """Something was changed from here."""
        self._kept.clear()

    async def _make(self, key: Key, request: Request, make: Make) -> Kept:
        began = self.cost()
        messages = await _sent(await make(), request.scope)
        self._kept.pop(key, None)
        now = self.clock()
        sharing = 1 + sum(other.until > now for other in self._kept.values())
        lasting = min(max(SHORTEST, sharing * (self.cost() - began) / SHARE), LONGEST)
        self._kept[key] = kept = Kept(now + lasting, messages)
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return kept


def _key(request: Request) -> Key:
    """All that a page depends on but its figures."""
    scope, headers = request.scope, request.headers
    visitor = role_of(scope), scope.get("perfmw.signed_in", False), request.cookies.get("perfmw-theme")
    return headers[HEARD], str(request.url), *visitor, accepts_gzip(headers)


async def _sent(response: Response, scope: Scope) -> list[Message]:
    """All that a response would send."""
    messages: list[Message] = []

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        messages.append(message)

    await response(scope, receive, send)
    return messages
