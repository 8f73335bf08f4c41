"""Sliding windows over a restart: which of them to write now, and how they come back.

Windows are larger than counts and change all the time, so they are written in turn, a few at each exchange,
by one worker for all. A row says what had been counted when it was written; what was counted between then
and the end of the process is told by the counts, so nothing is lost however long ago the row was written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.tracked import Tracked
from perfmw.profiles.windows import LevelState

AT_ONCE: Final = 16
"""Windows written at one exchange, so that keeping them costs at most some hundred KiB a second."""
EACH: Final = 20.0
"""Least seconds between two writes of one profile's windows."""


class Kept(msgspec.Struct, array_like=True):
    """One profile's windows: their levels at unix time ``at``, and all that was part of them, packed."""

    at: float
    counted: bytes
    levels: list[LevelState]


_decoder = msgspec.msgpack.Decoder(Kept)


def keep(tracked: Tracked, now: float) -> bytes:
    """The windows of a profile as bytes for ``bring_back``."""
    return msgspec.msgpack.encode(Kept(now, pack(tracked.counted()), tracked.windows.state()))


def bring_back(tracked: Tracked, data: bytes, now: float) -> bool:
    """Have a profile go on with windows that were kept; False where they belong to another shape of store.

    :raises ValueError: the bytes are damaged.
    """
    kept = _decoder.decode(data)
    return tracked.take_up(kept.levels, unpack(kept.counted), kept.at, now)


class Turn:
    """Whose windows are written next: those that changed, in turn."""

    def __init__(self) -> None:
        self._written: dict[str, int] = {}
        self._waiting: deque[Tracked] = deque()
        self._looked_at = 0.0

    def rows(self, everything: Callable[[], Iterable[Tracked]], now: float) -> Iterator[tuple[str, bytes]]:
        """What to write at this exchange, as (profile id, bytes)."""
        if not self._waiting and now - self._looked_at >= EACH:
            self._looked_at = now
            self._waiting.extend(one for one in everything() if self._changed(one))
        for _ in range(min(AT_ONCE, len(self._waiting))):
            yield self._write(self._waiting.popleft(), now)

    def all(self, everything: Iterable[Tracked], now: float) -> Iterator[tuple[str, bytes]]:
        """All that changed since it was written, for the end."""
        self._waiting.clear()
        return (self._write(one, now) for one in everything if self._changed(one))

    def _write(self, one: Tracked, now: float) -> tuple[str, bytes]:
        self._written[one.id] = one.windows.stamp
        return one.id, keep(one, now)

    def _changed(self, one: Tracked) -> bool:
        return self._written.get(one.id, 0) != one.windows.stamp

    def forget(self, id: str) -> None:
        """The profile is gone."""
        self._written.pop(id, None)
