"""Visitors of the sample shop: real requests over real sockets, and an eye on every answer.

Most visitors are anonymous, some are signed in. Each looks at a page, thinks, and looks at the next, so a
faster shop is asked more. What they look at follows Zipf's law, as it does in shops.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
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
PERSONAL = ("account", "cart")
"""Kinds of page that only somebody signed in sees."""

_ANONYMOUS = {"product": 46, "category": 30, "search": 6, "home": 6, "about": 4, "news": 5, "welcome": 3}
_SIGNED_IN = {"product": 30, "category": 10, "account": 25, "cart": 25, "about": 10}


class Zipf:
    """Draws ranks 0 … n-1 with probability proportional to ``1 / (rank + 1) ** exponent``."""

    def __init__(self, n: int, exponent: float) -> None:
        self._sums = list(accumulate((rank + 1) ** -exponent for rank in range(n)))

    def draw(self, rng: random.Random) -> int:
        return bisect(self._sums, rng.random() * self._sums[-1])


@dataclass(slots=True)
class Tally:
    """What the visitors saw in one phase. ``seconds`` has each request's latency."""

    seconds: array[float] = field(default_factory=lambda: array("d"))
    outcomes: Counter[str] = field(default_factory=Counter)
    anonymous: int = 0
    anonymous_hits: int = 0
    personal_checked: int = 0
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
    def anonymous_hit_rate(self) -> float | None:
        """Of the requests without cookies to public pages: those a shared cache may answer."""
        return self.anonymous_hits / self.anonymous if self.anonymous else None

    def latency(self, *wanted: float) -> list[float]:
        return quantiles(self.seconds, wanted)


@dataclass(slots=True)
class Watch:
    """What must not happen, counted over the whole run, with the first examples."""

    leaks: int = 0
    wrong: int = 0
    errors: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(what)

    @property
    def clean(self) -> bool:
        return not (self.leaks or self.wrong or self.errors)


@dataclass(frozen=True, slots=True)
class Visit:
    """A page to ask for, and the marks that its answer must carry."""

    kind: str
    target: str
    marks: Sequence[bytes]


class Shoppers:
    """The visitors, until ``stop``. Assign ``tally`` to begin a new phase.

    :param anonymous: how many visitors without cookies.
    :param signed_in: how many with them; each is somebody else.
    :param think: mean seconds between an answer and the next request of a visitor.
    """

    def __init__(
        self,
        client: WireClient,
        *,
        anonymous: int = 16,
        signed_in: int = 3,
        think: float = 0.18,
        seed: int = 1,
    ) -> None:
        self.tally = Tally()
        self.watch = Watch()
        self._client = client
        self._think = think
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
        while True:
            visit = self._choose(rng.choices(kinds, weights)[0], rng)
            started = perf_counter()
            try:
                response = await self._client.get(visit.target, cookies)
            except WireError as error:
                self.watch.errors += 1
                self.watch.note(f"{visit.target}: {error}")
            else:
                self._note(visit, user, response, perf_counter() - started)
            await asyncio.sleep(rng.expovariate(1 / self._think))

    def _choose(self, kind: str, rng: random.Random) -> Visit:
        makers: dict[str, Callable[[], str]] = {
            "product": lambda: str(self._products.draw(rng) * 1_237 % PRODUCTS + 1),
            "category": lambda: CATEGORIES[self._categories.draw(rng)],
            "search": lambda: TERMS[self._terms.draw(rng)],
        }
        if kind in makers:
            what = makers[kind]()
            target = f"/search?q={what}" if kind == "search" else f"/{kind}/{what}"
            return Visit(kind, target, [f'data-{kind}="{what}"'.encode()])
        return Visit(kind, "/" if kind == "home" else f"/{kind}", [f'data-page="{kind}"'.encode()])

    def _note(self, visit: Visit, user: str | None, response: WireResponse, seconds: float) -> None:
        tally, outcome = self.tally, cache_outcome(response)
        tally.seconds.append(seconds)
        tally.outcomes[outcome] += 1
        if user is None and visit.kind != "welcome":
            tally.anonymous += 1
            tally.anonymous_hits += outcome == "hit"
        tally.personal_checked += user is not None
        self._inspect(visit, user, response)

    def _inspect(self, visit: Visit, user: str | None, response: WireResponse) -> None:
        """Every answer says what it is about and whom it greets; both must be what was asked."""
        if response.status != 200:
            self.watch.errors += 1
            self.watch.note(f"{visit.target} answered {response.status}")
            return
        body = response.body
        own = b"" if user is None else f' data-user="{user}"'.encode()
        foreign = body.replace(own, b"") if own else body
        if (own and own not in body) or b"data-user=" in foreign:
            self.watch.leaks += 1
            self.watch.note(f"{visit.target} for {user or 'nobody'} was made for somebody else")
        elif not all(mark in body for mark in visit.marks):
            self.watch.wrong += 1
            self.watch.note(f"{visit.target} got another page")
