"""What parsing costs, counted in steps instead of seconds: of the interpreter, and of a regular expression.

``re`` tells nothing of its work, so its backtracking is done again here, on the pattern's own parse tree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

Then = Callable[[int], bool]


def python_steps(call: Callable[[], object]) -> int:
    """Byte code instructions that a call takes, without what C does."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


class Matcher:
    """Matches as ``re`` does, by trying, and counts what it tries."""

    def __init__(self, pattern: Any, text: bytes) -> None:
        raw = pattern.pattern
        self.items = list(_parser.parse(raw, pattern.flags & ~op.SRE_FLAG_UNICODE))
        self.folded = bool(pattern.flags & op.SRE_FLAG_IGNORECASE)
        self.text = text.lower() if self.folded else text
        self.steps = 0

    def fullmatch(self) -> bool:
        return self._all(self.items, 0, lambda at: at == len(self.text))

    def findall(self) -> None:
        at = 0
        while at < len(self.text):
            ends: list[int] = []
            self._all(self.items, at, lambda end, ends=ends: not ends.append(end))  # type: ignore[misc, func-returns-value]
            at = max(at + 1, ends[0] if ends else 0)

    def _all(self, items: list[Any], at: int, then: Then) -> bool:
        if not items:
            return then(at)
        return self._one(items[0], at, lambda end: self._all(items[1:], end, then))

    def _one(self, item: Any, at: int, then: Then) -> bool:
        self.steps += 1
        kind, what = item
        if kind is op.SUBPATTERN:
            return self._all(list(what[3]), at, then)
        if kind is op.BRANCH:
            for branch in what[1]:  # noqa: SIM110 - any() recurses in C, and 3.12 allows little of that
                if self._all(list(branch), at, then):
                    return True
            return False
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            return self._repeat(what[0], what[1], list(what[2]), at, then, lazy=kind is op.MIN_REPEAT)
        if kind is op.ATOMIC_GROUP:
            ends: list[int] = []
            found = self._all(list(what), at, lambda end: not ends.append(end))  # type: ignore[func-returns-value]
            return found and then(ends[0])
        if kind is op.ASSERT_NOT:
            return not self._all(list(what[1]), at, lambda _: True) and then(at)
        if kind is op.AT:
            assert what is op.AT_END, what
            return at == len(self.text) and then(at)
        return at < len(self.text) and self._fits(item, self.text[at]) and then(at + 1)

    def _repeat(self, least: int, most: Any, body: list[Any], at: int, then: Then, *, lazy: bool) -> bool:
        def again() -> bool:
            if most == 0:
                return False
            left = most if most is op.MAXREPEAT else most - 1
            least_left = max(0, least - 1)
            return self._all(
                body, at, lambda end: end > at and self._repeat(least_left, left, body, end, then, lazy=lazy)
            )

        if least == 0 and lazy:
            return then(at) or again()
        return again() or (least == 0 and then(at))

    def _fits(self, item: Any, code: int) -> bool:
        kind, what = item
        if kind is op.ANY:
            return True
        if kind is op.IN:
            negated = what[0][0] is op.NEGATE
            return negated != any(self._fits(member, code) for member in what[negated:])
        if kind is op.RANGE:
            return any(what[0] <= each <= what[1] for each in self._cases(code))
        assert kind in (op.LITERAL, op.NOT_LITERAL), kind
        return (what in self._cases(code)) == (kind is op.LITERAL)

    def _cases(self, code: int) -> tuple[int, ...]:
        return (code, ord(chr(code).upper())) if self.folded else (code,)
