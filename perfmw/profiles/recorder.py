"""The recorder of one target: the only part of the profiles that a request touches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from perfmw.contracts.profiles import ProfileType
from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import EXCEPTION, NO_STATUS, Reading
from perfmw.profiles.sketch import LatencySketch
from perfmw.profiles.traffic import Traffic

MAX_OUTCOMES: Final = 64
"""Distinct pairs of status and reason that a recorder keeps apart."""

_MOST_WAITING: Final = 1_000
"""Requests that wait to be counted, when a counter is asked for that has so many."""
_counting: Final = threading.RLock()
"""Held while what waits is counted, so that no second reader counts it too or takes the sketch away."""

HIT: Final = -1
"""Stands for a status where the cache answered."""
_HIT: Final = (HIT, "")


@dataclass(slots=True, frozen=True)
class Outcome:
    """All requests of a target with one status; of those answered from the cache the status is not known."""

    hit: bool
    status: int
    sketch: LatencySketch


@dataclass(slots=True, frozen=True)
class Counts:
    """Requests of a target: all, those answered from the cache, and why the others were forwarded.

    ``hit_seconds``: what answering from the cache took; ``traffic``: what the cache did, a copy.
    """

    requests: int
    hits: int
    reasons: dict[str, int]
    hit_seconds: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)


class Recorder:
    """Counts the requests of one target. Nothing here reads a clock; windows are cut by the store's timer.

    Each outcome (status and reason) has a sketch of its own, so that counting a request is one look-up and
    one ``record``, or less by a ``counter``; totals, failures and reasons are summed up when somebody reads.
    The timer takes away what was counted (``drain``), so that a cut costs what came since, not all there
    ever was.

    :param compact: keep the totals as bytes, for stores of so many targets that most are idle.
    """

    __slots__ = (
        "_hits",
        "_outcomes",
        "_stamp",
        "_taken",
        "_waiting",
        "compact",
        "detailed",
        "hit",
        "name",
        "traffic",
        "type",
    )

    def __init__(self, name: str, type: ProfileType = "component", compact: bool = False) -> None:
        self.name = name
        self.type: ProfileType = type
        self.compact = compact
        self.detailed: dict[int, LatencySketch] | None = None
        """Totals by status, kept if somebody sets a dictionary: some exporters need them."""
        self.traffic = Traffic()
        """What the cache did for the target, for whoever answers from it to add to; never taken away."""
        self._hits = LatencySketch()
        self._outcomes: dict[tuple[int, str], Callable[[float], None]] = {}
        self._waiting: dict[tuple[int, str], list[float]] | None = None
        self._taken: Reading | bytes | None = None
        self._stamp = 0
        self.hit: Callable[[float], None] = self._hits.record
        """A request was answered from the cache in so many seconds."""

    def origin(self, seconds: float, status: int, reason: str) -> None:
        """A request reached the target; ``reason``, a Cache-Status word, says why it was forwarded."""
        try:
            record = self._outcomes[status, reason]
        except Exception:
            record = self._first(status, reason)
        record(seconds)

    def counter(self, status: int, reason: str) -> Callable[[float], None]:
        """What ``origin`` does for one status and reason, for who counts many of them: takes the seconds.

        They wait to be counted together when somebody reads, and at the latest when so many wait that asking
        for the counter again counts them: a request pays for appending to a list.
        """
        outcome = status, reason
        if self._waiting is None:  # made when needed: there may be many thousands of recorders
            self._waiting = {}
        waiting = self._waiting.get(outcome)
        if waiting is None:
            record = self._outcomes.get(outcome) or self._first(status, reason)
            if outcome not in self._outcomes:
                return record
            waiting = self._waiting.setdefault(outcome, [])
        elif len(waiting) >= _MOST_WAITING:
            self._count_waiting()
        return waiting.append

    def _count_waiting(self) -> None:
        if self._waiting is None:
            return
        with _counting:
            for outcome, waiting in self._waiting.copy().items():
                if not waiting:
                    continue
                taken = waiting.copy()  # requests may add more meanwhile
                del waiting[: len(taken)]
                self._outcomes[outcome].__self__.record_all(taken)  # type: ignore[attr-defined]

    def exception(self, seconds: float, reason: str) -> None:
        """A request reached the target and ended without a response."""
        try:
            record = self._outcomes[EXCEPTION, reason]
        except Exception:
            record = self._first(EXCEPTION, reason)
        record(seconds)

    def done(self, seconds: float) -> None:
        """Something that has no status, such as a query, succeeded."""
        self.origin(seconds, NO_STATUS, "")

    def _first(self, status: object, reason: object) -> Callable[[float], None]:
        """The sketch of an outcome not seen before; beyond the bound one a status class."""
        code = status if isinstance(status, int) else EXCEPTION
        outcome = (code, str(reason))
        if len(self._outcomes) >= MAX_OUTCOMES:
            outcome = (code // 100 * 100 if 100 <= code < 600 else EXCEPTION, "other")
        return self._outcomes.setdefault(outcome, LatencySketch().record)

    def activity(self) -> tuple[int, float, int]:
        """Changes whenever a request was counted; far cheaper than a reading."""
        total, zeros = self._hits.sum, self._hits.zeros
        for _, sketch in self._all():
            total += sketch.sum
            zeros += sketch.zeros
        return self._stamp, total, zeros

    def drain(self) -> Reading | None:
        """What was counted since the last call; None when nothing was. It stays part of ``reading``."""
        if self._untouched():
            return None
        delta = self._live(LatencySketch.take)
        if delta is None:
            return None
        taken = self._total()
        taken.add(delta)
        self._taken = pack(taken) if self.compact else taken
        self._stamp += 1
        return delta

    def _untouched(self) -> bool:
        """Whether nothing came since the last ``drain``: of most targets, every second."""
        if not self._hits.untouched() or (self._waiting and any(tuple(self._waiting.values()))):
            return False
        for record in tuple(self._outcomes.values()):  # noqa: SIM110 - twice as fast as all()
            if not record.__self__.untouched():  # type: ignore[attr-defined]
                return False
        return True

    def reading(self) -> Reading:
        """All that was counted so far, as copies."""
        total = self._total()
        if isinstance(self._taken, Reading):
            total = total.copy()
        live = self.live()
        if live is not None:
            total.add(live)
        total.traffic.add(self.traffic)
        return total

    def absorb(self, other: Reading) -> None:
        """Count in ``reading`` what another recorder had counted before this one took its place."""
        taken = self._total()
        taken.add(other)
        self._taken = pack(taken) if self.compact else taken
        self._stamp += 1

    def statuses(self) -> list[Outcome]:
        """All that was counted so far by status; only what came since ``detailed`` was set is known."""
        kept = {key: sketch.copy() for key, sketch in list((self.detailed or {}).items())}
        for (status, _), sketch in self._busy():
            kept.setdefault(status, LatencySketch()).merge(sketch)
        return [Outcome(status == HIT, status, sketch) for status, sketch in kept.items()]

    def _total(self) -> Reading:
        if isinstance(self._taken, bytes):
            return unpack(self._taken)
        return Reading() if self._taken is None else self._taken

    def live(self) -> Reading | None:
        """What was counted since the last ``drain``, as copies; None when nothing was."""
        return self._live(LatencySketch.copy)

    def count(self) -> int:
        """How many requests were counted so far."""
        return self._total().count + sum(sketch.count for _, sketch in self._busy())

    def count_words(self, into: Counter[str]) -> None:
        """Add what was counted so far by outcome: ``hit``, and the reasons for forwarding."""
        total = self._total()
        for reason, count in total.reasons.items():
            into[reason] += count
        into["hit"] += total.hits
        if self._untouched():
            return
        for outcome, sketch in self._busy():
            word = "hit" if outcome is _HIT else outcome[1]
            if word:
                into[word] += sketch.count

    def counts(self) -> Counts:
        """What was counted so far, without the sketches."""
        total = self._total()
        requests, hits, reasons = total.count, total.hits, dict(total.reasons)
        seconds, traffic = total.hit_sketch.sum, total.traffic.copy()
        traffic.add(self.traffic)
        for outcome, sketch in self._busy():
            count = sketch.count
            requests += count
            if outcome is _HIT:
                hits += count
                seconds += sketch.sum
            elif outcome[1]:
                reasons[outcome[1]] = reasons.get(outcome[1], 0) + count
        return Counts(requests, hits, reasons, seconds, traffic)

    def _live(self, how: Callable[[LatencySketch], LatencySketch]) -> Reading | None:
        with _counting:
            return self._gathered(how)

    def _gathered(self, how: Callable[[LatencySketch], LatencySketch]) -> Reading | None:
        reading: Reading | None = None
        for outcome, sketch in self._busy():
            reading = reading or Reading()
            part = how(sketch)
            if how is LatencySketch.take and self.detailed is not None:
                self.detailed.setdefault(outcome[0], LatencySketch()).merge(part)
            if outcome is _HIT:
                reading.hit_sketch = part
            else:
                reading.add_outcome(*outcome, part)
        return reading

    def _busy(self) -> Iterator[tuple[tuple[int, str], LatencySketch]]:
        if not self._hits.untouched():
            yield _HIT, self._hits
        for outcome, sketch in self._all():
            if not sketch.untouched():
                yield outcome, sketch

    def _all(self) -> Iterator[tuple[tuple[int, str], LatencySketch]]:
        self._count_waiting()
        for outcome, record in self._outcomes.copy().items():
            yield outcome, record.__self__  # type: ignore[attr-defined]
