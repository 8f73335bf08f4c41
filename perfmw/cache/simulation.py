"""A recorded trace of keys through the real memory layer: what a policy and a size would have given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from perfmw.cache.memory import MemoryLayer
from perfmw.cache.unpacking import open_unpacked
from perfmw.contracts import EvictionPolicyFactory, WorkloadEvent

Access = tuple[str, int]
"""A key, and the size of its value in bytes (1 where the trace does not tell)."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one policy and size gave: ratios 0..1; ``seconds`` is what simulating took."""

    policy: str
    size: int
    by: Literal["entries", "bytes"]
    requests: int
    hits: int
    hit_ratio: float
    byte_hit_ratio: float
    evictions: int
    seconds: float


def parse_line(line: str) -> WorkloadEvent | None:
    """A line of a trace: a key, its size if there is one, and what ``perfmw record`` writes behind that.

    None for an empty line, and for one that begins with "# ".

    :raises ValueError: for more than that, a size that is no positive whole number, or what is no text.
    """
    words = line.split()
    if not words or words[0] == "#":
        return None
    if "\0" in line:
        raise ValueError("it is no text in UTF-8")
    if len(words) > 4 or (len(words) >= 2 and not words[1].isdigit()):
        raise ValueError(f"a line is a key, or a key and a size in bytes, not {line.strip()[:60]!r}")
    size = max(1, int(words[1])) if len(words) >= 2 else 1
    try:
        seconds, when = map(float, words[2:]) if len(words) == 4 else (None, None)
    except ValueError:
        raise ValueError(f"the cost and the time are seconds, not {' '.join(words[2:])[:60]!r}") from None
    if seconds is not None and when is not None and not (0 <= seconds < math.inf and math.isfinite(when)):
        raise ValueError(f"the cost and the time are finite seconds, not {' '.join(words[2:])[:60]!r}")
    return WorkloadEvent(words[0], size, when, seconds=seconds)


def read_trace(path: str | Path) -> Iterator[Access]:
    """As ``read_events``: the keys and sizes alone."""
    return ((event.key, event.size) for event in read_events(path))


def read_events(path: str | Path) -> Iterator[WorkloadEvent]:
    """The reads of a trace in a file, which may be gzipped, in its order; times where it tells them.

    A read without a size is of the size that the key had before.

    :raises ValueError: for a line that is none of a trace; the message says which.
    :raises OSError: it cannot be read.
    """
    known: dict[str, int] = {}
    with TextIOWrapper(open_unpacked(Path(path)), "utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = parse_line(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            if event is None:
                continue
            if event.size != 1:
                known[event.key] = event.size
            elif event.key in known:
                event = event._replace(size=known[event.key])
            yield event


def simulate(
    accesses: Iterable[Access],
    policy: str,
    size: int,
    *,
    by: Literal["entries", "bytes"] = "entries",
    policies: Mapping[str, EvictionPolicyFactory] | None = None,
    progress: Callable[[], None] | None = None,
) -> Simulation:
    """Read each key; store it where it was not there, as a cache in front of an origin does.

    :param size: the bound of the cache, in entries or bytes.
    :param progress: called for each access.
    :raises ValueError: for an unknown policy or a size below 1.
    """
    layer = MemoryLayer(
        max_entries=size if by == "entries" else None,
        max_bytes=size if by == "bytes" else None,
        policy=policy,
        policies=policies,
    )
    requests = total = saved = 0
    began = time.perf_counter()
    for key, weight in accesses:
        requests += 1
        total += weight
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True, size=weight)
        else:
            saved += weight
        if progress is not None:
            progress()
    return Simulation(
        policy=policy,
        size=size,
        by=by,
        requests=requests,
        hits=layer.hits,
        hit_ratio=layer.hits / requests if requests else 0.0,
        byte_hit_ratio=saved / total if total else 0.0,
        evictions=layer.evictions,
        seconds=time.perf_counter() - began,
    )
