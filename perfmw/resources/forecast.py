"""Forecasts of a series with seasons, such as a site's request rate: simple methods, weighed by their errors.

The methods are those that hold on web traffic: persistence, the same time a season ago, the profile of the
season, and each corrected by how far the level is off, with the share of that error that lasts learnt by
recursive least squares; and medians, which err less than means where bursts come and go. None is best on
every series, and which is best is known only afterwards; weighing by recent errors stays near the best.

All of them look at square roots: the spread of a count grows with the root of its mean (Poisson), that of its
root does not (Bartlett, 1936), so errors of a busy hour and of a quiet one teach equally, and bursts less.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from math import ceil, copysign, exp, isfinite, nan, sqrt
from math import pow as math_pow
from typing import Final, NamedTuple

from perfmw.resources.seasons import Seasons

MAX_HORIZONS: Final = 8
_HISTORY: Final = 3000
_ERRORS: Final = 300
_SHARPNESS: Final = 6
"""The power of the inverse error that a method is weighed by."""
_CHOOSY: Final = 40
"""The same of mixtures of them and the naive forecasts, by their errors over days: where one is best, it is
taken nearly alone.
"""
_DAYS: Final = 1.0
_BURST: Final = 4.0
"""Times the least error of them; a burst that nobody foresees says nothing about who foresees better."""
_MEDIANS, _MIXTURES = 4, 3
_LASTING: Final = 0.7
_WILD: Final = 3.0
_FACTORS: Final = 5
_LATELY: Final = (1.0 / 12.0, 1.0 / 8.0)
"""Of a season, how long medians look back: two and three hours of a day."""
_USUALLY: Final = 7
_LEAN: Final = 0.005
_MOST_LEAN: Final = 0.5
_PENDING: Final = 1000
_LATE: Final = 900.0


class _LeastSquares:
    """Recursive least squares with forgetting, from no knowledge towards zero weights."""

    _FORGET = 0.999
    _MOST = 50.0

    def __init__(self, size: int) -> None:
        self._weights = [0.0] * size
        self._spread = [[0.5 if row == column else 0.0 for column in range(size)] for row in range(size)]

    def predict(self, factors: Sequence[float]) -> float:
        return sum([weight * factor for weight, factor in zip(self._weights, factors, strict=True)])

    def update(self, factors: Sequence[float], error: float) -> None:
        """Learn from how far ``predict(factors)`` was off."""
        spread, size = self._spread, len(factors)
        moved = [sum([row[column] * factors[column] for column in range(size)]) for row in spread]
        whole = self._FORGET + sum([factor * move for factor, move in zip(factors, moved, strict=True)])
        gains = [move / whole for move in moved]
        self._weights = [weight + gain * error for weight, gain in zip(self._weights, gains, strict=True)]
        for row in range(size):
            for column in range(size):
                spread[row][column] = (spread[row][column] - gains[row] * moved[column]) / self._FORGET
        self._bound(size)

    def _bound(self, size: int) -> None:
        """Forgetting without news would make the next news count without bound."""
        trace = sum([self._spread[index][index] for index in range(size)])
        if trace > self._MOST * size:
            self._spread = [[one * self._MOST * size / trace for one in row] for row in self._spread]


class _Pending(NamedTuple):
    due: float
    factors: list[float]
    profile: float
    scale: float
    methods: list[float]
    told: float


class _Horizon:
    """The methods for one horizon, and what their errors have been."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._learner = _LeastSquares(_FACTORS)
        self._pending: deque[_Pending] = deque()
        self._errors: list[float] | None = None
        self._lasting_errors: list[float] = []
        """Of the candidates, over days: what is better by little shows in the long run alone."""
        self._settled = 0
        self._methods: list[float] = []
        self._lean = 0.0
        """The logarithm of what turns the mean that is expected into a median."""
        self.misses: deque[float] = deque(maxlen=_ERRORS)
        """What was told minus what came, in the latest forecasts that came due."""

    def step(self, seasons: Seasons) -> None:
        """After each value: settle what came due, and make the next forecast."""
        now = seasons.now or 0.0
        while self._pending and self._pending[0].due <= now:
            pending = self._pending.popleft()
            if now - pending.due <= max(_LATE, seasons.gap):
                self._settle(pending, seasons)
        factors, profile = self._factors(seasons, now)
        learnt = profile + seasons.scale * self._learner.predict(factors)
        self._methods = self._all_methods(seasons, now, profile, learnt)
        self._methods += self._mixtures(self._methods)
        if not self._pending or now + self._seconds - self._pending[-1].due >= self._seconds / _PENDING:
            due, told = now + self._seconds, self.forecast()
            self._pending.append(_Pending(due, factors, profile, seasons.scale, self._methods, told))

    def forecast(self) -> float:
        """The best of the mixtures and the naive forecasts, nearly; before any error is known, the level."""
        if self._errors is None:
            return self._methods[1]
        return _weighed(_candidates(self._methods), self._lasting_errors, _CHOOSY)

    def _mixtures(self, methods: list[float]) -> list[float]:
        """All methods but the medians, weighed by their errors; with these; and leaning as was best."""
        if self._errors is None:
            return [methods[1]] * _MIXTURES
        errors, plain = self._errors, len(methods) - _MEDIANS
        whole = _weighed(methods, errors[: len(methods)], _SHARPNESS)
        return [_weighed(methods[:plain], errors[:plain], _SHARPNESS), whole, whole * exp(self._lean)]

    def _settle(self, pending: _Pending, seasons: Seasons) -> None:
        value, scale = seasons.last, pending.scale
        error = (value - pending.profile) / scale - self._learner.predict(pending.factors)
        if self._errors is not None:
            wild = _WILD * self._errors[5]  # a burst teaches nothing about what lasts
            error = max(-wild, min(wild, error))
        self._learner.update(pending.factors, error)
        typical = pending.methods[-1]
        self._lean += _LEAN * ((value > typical) - (value < typical))
        self._lean = max(-_MOST_LEAN, min(_MOST_LEAN, self._lean))
        self.misses.append(pending.told - value)
        self._settled += 1
        errors = [abs(method - value) / scale for method in pending.methods]
        share = max(1.0 / self._settled, min(0.2, seasons.gap / (0.5 * seasons.season)))
        old = self._errors or errors
        self._errors = [one + share * (new - one) for one, new in zip(old, errors, strict=True)]
        share = max(1.0 / self._settled, min(0.2, seasons.gap / (_DAYS * seasons.season)))
        old, errors = self._lasting_errors or _candidates(errors), _candidates(errors)
        most = max(_BURST * min(old), min(errors))
        self._lasting_errors = [
            one + share * (min(new, most) - one) for one, new in zip(old, errors, strict=True)
        ]

    def _factors(self, seasons: Seasons, now: float) -> tuple[list[float], float]:
        due = now + self._seconds
        usual = seasons.profile(due)
        profile = seasons.last if usual is None else usual
        before, week = seasons.around(self._ago(seasons, due)), seasons.around(due - 7.0 * seasons.season)
        off = [level.off() * profile for level in (seasons.fast, seasons.slow, seasons.long)]
        past = [one - profile if one is not None else 0.0 for one in (before, week)]
        return [one / seasons.scale for one in (*off, *past)], profile

    def _all_methods(self, seasons: Seasons, now: float, profile: float, learnt: float) -> list[float]:
        due, level = now + self._seconds, seasons.fast.value
        season_ago = seasons.nearest(self._ago(seasons, due))
        before, then = seasons.around(self._ago(seasons, due)), seasons.around(now - seasons.season)
        shifted = before + _LASTING * (level - then) if before is not None and then is not None else level
        week, week_then = (seasons.around(at - 7.0 * seasons.season) for at in (due, now))
        by_week = learnt
        if week is not None and week_then:
            by_week = week * (1.0 + _LASTING * max(-0.9, min(3.0, level / week_then - 1.0)))
        return [
            seasons.last,
            level,
            seasons.last if season_ago is None else season_ago,
            profile,
            profile * (1.0 + seasons.fast.off()),
            learnt,
            shifted,
            profile if week is None else week,
            by_week,
            (learnt + level + shifted) / 3.0,
            *self._medians(seasons, due, profile),
        ]

    @staticmethod
    def _medians(seasons: Seasons, due: float, profile: float) -> list[float]:
        """Lately; lately, as the profile goes on; and at this time of the season."""
        lately = [seasons.median(share) for share in _LATELY]
        usual_now = seasons.fast.of_profile
        going_on = max(0.1, min(4.0, profile / usual_now)) if usual_now else 1.0
        usual = seasons.usual(due, _USUALLY)
        return [*lately, lately[-1] * going_on, profile if usual is None else usual]

    @staticmethod
    def _ago(seasons: Seasons, due: float) -> float:
        """The latest time a whole number of seasons before ``due`` that is past."""
        return due - seasons.season * max(1, ceil((due - (seasons.now or 0.0)) / seasons.season))


