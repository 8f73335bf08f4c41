"""Eviction that learns when keys are asked for again; ``Settings(eviction_policy="learned")`` selects it.

Who does not select it pays nothing: numpy is imported with the first policy, scikit-learn with the first
training.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmw import Runtime, Settings, hookimpl
from perfmw.contracts import EvictionPolicyFactory

if TYPE_CHECKING:
    from perfmw_ml.brain import Brain
    from perfmw_ml.policy import LearnedPolicy
    from perfmw_ml.training import learn_from, read_trace

__version__ = "0.1.0"
__all__ = ["Brain", "LearnedEviction", "LearnedPolicy", "learn_from", "plugin", "read_trace"]

RIVALS = ("s3fifo", "arc", "wtinylfu", "gdsf", "lirs")
"""Whom the learned policy must do better than to be followed."""
TRACE_VARIABLE = "LEARNED_EVICTION_TRACE"
_HOMES = {"Brain": "brain", "LearnedPolicy": "policy", "learn_from": "training", "read_trace": "training"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


class _Factory:
    """Makes the policies of one runtime; they begin with what a trace taught, if there is one."""

    rivals = RIVALS

    def __init__(self, trace: str | Path | None, entries: int) -> None:
        self._trace, self._entries = trace, entries
        self._before: Brain | None = None

    def __call__(self, capacity: int) -> LearnedPolicy:
        from perfmw_ml.brain import Brain
        from perfmw_ml.policy import LearnedPolicy

        if self._before is None and self._trace:
            from perfmw_ml.training import begin

            self._before = begin(self._trace, self._entries)
        return LearnedPolicy(capacity, Brain(before=self._before))


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
        return {"learned": _Factory(self._trace or os.environ.get(TRACE_VARIABLE), self._entries)}

    @hookimpl
    def perfmw_shutdown(self, runtime: Runtime) -> None:
        brain = sys.modules.get(f"{__name__}.brain")
        if brain is not None:
            brain.join_all()


plugin = LearnedEviction()
