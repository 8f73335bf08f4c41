"""What a step of a sampled request used beside processor time: memory and I/O. Not read for other requests.

Both are what the system counts, at the price of some microseconds a look: the process's resident pages
before and after a step, during which nothing else runs on the event loop, and the block I/O of the thread.
What other threads do for a request, and what was in the page cache already, is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

try:
    import resource
except ImportError:  # not a Unix system
    resource = None  # type: ignore[assignment]

_BLOCK: Final = 512
"""Bytes that ``ru_inblock`` and ``ru_oublock`` count in (getrusage(2))."""
_THREAD: Final = getattr(resource, "RUSAGE_THREAD", None)
_PAGE: Final = resource.getpagesize() if resource is not None else 4096


def resident() -> int:
    """Bytes of memory that the process has in use; 0 where the system does not say so cheaply."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read(128).split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def transferred() -> int:
    """Bytes that the running thread read from disks and wrote to them; 0 where the system does not say."""
    if _THREAD is None:
        return 0
    used = resource.getrusage(_THREAD)
    return (used.ru_inblock + used.ru_oublock) * _BLOCK


Send = Callable[[Any], Any]


def counted_receive(receive: Callable[[], Any], count: Callable[[int], None]) -> Callable[[], Any]:
    """``receive`` that tells ``count`` the bytes of each part of a request's body."""

    async def counting() -> Any:
        message = await receive()
        count(len(message.get("body", b"")))
        return message

    return counting


def counted_send(send: Send, count: Callable[[int], None]) -> Send:
    """``send`` that tells ``count`` the bytes of each part of a response's body."""

    def counting(message: Any) -> Any:
        count(len(message.get("body", b"")))
        return send(message)

    return counting
