"""Size, policy, lifetime and compression for a workload, each with its evidence in words."""

from __future__ import annotations

from collections.abc import Mapping

from perfmw.cache.codecs import zstd_available
from perfmw.cache.intelligence.rehearsal import Recorded, Rehearsed, rehearse
from perfmw.contracts import CacheConstraints, CacheStrategyConfiguration, EvictionPolicyFactory

_CANDIDATES = ("lru", "sieve", "s3fifo", "arc", "wtinylfu", "gdsf")
_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_TTLS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
DEFAULT_TTL = 300.0
ENOUGH = 0.98
"""A smaller size, or a shorter lifetime, with this share of the best one's hits does as well."""
_WORTH_A_CHANGE = 0.005
_COMPRESSIBLE_BYTES = 512


class Choices:
    """Chooses for one workload. ``evidence`` fills with why.

    :param policies: the eviction policies to choose from.
    """

    def __init__(
        self,
        recorded: Recorded,
        constraints: CacheConstraints,
        policies: Mapping[str, EvictionPolicyFactory],
    ) -> None:
        self.evidence: dict[str, str] = {}
        self._recorded, self._constraints, self._policies = recorded, constraints, policies

    def configuration(self, *, encrypted: bool = False) -> CacheStrategyConfiguration:
        """All of them, in an order in which each can build on those before."""
        size = self._size()
        policy = self._policy(size)
        ttl = self._ttl(size, policy)
        self.evidence["encryption_enabled"] = "it was asked for" if encrypted else "it was not asked for"
        return CacheStrategyConfiguration(size, ttl, policy, self._compression(), encrypted)

    def expected(self, chosen: CacheStrategyConfiguration) -> Rehearsed:
        return rehearse(
            self._recorded,
            chosen.eviction_policy,
            chosen.max_size,
            self._expiring(chosen.ttl),
            self._policies,
        )

    def _expiring(self, ttl: float) -> float | None:
        return ttl if self._recorded.timed else None

    def _hits(self, policy: str, size: int) -> float:
        return rehearse(self._recorded, policy, size, None, self._policies).hit_rate

    def _size(self) -> int:
        footprint = sum(self._recorded.weights.values())
        most = min(footprint, self._constraints.max_bytes or footprint)
        sizes = sorted({max(1, int(most * share)) for share in _SHARES})
        curve = {size: self._hits("lru", size) for size in sizes}
        best = max(curve.values())
        steps = ", ".join(f"{size:,} B {ratio:.1%}" for size, ratio in curve.items())
        self.evidence["max_size"] = (
            f"hit ratio of lru by size: {steps}; all keys together have {footprint:,} B"
        )
        return min(size for size, ratio in curve.items() if ratio >= best * ENOUGH)

    def _policy(self, size: int) -> str:
        names = [name for name in _CANDIDATES if name in self._policies]
        ratios = {name: self._hits(name, size) for name in names}
        winner = max(ratios, key=lambda name: (ratios[name], name == "lru"))
        if "lru" in ratios and ratios[winner] < ratios["lru"] + _WORTH_A_CHANGE:
            winner = "lru"
        listed = ", ".join(f"{name} {ratio:.1%}" for name, ratio in ratios.items())
        self.evidence["eviction_policy"] = f"hit ratio at {size:,} B: {listed}"
        return winner

    def _ttl(self, size: int, policy: str) -> float:
        """The shortest with nearly all hits among those that are not stale too often."""
        if not self._recorded.timed or self._recorded.span < 2 * _TTLS[0]:
            why = f"spans only {self._recorded.span:.1f} s" if self._recorded.timed else "tells no times"
            self.evidence["ttl"] = f"the default: the workload {why}"
            return DEFAULT_TTL
        curve = {
            ttl: rehearse(self._recorded, policy, size, ttl, self._policies)
            for ttl in _TTLS
            if ttl <= self._recorded.span
        }
        most = self._constraints.max_stale
        allowed = {ttl: found.hit_rate for ttl, found in curve.items() if found.stale_rate <= most}
        steps = ", ".join(f"{ttl:g} s {self._told(found)}" for ttl, found in curve.items())
        if not allowed:
            self.evidence["ttl"] = (
                f"the shortest; even that is stale in more than {most:.1%} of reads: {steps}"
            )
            return min(curve)
        self.evidence["ttl"] = f"hits by lifetime: {steps}" + (
            f"; stale in at most {most:.1%} of the reads" if self._recorded.versioned else ""
        )
        if not self._recorded.versioned:
            self.evidence["ttl"] += "; the workload does not tell when values change"
        best = max(allowed.values())
        if not best:
            return max(allowed)  # none is read again so soon: there is nothing to choose
        return min(ttl for ttl, ratio in allowed.items() if ratio >= best * ENOUGH)

    def _told(self, found: Rehearsed) -> str:
        stale = f" ({found.stale_rate:.1%} stale)" if self._recorded.versioned else ""
        return f"{found.hit_rate:.1%}{stale}"

    def _compression(self) -> bool:
        mean = self._recorded.mean_size
        self.evidence["compression_enabled"] = f"values have {mean:.0f} bytes on average"
        return mean >= _COMPRESSIBLE_BYTES and zstd_available()
