"""A door before uvicorn: requests that will be refused need no parser, no task and no app.

Of what a refusal by an ASGI app costs, the server takes four fifths. So here a look at a request's bytes is
enough to turn it away with an answer made beforehand. What is not plainly one whole request of a usual kind
goes on to uvicorn untouched, and so does everything as long as the ``Porter`` is at ease.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol
from urllib.parse import unquote

from perfmw.asgi.backlog import Backlog
from perfmw.asgi.types import HeaderList

_MOST: Final = 1024
_LONGEST: Final = 4096
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
_REARMED: Final = 0.5
"""Seconds for which a connection's time to be idle is not begun anew."""
_KINDS: Final = {
    "uvicorn.protocols.http.httptools_impl": "HttpToolsProtocol",
    "uvicorn.protocols.http.h11_impl": "H11Protocol",
}


@dataclass(slots=True)
class Head:
    """One whole request, as uvicorn would put it into its scope.

    ``closes``: it is its connection's last. ``note``: what a ``Porter`` likes to remember of requests that
    look the same.
    """

    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    headers: HeaderList
    closes: bool
    note: Any = None


class Porter(Protocol):
    """Who decides at the door. ``now`` is of ``perf_counter``."""

    def at_ease(self, now: float) -> bool:
        """Whether nobody needs to be turned away."""

    def answer(self, head: Head, connection: Any, now: float, *, closes: bool) -> bytes | None:
        """What to answer a request of uvicorn's ``connection`` at once; None to let it go on.

        :param closes: whether the connection is closed after that.
        """


def read_head(data: bytes) -> Head | None:
    """The one whole request that ``data`` is; None for anything else, or anything unusual about it.

    A body has to be here whole, framed by Content-Length. A line that does not end as RFC 9112 section 2.2
    asks is unusual, as are Upgrade, Expect, Transfer-Encoding and a target that is no path.
    """
    top, found, body = data.partition(b"\r\n\r\n")
    if not found or len(top) > _LONGEST or top.count(b"\n") != top.count(b"\r\n"):
        return None
    first, *lines = top.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in _VERSIONS or words[1][:1] != b"/" or not words[0].isalpha():
        return None
    headers: HeaderList = []
    for line in lines:
        name, found, value = line.partition(b":")
        if not found or not name or name[-1:] in b" \t" or name[:1] in b" \t":
            return None
        headers.append((name.lower(), value.strip(b" \t")))
    try:
        closes = words[2] == b"HTTP/1.0"
        return _head(words[0], words[1].partition(b"#")[0], headers, body, closes)
    except ValueError:  # what is not ASCII, a length that is no number
        return None


def _head(method: bytes, target: bytes, headers: HeaderList, body: bytes, closes: bool) -> Head | None:
    length = None
    for name, value in headers:
        if name in (b"upgrade", b"expect", b"transfer-encoding"):
            return None
        if name == b"content-length":
            if length is not None or not value.isdigit():
                return None
            length = int(value)
        elif name == b"connection":
            if value.lower() not in (b"close", b"keep-alive"):
                return None
            closes |= value.lower() == b"close"
    if len(body) != (length or 0):
        return None
    raw, _, query = target.partition(b"?")
    return Head(method.decode("ascii"), unquote(raw.decode("ascii")), raw, query, headers, closes)


def hang(told: object, porter: Porter) -> bool:
    """Put a door before every connection that the server makes from now on, if it is uvicorn.

    :param told: a ``receive`` or ``send`` of the server's own.
    :return: whether there is a door.
    """
    owner = getattr(told, "__self__", None)
    config = getattr(owner, "config", None)
    if config is None:  # of a request: the connection has it
        get_protocol = getattr(getattr(owner, "transport", None), "get_protocol", None)
        config = getattr(get_protocol(), "config", None) if get_protocol is not None else None
    base = getattr(config, "http_protocol_class", None)
    if not isinstance(base, type) or not any(
        _KINDS.get(one.__module__) == one.__name__ for one in base.__mro__
    ):
        return False
    if getattr(base, "porter", None) is not porter:
        config.http_protocol_class = guarded(base, porter)  # type: ignore[union-attr]
    return True


def guarded(base: Any, porter: Porter) -> type:
    """uvicorn's protocol ``base`` with a door. What passes reaches it as it came."""
    at_ease, answer, pass_on = porter.at_ease, porter.answer, base.data_received
    between = _between_in_h11 if hasattr(base, "handle_events") else _between
    heads: dict[bytes, Head | None] = {}

    def look(data: bytes) -> Head | None:
        """Clients that keep asking send the same bytes again."""
        if len(heads) >= _MOST:
            heads.clear()
        head = heads[data] = read_head(data) if len(data) <= 2 * _LONGEST else None
        return head

    def refuse(data: bytes, caller: Any) -> bytes | None:
        """The answer to one who has just come and leaves with it."""
        now = perf_counter()
        if at_ease(now):
            return None
        head = heads[data] if data in heads else look(data)
        return answer(head, caller, now, closes=True) if head is not None else None

    backlog = Backlog(at_ease, refuse)

    class Guarded(base):  # type: ignore[misc]
        _rearmed = 0.0
        fetched = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            backlog.take_in(self)

        def data_received(self, data: bytes) -> None:
            now = perf_counter()
            if not at_ease(now) and between(self):
                head = heads[data] if data in heads else look(data)
                if head is not None and (answered := answer(head, self, now, closes=head.closes)) is not None:
                    self.transport.write(answered)
                    if head.closes:
                        self.transport.close()
                    elif now - self._rearmed > _REARMED:
                        self._rearmed = now
                        _rearm(self)
                    return
            pass_on(self, data)

    Guarded.porter = porter
    return Guarded


def _between(connection: Any) -> bool:
    """Whether a connection's last request was read to its end and answered: what comes begins the next."""
    cycle = connection.cycle
    if cycle is None:
        return connection.scope is None
    if not cycle.response_complete or cycle.more_body:
        return False
    return connection.scope is cycle.scope  # else the parser has begun with another one


def _between_in_h11(connection: Any) -> bool:
    """The same, of the other protocol."""
    cycle = connection.cycle
    if cycle is not None and (not cycle.response_complete or cycle.more_body):
        return False
    return not connection.conn.trailing_data[0]


def _rearm(connection: Any) -> None:
    """An idle connection is closed after a while; this one was not idle."""
    connection._unset_keepalive_if_required()
    connection.timeout_keep_alive_task = connection.loop.call_later(
        connection.timeout_keep_alive, connection.timeout_keep_alive_handler
    )
