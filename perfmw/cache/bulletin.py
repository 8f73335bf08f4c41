"""Notices in a shared layer: what one process invalidated, for the others to read, in order and bounded.

A notice has a number, counted up by the layer itself, and lies in one of ``size`` slots by that number. So to
leave one is O(1), and to find that there is none costs one look at the count. A slot is used again after
``size`` notices; what lay there is forgotten but for its epoch, which the new notice carries as a floor: what
was stored before a floor may have missed an invalidation.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Call = Callable[..., Awaitable[Any]]

_AT_ONCE = 256
_NAMES = 64
"""Names in one notice."""
_EXTEND = 32
"""After how many notices the count's time to live is renewed."""
_IN_FLIGHT = 1.0
"""Seconds after which a notice that was counted but not written never will be: its process has died."""


class Notice(msgspec.Struct, array_like=True, frozen=True):
    """``kind`` is tag, key or prefix; floors are the epochs of forgotten notices, hard and soft."""

    kind: str
    names: tuple[str, ...]
    epoch: int
    soft: bool = False
    number: int = 0
    hard_floor: int = 0
    soft_floor: int = 0


@dataclass(slots=True)
class News:
    """What a look at the board told.

    ``missed``: more was posted than the board holds; the floors stand for it. ``lost``: the board itself was
    lost, so that nothing before now is certain.
    """

    notices: Sequence[Notice] = ()
    hard_floor: int = 0
    soft_floor: int = 0
    missed: bool = False
    lost: bool = False


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Notice)


class Bulletin:
    """The notices of one kind in one layer, as one process follows them.

    :param name: the key of the count; slots are ``name:number``.
    :param call: how to call the layer: answers None when that failed or was late.
    :param ttl: seconds that the count and a notice live.
    """

    def __init__(
        self,
        name: str,
        cache: Any,
        call: Call,
        *,
        size: int,
        ttl: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.size = size
        self._cache = cache
        self._call = call
        self._ttl = ttl
        self._monotonic = monotonic
        self.seen = 0
        """The number up to which this process knows the notices."""
        self._gap: tuple[int, float] | None = None

    async def post(self, kind: str, names: Sequence[str], epoch: int, *, soft: bool = False) -> bool:
        """Leave notices, one where a few names are concerned; False when the layer could not take them."""
        parts = [tuple(names[start : start + _NAMES]) for start in range(0, len(names), _NAMES)]
        return all([await self._post(kind, part, epoch, soft) for part in parts])

    async def _post(self, kind: str, names: tuple[str, ...], epoch: int, soft: bool) -> bool:
        number = await self._call(self._cache.increment, self.name)
        if number is None:
            return False
        slot = self._slot(number)
        hard, mild = await self._floors(slot, number, epoch)
        notice = Notice(kind, names, epoch, soft, number, hard, mild)
        written = await self._call(self._cache.set, slot, _encode(notice).decode(), ttl=self._ttl)
        if number % _EXTEND == 1:  # long before it would be over
            await self._call(self._cache.expire, self.name, self._ttl)
        return written is not None and written is not False

    async def _floors(self, slot: str, number: int, epoch: int) -> tuple[int, int]:
        """What is left of the notice that is about to be forgotten."""
        if 1 < number <= self.size:
            return 0, 0
        old = _read(await self._call(self._cache.get, slot))
        if old is None:
            return 0, 0
        if number == 1:  # the layer lost its count, and with it what had been posted
            return epoch, epoch
        if old.soft:
            return old.hard_floor, max(old.soft_floor, old.epoch)
        return max(old.hard_floor, old.epoch), old.soft_floor

    async def head(self) -> int | None:
        """The number of the last notice, 0 when there is none; None when that cannot be found out."""
        answer = await self._call(fetched, self._cache, self.name)
        return None if answer is None else as_number(answer[0])

    async def news(self, head: int) -> News | None:
        """What was posted since the last look, up to ``head``; None when it cannot be told yet."""
        if head < self.seen:  # the layer was emptied, or forgot its count
            self.seen = head
            return News(lost=True)
        missed = bool(self.seen) and head - self.seen > self.size
        first = max(self.seen, head - self.size) + 1
        notices = await self._fetch(first, head)
        if notices is None:
            return None
        known = [
            notice
            for number, notice in enumerate(notices, start=first)
            if notice is not None and notice.number >= number
        ]
        if len(known) < len(notices) and self._wait_for_writer(head):
            return None
        self.seen = head
        return News(
            known,
            max((notice.hard_floor for notice in known), default=0),
            max((notice.soft_floor for notice in known), default=0),
            missed,
        )

    async def _fetch(self, first: int, last: int) -> list[Notice | None] | None:
        """What lies in the slots of these numbers; None when the layer could not be asked."""
        notices: list[Notice | None] = []
        for start in range(first, last + 1, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, last + 1))
            found = await self._call(self._cache.multi_get, [self._slot(number) for number in numbers])
            if found is None:
                return None
            notices += [_read(text) for text in found]
        return notices

    def _wait_for_writer(self, head: int) -> bool:
        """Whether a notice that is counted but not there may still be on its way."""
        now = self._monotonic()
        if self._gap is None or self._gap[0] > head:
            self._gap = (head, now)
        if now - self._gap[1] < _IN_FLIGHT:
            return True
        self._gap = None
        return False

    def _slot(self, number: int) -> str:
        return f"{self.name}:{number % self.size}"


async def fetched(cache: Any, key: str) -> tuple[Any]:
    """In a tuple, so that what is not there differs from a call that failed."""
    return (await cache.get(key),)


def as_number(found: Any) -> int | None:
    """A count as a layer gives it back; 0 for none, None for something else."""
    try:
        return 0 if found is None else int(found)
    except (TypeError, ValueError):
        return None


def _read(text: Any) -> Notice | None:
    try:
        return _decoder.decode(text)
    except (TypeError, msgspec.DecodeError):
        return None
