"""What long questions came to: the newest answer of all workers of the host, so that any may show it."""

from __future__ import annotations

import time
from typing import Any, Final, TypeVar

import msgspec

from perfmw.dashboard.view import to_json
from perfmw.runtime.workers import Answer

MOST: Final = 32
T = TypeVar("T")


class _Said(msgspec.Struct):
    """The part of what a worker says that is about answers."""

    answers: dict[str, Answer] = {}


class Answers:
    """By name; of each worker the last ``MOST`` are known. ``host``: a ``perfmw.Runtime``."""

    def __init__(self, host: Any) -> None:
        self._host = host
        rounds = getattr(host, "rounds", None)
        self._own: dict[str, Answer] = rounds.answers if rounds is not None else {}

    def put(self, name: str, value: object) -> None:
        self._own.pop(name, None)
        self._own[name] = Answer(time.time(), msgspec.Raw(to_json(value)))
        while len(self._own) > MOST:
            del self._own[next(iter(self._own))]

    def get(self, name: str, kind: type[T]) -> T | None:
        """None where nobody has asked, or where the answer is of another release."""
        return self.every(name, kind).get("")

    def every(self, prefix: str, kind: type[T]) -> dict[str, T]:
        """All whose names begin so, by the rest of the name."""
        newest: dict[str, Answer] = {}
        for told in (self._own, *(_answers(said) for said in self._peers())):
            for name, answer in told.items():
                if name.startswith(prefix) and (name not in newest or answer.at > newest[name].at):
                    newest[name] = answer
        found = ((name.removeprefix(prefix), _decoded(one, kind)) for name, one in newest.items())
        return {name: value for name, value in found if value is not None}

    def _peers(self) -> list[bytes]:
        sharing = getattr(self._host, "sharing", None)
        return list(sharing.peers.values()) if sharing is not None else []


def _decoded(answer: Answer, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(answer.data, type=kind)
    except msgspec.DecodeError:
        return None


def _answers(said: bytes) -> dict[str, Answer]:
    try:
        return msgspec.json.decode(said, type=_Said).answers
    except msgspec.DecodeError:
        return {}
