"""How long may a value be served before it is asked for again? Learned from reads and refreshes.

A key read often and changed seldom deserves a long TTL and the other way round: √(2c/(reads·changes)).
Reads are counted; changes show only at refreshes, as "changed since" or "not changed since".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from perfmw.learning.hazard import AgeHazard, best_ttl
from perfmw.learning.hours import Hours
from perfmw.learning.keypatterns import key_pattern
from perfmw.learning.shocks import Shocks

_MARGIN = 0.8
"""Aim below the cap: the staleness that counts can only be estimated."""
_KNOWN = 1.5
"""And lower yet by so many standard deviations of a rate that few changes told."""
_DOUBT = 3.0
"""Standard deviations of the estimated stale reads that count as spent."""
_WINDOW, _LEAST_WINDOW = 0.3, 30.0
_SPEED, _CATCH_UP, _BRAKE = 0.7, 1.5, 3.0
_RISK, _LEAST_MISSES = 0.2, 0.06
_SPENT = 50.0
"""With nothing left of what may be stale, lifetimes are this much shorter."""
_GAPS, _EVENTS = 64.0, 40.0
_KEY_PRIOR, _POOL_PRIOR = 0.35, 2.0
_CALM, _RECENT, _USUAL = 5.0, 80.0, 1.5
_PROFILES = 64
"""So many patterns have hours of their own, the others those of one more."""


class _Pool:
    """Changes seen in a pattern of keys, the time that was watched for them, and what they share."""

    __slots__ = ("events", "exposure", "hours", "reads", "shocks")

    def __init__(self, hours: Hours) -> None:
        self.events = self.exposure = 0.0
        self.reads = 0
        self.shocks = Shocks()
        self.hours = hours


class _Key:
    __slots__ = (
        "changed_at",
        "even",
        "events",
        "expires",
        "exposure",
        "fetched",
        "gap",
        "gaps",
        "last",
        "offsets",
        "pending",
        "pool",
        "reads",
    )

    def __init__(self, pool: _Pool, now: float) -> None:
        self.pool = pool
        self.last = now
        self.gaps = self.gap = 0.0
        self.events = self.exposure = 0.0
        self.changed_at: float | None = None
        """By the clock of the pool's hours, as ``even``, which is when it was fetched."""
        self.even = 0.0
        self.forget_fetch()

    def forget_fetch(self) -> None:
        self.fetched: float | None = None
        self.expires = 0.0
        self.reads = 0
        self.offsets = self.pending = 0.0

    @property
    def pace(self) -> float:
        """Reads a second, 0 while unknown."""
        return self.gaps / self.gap if self.gap > 0 else 0.0

    def read(self, now: float) -> None:
        self.gaps += 1.0
        self.gap += max(now - self.last, 0.0)
        self.last = now
        if self.gaps > _GAPS:
            self.gaps /= 2
            self.gap /= 2
        if self.fetched is not None:
            self.reads += 1
            self.offsets += self.pool.hours.at(now) - self.even

    def changes(self, events: float, exposure: float) -> None:
        self.events += events
        self.exposure += exposure
        self.pool.events += events
        self.pool.exposure += exposure
        if self.events > _EVENTS:
            self.events /= 2
            self.exposure /= 2


