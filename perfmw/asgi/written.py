"""The head of a response as uvicorn wrote it, for the next response that begins in the same way.

uvicorn looks at each field of a response with two regular expressions, lowers its name and copies four
pieces: more than all that perfmw does for a request. What came of it is the same for the same status and
fields, until the server's own fields (Date) change, once a second. So the bytes are kept, and what else
changed in the server's request under way, which is asked of it rather than assumed: if it ever changes more
than is known here, nothing is kept, and every response begins as the server has it.
"""

from __future__ import annotations

from typing import Any

_CHANGES = frozenset({"response_started", "expected_content_length", "chunked_encoding"})
"""What the start of a response of known length changes in a request under way of uvicorn's on httptools."""
_LOOKED_AT = _CHANGES | {
    "access_log",
    "access_logger",
    "default_headers",
    "disconnected",
    "flow",
    "keep_alive",
    "scope",
    "transport",
}
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

    __slots__ = ("_bytes", "_chunked", "_defaults", "_length", "_line")

    def __init__(self, cycle: Any, head: bytes, line: _Line | None) -> None:
        self._bytes = head
        self._defaults = cycle.default_headers  # kept, so that no other list is ever mistaken for it
        self._length = cycle.expected_content_length
        self._chunked = cycle.chunked_encoding
        self._line = line

    def begins(self, cycle: Any) -> bool:
        """Begin the response of ``cycle`` with this head, which leaves with the first of the body.

        :return: False if the server has to be told as usual, since something is not as it was.
        """
        if (
            cycle.default_headers is not self._defaults
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or cycle.flow.write_paused
        ):
            return False
        if cycle.access_log and (self._line is None or not self._line.written(cycle)):
            return False
        cycle.response_started = True
        cycle.expected_content_length = self._length
        cycle.chunked_encoding = self._chunked
        cycle.transport = _Headed(cycle, self._bytes)
        return True


class _Line:
    """What uvicorn told its access log of one path and status: only the client differs."""

    __slots__ = ("_asked", "_format", "_rest")

    def __init__(self, cycle: Any, told: tuple[Any, ...]) -> None:
        self._asked = _asked(cycle)
        self._format, _, *self._rest = told

    def written(self, cycle: Any) -> bool:
        """Write it for another request of the same path; False for one of another."""
        if _asked(cycle) != self._asked:
            return False
        cycle.access_logger.info(self._format, _client(cycle), *self._rest)
        return True


def _asked(cycle: Any) -> tuple[str, bytes]:
    return cycle.scope["path"], cycle.scope["query_string"]


def _client(cycle: Any) -> str:
    client = cycle.scope.get("client")
    return f"{client[0]}:{client[1]:d}" if client else ""


class _Overheard:
    """Stands for an access log, and remembers what it is told."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.told: list[tuple[Any, ...]] = []

    def info(self, *told: Any) -> None:
        self.told.append(told)
        self.log.info(*told)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


class Lesson:
    """Looks at what a server makes of the start of a response; to be made before it is told of that."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._overheard: _Overheard | None = None
        if getattr(cycle, "access_log", False):
            self._overheard = cycle.access_logger = _Overheard(cycle.access_logger)
        self._before = vars(cycle).copy()

    def head(self, written: list[bytes]) -> WrittenHead | None:
        """What it came to; None if it can not be used again. To be asked once.

        :param written: what the server wrote for it.
        """
        cycle, before = self._cycle, self._before
        changed = {name for name, value in vars(cycle).items() if before.get(name, _MISSING) is not value}
        told: list[tuple[Any, ...]] = []
        if self._overheard is not None:
            cycle.access_logger, told = self._overheard.log, self._overheard.told
        if not (changed <= _CHANGES and before.keys() >= _LOOKED_AT and cycle.response_started):
            return None
        if not cycle.keep_alive or cycle.chunked_encoding is not False:
            return None
        if len(written) != 1 or not written[0].endswith(b"\r\n\r\n"):
            return None
        if not cycle.access_log:
            return WrittenHead(cycle, written[0], None)
        if len(told) != 1 or told[0][1:2] != (_client(cycle),):
            return None
        return WrittenHead(cycle, written[0], _Line(cycle, told[0]))
