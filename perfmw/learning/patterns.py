"""How a cache is used: what is hot, when, whether it is scanned, what repeats; and it in words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from perfmw.contracts import CacheKeyPattern, CachePatterns, InvalidationRule, WarmupStrategy
from perfmw.learning.bytecurve import FULL, mixed_hash
from perfmw.learning.consequences import Starts, WriteEffects
from perfmw.learning.curves import MissRatioCurve
from perfmw.learning.keypatterns import key_pattern

_HOUR = 3_600.0
_HOURS_A_WEEK = 168
_SAMPLE = 4_096
_HOT = 100
_EPOCH = 10_000
_MAX_PATTERNS = 500
_SOME, _MUCH = 0.2, 0.5


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Shares are 0..1; what is not known yet is None.

    ``hot_share``: of reads that went to the 100 hottest keys; ``drift``: of these that were not among them
    before; ``daily`` and ``weekly``: of the hours' differences in reads that the time of day or week
    explains; ``busiest_hour`` in UTC; ``sequential``: of reads that asked for the next number of their
    pattern; ``loop``: keys of a loop that most repeats belong to; ``one_hit``: of keys asked for only once.
    """

    reads: int
    keys: int
    hot_share: float
    drift: float | None
    daily: float | None
    weekly: float | None
    busiest_hour: int | None
    sequential: float
    loop: int | None
    one_hit: float
    hottest: list[str] = field(default_factory=list)
    patterns: list[CacheKeyPattern] = field(default_factory=list)
    invalidation_rules: list[InvalidationRule] = field(default_factory=list)
    warmup: WarmupStrategy | None = None

    def in_words(self) -> list[str]:
        """Sentences for people."""
        words = [
            f"{self.reads:,} reads of about {self.keys:,} keys; the {len(self.hottest)} hottest took"
            f" {self.hot_share:.0%} of the reads, and {self.one_hit:.0%} of the keys were asked for"
            " only once."
        ]
        if self.drift is not None:
            words.append(f"Of the hottest keys, {self.drift:.0%} are new since the time before.")
        words += self._when() + self._how()
        words += [
            f"{one.share:.0%} of the reads went to {one.pattern}"
            + (f", about {one.cardinality:,} keys." if one.cardinality > 1 else ".")
            for one in self.patterns[:3]
        ]
        words += [
            f"A write to {rule.trigger} was followed by a change of {rule.invalidates}"
            f" in {rule.confidence:.0%} of the cases."
            for rule in self.invalidation_rules[:5]
        ]
        if self.warmup is not None:
            words.append(f"After a start, {len(self.warmup.urls)} keys are nearly always asked for first.")
        return words

    def _when(self) -> list[str]:
        if self.daily is None or self.busiest_hour is None:
            return []
        words = []
        if self.daily >= _SOME:
            words.append(
                f"Use follows the time of day; the busiest hour begins at {self.busiest_hour}:00 UTC."
            )
        if self.weekly is not None and self.weekly >= self.daily + _SOME:
            words.append("Use follows the day of the week.")
        return words

    def _how(self) -> list[str]:
        words = []
        if self.sequential >= _SOME:
            words.append(f"{self.sequential:.0%} of the reads go through numbers one by one: a scan.")
        if self.loop is not None:
            words.append(
                f"Most repeats come from a loop over about {self.loop:,} keys; LRU hits none with less room."
            )
        return words

    def cache_patterns(self) -> CachePatterns:
        """The same for a ``CacheStrategy``."""
        warm = [WarmupStrategy("hottest", self.hottest)] if self.hottest else []
        return CachePatterns(
            cache_keys=list(self.patterns),
            invalidation_rules=list(self.invalidation_rules),
            warmup_strategies=warm + ([self.warmup] if self.warmup else []),
        )


class _Hot:
    """The hottest keys of an epoch of 10,000 reads, and of the one before."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._reads = 0
        self._before: set[str] | None = None
        self._last: tuple[list[str], float] = ([], 0.0)
        self.drift: float | None = None

    def read(self, key: str) -> None:
        self._reads += 1
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._reads >= _EPOCH:
            self._turn()

    def hottest(self) -> tuple[list[str], float]:
        """The keys, hottest first, and their share of the reads."""
        return self._top() if self._reads >= _EPOCH // 10 or not self._last[0] else self._last

    def _top(self) -> tuple[list[str], float]:
        top = [one for one in sorted(self._counts.items(), key=lambda one: -one[1])[:_HOT] if one[1] > 1]
        return [key for key, _ in top], min(1.0, sum(times for _, times in top) / max(self._reads, 1))

    def _turn(self) -> None:
        self._last = self._top()
        now = set(self._last[0])
        if self._before and now:
            self.drift = 1 - len(now & self._before) / len(now)
        self._before, self._counts, self._reads = now, {}, 0


class _Weeks:
    """Reads by hour, folded over the week; how much of the differences that explains."""

    def __init__(self) -> None:
        self._sums = [0.0] * _HOURS_A_WEEK
        self._squares = [0.0] * _HOURS_A_WEEK
        self._times = [0] * _HOURS_A_WEEK
        self._hour: int | None = None
        self._reads = 0
        self._hours = 0

    def read(self, now: float) -> None:
        hour = int(now // _HOUR)
        if hour != self._hour:
            self._close(hour)
        self._reads += 1

    def explained(self, hours: int) -> float | None:
        """The share of the hours' variance that folding over ``hours`` explains; None before two rounds."""
        if self._hours < 2 * hours:
            return None
        count, total = sum(self._times), sum(self._sums)
        spread = sum(self._squares) - total * total / count
        folded = 0.0
        groups = 0
        for at in range(hours):
            times, reads = sum(self._times[at::hours]), sum(self._sums[at::hours])
            if times:
                folded += reads * reads / times
                groups += 1
        between = folded - total * total / count
        if spread <= 0 or count <= groups:
            return 0.0
        # adjusted for groups: noise explains some of itself
        return max(0.0, 1 - (spread - between) / (count - groups) / (spread / (count - 1)))

    def busiest(self) -> int | None:
        if self._hours < 24:
            return None
        means = [sum(self._sums[at::24]) / max(1, sum(self._times[at::24])) for at in range(24)]
        return means.index(max(means))

    def _close(self, hour: int) -> None:
        if self._hour is not None:
            # the hours in between were empty; more than a week of them tells nothing more
            for passed in range(self._hour, min(hour, self._hour + _HOURS_A_WEEK)):
                reads = self._reads if passed == self._hour else 0
                at = passed % _HOURS_A_WEEK
                self._sums[at] += reads
                self._squares[at] += reads * reads
                self._times[at] += 1
                self._hours += 1
        self._hour, self._reads = hour, 0


