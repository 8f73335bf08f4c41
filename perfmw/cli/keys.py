"""Single key presses from the terminal, without waiting for the end of a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Ask = Callable[[float], str]
"""Waits that many seconds at most for a key; "" when none was pressed."""


@contextmanager
def pressed() -> Iterator[Ask]:
    """What asks for keys; the terminal is as it was when the block ends, however it ends."""
    if not sys.stdin.isatty():
        yield _nobody
    elif sys.platform == "win32":
        yield _windows_key
    else:
        with _unbuffered():
            yield _posix_key


def _nobody(seconds: float) -> str:
    time.sleep(seconds)
    return ""


if sys.platform == "win32":

    def _windows_key(seconds: float) -> str:
        import msvcrt

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if msvcrt.kbhit():
                return msvcrt.getwch()
            time.sleep(0.05)
        return ""

else:

    @contextmanager
    def _unbuffered() -> Iterator[None]:
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    def _posix_key(seconds: float) -> str:
        import os
        import select

        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") or "q"  # the terminal is gone