class _Budget:
    """Holds the share of stale reads below the cap by the price of a stale read, in misses.

    One price for all keys is what makes the fewest misses of a given staleness (a Lagrange multiplier),
    so it moves slowly, except that a budget overspent pulls it up at once.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._changes = 0
        self.reads = self.fetches = 0
        self._known_reads = 0
        self._spent = self._variance = 0.0
        self._predicted = self._pending = 0.0
        self._window_stale = self._window_reads = 0.0
        self.last_price = 1.0 / share
        self._log = -math.log(share)
        self._least = math.log(_LEAST_MISSES / share)

    def spend(self, reads: int, share: float) -> None:
        """``reads`` came before a refresh that found a change, and this ``share`` of them after it."""
        self._spent += reads * share
        self._variance += reads * reads / 12 + reads / 6

    def promise(self, stale: float) -> None:
        self._predicted += stale
        self._pending += stale
        self._window_stale += stale

    def settle(self, stale: float) -> None:
        self._pending = max(self._pending - stale, 0.0)  # what was added may be lost to rounding

    def changed(self) -> None:
        """A change was found: what is estimated of them is a little surer."""
        self._changes += 1

    @property
    def _cap(self) -> float:
        return self._share * _MARGIN * max(0.05, 1.0 - _KNOWN / math.sqrt(1.0 + self._changes))

    def price(self) -> float:
        """To be asked at each fetch, before its ``promise``."""
        self.fetches += 1
        window = max(_LEAST_WINDOW, self.fetches * _WINDOW)
        kept = 1 - 1 / window
        self._window_stale *= kept
        self._window_reads = self._window_reads * kept + self.reads - self._known_reads
        self._known_reads = self.reads
        truth = self._truth()
        room = self._room(truth)
        wanted = self._cap * max(1 + _CATCH_UP * room, 0.05)
        share = max(self._window_stale * truth / self._window_reads, self._cap * 0.01)
        step = min(max(math.log(wanted / share), -2.0), 2.0)
        self._log = max(self._log - _SPEED / window * step, self._least)
        self.last_price = math.exp(self._log - _BRAKE * min(room, 0.0))
        return self.last_price

    def largest_risk(self) -> float:
        """The reads that one TTL may put at risk: should the value change at once, they are all stale."""
        return _RISK * self._cap * self.reads + 1.0

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left: then hardly anything may be served from the cache."""
        return self._left(self._truth()) <= 0.0

    def _truth(self) -> float:
        """How much worse it turned out than promised, up to now."""
        return (self._spent + 5) / (max(self._predicted - self._pending, 0.0) + 5)

    def _left(self, truth: float) -> float:
        """Stale reads that may still come, in doubt fewer."""
        variance = self._variance + self._pending * truth
        return self._share * self.reads - self._spent - _DOUBT * math.sqrt(variance) - self._pending * truth

    def _room(self, truth: float) -> float:
        """The share of the budget that is left, -1..1."""
        budget = self._cap * self.reads
        left = budget - self._spent - _DOUBT * math.sqrt(self._variance) - self._pending * truth
        return min(max(left / budget, -1.0), 1.0)


class _Pace:
    """Whether changes come more often of late than the rates say, which follow slowly."""

    def __init__(self) -> None:
        self._found = self._due = _CALM

    def saw(self, found: float, due: float) -> None:
        """A refresh found a change or not, each as likely as that; ``due`` tells how likely it was before."""
        self._found += found
        self._due += due
        if self._found + self._due > _RECENT:
            self._found, self._due = (self._found + _CALM) / 2, (self._due + _CALM) / 2

    @property
    def unrest(self) -> float:
        """By what factor; 1 or more."""
        more = self._found / self._due
        return more if more > _USUAL else 1.0


