"""Visitors of the sample shop: real requests over real sockets, and an eye on every answer.

Most visitors are anonymous, some are signed in. Each looks at a page, thinks, and looks at the next, so a
faster shop is asked more. What they look at follows Zipf's law, as it does in shops.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from time import perf_counter

from perfmw.cli.replaying import cache_outcome, quantiles
from perfmw.cli.wire import WireClient, WireError, WireResponse

PRODUCTS = 5_000
CATEGORIES = (
    "lamps", "chairs", "tables", "shelves", "rugs", "curtains", "mirrors", "clocks", "vases", "candles",
    "cushions", "blankets", "frames", "baskets", "hooks", "bowls", "plates", "cups", "knives", "pans",
)  # fmt: skip
TERMS = (
    "oak",
    "steel",
    "linen",
    "glazed",
    "nordic",
    "rustic",
    "garden",
    "festive",
    "classic",
    "woven",
    "tall",
)
_ANONYMOUS = {
    "product": 40, "category": 26, "home": 13, "search": 10, "news": 5, "deals": 3, "about": 1, "welcome": 2,
}  # fmt: skip
_SIGNED_IN = {"product": 30, "category": 10, "account": 25, "cart": 25, "about": 10}
_UNSHARED = ("deals", "welcome")
"""What is another answer every second, or for every browser; all else without a cookie is cacheable."""
_SATISFIED, _TOLERATED = 0.5, 2.0
"""Seconds: the T and 4T of Apdex."""
_ARRIVE_SECONDS = 2.0


class Zipf:
    """Draws ranks 0 … n-1 with probability proportional to ``1 / (rank + 1) ** exponent``."""

    def __init__(self, n: int, exponent: float) -> None:
        self._sums = list(accumulate((rank + 1) ** -exponent for rank in range(n)))

    def draw(self, rng: random.Random) -> int:
        return bisect(self._sums, rng.random() * self._sums[-1])


@dataclass(slots=True)
class Tally:
    """What the visitors saw in one phase. ``seconds`` has each request's latency.

    ``cacheable`` counts the requests that a shared cache may answer, ``hits`` those it did answer, by kind of
    page; ``personal`` the requests of visitors who are signed in.
    """

    seconds: array[float] = field(default_factory=lambda: array("d"))
    outcomes: Counter[str] = field(default_factory=Counter)
    cacheable: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    personal: int = 0
    began: float = field(default_factory=perf_counter)
    elapsed: float = 0.0

    def end(self) -> Tally:
        self.elapsed = perf_counter() - self.began
        return self

    @property
    def requests(self) -> int:
        return len(self.seconds)

    @property
    def hit_rate(self) -> float | None:
        return self.outcomes["hit"] / self.requests if self.requests else None

    @property
    def cacheable_hit_rate(self) -> float | None:
        """Of the requests without cookies for pages that are the same for all, and for more than a moment."""
        return self.hits.total() / self.cacheable.total() if self.cacheable else None

    @property
    def apdex(self) -> float | None:
        """Of all requests; half a second satisfies (apdex.org)."""
        satisfied = sum(one <= _SATISFIED for one in self.seconds)
        tolerated = sum(one <= _TOLERATED for one in self.seconds)
        return (satisfied + tolerated) / 2 / self.requests if self.requests else None

    def latency(self, *wanted: float) -> list[float]:
        return quantiles(self.seconds, wanted)


@dataclass(slots=True)
class Watch:
    """What must not happen, counted over the whole run, with the first examples."""

    leaks: int = 0
    errors: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(what)

    @property
    def clean(self) -> bool:
        return not (self.leaks or self.errors)


Answered = Callable[[str, str | None, WireResponse, float, float], None]
"""(target, user, response, sent, received) of every answer; unix seconds."""


def _nobody(*_seen: object) -> None:
    """Nobody looks at the answers."""


class Shoppers:
    """The visitors, until ``stop``. Assign ``tally`` to begin a new phase.

    :param anonymous: how many visitors without cookies.
    :param signed_in: how many with them; each is somebody else.
    :param think: mean seconds between an answer and the next request of a visitor.
    :param arrive: seconds within which they all come.
    :param answered: is told of every answer.
    """

    def __init__(
        self,
        client: WireClient,
        *,
        anonymous: int = 30,
        signed_in: int = 3,
        think: float = 0.18,
        arrive: float = _ARRIVE_SECONDS,
        seed: int = 1,
        answered: Answered = _nobody,
    ) -> None:
        self.tally = Tally()
        self.watch = Watch()
        self._client = client
        self._think, self._arrive = think, arrive
        self._answered = answered
        self._products = Zipf(PRODUCTS, 1.6)
        self._categories = Zipf(len(CATEGORIES), 0.6)
        self._terms = Zipf(len(TERMS), 0.8)
        names: list[str | None] = [*[None] * anonymous, *(f"user-{seed}-{n}" for n in range(signed_in))]
        self._tasks = [
            asyncio.create_task(self._visit(name, random.Random(f"{seed} {index}")))
            for index, name in enumerate(names)
        ]

    def new_phase(self) -> Tally:
        """Begin the next phase; the tally of the one that ends."""
        ended, self.tally = self.tally.end(), Tally()
        return ended

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _visit(self, user: str | None, rng: random.Random) -> None:
        cookies = [(b"cookie", f"shop_user={user}".encode())] if user else []
        mix = _ANONYMOUS if user is None else _SIGNED_IN
        kinds, weights = list(mix), list(mix.values())
        await asyncio.sleep(rng.uniform(0, self._arrive))
        while True:
            kind = rng.choices(kinds, weights)[0]
            target, started, sent = self._target(kind, rng), perf_counter(), time.time()
            try:
                response = await self._client.get(target, cookies)
            except WireError as error:
                self.watch.errors += 1
                self.watch.note(f"{target}: {error}")
            else:
                self._count(kind, user, response, perf_counter() - started)
                self._inspect(target, user, response)
                self._answered(target, user, response, sent, time.time())
            await asyncio.sleep(rng.expovariate(1 / self._think))

    def _target(self, kind: str, rng: random.Random) -> str:
        if kind == "product":
            return f"/product/{self._products.draw(rng) * 1_237 % PRODUCTS + 1}"
        if kind == "category":
            return f"/category/{CATEGORIES[self._categories.draw(rng)]}"
        if kind == "search":
            return f"/search?q={TERMS[self._terms.draw(rng)]}"
        return "/" if kind == "home" else f"/{kind}"

    def _count(self, kind: str, user: str | None, response: WireResponse, seconds: float) -> None:
        tally, outcome = self.tally, cache_outcome(response)
        tally.seconds.append(seconds)
        tally.outcomes[outcome] += 1
        tally.personal += user is not None
        if user is None and kind not in _UNSHARED:
            tally.cacheable[kind] += 1
            tally.hits[kind] += outcome == "hit"

    def _inspect(self, target: str, user: str | None, response: WireResponse) -> None:
        """Every page says whom it greets: it must be who asked."""
        if response.status != 200:
            self.watch.errors += 1
            self.watch.note(f"{target} answered {response.status}")
            return
        own = b"" if user is None else f' data-user="{user}"'.encode()
        foreign = response.body.replace(own, b"") if own else response.body
        if (own and own not in response.body) or b"data-user=" in foreign:
            self.watch.leaks += 1
            self.watch.note(f"{target} for {user or 'nobody'} was made for somebody else")
