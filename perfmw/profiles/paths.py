"""Names for paths whose route nobody knows: identifiers become ``{id}``, names are bounded."""

from __future__ import annotations

import re
from typing import Final

ID: Final = "{id}"
REST: Final = "{rest}"
MAX_SEGMENTS: Final = 8
LONGEST_WORD: Final = 32

_IDENTIFIER: Final = re.compile(
    r"""
      [0-9a-fA-F-]{12,}                # UUIDs, hashes, object ids
    | (?=.*\d)[0-9a-fA-F]{6,}          # short hashes have a digit
    | .*\d{2}.*                        # numbers, dates, versions of a file, generated names
    | .*\d[^/]*\.\w+                   # a file name with a digit
    | \d+
    | .*[@:,;=*$!'()%\s\x00-\x1f\x7f-\U0010ffff].*  # addresses, parameters, what no route is spelt with
    """,
    re.VERBOSE | re.DOTALL,
)


def normalise(path: str) -> str:
    """``/items/42/photo-7.png`` -> ``/items/{id}/{id}``; a version such as ``/v1`` stays as it is.

    Segments beyond the eighth become ``{rest}``.
    """
    segments = path.split("/")
    named = [_name(segment) for segment in segments[: MAX_SEGMENTS + 1]]
    if len(segments) > MAX_SEGMENTS + 1:
        named.append(REST)
    text = "/".join(named)
    return text if text.startswith("/") else "/" + text


def _name(segment: str) -> str:
    if len(segment) > LONGEST_WORD or _IDENTIFIER.fullmatch(segment):
        return ID
    return segment


class PathNames:
    """Normalised paths, at most ``max_names`` of them; further ones are all ``other``."""

    def __init__(self, max_names: int = 200, other: str = "other") -> None:
        self._max_names = max_names
        self._other = other
        self._names: set[str] = set()
        self._known: dict[str, str] = {}

    def name(self, path: str) -> str:
        """The bounded name of a path."""
        try:
            return self._known[path]
        except KeyError:
            return self._learn(path)

    def _learn(self, path: str) -> str:
        name = normalise(path)
        if name not in self._names:
            if len(self._names) >= self._max_names:
                return self._other
            self._names.add(name)
        if len(self._known) >= 8 * self._max_names:
            self._known.clear()
        self._known[path] = name
        return name
