"""A case of the table: requests in order, what the origin answers to each, and what the client must see."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perfmw.http.dates import format_date

Level = Literal["required", "optimal"]
Value = str | Callable[[], str]
Pair = tuple[str, Value]


def at(seconds: float) -> Callable[[], str]:
    """An HTTP-date this far from when it is sent."""
    return lambda: format_date(time.time() + seconds).decode()


def shown(value: Value) -> str:
    return value if isinstance(value, str) else value()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request and what happens to it.

    ``expect``: ``cached`` (the origin was not asked), ``origin`` (this request's own response came back),
    ``validated`` (the origin was asked with a condition and said 304, the client got a stored body), or ""
    (nothing is claimed). ``validator``: the request field that the origin must have seen. ``see`` and
    ``unseen``: response fields at the client; ``sent``, ``unsent``: request fields at the origin. ``wait``:
    seconds after the step. ``close``: the origin ends the connection instead of answering. ``from_step``:
    whose body the client gets, counted from 1, when it is not told by ``expect``. ``interim``: informational
    responses before the final one. ``path``: appended to the case's own.
    """

    method: str = "GET"
    path: str = ""
    send: Sequence[Pair] = ()
    content: bytes = b""
    status: int = 200
    answer: Sequence[Pair] = ()
    date: bool = True
    body: bytes | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    short: int = 0
    extra: bytes = b""
    interim: Sequence[tuple[int, Sequence[Pair]]] = ()
    delay: float = 0.0
    close: bool = False
    expect: Literal["cached", "origin", "validated", ""] = ""
    expect_status: int | None = None
    expect_body: bytes | None = None
    from_step: int = 0
    see: Sequence[Pair] = ()
    unseen: Sequence[str] = ()
    sent: Sequence[Pair] = ()
    unsent: Sequence[str] = ()
    validator: str = ""
    check: Callable[[Answer], str] | None = None
    broken: bool = False
    wait: float = 0.0


@dataclass(frozen=True)
class Case:
    """``section``: what the specification says it in, such as ``9111 4.2.1``."""

    id: str
    section: str
    level: Level
    title: str
    steps: Sequence[Step]


@dataclass
class Answer:
    """What the client received; ``interim``: informational responses before the final one."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = True

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return ", ".join(values) if values else None


@dataclass
class Seen:
    """What the origin received."""

    step: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None
