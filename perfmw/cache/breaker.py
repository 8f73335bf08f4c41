"""A circuit breaker for cache layers: pure, time is an argument."""

from __future__ import annotations


class Breaker:
    """Skips something that keeps failing, and lets one call through now and then to see if it is back.

    :param failures: failures in a row that open it.
    :param pause: seconds that it stays open; doubled at each failed probe.
    :param longest: the longest such pause, in seconds.
    """

    def __init__(self, failures: int = 3, pause: float = 1.0, longest: float = 30.0) -> None:
        self._limit = failures
        self._first_pause = self._pause = pause
        self._longest = longest
        self._failed = 0
        self._open_until: float | None = None
        self._probing_until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether calls are being skipped, but for probes."""
        return self._open_until is not None

    def allows(self, now: float) -> bool:
        """Whether a call may be made at ``now``; while open, one probe a pause."""
        if self._open_until is None:
            return True
        if now < self._open_until or now < self._probing_until:
            return False
        # others hold back while this probe is under way; should it never report, the next may try
        self._probing_until = now + self._pause
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._failed = 0
        self._open_until = None
        self._probing = False
        self._pause = self._first_pause

    def failed(self, now: float) -> None:
        """A call failed. Of those under way when it opened, none counts as a failed probe."""
        self._failed += 1
        if self._open_until is not None:
            if not self._probing:
                return
            self._pause = min(self._pause * 2, self._longest)
        elif self._failed < self._limit:
            return
        self._open_until = now + self._pause
        self._probing_until = 0.0
        self._probing = False
