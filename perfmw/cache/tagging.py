"""Tags named while something is computed, gathered for what is stored of it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any


class Collector:
    """Whoever stores what is being computed in this context. ``tags`` is not there until the first is named.

    ``runtime`` is the Runtime at work, and ``memo`` what was computed for this request (see ``memo.py``), so
    that one context variable is set for each request, not three. ``finished_at`` is 0 until the last byte is
    on its way.
    """

    __slots__ = ("memo", "tags")
    memo: Any
    tags: set[str] | None
    runtime: Any = None
    finished_at: float = 0.0


_current: ContextVar[Collector | None] = ContextVar("perfmw_collector", default=None)


def tag(*names: str) -> None:
    """Tag the response being built, so that ``invalidate(tags=[...])`` reaches it. No effect elsewhere.

    :raises TypeError: for a name that is not a str.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tag() takes names as str, not {type(name).__name__}")
    collector = _current.get()
    if collector is not None:
        tags = getattr(collector, "tags", None)
        if tags is None:
            tags = collector.tags = set()
        tags.update(names)


def collect(collector: Collector | None) -> None:
    """Begin anew to gather tags in this context, or stop with None.

    Tasks and threads that inherit the context add to the same collector.
    """
    _current.set(collector)


enter = _current.set
"""``collect`` for who calls it with every request: without a frame of its own."""


def collecting() -> Collector | None:
    """Who gathers tags in this context."""
    return _current.get()
