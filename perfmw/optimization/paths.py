"""Route templates and path patterns: "/items/{id}" becomes "/items/*"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

_PARAMETER = re.compile(r"\{[^{}]*\}|<[^<>]*>")
_WHOLE_PATH = re.compile(r"\{[^{}:]*:path\}|<path:[^<>]*>|\{\*[^{}]*\}|\{[^{}]*\.\.\.\}")
_WILDCARD = re.compile(r"\*\*|\*")
_TOKEN = re.compile(r"\*\*|.", re.DOTALL)
STAR, ACROSS = "*", "**"


def pattern_of(template: str) -> str | None:
    """The path pattern of a route template; None if there is none, or it would match the whole site."""
    if not template.startswith("/") or "*" in _PARAMETER.sub("", template):
        return None
    pattern = _PARAMETER.sub(STAR, _WHOLE_PATH.sub("\0", template)).replace("\0", ACROSS)
    return None if pattern in ("/*", "/**") or re.search(r"[{}<>]", pattern) else pattern


@lru_cache(maxsize=1_024)
def contains(wide: str, narrow: str) -> bool:
    """Whether pattern ``wide`` matches every path that ``narrow`` matches (as far as a probe can tell)."""
    parts = _WILDCARD.split(wide)
    kinds = [".*" if found == ACROSS else "[^/]*" for found in _WILDCARD.findall(wide)] + [""]
    expression = "".join(re.escape(part) + kind for part, kind in zip(parts, kinds, strict=True))
    return all(re.fullmatch(expression, probe, re.DOTALL) for probe in _probes(narrow))


def _probes(pattern: str) -> Iterator[str]:
    """Paths that the pattern matches; \\1 stands for any text that no fixed part of a pattern can equal."""
    for within, across in product(("", "\1"), ("", "\1", "\1/\1", "\1/\1/\1/\1/\1")):
        yield pattern.replace(ACROSS, across).replace(STAR, within)


@lru_cache(maxsize=4_096)
def overlaps(one: str, two: str) -> bool:
    """Whether some path matches both patterns. ``*`` stays within a segment, ``**`` crosses.

    Walks both at once: a state is how far each has been matched.
    """
    a, b = _TOKEN.findall(one), _TOKEN.findall(two)
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(a) and j == len(b):
            return True
        left = a[i] if i < len(a) else ""
        right = b[j] if j < len(b) else ""
        for state in _steps(i, j, left, right):
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


def _steps(i: int, j: int, left: str, right: str) -> list[tuple[int, int]]:
    """A wildcard may end here, or take the other side's next character; equal characters pass."""
    found = []
    if left in (STAR, ACROSS):
        found.append((i + 1, j))
        if right and (left == ACROSS or right != "/"):
            found.append((i, j + 1))
    if right in (STAR, ACROSS):
        found.append((i, j + 1))
        if left and (right == ACROSS or left != "/"):
            found.append((i + 1, j))
    if left and left == right:
        found.append((i + 1, j + 1))
    return found
