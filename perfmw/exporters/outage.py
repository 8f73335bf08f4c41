"""What is said of a receiver that is away: one line when it goes, one when it is back."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

_log = logging.getLogger("perfmw.exporters")


class Outage:
    """Told of what a receiver did with each kind of thing that it is sent, from any thread.

    However many attempts fail, and whatever else is sent there, an outage is one line; so is its end.
    """

    def __init__(self, exporter: str) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._lost: Counter[str] = Counter()
        self._since = 0.0

    def failed(self, what: str, reason: object) -> None:
        """An attempt to send ``what``, such as ``metrics``, has failed."""
        with self._lock:
            first = not self._failing
            self._failing.add(what)
            if first:
                self._since = monotonic()
                _log.warning(
                    "exporter %s: %s could not be sent, and will be tried again: %s",
                    self._exporter,
                    what,
                    reason,
                )

    def sent(self, what: str, lost: int = 0) -> None:
        """``what`` was taken; so many of it were lost before, for want of room."""
        if what not in self._failing:
            return
        with self._lock:
            self._failing.discard(what)
            self._lost[what] += lost
            if not self._failing:
                self._over()

    def _over(self) -> None:
        lost, self._lost = +self._lost, Counter()
        told = " and ".join(f"{many} {what}" for what, many in lost.items())
        _log.log(
            logging.WARNING if lost else logging.INFO,
            "exporter %s: sent again after %.0f s%s",
            self._exporter,
            monotonic() - self._since,
            f"; {told} were lost meanwhile, for want of room" if lost else "",
        )


_heard: ContextVar[list[str] | None] = ContextVar("perfmw_heard", default=None)


class _Hearing(logging.Filter):
    """Keeps what is logged while perfmw itself sends, for ``Outage`` to say; all else passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard = _heard.get()
        if heard is None or record.levelno > logging.ERROR:
            return True
        if not heard:
            heard.append(record.getMessage())
        return False


_HEARING: Final = _Hearing()


def hear(sender: object) -> None:
    """Let ``quietly`` keep what the loggers of an SDK's exporter say; those of a host's own are heard on."""
    for kind in type(sender).__mro__:
        if kind.__module__.startswith("opentelemetry.exporter."):
            logging.getLogger(kind.__module__).addFilter(_HEARING)


@contextmanager
def quietly() -> Iterator[list[str]]:
    """Within it what ``hear`` was told of is not logged, nor do the host's instrumentations trace it.

    Gives a list for the first message: that tells why, the last one only that patience is over.
    """
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

    heard: list[str] = []
    token, own = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True)), _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(own)
        detach(token)
