"""The performance profile and its parts.

Times are unix seconds, durations are seconds, sizes are bytes and shares are 0..1 unless a
field says otherwise. ``None`` means "not known yet", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ProfileType = Literal["component", "workflow", "integration", "query", "system"]
TrendDirection = Literal["improving", "degrading", "stable"]
OptimizationLevel = Literal["basic", "advanced", "aggressive"]


@dataclass(slots=True)
class LatencyMetrics:
    """How long the target took, in seconds. Quantiles carry a relative error of at most 1%."""

    count: int = 0
    min: float = 0.0
    mean: float = 0.0
    p50: float = 0.0
    p75: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0
    std: float = 0.0


@dataclass(slots=True)
class ThroughputMetrics:
    """Operations: how many in the window, and per second (mean and the last short window)."""

    count: int = 0
    per_second: float = 0.0
    recent_per_second: float = 0.0
    hits: int = 0
    hit_rate: float | None = None


@dataclass(slots=True)
class ResourceUsageMetrics:
    """What the target used: CPU seconds and memory, I/O and network bytes, as shares and totals.

    Of a route, seconds and bytes are estimates for all its requests from ``sampled`` of them: ``io_bytes`` is
    block I/O of the thread while the app's code ran, ``network_bytes`` the bodies of requests and responses.
    ``memory_bytes`` is by how much resident memory grew during one request, on average. ``event_loop_lag`` is
    the mean time, in seconds, that a request was ready and waited for the loop.

    ``memory_utilization`` (the process's share of the machine's memory) and ``storage_utilization`` (how full
    the file system is that holds ``state_dir``, else the working directory), 0..1, are of the process only.
    Of a route they are None: nobody can say whose memory or disk it is that all of them share.
    """

    cpu_seconds: float | None = None
    cpu_utilization: float | None = None
    memory_bytes: int | None = None
    memory_utilization: float | None = None
    storage_utilization: float | None = None
    io_bytes: int | None = None
    network_bytes: int | None = None
    average: float | None = None
    database_seconds: float | None = None
    event_loop_lag: float | None = None
    sampled: int = 0


@dataclass(slots=True)
class ErrorRateMetrics:
    """Failures by kind. ``rate`` counts server errors (5xx, exceptions) as a share of all."""

    rate: float = 0.0
    server_errors: int = 0
    client_errors: int = 0
    exceptions: int = 0
    by_kind: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class UserExperienceMetrics:
    """Apdex (apdex.org): satisfied within T, tolerating within 4T; errors are frustrated.

    ``web_vitals``: the 75th percentile of LCP, INP and TTFB in seconds, and of CLS, as browsers told.
    """

    apdex: float | None = None
    apdex_t: float = 0.5
    satisfied: int = 0
    tolerating: int = 0
    frustrated: int = 0
    web_vitals: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class ProfileMetrics:
    latency: LatencyMetrics = field(default_factory=LatencyMetrics)
    throughput: ThroughputMetrics = field(default_factory=ThroughputMetrics)
    resource_usage: ResourceUsageMetrics = field(default_factory=ResourceUsageMetrics)
    error_rates: ErrorRateMetrics = field(default_factory=ErrorRateMetrics)
    user_experience: UserExperienceMetrics = field(default_factory=UserExperienceMetrics)


@dataclass(slots=True)
class PerformanceBaseline:
    """What "before" was: mean latency in seconds, operations per second, utilisation 0..1."""

    latency: float
    throughput: float
    resource_utilization: float | None
    timestamp: float
    source: Literal["learned", "pinned", "file"] = "learned"


@dataclass(slots=True)
class PerformanceTargets:
    """What "good" is; by default 0.7, 1.3 and 0.8 times the baseline."""

    latency: float
    throughput: float
    resource_utilization: float | None = None


@dataclass(slots=True)
class ScorePart:
    """One part of the score: its own score 0..100 and its weight; the weights of a score sum to 1."""

    name: str
    score: float
    weight: float
    reason: str = ""


@dataclass(slots=True)
class PerformanceState:
    baseline: PerformanceBaseline | None = None
    targets: PerformanceTargets | None = None
    current_score: float | None = None
    trend_direction: TrendDirection = "stable"
    trend_confidence: float = 0.0
    score_parts: list[ScorePart] = field(default_factory=list)


@dataclass(slots=True)
class OptimizationOpportunity:
    """Something that may make a target faster. Plain data: an optimizer turns it into an action.

    ``parameters`` are JSON values and are all that the optimizer needs to apply it again.
    ``expected_gain`` is the predicted share of the target's total time saved, 0..1;
    ``saved_seconds_per_day`` ranks opportunities. ``toggles``: it can be switched on and off within seconds
    without either state spoiling the other; if not, it is measured before and after instead. ``spares``: what
    else it spares, such as ``12 MiB of memory``; then it is kept where requests are not slower for it.
    """

    id: str
    type: str
    target: str
    title: str
    optimizer: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    expected_gain: float = 0.0
    saved_seconds_per_day: float = 0.0
    risk: Literal["low", "medium", "high"] = "low"
    level: OptimizationLevel = "basic"
    critical: bool = False
    toggles: bool = True
    spares: str = ""


@dataclass(slots=True)
class PotentialOptimization:
    """An opportunity that lacks evidence so far, and what is missing."""

    type: str
    target: str
    missing: str


@dataclass(slots=True)
class OptimizationRecommendation:
    """Advice in words, with the code or configuration to paste; ``target``: the profile it is about."""

    title: str
    detail: str
    snippet: str = ""
    saved_seconds_per_day: float = 0.0
    target: str = ""
    type: str = ""


@dataclass(slots=True)
class Measurement:
    """One side of a comparison: what was measured while a change was off or on. Seconds, shares.

    ``stale_rate``: the share of requests answered past their freshness; ``memory``: bytes the process held,
    the median of what the guardrails saw. None where it was not measured, as by earlier releases.
    """

    requests: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    error_rate: float = 0.0
    hit_rate: float = 0.0
    origin_calls: int = 0
    p99: float = 0.0
    stale_rate: float | None = None
    memory: int | None = None


@dataclass(slots=True)
class OptimizationStepResult:
    """What became of one step. ``improvement`` is the relative change in mean latency, 0.3 = 30% faster."""

    step_id: str
    success: bool
    duration: float = 0.0
    error: str | None = None
    verdict: Literal["kept", "rolled_back", "failed", "skipped", "not_enough_data"] = "failed"
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    before: Measurement | None = None
    after: Measurement | None = None
    reason: str = ""


@dataclass(slots=True)
class AppliedOptimization:
    step_id: str
    type: str
    target: str
    parameters: Mapping[str, Any]
    applied_at: float
    result: OptimizationStepResult


@dataclass(slots=True)
class ProfileOptimizations:
    identified: list[OptimizationOpportunity] = field(default_factory=list)
    applied: list[AppliedOptimization] = field(default_factory=list)
    potential: list[PotentialOptimization] = field(default_factory=list)
    recommendations: list[OptimizationRecommendation] = field(default_factory=list)


@dataclass(slots=True)
class AlertThreshold:
    """Raise ``severity`` when ``metric`` (a dotted path into ProfileMetrics) passes ``limit``."""

    metric: str
    limit: float
    direction: Literal["above", "below"] = "above"
    severity: Literal["low", "medium", "high"] = "medium"


@dataclass(slots=True)
class ProfileMonitoring:
    """``frequency`` is in seconds; ``reporting_schedule`` is hourly, daily, weekly or a cron line."""

    enabled: bool = True
    frequency: float = 60.0
    alert_thresholds: list[AlertThreshold] = field(default_factory=list)
    reporting_schedule: str = "daily"


@dataclass(slots=True)
class ProfileMetadata:
    created_at: float
    last_analyzed: float
    optimization_level: OptimizationLevel = "basic"
    auto_optimization: bool = False


@dataclass(slots=True)
class PerformanceProfile:
    """Everything known about one target: a route, workflow, integration, query or the process.

    ``id`` is stable across restarts; ``name`` is the target, such as ``GET /items/{id}``.
    """

    id: str
    name: str
    type: ProfileType
    metrics: ProfileMetrics
    performance: PerformanceState
    optimizations: ProfileOptimizations
    monitoring: ProfileMonitoring
    metadata: ProfileMetadata


@dataclass(slots=True)
class PerformanceProfileConfig:
    """What the caller of ``create_performance_profile`` may choose; the rest is learned.

    ``apdex_t``: the response time, in seconds, that satisfies users of this target; None: as set for all.
    """

    name: str | None = None
    targets: PerformanceTargets | None = None
    apdex_t: float | None = None
    monitoring_enabled: bool = True
    monitoring_frequency: float = 60.0
    alert_thresholds: list[AlertThreshold] = field(default_factory=list)
    reporting_schedule: str = "daily"
    optimization_level: OptimizationLevel = "basic"
    auto_optimization: bool = False


@dataclass(slots=True)
class OptimizationRequest:
    """What to try. Empty ``types`` means all; ``block_seconds`` and ``blocks`` size the experiment.

    With ``approval`` nothing is tried: each step waits in the ledger until somebody approves or rejects it.
    ``at_once``: so many changes may be on trial at a time, if each concerns another route.
    ``block_requests``: where a block has fewer after ``block_seconds``, it goes on, for four times as long at
    most; some 1,000 are what it takes to see harm to the slowest hundredth. 0: blocks end by the clock. The
    first two with the change go on while guardrails cannot tell harm from load, for eight times as long.
    """

    types: tuple[str, ...] = ()
    level: OptimizationLevel = "basic"
    max_steps: int = 3
    blocks: int = 8
    block_seconds: float = 10.0
    dry_run: bool = False
    requested_by: str = "user"
    approval: bool = False
    at_once: int = 1
    block_requests: int = 0


@dataclass(slots=True)
class OptimizationResult:
    """``performance_improvement`` is the relative change in mean latency of the target, 0.3 = 30% faster."""

    profile_id: str
    optimization_duration: float
    steps_executed: int
    successful_steps: int
    performance_improvement: float | None
    applied_optimizations: list[AppliedOptimization]
    new_performance_score: float | None
    recommendations: list[OptimizationRecommendation]
    steps: list[OptimizationStepResult] = field(default_factory=list)


@dataclass(slots=True)
class PerformanceMonitoringResult:
    """What a monitoring session saw, complete at the session's end."""

    session_id: str
    profile_id: str
    duration: float
    metrics_collected: int
    alerts_triggered: int
    anomalies_detected: int
    average_performance_score: float | None
    recommendations: list[OptimizationRecommendation] = field(default_factory=list)
