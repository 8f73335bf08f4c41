"""What workers tell each other of their sampled requests and of browsers: bookkeeping without I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from perfmw.profiles.extras import Extras, unpack_extras
from perfmw.profiles.tracked import Tracked

_NOTHING: Final = Extras().pack()

_log = logging.getLogger("perfmw.profiles")


class Telling:
    """What this worker has told, and what each other one has."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._heard: dict[str, dict[str, bytes]] = {}

    def news(self, everything: Iterable[Tracked]) -> Iterator[tuple[str, bytes]]:
        """What changed here since it was last told, as (profile id, bytes)."""
        for tracked in everything:
            extras = tracked.extras
            if extras is not None and self._told.get(tracked.id, 0) != extras.stamp:
                self._told[tracked.id] = extras.stamp
                yield tracked.id, extras.pack()

    def hear(self, rows: Iterable[tuple[str, str, bytes]], there: Mapping[str, bytes]) -> set[str]:
        """Note rows of (worker, profile id, bytes), drop those of workers that ended; the ids concerned."""
        touched = set()
        for worker, id, data in rows:
            self._heard.setdefault(id, {})[worker] = data
            touched.add(id)
        for id, known in self._heard.items():
            for worker in [worker for worker in known if worker and worker not in there]:
                del known[worker]
                touched.add(id)
        return touched

    def total(self, id: str) -> Extras | None:
        """What all others counted of a profile."""
        known = self._heard.get(id)
        if not known:
            return None
        total = Extras()
        for data in known.values():
            total.add(_read(data))
        return total

    def forget(self, id: str) -> None:
        """The profile is gone."""
        self._told.pop(id, None)
        self._heard.pop(id, None)

    def tell_again(self) -> None:
        """What was told did not arrive."""
        self._told.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._told.clear()
        self._heard.clear()


def _read(data: bytes) -> Extras:
    try:
        return unpack_extras(data)
    except ValueError as error:
        _log.warning("figures of sampled requests could not be read: %s", error)
        return Extras()


def joined(one: bytes | None, two: bytes) -> bytes:
    """What two workers counted together."""
    total = _read(one or _NOTHING)
    total.add(_read(two))
    return total.pack()
