"""What of the memory and of the limits could be given out otherwise, as options that the engine may try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final

from perfmw.profiles import LatencySketch, Reading
from perfmw.profiles.traffic import Traffic

if TYPE_CHECKING:
    from perfmw.cache.memory import MemoryLayer
    from perfmw.runtime.controls import RuntimeControls
    from perfmw.runtime.curves import Tuner
    from perfmw.runtime.gate import Gate
    from perfmw.runtime.parts import Parts
    from perfmw.runtime.runtime import Runtime
    from perfmw.settings import Concurrency

ADMISSION: Final = "admission"
"""The name of a reading of all requests in which a refusal takes as long as its client has to stay away."""
AWAY_SECONDS: Final = 2.0
"""The mean of what Retry-After asks for."""
STRETCH: Final = 2
"""How many times its bound a limit is tried with, where the settings allow to raise it that far."""
_LATELY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Admission:
    """A reading as clients see it, whom the limits turn away and who come again. See ``ReadingLike``.

    By the clock of the server a refusal is the fastest of all answers, so the more it refuses the better.
    """

    reading: Reading

    @property
    def count(self) -> int:
        return self.reading.count

    @property
    def hits(self) -> int:
        return self.reading.hits

    @property
    def errors(self) -> int:
        return max(0, self.reading.errors - self.refused)

    @property
    def refused(self) -> int:
        return self.reading.reasons.get("overload", 0)

    @property
    def seconds(self) -> float:
        return self.sketch.sum

    @property
    def sketch(self) -> LatencySketch:
        """Failures are left out: they are counted by themselves, and are no faster for it."""
        found = self.reading.origin_sketch - self.reading.failed_sketch
        found.merge(self.reading.hit_sketch)
        found.record_all([AWAY_SECONDS] * self.refused)
        return found

    @property
    def traffic(self) -> Traffic:
        return self.reading.traffic

    def __sub__(self, earlier: Admission) -> Admission:
        return Admission(self.reading - earlier.reading)


def provide_allotments(runtime: Runtime, controls: RuntimeControls) -> None:
    """Have ``set_option`` take ``memory_parts`` and the policy within them, and ``limit:GROUP`` of each;
    ``wanted:`` before the name tells what to try, of ``memory_max_bytes`` too.
    """
    shares, size = _Shares(runtime), _Size(runtime)
    controls.provide("wanted:memory_max_bytes", size.wanted, _refuse)
    controls.provide("memory_parts", shares.read, shares.write)
    controls.provide("wanted:memory_parts", shares.wanted, _refuse)
    controls.provide("eviction_policy", shares.policy, shares.choose)
    limits = runtime.limits
    if limits is None or limits.mode != "on":
        return
    for gate in limits.gates.values():
        bound = _Bound(gate, runtime.settings.concurrency, runtime.profiles.started_at)
        controls.provide(f"limit:{gate.name}", bound.read, bound.write)
        controls.provide(f"wanted:limit:{gate.name}", bound.wanted, _refuse)


def _refuse(value: Any) -> None:
    raise ValueError("a plan is not set: set the option that it is for")


def tuner_of(runtime: Runtime) -> Tuner | None:
    """Who learns what the memory should be; None where nobody does, or before there is one."""
    learning = vars(runtime).get("learning")  # it is made after the controls
    return learning.tuner if learning is not None else None


class _Shares:
    """``memory_parts``: the share of the memory, 0..1, of each kind of key; none where all share one pool."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def _parts(self) -> Parts | None:
        tuner = tuner_of(self._runtime)
        return None if tuner is None or self._runtime.cache.memory is None else tuner.parts

    def read(self) -> dict[str, float] | None:
        parts = self._parts
        return None if parts is None else dict(parts.made)

    def write(self, value: Mapping[str, float]) -> None:
        parts, layer = self._parts, self._runtime.cache.memory
        if parts is None or layer is None:
            raise ValueError("memory_parts needs a memory layer and usage_pattern_learning")
        shares = {str(kind): float(share) for kind, share in value.items()}
        if any(share < 0.0 for share in shares.values()) or sum(shares.values()) > 1.0 + 1e-6:
            raise ValueError(f"memory_parts are shares of 0 or more, at most 1 together, not {shares}")
        if shares or parts.made:
            parts.make(layer, shares)

    def policy(self) -> str | None:
        """The eviction policy; None where there are no parts for it to be within."""
        layer = self._runtime.cache.memory
        return None if layer is None or self._parts is None else layer.policy

    def choose(self, value: Any) -> None:
        parts, layer = self._parts, self._runtime.cache.memory
        if parts is not None and layer is not None:
            parts.choose(layer, str(value))

    def wanted(self) -> dict[str, Any] | None:
        """By marginal utility; None where ``auto_tuning`` sees to it, or nothing is learned."""
        parts, layer = self._parts, self._runtime.cache.memory
        if parts is None or layer is None or self._runtime.settings.auto_tuning:
            return None
        return parts_plan(self._runtime, parts, layer)


