"""A sampling profile of one route, on demand, by pyinstrument (extra ``profiler``): a flame graph's data."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, Final

from perfmw.profiles.flame import Flame, joined

INTERVAL: Final = 0.001
"""Seconds between two looks at the stack."""


class FlameSession:
    """Profiles requests one at a time, until enough of ``route`` were seen.

    :param route: such as ``GET /items/{id}``.
    :param requests: how many are enough.
    :param memory: also find out how much memory a request allocates, by ``tracemalloc``, which slows the
        whole process down meanwhile. What other requests allocate while one is watched counts with it.
    :raises ImportError: the extra ``profiler`` is not installed.
    """

    def __init__(self, route: str, requests: int = 20, memory: bool = False) -> None:
        import pyinstrument

        self._profiler = pyinstrument.Profiler
        self._session: Any = None
        self._busy = False
        self.route = route
        self.wanted = requests
        self.seen = 0
        self.done = asyncio.Event()
        self._peak = 0
        self._tracing = memory and not tracemalloc.is_tracing()
        self._memory = memory
        if self._tracing:
            tracemalloc.start()

    def close(self) -> None:
        """Watch no more."""
        self.done.set()
        if self._tracing:
            self._tracing = False
            tracemalloc.stop()

    async def run(self, answer: Callable[[], Awaitable[None]], route: Callable[[], str]) -> None:
        """Have a request answered, watched unless another one is; ``route`` tells afterwards which it was."""
        if self._busy or self.done.is_set():
            await answer()
            return
        self._busy, profiler = True, self._profiler(interval=INTERVAL, async_mode="enabled")
        before = self._allocated()
        profiler.start()
        try:
            await answer()
        finally:
            session = profiler.stop()
            self._busy = False
            if route() == self.route:
                self._add(session, before)

    def _allocated(self) -> int:
        if not self._memory or not tracemalloc.is_tracing():
            return 0
        tracemalloc.reset_peak()
        return tracemalloc.get_traced_memory()[0]

    def _add(self, session: Any, before: int) -> None:
        if self._memory and tracemalloc.is_tracing():
            self._peak = max(self._peak, tracemalloc.get_traced_memory()[1] - before)
        self._session = session if self._session is None else type(session).combine(self._session, session)
        self.seen += 1
        if self.seen >= self.wanted:
            self.done.set()

    def flame(self) -> Flame:
        """What was seen by now; a root without children if that was nothing."""
        root = Flame(self.route, 0.0, requests=self.seen, peak_bytes=self._peak if self._memory else None)
        frame = self._session.root_frame(trim_stem=False) if self._session is not None else None
        if frame is not None:
            root.value = frame.time
            root.children = _children(_below_us(frame))
        return root


def _below_us(frame: Any) -> Any:
    """What runs a request: the server's own functions, which are those of every graph, are left out."""
    below = frame
    while below.children:
        if below.function == "run" and (below.file_path_short or "").endswith(_HERE):
            return below
        below = max(below.children, key=lambda child: child.time)
    return frame


_HERE: Final = "profiles/flames.py"
_DEEPEST: Final = 200
_ITSELF: Final = "[self]"
"""What pyinstrument calls the time in a function alone: here it is what its children leave of it."""


def _children(frame: Any, depth: int = 0) -> list[Flame]:
    """What a function called, one box for each function however often it did, the longest first."""
    called = (child for child in frame.children if child.function != _ITSELF)
    return joined([_flame(child, depth) for child in called]) if depth < _DEEPEST else []


def _flame(frame: Any, depth: int) -> Flame:
    name = frame.function
    if frame.file_path_short:
        name += f" ({frame.file_path_short}:{frame.line_no})"
    return Flame(name, frame.time, _children(frame, depth + 1))
