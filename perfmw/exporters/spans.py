"""Finished spans on their way to a collector: a bounded queue, and a thread that sends until they are taken.

The SDK's batch processor forgets a batch that could not be sent within seconds, and logs each attempt. Here
nothing is lost as long as there is room, and an outage is told once.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0


class SpanQueue(SpanProcessor):
    """Takes finished spans; gives ``send`` some at a time, in a thread that starts with the first span.

    While nobody takes them it tries again after 1, 2, 4 … 15 seconds, with jitter. Where there is no room,
    the oldest make way (``dropped``). What is refused while others are taken is given up (``refused``).

    :param send: whether the spans were taken; may take its time, must not raise.
    :param most: spans that may wait; the default is 2,048 or what ``OTEL_BSP_MAX_QUEUE_SIZE`` says.
    :param delay: seconds between two looks; ``OTEL_BSP_SCHEDULE_DELAY`` (milliseconds), or 5.
    """

    def __init__(
        self,
        send: Callable[[Sequence[ReadableSpan]], bool],
        most: int | None = None,
        delay: float | None = None,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._send = send
        self._most = most or _chosen("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        self._batch = min(self._most, _chosen("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))
        self._delay = delay if delay is not None else _chosen("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1e3
        self._pause = self._first_pause = first_pause
        self._waiting: deque[ReadableSpan] = deque()
        self._aside: list[ReadableSpan] = []
        self._sending = 0
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.sent = self.dropped = self.refused = 0

    def on_end(self, span: ReadableSpan) -> None:
        waiting = self._waiting
        waiting.append(span)
        if self._thread is None:
            self._start()
        if len(waiting) + len(self._aside) >= self._batch:
            self._keep_bound()
            if not self._wake.is_set():
                self._wake.set()

    def _keep_bound(self) -> None:
        while len(self._waiting) + len(self._aside) > self._most:
            try:
                self._waiting.popleft()
            except IndexError:  # the thread took them meanwhile
                return
            self.dropped += 1

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="perfmw-spans", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._delay)
            self._wake.clear()
            while self.pending and not self._stopping.is_set():
                if not self._step():
                    self._rest()
        while self.pending and self._step():  # a farewell, as long as somebody takes it
            pass

    def _rest(self) -> None:
        self._stopping.wait(self._pause * random.uniform(0.5, 1.0))
        self._pause = min(self._pause * 2.0, LONGEST_PAUSE)

    @property
    def pending(self) -> int:
        """Spans that were not taken yet."""
        return len(self._waiting) + len(self._aside) + self._sending

    def _step(self) -> bool:
        """Send some; whether they were taken."""
        fresh = self._next()
        batch = fresh or self._aside
        self._sending = len(fresh)
        taken = self._send(batch)
        if taken:
            self.sent += len(batch)
            self._pause = self._first_pause
            if self._aside:
                self._aside_after(batch)
        elif fresh:
            self._put_aside(fresh)
        self._sending = 0
        return taken

    def _next(self) -> list[ReadableSpan]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(self._batch, len(waiting)))]

    def _put_aside(self, batch: list[ReadableSpan]) -> None:
        """What was not taken is tried again when others were, or when there are no others."""
        if self._aside:
            self._waiting.extendleft(reversed(batch))
        else:
            self._aside = batch
        self._keep_bound()

    def _aside_after(self, taken: list[ReadableSpan]) -> None:
        """The receiver is there: what it does not take now it never will."""
        aside, self._aside = self._aside, []
        if aside is not taken:
            if self._send(aside):
                self.sent += len(aside)
            else:
                self.refused += len(aside)

    def shutdown(self, timeout: float = 2.0) -> None:
        """Send the last spans, unless nobody takes them; ``timeout`` in seconds."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all was taken; whether it was."""
        until = time.monotonic() + timeout_millis / 1e3
        while (left := self.pending) and time.monotonic() < until:
            self._wake.set()
            time.sleep(0.01)
        return not left


def _chosen(name: str, default: int) -> int:
    """A number of the SDK's own environment variables for batches of spans."""
    try:
        return max(1, int(os.environ.get(name, default)))
    except ValueError:
        return default
