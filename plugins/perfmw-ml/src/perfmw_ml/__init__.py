"""Eviction that learns when keys are asked for again; ``Settings(eviction_policy="learned")`` selects it."""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from perfmw import Runtime, Settings, hookimpl
from perfmw.contracts import EvictionPolicyFactory
from perfmw_ml.brain import Brain, join_all
from perfmw_ml.policy import LearnedPolicy

__version__ = "0.1.0"
__all__ = ["Brain", "LearnedEviction", "LearnedPolicy", "learn_from", "plugin", "read_trace"]

TRACE_VARIABLE = "LEARNED_EVICTION_TRACE"
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


class LearnedEviction:
    """The plugin.

    :param trace: a recorded trace to begin with; by default the file that LEARNED_EVICTION_TRACE names.
    :param entries: about as many as the cache holds, for that trace.
    """

    perfmw_api_version = 1

    def __init__(self, trace: str | Path | None = None, entries: int = 1_000) -> None:
        self._trace, self._entries = trace, entries

    @hookimpl
    def perfmw_register_eviction_policies(self, settings: Settings) -> Mapping[str, EvictionPolicyFactory]:
        before = self._begin()

        class Learned(LearnedPolicy):
            def __init__(self, capacity: int) -> None:
                super().__init__(capacity, Brain(before=before))

        return {"learned": Learned}

    @hookimpl
    def perfmw_shutdown(self, runtime: Runtime) -> None:
        join_all()

    def _begin(self) -> Brain | None:
        trace = self._trace or os.environ.get(TRACE_VARIABLE)
        if not trace:
            return None
        brain = Brain(threaded=False)
        brain.train_on(lambda: learn_from(read_trace(trace), self._entries, brain))
        return brain


plugin = LearnedEviction()
