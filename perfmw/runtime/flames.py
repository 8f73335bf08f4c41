"""Flame graphs of a route: each worker of the host watches requests of its own, and tells the others."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from perfmw.profiles.flame import Flame, merged, thinned

KEPT: Final = 8
"""Sessions that a worker remembers."""
REQUESTS: Final = 50
"""Of the route, that a worker watches at most."""
HEARING: Final = 6.0
"""Seconds within which every worker has heard of a session, or of its end."""
TOLD: Final = 30.0
"""Seconds after its end for which a worker tells the others what it saw."""


class Watching(msgspec.Struct):
    """What one worker says of a session: ``status`` is running, done or failed. Times in unix seconds."""

    session: str
    worker: str
    route: str
    began: float
    seconds: float
    memory: bool
    status: str = "running"
    flame: Flame | None = None
    error: str = ""


_BEGUN: Final[dict[str, Any]] = {"status": "running", "flame": None, "error": ""}


@dataclass(slots=True)
class Session:
    """A route that is or was watched by ``workers`` workers; ``flame`` is of all that are done."""

    route: str
    began: float
    seconds: float
    status: str
    workers: int
    flame: Flame | None
    error: str


class Watcher(Protocol):
    """What can watch a route: ``Runtime``."""

    async def profile_route(
        self, route: str, *, requests: int = 20, seconds: float = 30.0, memory: bool = False
    ) -> Flame: ...

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> Any: ...


class HostFlames:
    """The last sessions of this host, whichever worker began them.

    :param peers: tells how many other workers there are.
    """

    def __init__(self, watcher: Watcher, peers: Callable[[], int]) -> None:
        self._watcher = watcher
        self._peers = peers
        self._worker = secrets.token_hex(4)
        self._sessions: OrderedDict[str, dict[str, Watching]] = OrderedDict()

    def start(self, route: str, seconds: float, memory: bool) -> Session:
        """Have a route watched by this worker from now on, by the others as soon as they hear of it.

        :raises RuntimeError: a route is being watched.
        """
        now = time.time()
        for parts in self._sessions.values():
            told = self._told(parts, now)
            if told.status == "running":
                raise RuntimeError(f"{told.route} is being profiled; wait for it.")
        own = Watching(secrets.token_hex(8), self._worker, route, now, seconds, memory)
        return self._told(self._join(own), now)

    def find(self, route: str) -> Session | None:
        """The last session of a route."""
        found = [parts for parts in self._sessions.values() if _any(parts).route == route]
        return self._told(max(found, key=lambda parts: _any(parts).began), time.time()) if found else None

    def said(self) -> list[Watching]:
        """What this worker tells the others."""
        now, own = time.time(), (parts.get(self._worker) for parts in self._sessions.values())
        return [one for one in own if one is not None and now < one.began + one.seconds + TOLD]

    def take_over(self, heard: Iterable[Watching]) -> None:
        """Watch what another worker began to, and remember what it saw."""
        now = time.time()
        for one in heard:
            if one.session not in self._sessions:
                if now < one.began + HEARING:
                    self._join(
                        Watching(one.session, self._worker, one.route, one.began, one.seconds, one.memory)
                    )
                else:
                    self._remember(one.session)
            self._sessions[one.session][one.worker] = one

    def _join(self, own: Watching) -> dict[str, Watching]:
        parts = self._remember(own.session)
        parts[self._worker] = own
        self._watcher.spawn(self._watch(own), name="perfmw-flames")
        return parts

    def _remember(self, session: str) -> dict[str, Watching]:
        parts = self._sessions[session] = {}
        while len(self._sessions) > KEPT:
            self._sessions.popitem(last=False)
        return parts

    async def _watch(self, own: Watching) -> None:
        try:
            flame = await self._watcher.profile_route(
                own.route, requests=REQUESTS, seconds=own.seconds, memory=own.memory
            )
            own.flame, own.status = thinned(flame), "done"
        except ImportError:
            own.status, own.error = "failed", "It needs pyinstrument: pip install 'perfmw[profiler]'."
        except RuntimeError as error:
            own.status, own.error = "failed", f"{error}."
        finally:
            if own.status == "running":  # cancelled: the runtime stops
                own.status, own.error = "failed", "The server stopped."

    def _told(self, parts: dict[str, Watching], now: float) -> Session:
        one, flames = _any(parts), [part.flame for part in parts.values() if part.flame is not None]
        status = "done" if flames else "failed"
        if self._is_awaited(parts, now):
            status = "running"
        error = next((part.error for part in parts.values() if part.error), "") if status == "failed" else ""
        flame = merged(flames) if flames else None
        return Session(one.route, one.began, one.seconds, status, len(flames), flame, error)

    def _is_awaited(self, parts: dict[str, Watching], now: float) -> bool:
        """Whether somebody is still to tell what he saw; who has not by the end of all time has ended."""
        running = any(part.status == "running" for part in parts.values())
        own = parts.get(self._worker)
        if own is not None and own.status == "running":
            return True
        one = _any(parts)
        late = now < one.began + HEARING and len(parts) <= self._peers()
        return late or (running and now < one.began + one.seconds + 2.0 * HEARING)


def _any(parts: dict[str, Watching]) -> Watching:
    return next(iter(parts.values()))
