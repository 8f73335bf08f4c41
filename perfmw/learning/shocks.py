"""Many values that change at one moment, as by a deploy or an import: seen in few, suspected of all."""

from __future__ import annotations

import math

_LEAST_ODDS, _MOST_ODDS, _SURE = -6.0, 6.0, 2.0
_COMMON, _SINGLE = 0.3, 3.0
_WITH, _WITHOUT = 4.0, 1.0
_MEMORY, _CREDIT = 100.0, 2.0
_TRUSTED, _UNANIMOUS = 0.7, 0.9
"""From this share on, one key that was not changed vouches for all."""


class Shocks:
    """The changes that a family of keys has in common, from what the refreshes of single keys find.

    The first change that is found could be one that all share. Each further refresh of a key that was
    fetched before it makes that likelier or not (a sequential likelihood ratio test); how likely it is to
    begin with, and how many of the keys take part, is learned from what became of those before.
    """

    __slots__ = (
        "_again",
        "_common",
        "_proved",
        "_right",
        "_seen",
        "_single",
        "_steady",
        "_suspected",
        "_with",
        "_without",
        "at",
        "checked",
        "found",
        "odds",
        "since",
    )

    def __init__(self) -> None:
        self._common, self._single = _COMMON, _SINGLE
        self._with, self._without = _WITH, _WITHOUT
        self._again, self._steady = 0.0, 5.0
        self._suspected = self._proved = 0.0
        self._right = 1.0
        self.since = self.at = self._seen = -math.inf
        """Between these the last one happened, if it did."""
        self.odds = _LEAST_ODDS
        """Logarithm of how much likelier it did than not."""
        self.checked = -math.inf
        """Until when it is known of all shocks, if there were any, by a key that was asked for again."""
        self.found = 0.0
        """Shocks that were seen."""

    @property
    def part(self) -> float:
        """The share of keys that take part, 0..1."""
        return self._with / (self._with + self._without)

    def risk(self, fetched: float) -> float:
        """How likely a value fetched then was changed by the last shock, 0..1."""
        if fetched >= self.at:
            return 0.0
        return self._right * self._covers(fetched) * self.part / (1.0 + math.exp(-self.odds))

    def observe(self, fetched: float, now: float, expected: float, *, changed: bool) -> float:
        """A value fetched then was changed or not by now; alone ``expected`` changes were due.

        Returns how likely its change was one that others share, 0..1.
        """
        covered = self._covers(fetched) if fetched < self.at else 0.0
        if covered:
            self._compare(self.risk(fetched), expected, changed=changed)
        else:
            self._apart(changed=changed)
        if not changed:
            self._spared(fetched, covered)
            if fetched <= self.checked:
                self.checked = now
            return 0.0
        explained = self._struck(fetched, covered, expected) if covered else 0.0
        if not covered or self.odds <= self._prior:
            self._open(fetched, now)
        return explained * self._trust()

    def _compare(self, risk: float, expected: float, *, changed: bool) -> None:
        """What was suspected, and what was found beyond the changes that were due anyway."""
        self._suspected += risk
        self._proved += changed + (1.0 - risk) * math.expm1(-expected)
        if self._suspected > _MEMORY / 5:
            self._suspected /= 2
            self._proved /= 2
        self._right = min(max((self._proved + _CREDIT) / (self._suspected + _CREDIT), 0.05), 1.0)

    def _apart(self, *, changed: bool) -> None:
        """What the last shock can not have changed was changed, or not."""
        self._again += changed
        self._steady += not changed
        if self._again + self._steady > _MEMORY / 5:
            self._again /= 2
            self._steady /= 2

    @property
    def _restless(self) -> float:
        """Of the refreshes that the last shock says nothing of, the share that found a change."""
        return self._again / (self._again + self._steady)

    def _trust(self) -> float:
        """0 where whatever was just fetched is soon changed again: each value by itself then, and often."""
        return min(max((0.3 - self._restless) / 0.15, (self.part - _UNANIMOUS) / 0.08, 0.0), 1.0)

    def is_due(self, fetched: float, now: float, danger: float, elapsed: float) -> bool:
        """Whether a value fetched then is to be asked for, since nobody was for long and shocks do happen.

        That is √(2/(danger·shocks)), as for a single key's lifetime, where the reads are those of all.

        :param danger: reads a second times what a stale one costs, in misses.
        :param elapsed: seconds in which the shocks were found.
        """
        silent = now - self.checked
        if self.found <= 1.0 or fetched > self.checked:
            return False
        return silent * silent * danger * self.found * self.part * self._right > 2.0 * elapsed

    def stale_part(self, fetched: float, alone: float) -> float:
        """Of the reads from a fetch to when the last shock was found, the share after it.

        At least ``alone`` where some keys were spared, and others changed since: what looks shared may
        then be many by themselves.
        """
        if fetched >= self.at:
            return alone
        middle = (max(self.since, fetched) + self.at) / 2
        part = (self._seen - middle) / (self._seen - fetched)
        return part if self.part >= _UNANIMOUS or self._restless < 0.1 else max(part, alone)

    @property
    def _prior(self) -> float:
        """The odds of a change that nothing else is known of."""
        return max(math.log(self._common / self._single), _LEAST_ODDS)

    def _covers(self, fetched: float) -> float:
        """How likely the last shock, if there was one, was after the fetch."""
        if fetched <= self.since:
            return 1.0
        return (self.at - fetched) / (self.at - self.since)

    def _spared(self, fetched: float, covered: float) -> None:
        if not covered:
            return
        sure = 1.0 / (1.0 + math.exp(-self.odds))
        self.odds = max(self.odds + math.log1p(-min(self.part * covered, 0.98)), _LEAST_ODDS)
        if self.odds > 0.0:
            self._without += covered * sure
            self._fade()
        if self.part > _TRUSTED and fetched > self.since:
            self.at = fetched  # it was before that, then

    def _struck(self, fetched: float, covered: float, expected: float) -> float:
        alone = max(-math.expm1(-expected), 1e-4)
        part = self.part * covered
        by_shock = part / (part + (1.0 - part) * alone)
        before = self.odds
        self.odds = min(before + math.log((part + (1.0 - part) * alone) / alone), _MOST_ODDS)
        sure = 1.0 / (1.0 + math.exp(-self.odds))
        if before < _SURE <= self.odds:
            self.found += 1.0
            self._common += 1.0
        if self.odds > 0.0:
            self._with += by_shock * sure
            self._without += (1.0 - by_shock) * sure
            self._fade()
            self.since = max(self.since, min(fetched, self.at))
        return sure * by_shock

    def _open(self, fetched: float, now: float) -> None:
        if self.odds < _SURE:
            self._single += 1.0
        if self._single + self._common > _MEMORY:
            self._single = (self._single + _SINGLE) / 2
            self._common = (self._common + _COMMON) / 2
        trusted = self.part > _TRUSTED
        self.since = max(fetched, self.checked) if trusted else fetched
        self.at = self._seen = self.checked = now
        self.odds = self._prior

    def _fade(self) -> None:
        if self._with + self._without > _MEMORY:
            self._with /= 2
            self._without /= 2
