"""The event loop's health: how late it is, who held it up, how many tasks there are, how long GC paused it.

Nothing here touches a request. A beat is scheduled ten times a second; a thread looks whether beats come,
and when one is overdue it reads the loop's stack to say which function is blocking.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from time import perf_counter
from types import CodeType, FrameType
from typing import Any, Final

from perfmw.profiles.sketch import LatencySketch

BEAT: Final = 0.1
"""Seconds between beats. Each wakes the loop and the thread that watches it: half of what idling costs."""
CALM_BEAT: Final = 0.5
"""The same while nobody asks for anything."""
SLOW: Final = 0.1
"""Seconds without a beat from which the running callback is called slow."""
MOST_SLOW: Final = 100
_LAG_NOTED: Final = 0.005
_MOST_LAGS: Final = 256
_DEEPEST: Final = 64


@dataclass(slots=True, frozen=True)
class SlowCallback:
    """The loop was held up for ``seconds`` at unix time ``at``; ``function`` ends ``stack``."""

    at: float
    seconds: float
    function: str
    stack: tuple[str, ...]


@dataclass(slots=True)
class LoopHealth:
    """One picture of the loop. Seconds; ``gc_pauses`` counts collections."""

    lag: LatencySketch = field(default_factory=LatencySketch)
    slow: list[SlowCallback] = field(default_factory=list)
    tasks: int = 0
    active_requests: int = 0
    gc: LatencySketch = field(default_factory=LatencySketch)


class LoopMonitor:
    """Watches the event loop it is started in.

    :param record: told of each beat's lag in seconds, such as a recorder's ``done``.
    :param serving: the code objects whose presence in a task means a request under way.
    """

    def __init__(
        self,
        record: Callable[[float], None] | None = None,
        serving: Iterable[CodeType] = (),
        slow: float = SLOW,
    ) -> None:
        self.record = record
        """Told of each beat's lag, if set."""
        self.calm = False
        """Whether nobody asks for anything, so that a beat may come more seldom."""
        self._serving = frozenset(serving)
        self._slow_after = slow
        self._lag = LatencySketch()
        self._gc = LatencySketch()
        self._slow: deque[SlowCallback] = deque(maxlen=MOST_SLOW)
        self._lags: deque[tuple[float, float]] = deque(maxlen=_MOST_LAGS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._gc_began = 0.0
        self._seen: tuple[str, ...] = ()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Begin, in the running loop's thread. Idempotent."""
        if self._loop is not None:
            return
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._wake = threading.Event()
        gc.callbacks.append(self._collected)
        self._beat_later()
        self._thread = threading.Thread(
            target=self._look, args=(self._wake,), name="perfmw-loop-watch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End. Idempotent."""
        if self._loop is None:
            return
        self._loop = None
        self._wake.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def stir(self) -> None:
        """Somebody asks while it is calm: look often from now on, not only after the next beat."""
        self.calm = False
        if self._timer is not None and self._loop is not None:
            self._timer.cancel()
            self._beat_later()
            self._wake.set()

    def _beat_later(self) -> None:
        assert self._loop is not None
        pause = self._pause()
        self._due = perf_counter() + pause
        self._timer = self._loop.call_later(pause, self._beat)

    def _pause(self) -> float:
        return CALM_BEAT if self.calm else BEAT

    def _beat(self) -> None:
        lag = max(0.0, perf_counter() - self._due)
        self._lag.record(lag)
        if self.record is not None:
            self.record(lag)
        if lag >= _LAG_NOTED:
            self._lags.append((self._due, self._due + lag))
        if lag >= self._slow_after:
            self._note_slow(lag)
        self._seen = ()
        if self._loop is not None:
            self._beat_later()

    def _note_slow(self, lag: float) -> None:
        stack = self._seen
        name = stack[-1] if stack else "(not seen: it held the interpreter's lock)"
        self._slow.append(SlowCallback(time.time() - lag, lag, name, stack))

    def _look(self, wake: threading.Event) -> None:
        """The thread: while a beat is overdue, remember what the loop is doing."""
        while True:
            wake.wait(self._pause())
            wake.clear()
            loop = self._loop
            if loop is None or wake is not self._wake:
                return
            if loop.is_closed():  # whoever made it let go of it without stopping this
                self.stop()
                return
            if perf_counter() - self._due > self._slow_after / 5 and not self._seen:
                self._seen = _names(_frame_of(self._loop_thread))

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began = perf_counter()
        else:
            self._gc.record(perf_counter() - self._gc_began)

    def lags(self, since: float = 0.0) -> list[tuple[float, float]]:
        """The stretches (``perf_counter``) in which the loop came late, those that ended after ``since``."""
        return list(takewhile(lambda one: one[1] > since, reversed(self._lags)))

    def health(self) -> LoopHealth:
        """The picture by now; looks at every task, so it is for the timer and for readers only."""
        tasks = asyncio.all_tasks(self._loop) if self._loop is not None else set()
        active = sum(self._serves(task) for task in tasks)
        return LoopHealth(self._lag.copy(), list(self._slow), len(tasks), active, self._gc.copy())

    def _serves(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task is within one of the serving functions; so nobody needs to count requests."""
        awaited: Any = task.get_coro()
        for _ in range(_DEEPEST):
            code = getattr(awaited, "cr_code", None)
            if code in self._serving:
                scope = awaited.cr_frame.f_locals.get("scope")
                return scope is None or scope["type"] == "http"  # a lifespan is no request
            if getattr(awaited, "cr_running", False) or getattr(awaited, "gi_running", False):
                return False  # it is who asks; Python 3.11 crashes when asked what something running awaits
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
            if awaited is None:
                return False
        return False


def _frame_of(thread: int) -> FrameType | None:
    """What a thread is at. The garbage collector is off meanwhile: before Python 3.12.4 what it frees there
    can take the lock that is held, and the process stands still for good (python/cpython issue 106883).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames().get(thread)
    finally:
        if collects:
            gc.enable()


def _names(frame: FrameType | None) -> tuple[str, ...]:
    """The functions of a stack, the outermost first, without the event loop's own."""
    names: list[str] = []
    while frame is not None and len(names) < _DEEPEST:
        module = frame.f_globals.get("__name__", "?")
        if module in ("asyncio.events", "asyncio.base_events", "asyncio.runners"):
            break
        names.append(f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return tuple(reversed(names))
