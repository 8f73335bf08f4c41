"""The keys read most, from a sample of the reads, and kept over restarts for warming up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from heapq import nlargest
from pathlib import Path
from typing import Final

KEPT: Final = 500
"""How many keys are written to the file."""
LONGEST: Final = 2_048
"""Longer keys are not worth remembering: a URL of such a length is hardly asked for twice."""
FADE: Final = 0.5 ** (1 / 60)
"""Once a minute, counts are multiplied by this: what was read an hour ago counts half."""


class Hottest:
    """Counts the most frequent of any number of keys in bounded memory. Pure.

    The Space-Saving algorithm (Metwally, Agrawal and El Abbadi, ICDT 2005): a newcomer takes the place of the
    least counted key and its count, so that whoever is really frequent is never missed.

    :param most: how many keys are counted apart.
    """

    def __init__(self, most: int = 1_024) -> None:
        self._most = most
        self._counts: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def note(self, key: str, count: float = 1.0) -> None:
        """``key`` was read."""
        counts = self._counts
        if key not in counts and len(counts) >= self._most:
            least = min(counts, key=counts.__getitem__)
            count += counts.pop(least)
        counts[key] = counts.get(key, 0.0) + count

    def fade(self, factor: float = FADE) -> None:
        """Let what was counted so far weigh less."""
        self._counts = {key: count * factor for key, count in self._counts.items() if count * factor > 0.01}

    def top(self, most: int) -> list[tuple[str, float]]:
        """The keys read most and their weights, the hottest first."""
        return nlargest(most, self._counts.items(), key=lambda item: item[1])


def read_file(path: Path) -> list[tuple[str, float]]:
    """What ``write_file`` wrote; nothing where there is no such file, or it is damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [(str(key), float(weight)) for key, weight in rows][:KEPT]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write_file(path: Path, keys: Iterable[tuple[str, float]]) -> None:
    """Replace the file whole, readable by its owner alone: URLs may tell what they should not.

    :raises OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"keys": [[key, round(weight, 3)] for key, weight in keys]}, file)
    fresh.replace(path)
