"""Which keys a workload has in common, what to warm up with, and what is followed by what."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from perfmw.contracts import CacheKeyPattern, CachePatterns, PrefetchingRule, WarmupStrategy

_WARM_URLS = 100
_MIN_SUPPORT, _MIN_CONFIDENCE = 3, 0.5
_VARYING = re.compile(r"(?<=[/:=])(?:\d+|[0-9a-fA-F-]{16,})(?=[/?&:]|$)")


def found_in(keys: Sequence[str], evidence: dict[str, str]) -> CachePatterns:
    """The patterns of ``keys`` in the order they were read; says why in ``evidence``."""
    counts = Counter(keys)
    hottest = [key for key, reads in counts.most_common(_WARM_URLS) if reads > 1]
    warm = sum(counts[key] for key in hottest) / len(keys)
    evidence["warmup_strategies"] = f"the {len(hottest)} hottest keys had {warm:.1%} of the reads"
    rules = _successors(keys, counts)
    evidence["prefetching_rules"] = f"{len(rules)} keys were followed by the same key at least half the time"
    families = _families(counts)
    evidence["cache_keys"] = f"{len(counts):,} keys in {len(families)} families, numbers and long ids varying"
    evidence["invalidation_rules"] = "none: nothing is known of what follows a write"
    return CachePatterns(
        cache_keys=families,
        warmup_strategies=[WarmupStrategy("trace", hottest)] if hottest else [],
        prefetching_rules=rules,
    )


def merged(found: CachePatterns, known: CachePatterns | None, evidence: dict[str, str]) -> CachePatterns:
    """What was found, and what is known besides, which knows the families better."""
    if known is None:
        return found
    rules = len(known.invalidation_rules) or "no"
    evidence["invalidation_rules"] = f"{rules} writes were followed by changes"
    if known.cache_keys:
        evidence["cache_keys"] = f"{len(known.cache_keys)} families took the reads"
    return CachePatterns(
        cache_keys=known.cache_keys or found.cache_keys,
        invalidation_rules=[*found.invalidation_rules, *known.invalidation_rules],
        warmup_strategies=[*found.warmup_strategies, *known.warmup_strategies],
        prefetching_rules=[*found.prefetching_rules, *known.prefetching_rules],
    )


def _families(counts: Mapping[str, int]) -> list[CacheKeyPattern]:
    total = sum(counts.values())
    distinct: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for key, times in counts.items():
        pattern = _VARYING.sub("*", key)
        distinct[pattern] += 1
        reads[pattern] += times
    return [CacheKeyPattern(name, distinct[name], times / total) for name, times in reads.most_common(50)]


def _successors(keys: Sequence[str], counts: Mapping[str, int]) -> list[PrefetchingRule]:
    pairs = Counter((one, other) for one, other in itertools.pairwise(keys) if one != other)
    rules = [
        PrefetchingRule(one, other, times / counts[one])
        for (one, other), times in pairs.items()
        if times >= _MIN_SUPPORT and times >= _MIN_CONFIDENCE * counts[one]
    ]
    return sorted(rules, key=lambda rule: -rule.confidence * counts[rule.after])[:_WARM_URLS]
