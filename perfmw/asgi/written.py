"""The head of a response as uvicorn wrote it, for the next response that begins in the same way.

uvicorn looks at each field of a response with two regular expressions, lowers its name and copies four
pieces: more than all that perfmw does for a request. What came of it is the same for the same status and
fields, until the server's own fields (Date) change, once a second. So the bytes are kept, and what else
changed in the server's request under way, which is asked of it rather than assumed: if it ever changes more
than is known here, nothing is kept, and every response begins as the server has it.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from perfmw.asgi.types import Send

_CHANGES = frozenset({"response_started", "expected_content_length", "chunked_encoding"})
"""What the start of a response of known length changes in a request under way of uvicorn's on httptools."""
_LOOKED_AT = _CHANGES | {"access_log", "default_headers", "disconnected", "flow", "keep_alive", "transport"}
_MISSING = object()


class _Headed:
    """Stands for a transport until the first write, which the head goes before."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: Any, head: bytes) -> None:
        self._cycle = cycle
        self._head = head
        self._transport = cycle.transport

    def write(self, data: bytes) -> None:
        transport = self._cycle.transport = self._transport
        transport.write(self._head + data)

    def close(self) -> None:
        self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class WrittenHead:
    """A head that uvicorn wrote for one status and list of fields, and how its request stood after that."""

    __slots__ = ("_bytes", "_chunked", "_defaults", "_length")

    def __init__(self, cycle: Any, head: bytes) -> None:
        self._bytes = head
        self._defaults = cycle.default_headers  # kept, so that no other list is ever mistaken for it
        self._length = cycle.expected_content_length
        self._chunked = cycle.chunked_encoding

    def begins(self, cycle: Any, send: Send) -> bool:
        """Begin the response of ``cycle`` with this head, which leaves with the first of the body.

        :param send: whom the start would be told; it has to be the server's own.
        :return: False if the server has to be told as usual, since something is not as it was.
        """
        if (
            cycle.default_headers is not self._defaults
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or cycle.flow.write_paused
            or type(send) is not MethodType
        ):
            return False
        cycle.response_started = True
        cycle.expected_content_length = self._length
        cycle.chunked_encoding = self._chunked
        cycle.transport = _Headed(cycle, self._bytes)
        return True


def head_of(cycle: Any, before: dict[str, Any], written: list[bytes]) -> WrittenHead | None:
    """What the start of a response came to.

    :param before: the attributes of ``cycle`` before it.
    :param written: what the server wrote for it.
    :return: None if it can not be used again.
    """
    after = vars(cycle)
    changed = {name for name, value in after.items() if before.get(name, _MISSING) is not value}
    if not (changed <= _CHANGES and before.keys() >= _LOOKED_AT and cycle.response_started):
        return None
    if cycle.access_log or not cycle.keep_alive or cycle.chunked_encoding is not False:
        return None
    if len(written) != 1 or not written[0].endswith(b"\r\n\r\n"):
        return None
    return WrittenHead(cycle, written[0])