class _Families:
    """Patterns of keys: reads, and the distinct keys among a spatial sample."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self._last: dict[str, int] = {}
        self.sequential = 0

    def read(self, key: str) -> str:
        pattern = key_pattern(key)
        if pattern not in self.reads and len(self.reads) >= _MAX_PATTERNS:
            pattern = f"/{key.lstrip('/').partition('/')[0]}/**"
            if pattern not in self.reads and len(self.reads) >= 2 * _MAX_PATTERNS:
                pattern = "(others)"
        self.reads[pattern] += 1
        if "*" in pattern:
            self._follow(pattern, key)
        return pattern

    def _follow(self, pattern: str, key: str) -> None:
        digits = "".join(filter(str.isdigit, key))[-15:]
        number = int(digits) if digits else 0
        self.sequential += number == self._last.get(pattern, -2) + 1
        self._last[pattern] = number


class UsagePatterns:
    """Learns how a cache is used, from every read or from a share of them. About 5 µs a read; bounded.

    Times are unix seconds. For long logs, ``summary().in_words()`` says what was found.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.effects = WriteEffects()
        self.starts = Starts()
        self._hot = _Hot()
        self._weeks = _Weeks()
        self._families = _Families()
        self._curve = MissRatioCurve(near=_SAMPLE, budget=_SAMPLE // 2)
        self._sample: dict[str, tuple[str, int]] = {}
        self._threshold = FULL

    def read(self, key: str, now: float) -> None:
        """``key`` was asked for."""
        self.reads += 1
        self._hot.read(key)
        self._weeks.read(now)
        self.starts.read(key)
        pattern = self._families.read(key)
        self._curve.access(key)
        seen = self._sample.get(key)
        if seen is not None:
            self._sample[key] = (seen[0], seen[1] + 1)
        elif mixed_hash(key, 0) < self._threshold:
            self._sample[key] = (pattern, 1)
            self._families.keys[pattern] += 1
            if len(self._sample) > _SAMPLE:
                self._thin_out()

    def summary(self) -> UsageSummary:
        """What was learned so far."""
        hottest, share = self._hot.hottest()
        rate = self._threshold / FULL
        once = sum(times == 1 for _, times in self._sample.values())
        return UsageSummary(
            reads=self.reads,
            keys=round(len(self._sample) / rate),
            hot_share=share,
            drift=self._hot.drift,
            daily=self._weeks.explained(24),
            weekly=self._weeks.explained(_HOURS_A_WEEK),
            busiest_hour=self._weeks.busiest(),
            sequential=self._families.sequential / max(self.reads, 1),
            loop=self._loop(),
            one_hit=once / max(len(self._sample), 1),
            hottest=hottest,
            patterns=self._patterns(rate),
            invalidation_rules=self.effects.rules(),
            warmup=self.starts.warmup(),
        )

    def _patterns(self, rate: float) -> list[CacheKeyPattern]:
        families = self._families
        return [
            CacheKeyPattern(name, max(1, round(families.keys[name] / rate)), reads / max(self.reads, 1))
            for name, reads in families.reads.most_common(50)
        ]

    def _loop(self) -> int | None:
        """A cliff in the curve: most hits come at one size."""
        largest = self._curve.footprint()
        if largest < _HOT:
            return None
        steps = math.ceil(math.log(largest) / math.log(1.1))
        sizes = [math.ceil(1.1**step) for step in range(steps + 2)]
        ratios = self._curve.curve(sizes)
        jumps = [after - before for before, after in zip(ratios, ratios[2:], strict=False)]
        best = max(range(len(jumps)), key=jumps.__getitem__)
        return sizes[best + 2] if jumps[best] > _MUCH * ratios[-1] > 0 and sizes[best] >= _HOT // 2 else None

    def _thin_out(self) -> None:
        self._threshold = self._threshold * 3 // 4
        for key in [key for key in self._sample if mixed_hash(key, 0) >= self._threshold]:
            pattern, _ = self._sample.pop(key)
            self._families.keys[pattern] -= 1
