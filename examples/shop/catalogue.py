"""The shop's database: a catalogue with reviews, and the queries of its pages.

The queries are honest: they do the work they seem to do, on tables that nobody gave the right index.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PRODUCTS = 5_000
REVIEWS = 6_000
CATEGORIES = (
    "lamps", "chairs", "tables", "shelves", "rugs", "curtains", "mirrors", "clocks", "vases", "candles",
    "cushions", "blankets", "frames", "baskets", "hooks", "bowls", "plates", "cups", "knives", "pans",
)  # fmt: skip
WORDS = (
    "oak", "steel", "linen", "quiet", "round", "narrow", "folding", "handmade", "matt", "glazed", "woven",
    "light", "heavy", "stackable", "washable", "nordic", "rustic", "modern", "tall", "small", "warm", "cool",
    "striped", "plain", "soft", "sturdy", "hanging", "portable", "garden", "kitchen", "bedroom", "hall",
    "office", "travel", "winter", "summer", "evening", "daily", "festive", "classic",
)  # fmt: skip

_SCHEMA = """
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price INTEGER, description TEXT);
CREATE TABLE review (id INTEGER PRIMARY KEY, product INTEGER, stars INTEGER, sold INTEGER, text TEXT);
"""
_HOME = """
SELECT p.id, p.name, p.price, sum(r.sold) AS sold FROM product p JOIN review r ON r.product = p.id
GROUP BY p.id ORDER BY sold DESC, p.id LIMIT 12
"""
_CATEGORY = """
SELECT p.id, p.name, p.price, avg(r.stars) AS stars FROM product p JOIN review r ON r.product = p.id
WHERE p.category = ? GROUP BY p.id ORDER BY stars DESC, p.id LIMIT 24
"""
_SEARCH = """
SELECT p.id, p.name, p.price, avg(r.stars) AS stars FROM product p JOIN review r ON r.product = p.id
WHERE p.description LIKE '%' || ?1 || '%' OR r.text LIKE '%' || ?1 || '%'
GROUP BY p.id ORDER BY stars DESC, p.id LIMIT 24
"""
_PRODUCT = "SELECT id, name, category, price, description FROM product WHERE id = ?"
_REVIEWS = "SELECT stars, text FROM review WHERE product = ? ORDER BY stars DESC, id LIMIT 5"


class Item(NamedTuple):
    """A line of a list of products. ``price`` is in cents; ``rank`` what the list is sorted by."""

    id: int
    name: str
    price: int
    rank: float


class Product(NamedTuple):
    id: int
    name: str
    category: str
    price: int
    description: str
    reviews: tuple[tuple[int, str], ...]


def build(path: Path, seed: int = 7) -> None:
    """Make the database at ``path``; the same one for the same seed."""
    rng = random.Random(seed)
    connection = sqlite3.connect(path)
    with connection:
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
        connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?, ?)", _products(rng))
        connection.executemany("INSERT INTO review VALUES (?, ?, ?, ?, ?)", _reviews(rng))
    connection.close()


def _products(rng: random.Random) -> Iterator[tuple[int, str, str, int, str]]:
    for number in range(1, PRODUCTS + 1):
        category = rng.choice(CATEGORIES)
        description = " ".join(rng.choices(WORDS, k=40))
        yield (
            number,
            f"{rng.choice(WORDS)} {category} {number}",
            category,
            rng.randrange(500, 50_000),
            description,
        )


def _reviews(rng: random.Random) -> Iterator[tuple[int, int, int, int, str]]:
    for number in range(1, REVIEWS + 1):
        text = " ".join(rng.choices(WORDS, k=10))
        yield number, rng.randrange(1, PRODUCTS + 1), rng.randrange(1, 6), rng.randrange(1, 40), text


class Catalogue:
    """The queries. Blocking: call them in worker threads; each thread gets its own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Close the connections of all threads, none of which may ask any more."""
        for connection in self._opened:
            connection.close()

    def bestsellers(self) -> list[Item]:
        return [Item(*row) for row in self._rows(_HOME)]

    def category(self, name: str) -> list[Item]:
        return [Item(*row) for row in self._rows(_CATEGORY, name)]

    def search(self, words: str) -> list[Item]:
        return [Item(*row) for row in self._rows(_SEARCH, words)]

    def product(self, number: int) -> Product | None:
        found = self._rows(_PRODUCT, number)
        if not found:
            return None
        reviews = tuple((stars, text) for stars, text in self._rows(_REVIEWS, number))
        identity, name, category, price, description = found[0]
        return Product(identity, name, category, price, description, reviews)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            url = f"{self._path.resolve().as_uri()}?mode=ro"
            # used by this thread alone, and closed by another
            connection = self._local.connection = sqlite3.connect(url, uri=True, check_same_thread=False)
            self._opened.append(connection)
        rows: list[tuple[Any, ...]] = connection.execute(query, values).fetchall()
        return rows
