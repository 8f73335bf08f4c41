"""Work of kinds that no default was chosen with: traces, access logs and histories of changes, by a seed."""

from __future__ import annotations

import gzip
import itertools
import math
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from perfmw.learning.rehearsal import Request

Changes = dict[str, list[float]]
DAY = 86_400.0


def _zipf(chance: random.Random, keys: int, exponent: float, count: int) -> list[int]:
    sums = list(itertools.accumulate(1 / (rank + 1) ** exponent for rank in range(keys)))
    return chance.choices(range(keys), cum_weights=sums, k=count)


def drifting(chance: random.Random, count: int) -> Iterator[str]:
    """What is hot moves on by an eighth of the keys, eight times."""
    for number, rank in enumerate(_zipf(chance, 8_000, 0.9, count)):
        yield f"item {(rank + 1_000 * (8 * number // count)) % 8_000}"


def scanned(chance: random.Random, count: int) -> Iterator[str]:
    """Zipf, with reads of 2,000 keys in a row that nobody asks for again."""
    scan = itertools.count()
    for number, rank in enumerate(_zipf(chance, 6_000, 1.0, count)):
        yield f"once {next(scan)}" if number % 8_000 > 6_000 else f"item {rank}"


def looping(chance: random.Random, count: int) -> Iterator[str]:
    """A loop over 2,500 keys beside Zipf, in turns of some length."""
    loop, in_loop = itertools.cycle(range(2_500)), False
    for rank in _zipf(chance, 4_000, 0.8, count):
        in_loop ^= chance.random() < 0.002
        yield f"row {next(loop)}" if in_loop else f"item {rank}"


def day_and_night(chance: random.Random, count: int) -> Iterator[str]:
    """Two populations take turns, with keys of their own and some in common."""
    day, night = _zipf(chance, 5_000, 1.0, count), _zipf(chance, 12_000, 0.7, count)
    for number, (one, other) in enumerate(zip(day, night, strict=True)):
        lit = math.sin(2 * math.pi * number / (count / 5)) > chance.uniform(-0.3, 0.3)
        yield f"item {one}" if lit or other < 200 else f"batch {other}"


def recent(chance: random.Random, count: int) -> Iterator[str]:
    """What was read lately is read again: news, sessions."""
    seen: list[int] = []
    for number in range(count):
        back = int(chance.paretovariate(0.6))
        key = seen[-back] if back <= len(seen) and chance.random() < 0.85 else number
        seen.append(key)
        yield f"story {key}"


def flat(chance: random.Random, count: int) -> Iterator[str]:
    """Hardly any difference between 30,000 keys."""
    return (f"item {rank}" for rank in _zipf(chance, 30_000, 0.5, count))


MADE: dict[str, Callable[[random.Random, int], Iterator[str]]] = {
    one.__name__: one for one in (drifting, scanned, looping, day_and_night, recent, flat)
}


def traces(seed: int, count: int = 60_000) -> dict[str, list[str]]:
    """Made ones and, where PERFMW_DATA has some, recorded ones cut into blocks and drawn anew."""
    found = {name: list(make(random.Random(f"{name} {seed}"), count)) for name, make in MADE.items()}
    folder = os.environ.get("PERFMW_DATA")
    for path in sorted((Path(folder) / "traces").glob("*.txt.gz")) if folder else []:
        name = path.name.split(".")[0]
        with gzip.open(path, "rt") as lines:
            keys = [line.split()[0] for line in lines if line.strip()]
        found[f"{name} redrawn"] = redrawn(keys, random.Random(f"{name} {seed}"), count)
    return found


