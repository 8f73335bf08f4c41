"""What was computed once in a request, for whoever asks again in it. Never shared with another request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Hashable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from perfmw.cache.tagging import Collector, collecting

MOST = 512
"""Results that a request's memo holds; the oldest leave."""

_locks = threading.Lock()


class Noted(NamedTuple):
    """A result: when computing it began (an epoch of the tags), and what invalidates it."""

    value: Any
    epoch: int = 0
    tags: tuple[str, ...] = ()


class Memo:
    """Results by key. The threads and tasks of one request share it."""

    __slots__ = ("_noted", "_over")

    def __init__(self) -> None:
        self._noted: dict[Hashable, Noted] = {}
        self._over = False

    def get(self, key: Hashable) -> Noted | None:
        return self._noted.get(key)

    def note(self, key: Hashable, noted: Noted) -> None:
        """Keep it until the request ends; no effect after that."""
        with _locks:
            if not self._over:
                self._noted[key] = noted
                if len(self._noted) > MOST:
                    del self._noted[next(iter(self._noted))]

    def forget(self, key: Hashable) -> bool:
        """Whether there was something to forget."""
        return self._noted.pop(key, None) is not None

    def forget_all(self, prefix: str) -> int:
        """Forget what is under string keys that begin so; how many."""
        with _locks:
            found = [key for key in self._noted if isinstance(key, str) and key.startswith(prefix)]
            for key in found:
                del self._noted[key]
            return len(found)

    def close(self) -> None:
        """The request is over: nothing is kept from now on."""
        with _locks:
            self._over = True
            self._noted.clear()

    def __len__(self) -> int:
        return len(self._noted)


_OVER = Memo()
_OVER.close()


class _Block(NamedTuple):
    """A ``request_scope``, and the request that it was entered in."""

    collector: Collector | None
    memo: Memo


_block: ContextVar[_Block | None] = ContextVar("perfmw_request_scope", default=None)


def current_memo() -> Memo | None:
    """The memo of the request being answered, made when first asked for; None where there is no request.

    There is none either once the response is out: what a request leaves running in the background may run
    on for ever, and must not see what was true when it began.
    """
    collector = collecting()
    block = _block.get()
    if block is not None and block.collector is collector:
        return block.memo
    if collector is None or collector.finished_at:
        return None
    memo: Memo | None = getattr(collector, "memo", None)
    if memo is None:
        with _locks:
            memo = getattr(collector, "memo", None)
            if memo is None:
                memo = collector.memo = Memo()
    return None if memo._over else memo


def close_memo(collector: Collector) -> None:
    """The collector's request is over; what it left running must not go on as if it were not."""
    memo: Memo | None = getattr(collector, "memo", None)
    if memo is not None:
        memo.close()
    collector.memo = _OVER


@contextlib.contextmanager
def request_scope() -> Iterator[None]:
    """Let what is done inside count as one request: for jobs, messages, tests. In a request, as one more.

    Example::

        for message in queue:
            with request_scope():
                handle(message)
    """
    block = _Block(collecting(), Memo())
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)
        block.memo.close()
