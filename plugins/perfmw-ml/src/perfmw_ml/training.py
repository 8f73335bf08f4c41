"""Learning from a recorded trace, before there is any traffic."""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from perfmw_ml.brain import Brain
from perfmw_ml.policy import LearnedPolicy

MOST_ACCESSES = 200_000

Access = tuple[str, int]
"""A key and the size of its value in bytes, or 1."""


def read_trace(path: str | Path) -> list[Access]:
    """The last 200,000 accesses of a trace as ``perfmw record`` writes it; the file may be gzipped.

    :raises ValueError: a size is no whole number.
    :raises OSError: the file cannot be read.
    """
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", errors="surrogateescape") as lines:
        words = (str(line).split() for line in lines)
        found = deque((one for one in words if one and one[0] != "#"), maxlen=MOST_ACCESSES)
    return [(one[0], max(1, int(one[1])) if len(one) > 1 else 1) for one in found]


def learn_from(accesses: Iterable[Access], entries: int, brain: Brain | None = None) -> Brain:
    """What a cache of so many ``entries`` learns from a trace. Takes seconds; trains where it runs."""
    policy = LearnedPolicy(entries, brain or Brain(threaded=False))
    resident: set[object] = set()
    for key, size in accesses:
        if key in resident:
            policy.on_hit(key)
            continue
        if len(resident) >= entries:
            resident.discard(policy.evict(key, size))
        resident.add(key)
        policy.on_insert(key, size, 0.0)
    return policy.brain


def begin(trace: str | Path, entries: int) -> Brain:
    """A brain that learns from the trace in a thread, and serves what it has learned by then."""
    brain = Brain(threaded=False)
    brain.train_on(lambda: learn_from(read_trace(trace), entries, brain))
    return brain