def redrawn(keys: list[str], chance: random.Random, count: int, block: int = 5_000) -> list[str]:
    """Blocks of a trace that chance draws, in order, none twice; of a half of its keys (by their hashes).

    A stretch that is read twice would be one that whoever holds it hits at once, and never again: 30% to 50%
    of a trace were such when blocks could overlap, which is nothing that was recorded.
    """
    salt = chance.random()
    half = {key for key in set(keys) if random.Random(f"{salt} {key}").random() < 0.5}
    kept = [key for key in keys if key in half]
    if len(kept) < count + block:
        return kept[:count]
    grid = range(chance.randrange(block), len(kept) - block + 1, block)
    starts = sorted(chance.sample(grid, min(count // block, len(grid))))
    return [key for start in starts for key in kept[start : start + block]]


# ---- access logs


def site(seed: int, visits: int = 2_500) -> list[Request]:
    """Visitors walk over linked pages, with what is embedded in them, by day more than by night; and bots.

    Browsers keep what they have: what is embedded is asked for by each visitor once.
    """
    chance = random.Random(f"site {seed}")
    pages = chance.randrange(150, 400)
    links = [
        [int(pages * chance.random() ** 2.5) for _ in range(chance.randrange(2, 9))] for _ in range(pages)
    ]
    shared = [f"/static/{name}" for name in ("site.css", "site.js", "logo.png")]
    own = [
        [f"/img/{page}-{n}.jpg" for n in range(chance.choice((0, 0, 1, 1, 2, 4)))] for page in range(pages)
    ]
    size: dict[str, int] = {}
    found: list[Request] = []

    def ask(who: str, url: str, now: float) -> None:
        found.append((who, url, now, size.setdefault(url, int(chance.lognormvariate(8.5, 1.2)))))

    for visit in range(visits):
        who, kept = f"visitor {int(visits * chance.random() ** 1.5)}", set[str]()
        now = DAY * (visit * 3 / visits) + 0.25 * DAY * math.sin(visit * 6 * math.pi / visits)
        now += chance.uniform(0, 900)
        page = int(pages * chance.random() ** 3)
        while chance.random() < 0.78:
            ask(who, f"/page/{page}", now)
            for part in (*shared, *own[page]):
                if part not in kept:
                    kept.add(part)
                    ask(who, part, now + chance.uniform(0.05, 1.5))
            now += chance.lognormvariate(3.3, 1.0)
            page = chance.choice(links[page]) if chance.random() < 0.8 else int(pages * chance.random() ** 3)
    for bot in range(3):
        now = chance.uniform(0, 2 * DAY)
        for page in chance.sample(range(pages), pages):
            now += chance.uniform(5, 40)
            ask(f"bot {bot}", f"/page/{page}", now)
    return sorted(found, key=lambda one: one[2])


def some_clients(requests: list[Request], seed: int, share: float = 0.6) -> list[Request]:
    """The requests of so many of a log's clients, drawn by chance."""
    clients = sorted({one[0] for one in requests})
    drawn = set(random.Random(f"clients {seed}").sample(clients, int(len(clients) * share)))
    return [one for one in requests if one[0] in drawn]


# ---- histories of changes


def _times(chance: random.Random, gap: Callable[[], float], end: float) -> list[float]:
    found, now = [0.0], gap() * chance.random()
    while now < end:
        found.append(now)
        now += gap() + 1.0
    return found


def _pareto(chance: random.Random, rate: float) -> float:
    return 0.35 / rate * chance.paretovariate(1.3)


def _alone(chance: random.Random, rate: float, end: float) -> list[float]:
    return _times(chance, partial(chance.expovariate, rate), end)


def histories(seed: int, keys: int = 250, end: float = 365 * DAY) -> dict[str, Changes]:
    """Heavy tails; a nightly batch beside edits in working hours; releases of sections; all at random."""
    chance = random.Random(f"changes {seed}")

    def rates() -> list[float]:
        return [math.exp(chance.gauss(0, 1.5)) * 30 / end for _ in range(keys)]

    heavy = {
        f"/doc/{n}": _times(chance, partial(_pareto, chance, rate), end) for n, rate in enumerate(rates())
    }
    hours = {
        f"/news/{n}": [at for at in _alone(chance, 3 * rate, end) if at % DAY < DAY / 3]
        for n, rate in enumerate(rates())
    }
    nightly = [day * DAY + 0.1 * DAY for day in range(int(end / DAY))]
    prices = {
        f"/price/{n}": sorted({0.0, *(at for at in nightly if chance.random() < 0.1)}) for n in range(keys)
    }
    releases = [sorted(chance.uniform(0, end) for _ in range(25)) for _ in range(6)]
    sections = {
        f"/{'abcdef'[n % 6] * 3}/{n}": sorted(
            [*(at for at in releases[n % 6] if chance.random() < 0.9), *_alone(chance, 3 / end, end)]
        )
        for n in range(keys)
    }
    return {
        "heavy tails": heavy,
        "working hours": hours,
        "nightly batch": prices,
        "releases": sections,
        "random": {f"/item/{n}": _alone(chance, rate, end) for n, rate in enumerate(rates())},
    }
