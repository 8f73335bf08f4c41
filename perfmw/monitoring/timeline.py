"""What was done to the system, and when: deploys, settings, purges, optimizations. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

BEFORE: Final = 900.0
AFTER: Final = 120.0
"""A change is found on buckets of a minute, so that its cause may seem to come a little later."""
_JOIN: Final = 60.0
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something that was done at unix time ``at``; ``count`` times within a minute.

    ``kind``: ``deploy``, ``config``, ``start``, ``purge``, ``optimization`` or a word of the caller's.
    """

    at: float
    kind: str
    text: str
    who: str = ""
    count: int = 1


class Timeline:
    """The latest annotations, the oldest first; bounded."""

    def __init__(self, most: int = 500) -> None:
        self._items: deque[Annotation] = deque(maxlen=most)

    def add(self, annotation: Annotation) -> Annotation:
        """Note it at its place in time; texts are cut to 500 characters."""
        kept = replace(annotation, text=annotation.text[:_LONGEST], kind=annotation.kind[:50])
        if self._items and kept.at < self._items[-1].at:
            self._items = deque(sorted([*self._items, kept], key=lambda one: one.at), self._items.maxlen)
        else:
            self._items.append(kept)
        return kept

    def join(self, annotation: Annotation) -> None:
        """Note what may happen many times a second: one annotation of a kind and a minute, with a count."""
        for place in range(len(self._items) - 1, max(-1, len(self._items) - 20), -1):
            last = self._items[place]
            if last.kind == annotation.kind and 0.0 <= annotation.at - last.at < _JOIN:
                self._items[place] = replace(last, count=last.count + annotation.count)
                return
        self.add(annotation)

    def replace(self, annotations: Iterable[Annotation]) -> None:
        """Begin with these."""
        self._items.clear()
        self._items.extend(sorted(annotations, key=lambda one: one.at))

    def items(self, since: float = 0.0) -> list[Annotation]:
        """Those from unix time ``since`` on."""
        return [one for one in self._items if one.at >= since]

    def around(self, moment: float, most: int = 5) -> list[Annotation]:
        """What was done in the quarter of an hour before ``moment`` (or just after), the nearest first."""
        near = [one for one in self._items if moment - BEFORE <= one.at <= moment + AFTER]
        return sorted(near, key=lambda one: abs(one.at - moment))[:most]
