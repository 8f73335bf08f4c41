"""A mergeable latency histogram with a bounded relative error, cheap enough for every request."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp2, floor, inf, isfinite, log2, sqrt
from typing import Any, Final, Self

RELATIVE_ERROR: Final = 0.01
MAX_BUCKETS: Final = 2048
MIN_SECONDS: Final = 1e-12
MAX_SECONDS: Final = 1e9

GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
# Buckets per doubling: log2 and floor, of one argument each, are called much faster than log and int.
SCALE: Final = 1 / log2(GAMMA)
MIN_KEY: Final = floor(log2(MIN_SECONDS) * SCALE)


def lower_bound(key: int) -> float:
    """The smallest number of seconds that falls into bucket ``key``."""
    return exp2(key / SCALE)


SketchState = tuple[dict[int, int], int, int, int, float, float, float, float]


class LatencySketch:
    """Counts durations in buckets whose bounds grow by 2%, so that any quantile is right within 1%.

    The mapping is that of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
    sketch with relative-error guarantees", VLDB 2019) with its collapsing-lowest store: beyond 2,048
    buckets the lowest are joined, so the high quantiles keep their guarantee.

    Durations are seconds. Zero, negative and sub-picosecond durations count as zero, those above
    10^9 seconds as 10^9; NaN, infinities and what is not a number are left out and counted in
    ``rejected``. Recording never raises. Not locked: a concurrent writer may lose single counts,
    a reader always sees a consistent dictionary.
    """

    __slots__ = ("_buckets", "_floor", "_max", "_min", "_squares", "_sum", "rejected", "zeros")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._floor = MIN_KEY
        self._sum = 0.0
        self._squares = 0.0
        self._min = inf
        self._max = -inf
        self.zeros = 0
        self.rejected = 0

    def record(self, seconds: float) -> None:
        """Count one duration in seconds."""
        try:
            self._buckets[floor(log2(seconds) * SCALE)] += 1
        except Exception:
            self._record_unusual(seconds)
            return
        self._sum += seconds
        self._squares += seconds * seconds
        if seconds < self._min:
            self._min = seconds
        if seconds > self._max:
            self._max = seconds

    def record_all(self, seconds: list[float]) -> None:
        """Count many durations as ``record`` would, in two thirds of the time."""
        buckets, total, squares = self._buckets, 0.0, 0.0
        low, high = self._min, self._max
        for one in seconds:
            try:
                buckets[floor(log2(one) * SCALE)] += 1
            except Exception:
                self._record_unusual(one)
                continue
            total += one
            squares += one * one
            if one < low:
                low = one
            if one > high:
                high = one
        self._sum += total
        self._squares += squares
        self._min, self._max = min(self._min, low), max(self._max, high)

    def _record_unusual(self, seconds: float) -> None:
        """A first value of a bucket, or one that has no logarithm."""
        try:
            value = float(seconds)
        except (TypeError, ValueError, OverflowError):
            self.rejected += 1
            return
        if not isfinite(value):
            self.rejected += 1
            return
        value = min(value, MAX_SECONDS)
        if value < MIN_SECONDS:
            value = 0.0
            self.zeros += 1
        else:
            self._add(floor(log2(value) * SCALE), 1)
        self._sum += value
        self._squares += value * value
        self._min = min(self._min, value)
        self._max = max(self._max, value)

    def _add(self, key: int, count: int) -> None:
        buckets = self._buckets
        key = max(key, self._floor)
        buckets[key] = buckets.get(key, 0) + count
        if len(buckets) > MAX_BUCKETS:
            self._collapse()

    def _collapse(self) -> None:
        """Join the lowest buckets; what arrives below the new lowest is counted there too."""
        buckets = self._buckets
        keys = sorted(buckets)
        surplus = len(keys) - MAX_BUCKETS
        self._floor = keys[surplus]
        for key in keys[:surplus]:
            buckets[self._floor] += buckets.pop(key)

    def untouched(self) -> bool:
        """Whether nothing was ever recorded; far cheaper than ``count``."""
        return not (self._buckets or self.zeros or self.rejected)

    def take(self) -> LatencySketch:
        """What was recorded so far, as a sketch of its own; this one begins anew."""
        taken = LatencySketch.from_state(
            (self._buckets, self._floor, self.zeros, self.rejected,
             self._sum, self._squares, self._min, self._max)
        )  # fmt: skip
        self._buckets = {}
        self._sum = self._squares = 0.0
        self._min, self._max = inf, -inf
        self.zeros = self.rejected = 0
        return taken

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return self.zeros + sum(self._buckets.values())

    @property
    def sum(self) -> float:
        """Total seconds."""
        return self._sum

    @property
    def min(self) -> float:
        """The shortest duration, exact; 0.0 when empty."""
        return self._min if self._min != inf else 0.0

    @property
    def max(self) -> float:
        """The longest duration, exact; 0.0 when empty."""
        return self._max if self._max != -inf else 0.0

    @property
    def mean(self) -> float:
        """The arithmetic mean in seconds, exact; 0.0 when empty."""
        count = self.count
        return self._sum / count if count else 0.0

    @property
    def std(self) -> float:
        """The population standard deviation in seconds; 0.0 when empty."""
        count = self.count
        if not count:
            return 0.0
        mean = self._sum / count
        return sqrt(max(0.0, self._squares / count - mean * mean))

    def buckets(self) -> dict[int, int]:
        """Bucket key -> count, as a copy; zeros are apart in ``zeros``."""
        return self._buckets.copy()

    def quantile(self, q: float) -> float:
        """The duration in seconds at rank ``q * (count - 1)``; 0.0 when empty.

        :raises ValueError: ``q`` is not within 0..1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: tuple[float, ...]) -> list[float]:
        """Several quantiles in one pass; ``qs`` must ascend.

        :raises ValueError: a ``q`` is not within 0..1.
        """
        if not all(0.0 <= q <= 1.0 for q in qs):
            raise ValueError(f"quantiles are within 0..1, not {qs!r}")
        buckets = self._buckets.copy()
        count = self.zeros + sum(buckets.values())
        if not count:
            return [0.0] * len(qs)
        found = self._walk(sorted(buckets.items()), [q * (count - 1) for q in qs])
        return [self._max if q == 1.0 else value for q, value in zip(qs, found, strict=True)]

    def _walk(self, ordered: list[tuple[int, int]], ranks: list[float]) -> list[float]:
        found: list[float] = []
        seen = self.zeros
        pending = iter(ordered)
        key: int | None = None
        for rank in ranks:
            while seen <= rank:
                key, n = next(pending)
                seen += n
            value = 0.0 if key is None else lower_bound(key) * (1 + RELATIVE_ERROR)
            found.append(min(max(value, self._min), self._max))
        return found

    def count_below(self, seconds: float) -> int:
        """How many durations were at most ``seconds``, within the relative error."""
        if seconds < MIN_SECONDS:
            return self.zeros
        key = floor(log2(seconds) * SCALE)
        return self.zeros + sum(n for k, n in self._buckets.copy().items() if k <= key)

    def merge(self, other: LatencySketch) -> None:
        """Add what ``other`` counted, exactly as if it had been recorded here; ``other`` stays as it is."""
        buckets = self._buckets
        if buckets:
            known = buckets.get
            for key, count in other._buckets.copy().items():
                buckets[key] = known(key, 0) + count
        else:
            buckets.update(other._buckets)
        self._settle(max(self._floor, other._floor))
        self.zeros += other.zeros
        self.rejected += other.rejected
        self._sum += other._sum
        self._squares += other._squares
        self._min = min(self._min, other._min)
        self._max = max(self._max, other._max)

    def _settle(self, floor: int) -> None:
        """Raise the lowest bucket to ``floor`` and keep within the bucket limit."""
        buckets = self._buckets
        if floor > self._floor:
            self._floor = floor
            low = [key for key in buckets if key < floor]
            if low:
                buckets[floor] = buckets.get(floor, 0) + sum(buckets.pop(key) for key in low)
        if len(buckets) > MAX_BUCKETS:
            self._collapse()

    def copy(self) -> LatencySketch:
        """An independent sketch of the same counts."""
        twin = LatencySketch()
        twin._buckets = self._buckets.copy()
        twin._floor = self._floor
        twin._sum = self._sum
        twin._squares = self._squares
        twin._min = self._min
        twin._max = self._max
        twin.zeros = self.zeros
        twin.rejected = self.rejected
        return twin

    def __sub__(self, earlier: LatencySketch) -> LatencySketch:
        """What was recorded since ``earlier``, a copy of this sketch; its min and max are within 1%."""
        since = LatencySketch()
        since._floor = self._floor
        if self._buckets == earlier._buckets and self.zeros == earlier.zeros:
            since.rejected = max(0, self.rejected - earlier.rejected)
            return since
        before = earlier._buckets
        if earlier._floor != self._floor:
            folded = earlier.copy()
            folded._settle(self._floor)
            before = folded._buckets
        known = before.get
        since._buckets = {
            key: more for key, count in self._buckets.copy().items() if (more := count - known(key, 0)) > 0
        }
        since.zeros = max(0, self.zeros - earlier.zeros)
        since.rejected = max(0, self.rejected - earlier.rejected)
        since._sum = max(0.0, self._sum - earlier._sum)
        since._squares = max(0.0, self._squares - earlier._squares)
        since._bound(self, earlier)
        return since

    def _bound(self, later: LatencySketch, earlier: LatencySketch) -> None:
        """Extremes of a difference: exact where the copy moved the extreme, else by bucket bounds."""
        if not self._buckets:
            if self.zeros:
                self._min = self._max = 0.0
            return
        low = 0.0 if self.zeros else max(lower_bound(min(self._buckets)), later._min)
        high = min(lower_bound(max(self._buckets) + 1), later._max)
        self._min = later._min if later._min < earlier._min else low
        self._max = later._max if later._max > earlier._max else high

    def __eq__(self, other: object) -> bool:
        """Same counts in the same buckets; sums are left out, since their rounding depends on order."""
        if not isinstance(other, LatencySketch):
            return NotImplemented
        return (
            self._buckets == other._buckets
            and self.zeros == other.zeros
            and self._min == other._min
            and self._max == other._max
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<LatencySketch count={self.count} mean={self.mean:.6f}s p95={self.quantile(0.95):.6f}s>"

    def state(self) -> SketchState:
        """All there is, for ``from_state`` in the same process."""
        return (
            self._buckets.copy(),
            self._floor,
            self.zeros,
            self.rejected,
            self._sum,
            self._squares,
            self._min,
            self._max,
        )

    @classmethod
    def from_state(cls, state: SketchState) -> Self:
        """The sketch whose ``state`` this is; not checked, ``from_dict`` is for what comes from elsewhere."""
        sketch = cls()
        (
            sketch._buckets,
            sketch._floor,
            sketch.zeros,
            sketch.rejected,
            sketch._sum,
            sketch._squares,
            sketch._min,
            sketch._max,
        ) = state
        return sketch

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values from which ``from_dict`` makes an equal sketch."""
        return {
            "relative_error": RELATIVE_ERROR,
            "buckets": sorted(self._buckets.copy().items()),
            "floor": self._floor,
            "zeros": self.zeros,
            "rejected": self.rejected,
            "sum": self._sum,
            "squares": self._squares,
            "min": self.min,
            "max": self.max,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The sketch that ``to_dict`` described.

        :raises ValueError: the data is damaged, or of another relative error.
        """
        try:
            if data["relative_error"] != RELATIVE_ERROR:
                raise ValueError("the sketch was made with another bucket mapping")
            sketch = cls()
            sketch._buckets = {int(key): int(count) for key, count in data["buckets"]}
            sketch._floor = int(data["floor"])
            sketch.zeros, sketch.rejected = int(data["zeros"]), int(data["rejected"])
            sketch._sum, sketch._squares = float(data["sum"]), float(data["squares"])
            if sketch.count:
                sketch._min, sketch._max = float(data["min"]), float(data["max"])
        except (KeyError, TypeError) as damage:
            raise ValueError(f"not a latency sketch: {damage!r}") from damage
        if len(sketch._buckets) > MAX_BUCKETS or min(sketch._buckets.values(), default=1) < 1:
            raise ValueError("not a latency sketch: its buckets are out of bounds")
        return sketch
