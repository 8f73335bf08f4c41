"""What kept changes came to: memory, time and money. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from perfmw.contracts.profiles import AppliedOptimization, OptimizationResult, PerformanceProfile
from perfmw.contracts.resources import ResourceOptimizationResult
from perfmw.resources.prices import ResourcePrices, worth_of


def outcome(
    result: ResourceOptimizationResult,
    tried: OptimizationResult,
    profiles: Sequence[PerformanceProfile],
    prices: ResourcePrices,
) -> None:
    """Fill in what was measured of a run; what was not kept changes nothing."""
    kept = tried.applied_optimizations
    given_back = -sum(_memory_taken(one) for one in kept)
    result.optimizations_applied = len(kept)
    result.performance_improvement = tried.performance_improvement
    result.resources_saved = given_back
    result.ledger_entries = [one.step_id for one in kept]
    spared = [_spared(one, profiles) for one in kept]
    result.cost_savings = worth_of(
        prices,
        cpu_seconds=sum(cpu for cpu, _ in spared),
        origin_calls=sum(calls for _, calls in spared),
        memory_bytes=-given_back,
    )


def _memory_taken(one: AppliedOptimization) -> float:
    """Bytes that a change of a bound took more than before."""
    parameters = one.parameters
    if parameters.get("option") != "memory_max_bytes":
        return 0.0
    value, before = parameters.get("value"), parameters.get("before")
    if not isinstance(value, int | float) or not isinstance(before, int | float):
        return 0.0
    return float(value) - float(before)


def _spared(one: AppliedOptimization, profiles: Sequence[PerformanceProfile]) -> tuple[float, float]:
    """Processor seconds and origin calls an hour that the app was spared, as measured with and without."""
    before, after = one.result.before, one.result.after
    if before is None or after is None or not before.requests or not after.requests:
        return 0.0, 0.0
    share = before.origin_calls / before.requests - after.origin_calls / after.requests
    concerned = [each for each in profiles if each.type == "component" and one.target in ("all", each.name)]
    hourly = sum(each.metrics.throughput.per_second for each in concerned) * 3600.0
    calls = share * hourly
    return calls * _cpu_of_a_call(concerned), calls


def _cpu_of_a_call(profiles: Sequence[PerformanceProfile]) -> float:
    """Processor seconds of a request that the app answered."""
    used = sum(one.metrics.resource_usage.cpu_seconds or 0.0 for one in profiles)
    calls = sum(
        one.metrics.throughput.count - one.metrics.throughput.hits
        for one in profiles
        if one.metrics.resource_usage.cpu_seconds
    )
    return used / calls if calls > 0 else 0.0
