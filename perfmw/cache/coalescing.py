"""Single flight: of all who want one key at one time, one does the work and the others wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_held: ContextVar[frozenset[_State]] = ContextVar("perfmw_flights_held", default=frozenset())


class _Waiter:
    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def wake(self) -> None:
        if self.loop is asyncio._get_running_loop():
            self._release()
            return
        try:
            self.loop.call_soon_threadsafe(self._release)
        except RuntimeError:
            pass  # that loop is closed, and with it whoever waited

    def _release(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _ThreadWaiter:
    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()


class _State:
    """What a leader and its followers share."""

    __slots__ = ("outcome", "payload", "waiters")

    def __init__(self) -> None:
        self.outcome: str | None = None
        self.payload: Any = None
        self.waiters: list[_Waiter | _ThreadWaiter] = []


class Flight:
    """One caller's part in the work on one key: its leader, who does it, or a follower, who waits."""

    __slots__ = ("_coalescer", "_state", "key", "leader")

    def __init__(self, coalescer: Coalescer, key: Hashable, state: _State, leader: bool) -> None:
        self._coalescer = coalescer
        self._state = state
        self.key = key
        self.leader = leader

    async def wait(self, timeout: float | None = None) -> str | None:
        """The leader's outcome; None when ``timeout`` seconds passed first."""
        state = self._state
        waiter = _Waiter()
        state.waiters.append(waiter)
        if state.outcome is None:  # looked at after joining, so that no wake-up is lost
            try:
                async with asyncio.timeout(timeout):
                    await waiter.future
            except TimeoutError:
                self._coalescer.timeouts += 1
        if waiter in state.waiters:
            state.waiters.remove(waiter)
        return state.outcome

    def wait_blocking(self, timeout: float | None = None) -> str | None:
        """``wait`` for a thread that runs no event loop."""
        state = self._state
        waiter = _ThreadWaiter()
        state.waiters.append(waiter)
        if state.outcome is None and not waiter.event.wait(timeout):
            self._coalescer.timeouts += 1
        if waiter in state.waiters:
            state.waiters.remove(waiter)
        return state.outcome

    @property
    def payload(self) -> Any:
        """What the leader handed over with its outcome."""
        return self._state.payload

    def done(self, outcome: str, payload: Any = None) -> None:
        """The leader is finished, well or badly; only its first call counts."""
        state = self._state
        if not self.leader or state.outcome is not None:
            return
        state.payload = payload
        state.outcome = outcome
        self._coalescer._land(self.key, state)
        for waiter in tuple(state.waiters):
            waiter.wake()

    def __enter__(self) -> Flight:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A leader that left without saying how it went has failed."""
        self.done("failed")

    def __del__(self) -> None:
        self.done("failed")


class Coalescer:
    """Who is working on which key, in this process.

    A leader that fails or is cancelled says ``done("failed")``; a follower that enters again then becomes
    the leader, so nobody inherits another caller's cancellation.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _State] = {}
        self.led = 0
        self.joined = 0
        self.timeouts = 0

    def enter(self, key: Hashable) -> Flight:
        """Take part in the work on ``key``: as its leader if nobody is at it."""
        mine = _State()
        state = self._flights.setdefault(key, mine)
        leader = state is mine
        if leader:
            self.led += 1
        else:
            self.joined += 1
        return Flight(self, key, state, leader)

    def forget(self, key: Hashable) -> None:
        """Those who come from now on start anew; those who wait already get what they waited for."""
        self._flights.pop(key, None)

    def holds(self, key: Hashable) -> bool:
        """Whether this very context is at work on ``key``: it must not wait for itself."""
        return self._flights.get(key) in _held.get()

    def __contains__(self, key: Hashable) -> bool:
        """Whether somebody is at work on ``key``."""
        return key in self._flights

    def __len__(self) -> int:
        """How many keys are being worked on."""
        return len(self._flights)

    def _land(self, key: Hashable, state: _State) -> None:
        if self._flights.get(key) is state:
            del self._flights[key]

    async def run(
        self, key: Hashable, work: Callable[[], Awaitable[T]], *, timeout: float | None = None
    ) -> T:
        """The result of one call of ``work`` for all who ask for ``key`` meanwhile.

        An exception of the leader's call is raised for its followers too; its cancellation is not: one of
        them calls ``work`` then. A follower that waited ``timeout`` seconds calls ``work`` itself, and so
        does a call from within the work on the same key.
        """
        if self.holds(key):
            return await work()
        until = deadline(timeout)
        while True:
            flight = self.enter(key)
            if flight.leader:
                with Leading(flight) as leading:
                    return leading.returned(await work())
            outcome = await flight.wait(left(until))
            if outcome is None:
                return await work()
            if outcome != "failed":
                return _landed(flight, outcome)  # type: ignore[no-any-return]

    def run_blocking(self, key: Hashable, work: Callable[[], T], *, timeout: float | None = None) -> T:
        """``run`` for functions that are not async, called from several threads."""
        if self.holds(key):
            return work()
        until = deadline(timeout)
        while True:
            flight = self.enter(key)
            if flight.leader:
                with Leading(flight) as leading:
                    return leading.returned(work())
            outcome = flight.wait_blocking(left(until))
            if outcome is None:
                return work()
            if outcome != "failed":
                return _landed(flight, outcome)  # type: ignore[no-any-return]


def _landed(flight: Flight, outcome: str) -> Any:
    if outcome == "raised":
        raise flight.payload
    return flight.payload


class Leading:
    """Around a leader's work on one key or several: knows them for its own, and says how it went."""

    __slots__ = ("_flights", "_token")

    def __init__(self, *flights: Flight) -> None:
        self._flights = flights

    def __enter__(self) -> Leading:
        self._token = _held.set(_held.get().union(flight._state for flight in self._flights))
        return self

    def returned(self, result: T) -> T:
        for flight in self._flights:
            flight.done("returned", result)
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _held.reset(self._token)
        for flight in self._flights:
            if isinstance(error, Exception):
                flight.done("raised", error)
            flight.done("failed")  # cancelled, or told to exit: not for the followers


def deadline(seconds: float | None) -> float | None:
    """When so many seconds will have passed; None for never."""
    return None if seconds is None else time.monotonic() + seconds


def left(until: float | None) -> float | None:
    """Seconds until a deadline, not less than 0."""
    return None if until is None else max(0.0, until - time.monotonic())
