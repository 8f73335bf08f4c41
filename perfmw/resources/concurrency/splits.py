"""How the places under a limit are split where there are not enough: by weight, by reserve, or fairly. Pure.

The limiter's own way is by priority: a higher class is never refused while a lower one is let in. These are
others, which promise each class or each user something instead.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

_LATELY: Final = 1.0
"""Seconds for which the share of a class, or of a user, is kept for it after one of it came."""
_SHARED_OUT_FOR: Final = 0.01
_MOST_HUNGRY: Final = 1000


class Split(Protocol):
    """Who may have the next place. ``entered`` and ``left`` are called once for each that is let in."""

    def fits(self, now: float, limit: int, priority: int, who: str) -> bool: ...

    def entered(self, priority: int, who: str) -> None: ...

    def left(self, priority: int, who: str) -> None: ...


class _ByClass:
    """Counts what is under way of each class. ``shares`` are by class, the lowest first."""

    def __init__(self, shares: Sequence[float]) -> None:
        if any(share < 0.0 for share in shares) or not sum(shares) > 0.0:
            raise ValueError("shares are 0 or more, and not all of them 0")
        self._shares = list(shares)
        self._under_way = [0] * len(shares)

    def entered(self, priority: int, who: str) -> None:
        self._under_way[priority] += 1

    def left(self, priority: int, who: str) -> None:
        self._under_way[priority] -= 1


class Weighted(_ByClass):
    """Each class gets places in proportion to its weight; what it does not ask for is lent to the others.

    Weights are relative: 1, 3 and 6 give tenths. A class that nobody of came for a second asks for nothing.

    :raises ValueError: a weight below 0, or all 0.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights)
        self._came = [-inf] * len(weights)

    def fits(self, now: float, limit: int, priority: int, who: str) -> bool:
        self._came[priority] = now
        under_way = self._under_way
        asking = [
            share if now - came < _LATELY else 0.0
            for share, came in zip(self._shares, self._came, strict=True)
        ]
        place = limit / (sum(asking) or 1.0)
        if under_way[priority] < max(1.0, asking[priority] * place) and sum(under_way) < limit + 1:
            return True
        kept = sum(
            max(0.0, share * place - used)
            for other, (share, used) in enumerate(zip(asking, under_way, strict=True))
            if other != priority
        )
        return sum(under_way) + kept <= limit - 1


class Reserved(_ByClass):
    """So much of the limit is for each class alone, used or not; what is left is for all.

    :param shares: of the limit, 0..1, at most 1 together.
    :raises ValueError: shares that are not.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        super().__init__(shares)
        if sum(shares) > 1.0 + 1e-9:
            raise ValueError("what is reserved is at most the whole")

    def fits(self, now: float, limit: int, priority: int, who: str) -> bool:
        own = [share * limit for share in self._shares]
        if self._under_way[priority] + 1 <= own[priority]:
            return True
        shared = limit - sum(own)
        beyond = sum(max(0.0, used - its) for used, its in zip(self._under_way, own, strict=True))
        return beyond + 1 <= shared + 1e-9


class Fair:
    """Max-min fair among users: nobody has more than another who wants more, and no place stays empty that
    somebody asks for.

    Who was refused within the last second wants one more than it had; all others have what they asked for.
    What the small ones leave is shared out among the large. A place is kept free only for one who wants it
    and has less than that share. Who has nothing yet comes in somewhat beyond the limit (a tenth), or one who
    takes whatever is free would leave nothing for those who ask seldom. After Bertsekas and Gallager, Data
    Networks, section 6.5.2.

    The share is worked out anew every 10 ms at most. Bounded by the limit and 1,000 users who want more.
    """

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._count = 0
        self._hungry: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Who was refused: when, and how many it would have had; the latest last."""
        self._share = inf
        self._shared_out = -inf

    def fits(self, now: float, limit: int, priority: int, who: str) -> bool:
        mine = self._under_way.get(who, 0)
        if not self._hungry and self._count < limit:
            return True
        if now - self._shared_out >= _SHARED_OUT_FOR:
            self._share_out(now, limit)
        if self._count >= limit:
            fits = not mine and self._count < limit + max(1, limit // 10)
        else:
            fits = mine < self._share or not self._others_lack(who)
        if not fits:
            self._hungry[who] = now, mine + 1
            self._hungry.move_to_end(who)
            if len(self._hungry) > _MOST_HUNGRY:
                self._hungry.popitem(last=False)
        return fits

    def _others_lack(self, who: str) -> bool:
        """Whether another wants more and has less than its share."""
        under_way, share = self._under_way, self._share
        return any(
            one != who and (has := under_way.get(one, 0)) < wanted and has + 1 <= share
            for one, (_, wanted) in self._hungry.items()
        )

    def _share_out(self, now: float, limit: int) -> None:
        """What is left by those who want no more, in equal parts among those who do."""
        hungry = self._hungry
        while hungry and now - next(iter(hungry.values()))[0] >= _LATELY:
            hungry.popitem(last=False)
        wants = dict(self._under_way)
        for one, (_, wanted) in hungry.items():
            wants[one] = max(wanted, wants.get(one, 0))
        left, users = float(limit), len(wants)
        for want in sorted(wants.values()):
            if want * users > left:
                break
            left, users = left - want, users - 1
        self._share = max(1.0, left / users) if users else inf
        self._shared_out = now

    def entered(self, priority: int, who: str) -> None:
        self._under_way[who] += 1
        self._count += 1

    def left(self, priority: int, who: str) -> None:
        self._count -= 1
        self._under_way[who] -= 1
        if self._under_way[who] <= 0:
            del self._under_way[who]


def split_of(strategy: str, shares: Sequence[float]) -> Split | None:
    """By the name of a strategy; None for ``priority``, which the limiter does by itself.

    :raises ValueError: shares that the strategy does not take.
    """
    if strategy == "weighted":
        return Weighted(shares)
    if strategy == "reserve":
        return Reserved(shares)
    return Fair() if strategy == "fair" else None
