"""Who counts a request: the middleware or the span of an instrumentation, but never both.

The middleware calls ``cover()`` when it begins a request that it records itself. Server spans that start
inside it see ``covered``; a server span that is already open left a mark, which ``cover()`` sets.
No OpenTelemetry is imported here, since this runs for every request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token


class SpanMark:
    """Shared by an open server span and whatever runs inside it."""

    __slots__ = ("covered",)

    def __init__(self, covered: bool) -> None:
        self.covered = covered


covered: ContextVar[bool] = ContextVar("perfmw_covered", default=False)
open_server_span: ContextVar[SpanMark | None] = ContextVar("perfmw_open_server_span", default=None)


def cover() -> Token[bool]:
    """The request that begins here is recorded by the caller; give the token to ``uncover`` at its end."""
    mark = open_server_span.get()
    if mark is not None:
        mark.covered = True
    return covered.set(True)


def uncover(token: Token[bool]) -> None:
    """End of ``cover()``. Does nothing where the request ended in another context."""
    try:
        covered.reset(token)
    except ValueError:
        covered.set(False)


@contextmanager
def mark_covered() -> Iterator[None]:
    """``cover()`` and ``uncover()`` as a context manager."""
    token = cover()
    try:
        yield
    finally:
        uncover(token)
