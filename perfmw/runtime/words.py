"""What the workers of a host say to each other, by topic: how every part of perfmw hears of the others.

Each worker says what it has to say of a topic whenever counts are exchanged, and each round hears what all
the others say of it now; who is gone says nothing any more. Nothing is sent to anybody and nothing is
answered: what shall happen once carries an id or a time, by which whoever hears it again knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Topic(Generic[T]):
    kind: type[T]
    said: Callable[[], T | None]
    hear: Callable[[list[T]], object]


class Words:
    """The topics of one worker."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic[Any]] = {}

    def about(
        self, topic: str, kind: type[T], said: Callable[[], T | None], hear: Callable[[list[T]], object]
    ) -> None:
        """Say what ``said`` gives, None for nothing, and have ``hear`` told what the others say of it.

        :param kind: what it is, for msgspec; a ``msgspec.Raw`` that ``said`` gives is JSON of that kind.
        """
        self._topics[topic] = _Topic(kind, said, hear)

    def about_each(
        self, topic: str, kind: type[T], said: Callable[[], list[T]], hear: Callable[[Iterable[T]], object]
    ) -> None:
        """The same of lists, where it does not matter who says what."""
        self.about(topic, list[kind], said, lambda told: hear(chain.from_iterable(told)))  # type: ignore[valid-type]

    def said(self) -> dict[str, Any]:
        """What this worker says, by topic."""
        told = ((name, topic.said()) for name, topic in self._topics.items())
        return {name: word for name, word in told if word}

    def hear(self, others: Sequence[Mapping[str, msgspec.Raw]]) -> None:
        """What each of the other workers says; what is not understood, as of another release, is left out."""
        for name, topic in self._topics.items():
            topic.hear([word for one in others for word in _understood(one.get(name), topic.kind)])


def _understood(word: msgspec.Raw | None, kind: type[T]) -> list[T]:
    if word is None:
        return []
    try:
        return [msgspec.json.decode(word, type=kind)]
    except msgspec.DecodeError:
        return []