class AdaptiveTTL:
    """The TTL of each key, so that there are few misses and hardly more stale reads than allowed.

    Rates of change are estimated from what refreshes found (after Cho and Garcia-Molina, "Estimating
    frequency of change", ACM TOIT 3, 2003): a change is put where it is expected within its interval,
    which takes the bias from long intervals, and a prior from the key's pattern, and from all keys, takes
    it from few. How the danger depends on a value's age is learned from all keys together.

    Times are seconds of any clock that does not go back. A read costs about 1 µs, a fetch about 20 µs.

    :param max_stale: the largest share of all reads, 0..1, that may be answered with an old value.
    :param max_keys: the keys not read for longest are forgotten beyond this number.
    :param pattern: what a key has in common with others like it.
    :raises ValueError: for a share outside 0..1 (0 itself too), or no keys.
    """

    def __init__(
        self,
        max_stale: float = 0.01,
        *,
        max_keys: int = 20_000,
        pattern: Callable[[Hashable], str] = key_pattern,
    ) -> None:
        if not 0 < max_stale < 1 or max_keys < 1:
            raise ValueError("max_stale must be above 0 and below 1, and max_keys at least 1")
        self._max_stale = max_stale
        self._max_keys = max_keys
        self._pattern = pattern
        self._keys: dict[Hashable, _Key] = {}
        self._pools: dict[str, _Pool] = {}
        self._all = _Pool(Hours())
        self._budget = _Budget(max_stale)
        self._hazard = AgeHazard()
        self._ageless = [2.0, 2.0]
        self._first: float | None = None
        self._doubted = False
        self._pace = _Pace()

    @property
    def size(self) -> int:
        """The keys remembered."""
        return len(self._keys)

    @property
    def stale_share(self) -> float:
        """The estimated share of reads, 0..1, that were answered with an old value."""
        return self._budget._spent / max(self._budget.reads, 1)

    @property
    def hours(self) -> dict[str, list[int]]:
        """By pattern of keys, the hours (UTC) at which changes are at least twice as many as on the mean."""
        found = {name: pool.hours.busy() for name, pool in self._pools.items()}
        return {name: hours for name, hours in found.items() if hours}

    def observe_access(self, key: Hashable, now: float) -> None:
        """A read of ``key``, answered from the cache or not."""
        self._budget.reads += 1
        known = self._keys.get(key)
        if known is None:
            known = self._add(key, now)
        else:
            known.read(now)
        known.pool.reads += 1

    def doubts(self, key: Hashable, now: float) -> bool:
        """Whether to ask for ``key`` again at this read, though its lifetime is not over.

        So it is where others like it were found changed since it was fetched, and what changed them may
        have changed it too; and where nobody was asked for a while and such changes are usual. Ask it where
        the value is there and its lifetime is not over; whoever never does has lifetimes alone.
        """
        self._doubted = True
        known = self._keys.get(key)
        if known is None or known.fetched is None or self._first is None:
            return False
        price, elapsed = self._budget.last_price, max(now - self._first, 1e-9)
        worth = price * (1.0 + known.pace * max(known.expires - now, 0.0))
        return any(
            shocks.risk(known.fetched) * worth > 1.0
            or shocks.is_due(known.fetched, now, price * reads / elapsed, elapsed)
            for shocks, reads in (
                (self._all.shocks, self._budget.reads),
                (known.pool.shocks, known.pool.reads),
            )
        )

    def observe_refresh(self, key: Hashable, now: float, changed: bool) -> None:
        """The value was asked for again, and had changed or not. Call it after ``observe_access``."""
        known = self._keys.get(key)
        if known is None or known.fetched is None:
            return
        span, reads = known.pool.hours.at(now) - known.even, known.reads - 1
        self._budget.settle(known.pending)
        if now > known.fetched:
            span = max(span, 0.0)  # what is known of the hours may have changed since
            offset = (known.offsets - span) / reads if reads > 0 else 0.0
            offset = min(max(offset, 0.0), span)  # outside where accesses and fetches were told out of order
            self._learn(known, now, span, changed=changed, reads=reads, offset=offset)
        known.forget_fetch()

    def observe_change(self, key: Hashable, now: float) -> None:
        """The value was changed now, and everybody knows: an invalidation."""
        known = self._keys.get(key)
        if known is None or known.fetched is None:
            return
        self._budget.settle(known.pending)
        hours = known.pool.hours
        hours.observe(known.fetched, now, self._changes(known) or 0.0, changed=False)
        hours.change(now)
        even = hours.at(now)
        self._count(known, max(even - known.even, 0.0), known.even, changed=1.0)
        known.changed_at = even
        known.forget_fetch()

    def ttl(self, key: Hashable, now: float) -> float:
        """How long, in seconds, the value fetched now may be served. 0 while nothing is known."""
        known = self._keys.get(key) or self._add(key, now)
        known.forget_fetch()
        hours = known.pool.hours
        known.fetched, known.even = now, hours.at(now)
        price = self._budget.price() if self._budget.reads else 0.0
        if self._first is None or now <= self._first or not price:
            return 0.0
        reads, changes = self._reads(known, now), self._changes(known)
        if changes is None:
            return self._max_stale / reads
        changes *= self._pace.unrest
        if known.changed_at is None:
            changes *= self._ageless[0] / self._ageless[1]
            ttl, stale = best_ttl(reads, changes, price, ahead=hours.ahead(now))
        else:
            age = max(known.even - known.changed_at, 0.0) * changes
            ttl, stale = best_ttl(reads, changes, price, age, self._hazard.factors, hours.ahead(now))
        longest = min(self._budget.largest_risk() / reads, ttl / _SPENT if self._budget.is_spent else ttl)
        if ttl > longest:
            ttl, stale = longest, stale * (longest / ttl) ** 2
        known.pending, known.expires = stale, now + ttl
        self._budget.promise(stale)
        return ttl

    def _add(self, key: Hashable, now: float) -> _Key:
        if self._first is None:
            self._first = now
        if len(self._keys) >= self._max_keys:
            self._forget()
        pattern = self._pattern(key)
        pool = self._pools.get(pattern)
        if pool is None:
            # beyond the bound, patterns share the pool of all
            pool = self._pooled(pattern)
        known = self._keys[key] = _Key(pool, now)
        return known

    def _pooled(self, pattern: str) -> _Pool:
        if len(self._pools) >= self._max_keys:
            return self._all
        hours = Hours() if len(self._pools) < _PROFILES else self._all.hours
        pool = self._pools[pattern] = _Pool(hours)
        return pool

    def _forget(self) -> None:
        """An eighth of the keys at once, so that sorting them costs little for each."""
        oldest = sorted(self._keys, key=lambda key: self._keys[key].last)
        for key in oldest[: max(1, len(oldest) // 8)]:
            self._budget.settle(self._keys.pop(key).pending)

    def _reads(self, known: _Key, now: float) -> float:
        """Reads a second; the prior, of half a gap as long as the mean of all keys, fades quickly."""
        weight = 0.5 / (1.0 + known.gaps)
        mean_gap = (now - (self._first or 0.0)) * len(self._keys) / self._budget.reads
        return (known.gaps + weight) / (known.gap + weight * mean_gap)

    def _changes(self, known: _Key) -> float | None:
        """Changes a second; None before any refresh."""
        if not self._all.exposure:
            return None
        everybody = (self._all.events + 0.5) / self._all.exposure
        alike = (known.pool.events + _POOL_PRIOR) / (known.pool.exposure + _POOL_PRIOR / everybody)
        return (known.events + _KEY_PRIOR) / (known.exposure + _KEY_PRIOR / alike)

    def _learn(
        self, known: _Key, now: float, span: float, *, changed: bool, reads: int, offset: float
    ) -> None:
        fetched, since = known.fetched or now, known.even
        whole = max(self._danger(known, since, span), 1e-9)
        shared, shocks = self._shared(known, fetched, now, whole, changed=changed)
        known.pool.hours.observe(fetched, now, whole / max(span, 1e-9), changed=changed)
        self._pace.saw(changed * (1.0 - shared), -math.expm1(-whole))
        whole *= self._pace.unrest
        if not changed:
            self._count(known, span, since, changed=0.0)
            return
        self._budget.changed()
        if reads > 0:
            part = self._danger(known, since, offset) * self._pace.unrest
            alone = math.expm1(-part) / math.expm1(-whole)
            share = shocks.stale_part(fetched, alone)
            self._budget.spend(reads, alone + shared * (share - alone))
        within = span * _mean_position(whole)
        self._count(known, within + shared * (span - within), since, changed=1.0 - shared)
        if shared < 0.5:
            # seen from the end, the last change is as far away as the first is from the beginning
            known.changed_at = since + span - within

    def _shared(
        self, known: _Key, fetched: float, now: float, expected: float, *, changed: bool
    ) -> tuple[float, Shocks]:
        """How likely its change was one that many keys share, and which: those of all, or of its pattern."""
        everybody, alike = self._all.shocks, known.pool.shocks
        if not self._doubted:  # with lifetimes alone, nothing could be done about it
            return 0.0, everybody
        shared = everybody.observe(fetched, now, expected, changed=changed)
        if known.pool is self._all or (changed and shared > 0.5):
            return shared, everybody
        likely = alike.observe(fetched, now, expected, changed=changed)
        return (likely, alike) if likely > shared else (shared, everybody)

    def _danger(self, known: _Key, since: float, span: float) -> float:
        """The changes expected within ``span`` after a fetch at ``since``."""
        changes = self._changes(known) or 1.0 / max(span, 1e-9)
        if known.changed_at is None:
            return changes * span * self._ageless[0] / self._ageless[1]
        return self._hazard.expected(max(since - known.changed_at, 0.0) * changes, span * changes)

    def _count(self, known: _Key, span: float, since: float, *, changed: float) -> None:
        """No change for ``span`` after a fetch at ``since``; then ``changed``, as likely as that, 0..1."""
        changes = self._changes(known)
        if changes is not None:
            if known.changed_at is None:
                self._ageless[0] += changed
                self._ageless[1] += span * changes
            else:
                age = max(since - known.changed_at, 0.0) * changes
                self._hazard.observe(age, span * changes, changed=changed)
        known.changes(changed, span)
        if known.pool is not self._all:
            self._all.events += changed
            self._all.exposure += span


def _mean_position(expected: float) -> float:
    """Where in an interval its first change is, 0..½, if ``expected`` changes were due in it."""
    if expected < 0.01:
        return 0.5
    rest = 1 / math.expm1(expected) if expected < 50 else 0.0
    return max(1 / expected - rest, 0.02)