def parts_plan(runtime: Runtime, parts: Parts, layer: MemoryLayer) -> dict[str, Any]:
    """Which parts of the memory would do better than those it has, or why none would."""
    plan = parts.settled(layer)
    if plan is None:
        return {"type": "memory_parts", "why": f"memory: too few reads of several kinds: {parts.reads}"}
    shares = parts.shares(plan, layer)
    if not parts.is_news(shares, layer):
        return {"type": "memory_parts", "why": f"memory: {plan.in_words()}"}
    return {
        "type": "memory_parts",
        "why": plan.in_words(),
        "value": shares,
        "before": dict(parts.made),
        "title": plan.in_words(),
        "evidence": {"reads": parts.reads, "gain": plan.gain},
        "gain": max(0.0, plan.gain),
        "seconds": max(0.0, plan.gain) * _busy(runtime),
    }


def _busy(runtime: Runtime) -> float:
    """Seconds that requests take in each second."""
    routes = (one.metrics.latency for one in runtime.profiles.snapshot() if one.type == "component")
    return sum(one.mean * one.count for one in routes) / max(1.0, time() - runtime.profiles.started_at)


class _Size:
    """What ``memory_max_bytes`` was worked out to do as well as the memory's own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def wanted(self) -> dict[str, Any] | None:
        """None where ``auto_tuning`` sees to it, or nothing is learned."""
        tuner, layer = tuner_of(self._runtime), self._runtime.cache.memory
        if tuner is None or layer is None or not layer.max_bytes or self._runtime.settings.auto_tuning:
            return None
        plan = tuner.sizing
        if plan is None or plan["before"] != layer.max_bytes:
            return {"type": "memory_size", "why": "memory: no other size is known to do as well"}
        return plan


class _Bound:
    """``limit:GROUP``: the most requests that the limit of a group may let in at once.

    What the settings call ``most`` is a hard bound, unless they also say how far it may be raised by trial.
    """

    def __init__(self, gate: Gate, bounds: Concurrency, since: float) -> None:
        self._gate, self._configured, self._since = gate, bounds.most, since
        self._highest = bounds.most_tried or bounds.most
        self._type = "limit"

    def read(self) -> int:
        return self._gate.limiter.most

    def write(self, value: Any) -> None:
        most = int(value)
        if not self._configured <= most <= self._highest:
            raise ValueError(
                f"limit:{self._gate.name} is from {self._configured} to {self._highest}, not {value!r}"
            )
        self._gate.limiter.bound(most)

    def wanted(self) -> dict[str, Any]:
        limiter, name = self._gate.limiter, self._gate.name
        refused, admitted = sum(self._gate.refused), sum(self._gate.admitted)
        lately = perf_counter() - limiter.refused_at < _LATELY
        why = f"limit of {name}: {limiter.limit} of at most {limiter.most}"
        if not lately or limiter.limit < limiter.most:
            return {"type": self._type, "why": why}
        if limiter.most >= self._highest:
            return {"type": self._type, "why": f"{why}; concurrency.most_tried lets trials raise it"}
        value = min(self._highest, STRETCH * limiter.most)
        return {
            "type": self._type,
            "why": f"{refused} were refused while the limit was at its bound",
            "value": value,
            "before": limiter.most,
            "title": f"Let the limit of {name} rise to {value}",
            "evidence": {"refused": refused, "admitted": admitted, "limit": limiter.limit},
            "gain": refused / (refused + admitted),
            "seconds": refused * AWAY_SECONDS / max(1.0, time() - self._since),
            "target": ADMISSION,
        }
