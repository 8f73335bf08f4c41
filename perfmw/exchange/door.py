"""At the door: whom the limits would refuse is turned away before the server looks at the request closely."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

from perfmw.asgi.door import Head, hang
from perfmw.asgi.types import HeaderList
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.limiting import BUSY, OVERLOADED
from perfmw.exchange.refusals import OVERLOAD, REFUSALS
from perfmw.exchange.requests import request_of
from perfmw.http.keys import request_key
from perfmw.resources.concurrency import Priority
from perfmw.runtime.limits import Limits, Place

_UNREST = 1.0
"""Seconds after a refusal for which the next requests are looked at."""
_STATUS = b"HTTP/1.1 503 Service Unavailable\r\n"
_CLOSE = (b"connection", b"close")
_SCHEMES = ("http", "https")
_REHOSTED = frozenset({b"forwarded", b"x-forwarded-host"})
"""By which a host of other middlewares may be told: under which URL something is kept is not known here."""
_FORWARDED_FOR = frozenset({b"forwarded", b"x-forwarded-for"})


def hang_door(cache: HttpCache, told: object) -> None:
    """Have uvicorn refuse early for the limits of ``cache``'s runtime, where the settings ask for that.

    :param told: a ``receive`` or ``send`` of the server's own.
    """
    limits, settings = cache.runtime.limits, cache.runtime.settings
    if limits is not None and settings.concurrency_limit == "on" and settings.concurrency.early:
        limits.porter = limits.porter or Doorkeeper(cache, limits)
        hang(told, limits.porter)


class _Case:
    """What is known of requests that look the same. ``keys``: what they may be cached under, if at all."""

    __slots__ = ("keys", "place")

    def __init__(self, place: Place, keys: tuple[str, ...]) -> None:
        self.place = place
        self.keys = keys


class Doorkeeper:
    """A ``Porter`` that turns away what the limits would refuse, and nothing that the cache may answer."""

    def __init__(self, cache: HttpCache, limits: Limits) -> None:
        self._cache, self._limits = cache, limits
        self._held = cache.passing.held
        self._flights = cache.runtime.coalescer
        self._memories = [
            one.memory for one in cache.runtime.spaces.caches.values() if one.memory is not None
        ]
        self._all_memory = cache.runtime.responses.all_memory
        self._made: tuple[object, dict[tuple[bool, bool, int], bytes]] = (None, {})
        self._count = 0
        self._uncounted: Counter[tuple[str, str]] = Counter()

    def at_ease(self, now: float) -> bool:
        """Whether nobody was refused lately: then nobody will be, and nothing is looked at."""
        return now - self._limits.refused_at > _UNREST

    def answer(self, head: Head, connection: Any, now: float, *, closes: bool) -> bytes | None:
        """The refusal of a request that would be refused; None for any other."""
        case: _Case | None = head.note or self._case(head, connection)
        if case is None or (gate := case.place.gate) is None:
            return None
        name = ""
        for key in case.keys:
            held = self._held.get(key)
            if held is not None and now < held.until:
                name = held.name if head.method == "GET" else ""
            elif not self._nowhere(key):
                return None
        limits, priority, who = self._limits, case.place.priority, ""
        if limits.asks or limits.fair:
            priority, who = self._asked(case.place, head, connection)
        if not gate.shut(now, priority, who):
            return None
        limits.refused_at = now
        if not self._uncounted:
            connection.loop.call_soon(self._tell, now)
        self._uncounted[head.method, name] += 1
        return self._refusal(head, connection.server_state.default_headers, closes)

    def _case(self, head: Head, connection: Any) -> _Case | None:
        """None for what may be answered by others than perfmw, or from where it takes time to look."""
        place = self._limits.seen(head.method, connection.root_path + head.path)
        keys: tuple[str, ...] = ()
        if head.method in ("GET", "HEAD"):
            keys = self._keys(head, connection)
            if not keys:
                return None
        if self._limits.fair and any(name in _FORWARDED_FOR for name, _ in head.headers):
            return None  # whom it is for, is for the server to say
        if place is not None:
            head.note = _Case(place, keys)
        return head.note  # type: ignore[no-any-return]

    def _asked(self, place: Place, head: Head, connection: Any) -> tuple[Priority, str]:
        scope = _scope(head, connection)
        asks = self._limits.asks
        priority = self._limits.priority(place, request_of(scope)) if asks else place.priority
        return priority, self._limits.who(scope)

    def _tell(self, began: float) -> None:
        """Count whom the door turned away in this turn of the loop: the time it took is shared out."""
        told, self._uncounted = self._uncounted, Counter()
        each = (perf_counter() - began) / told.total()
        for (method, name), count in told.items():
            note = self._cache.refused({"method": method}, name).counter(503, OVERLOAD)
            for _ in range(count):
                note(each)

    def _keys(self, head: Head, connection: Any) -> tuple[str, ...]:
        """The cache keys of a GET; none where a plugin makes the keys, or the host is not said once.

        A proxy that the server trusts may say that the client's scheme was another.
        """
        hosts = [value for name, value in head.headers if name == b"host"]
        names = {name for name, _ in head.headers}
        if len(hosts) != 1 or not self._cache.plain_keys or names & _REHOSTED:
            return ()
        path = connection.root_path.encode("ascii") + head.raw_path
        schemes = _SCHEMES if b"x-forwarded-proto" in names else (connection.scheme,)
        return tuple(request_key(scheme, hosts[0], path, head.query_string) for scheme in schemes)

    def _nowhere(self, key: str) -> bool:
        """Whether no cache has anything of a URL, nor will have in a moment."""
        return (
            self._all_memory
            and key not in self._flights
            and not any(key in memory for memory in self._memories)
        )

    def _refusal(self, head: Head, defaults: HeaderList, closes: bool) -> bytes:
        """The answer with the server's own fields (``date``), which it renews every second."""
        if self._made[0] is not defaults:
            self._made = defaults, {}
        self._count += 1
        kind = head.method == "HEAD", closes, self._count % len(OVERLOADED)
        made = self._made[1].get(kind)
        if made is None:
            made = self._made[1][kind] = _answer(defaults, *kind)
        return made


def _answer(defaults: HeaderList, head: bool, closes: bool, number: int) -> bytes:
    fields = [*defaults, *OVERLOADED[number], REFUSALS[OVERLOAD], *[_CLOSE] * closes]
    lines = b"".join([name + b": " + value + b"\r\n" for name, value in fields])
    return _STATUS + lines + b"\r\n" + (b"" if head else BUSY)


def _scope(head: Head, connection: Any) -> dict[str, Any]:
    """As much of an ASGI scope as tells who asks for what."""
    return {
        "method": head.method,
        "scheme": connection.scheme,
        "path": connection.root_path + head.path,
        "raw_path": connection.root_path.encode("ascii") + head.raw_path,
        "query_string": head.query_string,
        "headers": head.headers,
        "client": connection.client,
    }