def _candidates(all_methods: list[float]) -> list[float]:
    """The naive forecasts, as now and as a season ago, and the mixtures."""
    return [all_methods[0], all_methods[2], *all_methods[-_MIXTURES:]]


def _weighed(values: Sequence[float], errors: Sequence[float], sharpness: float) -> float:
    least = min(errors) + 1e-12
    weights = [math_pow(least / (error + 1e-12), sharpness) for error in errors]
    whole: float = sum([weight * value for weight, value in zip(weights, values, strict=True)])
    return whole / sum(weights)


class Forecaster:
    """Forecasts one series, learning from each value as it comes. Bounded memory, about 0.1 ms a value.

    Pure: time is an argument. Made for values a minute or more apart, such as a rate a minute. A horizon is
    learnt from when it is first asked for, beginning with the last 3,000 values; at most 8 are kept.

    :param season: seconds after which the series resembles itself; weeks are learnt as seven of them.
    :raises ValueError: a season that is not positive.
    """

    def __init__(self, season: float = 86400.0) -> None:
        if not (season > 0.0 and isfinite(season)):
            raise ValueError(f"season must be a positive number of seconds, not {season!r}")
        self._seasons = Seasons(season)
        self._horizons: OrderedDict[float, _Horizon] = OrderedDict()
        self._history: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        self._lowest = 0.0

    def update(self, timestamp: float, value: float) -> None:
        """Take in a value. One that is not finite, or not later than the one before, is left out.

        :param timestamp: unix seconds.
        """
        now = self._seasons.now
        if not (isfinite(value) and isfinite(timestamp)) or (now is not None and timestamp <= now):
            return
        root = copysign(sqrt(abs(value)), value)
        self._lowest = min(self._lowest, root)
        self._history.append((timestamp, root))
        self._seasons.update(timestamp, root)
        for horizon in self._horizons.values():
            horizon.step(self._seasons)

    def forecast(self, horizon_seconds: float) -> float:
        """The value expected so many seconds after the last one; nan before there is any.

        Never below 0 for a series that never was.

        :raises ValueError: a horizon that is not positive.
        """
        if self._seasons.now is None:
            return nan
        return self._value(self._horizon(horizon_seconds).forecast())

    def _value(self, root: float) -> float:
        """What has that root, as far as the series ever went down."""
        root = max(self._lowest, root)
        return root * abs(root)

    def interval(self, horizon_seconds: float, coverage: float = 0.9) -> tuple[float, float]:
        """Where the value will be, with a probability of ``coverage``, judging by the latest errors.

        :return: lowest and highest; nan for both before 10 forecasts for this horizon came due.
        :raises ValueError: a horizon that is not positive, or a coverage outside of (0, 1).
        """
        if not 0.0 < coverage < 1.0:
            raise ValueError(f"coverage must be between 0 and 1, not {coverage!r}")
        horizon = self._horizon(horizon_seconds)
        misses = sorted(horizon.misses)
        if len(misses) < 10:
            return nan, nan
        expected = horizon.forecast()
        beyond = (1.0 - coverage) / 2.0
        low, high = (misses[int(share * (len(misses) - 1))] for share in (beyond, 1.0 - beyond))
        return self._value(expected - high), self._value(expected - low)

    def _horizon(self, seconds: float) -> _Horizon:
        if not (seconds > 0.0 and isfinite(seconds)):
            raise ValueError(f"horizon_seconds must be a positive number of seconds, not {seconds!r}")
        horizon = self._horizons.get(seconds)
        if horizon is None:
            horizon = self._horizons[seconds] = self._learnt(seconds)
            if len(self._horizons) > MAX_HORIZONS:
                self._horizons.popitem(last=False)
        self._horizons.move_to_end(seconds)
        return horizon

    def _learnt(self, seconds: float) -> _Horizon:
        """A horizon that has gone through the history as if it had been asked for from the start."""
        horizon, seasons = _Horizon(seconds), Seasons(self._seasons.season)
        for at, value in self._history:
            seasons.update(at, value)
            horizon.step(seasons)
        return horizon
