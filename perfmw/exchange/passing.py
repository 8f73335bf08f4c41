"""Hit-for-miss: URLs known to be uncacheable, so that nobody queues behind another's answer for them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from perfmw.asgi.types import HeaderList, Message
from perfmw.asgi.written import WrittenHead
from perfmw.http.messages import Header
from perfmw.http.storing import Storing
from perfmw.settings import CacheRule

_MOST = 10_000
_LONGEST = 1024
"""Bytes of response fields that are remembered of a URL."""
_TRIES = 3
"""Looks at a server that come to nothing, after which it is not looked at any more."""


def is_sized(headers: HeaderList) -> bool:
    """Whether a response tells how long its body is: then that comes at once, and is no stream to follow."""
    return any(name == b"content-length" for name, _ in headers)


class Held:
    """What is known of such a URL until ``until``: its rule, and how to count what it last answered.

    ``count`` takes the seconds of a response of ``status`` that was not stored for ``reason``, and counts it
    under the route ``name``: the same URL is answered by the same route again as long as those stay.

    ``until`` is 0 where something is stored all the same: then the store has to be asked, but nobody waits
    until ``queueless``. ``control`` is a Cache-Control value that forbade storing by itself, and ``verdict``
    what it came to. ``seen`` are the fields of its first response, a list that nobody changes, and ``field``
    is the Cache-Status they got: the same fields come to the same again. ``start`` is what a response begins
    with that has them and tells the length of its body, and ``head`` what the server made of that, which it
    is looked at for as long as there are ``tries`` left.
    """

    __slots__ = (
        "control",
        "count",
        "field",
        "head",
        "key",
        "name",
        "queueless",
        "reason",
        "rule",
        "seen",
        "start",
        "status",
        "tries",
        "until",
        "verdict",
    )

    def __init__(self, key: str, until: float, rule: CacheRule | None, *, stored: bool = False) -> None:
        self.key = key
        self.until = 0.0 if stored else until
        self.queueless = until
        self.rule = rule
        self.status = 0
        self.reason = ""
        self.name = ""
        self.count: Callable[[float], None] | None = None
        self.control: bytes | None = None
        self.verdict: Storing | None = None
        self.seen: HeaderList | None = None
        self.field: Header = (b"", b"")
        self.start: Message | None = None
        self.head: WrittenHead | None = None
        self.tries = _TRIES

    def counted(self, status: int, reason: str, name: str, count: Callable[[float], None]) -> None:
        """How a response was counted."""
        if reason != self.reason:
            self.seen = None
        self.status, self.reason, self.name, self.count = status, reason, name, count

    def remember(self, status: int, seen: HeaderList, field: Header) -> None:
        """``field`` is what the fields ``seen`` of a response of ``status`` came to."""
        if sum(len(name) + len(value) for name, value in seen) > _LONGEST:
            return
        self.seen, self.field, self.start, self.head = seen, field, None, None
        if is_sized(seen):
            self.start = {"type": "http.response.start", "status": status, "headers": [*seen, field]}

    def learn(self, start: Message, head: WrittenHead | None) -> None:
        """What the server made of ``start``, if that is still how responses begin; None counts as a try."""
        if head is None:
            self.tries -= 1
        elif start is self.start:
            self.head = head


class Passing:
    """Remembers for ``seconds`` that a key's response could not be stored. Bounded. Times are of
    ``perf_counter``.

    ``held`` is for reading; the methods write it. It is emptied whenever the rules change.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.held: dict[str, Held] = {}

    def holds(self, key: str, now: float) -> bool:
        """Whether ``key`` is known to be uncacheable at ``now``."""
        held = self.held.get(key)
        return held is not None and now < held.queueless

    def mark(self, key: str, now: float, rule: CacheRule | None, *, stored: bool = False) -> None:
        """The response of ``key``, to which ``rule`` applies, could not be stored.

        :param stored: another response of it is.
        """
        self.held.pop(key, None)  # so that they stand in the order in which they end
        if len(self.held) >= _MOST:
            for first in list(islice(self.held, _MOST // 10)):
                del self.held[first]
        self.held[key] = Held(key, now + self._seconds, rule, stored=stored)

    def unmark(self, key: str) -> None:
        """The response of ``key`` could be stored."""
        self.held.pop(key, None)

    def clear(self) -> None:
        """Forget everything: other rules, other responses."""
        self.held.clear()
