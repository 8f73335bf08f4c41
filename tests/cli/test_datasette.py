"""Datasette, unchanged, behind ``perfmw run``: nothing it sends is altered; what it marks fresh is kept."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perfmw.cli.children import Child
from perfmw.cli.replaying import cache_outcome
from perfmw.cli.wire import Origin, WireClient, WireResponse, parse_origin
from tests.cli.conftest import serving

SITE = """
from datasette.app import Datasette

app = Datasette(["things.db"], settings={"default_cache_ttl": 60, "max_returned_rows": 50}).app()
"""
PAGES = [
    "/",
    "/things",
    "/things/thing",
    "/things/thing?_sort=name&_size=5",
    "/things/thing/7",
    "/things/thing.json?_shape=array",
    "/things/thing.json?name__contains=1&_size=3",
    "/things.json?sql=select+count(*)+from+thing",
    "/things/thing.csv?_stream=1",
    "/things/thing.csv?_size=10",
    "/-/static/app.css",
    "/-/static/table.js",
    "/nosuch",
    "/things/nosuch.json",
]
# how a body travels may differ: what is streamed at first has a length when it comes from the store
DELIVERY = {b"date", b"age", b"cache-status", b"content-length", b"transfer-encoding"}
CLOCK = re.compile(rb"Queries took [0-9.]+ms|\"query_ms\": [0-9.e-]+")
"""Datasette says in some bodies how long it took: the same page is never the same twice."""


class Named(Origin):
    """A server asked by one name whatever its port: Datasette's pages hold their own address."""

    @property
    def authority(self) -> str:
        return "data.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("datasette")
    with closing(sqlite3.connect(place / "things.db")) as database, database:
        database.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, weight REAL)")
        rows = ((number, f"thing {number} ä", number / 7) for number in range(1, 301))
        database.executemany("INSERT INTO thing VALUES (?, ?, ?)", rows)
    database.close()
    (place / "shop_of_data.py").write_text(SITE)
    return place


@pytest.fixture(scope="module")
def both(folder: Path) -> Iterator[tuple[Origin, Origin]]:
    """Datasette through ``perfmw run``, and without perfmw."""
    with (
        Child("shop_of_data:app", bare=True, cwd=folder) as bare,
        serving(folder, "shop_of_data:app") as served,
    ):
        yield Named(*parse_origin(served.url)), Named(*bare.wait())


def ask(origin: Origin, *targets: str) -> list[WireResponse]:
    async def get() -> list[WireResponse]:
        async with WireClient(origin) as client:
            return [await client.get(target) for target in targets]

    return asyncio.run(get())


def seen(response: WireResponse) -> object:
    headers = [(name, value) for name, value in response.headers if name not in DELIVERY]
    return response.status, headers, CLOCK.sub(b"", response.body)


@pytest.mark.parametrize("target", PAGES)
def test_byte_identical_with_and_without(both: tuple[Origin, Origin], target: str) -> None:
    through, bare = both
    first, second = ask(through, target, target)
    (plain,) = ask(bare, target)
    assert seen(first) == seen(plain)
    assert seen(second) == seen(plain)


@pytest.mark.parametrize("target", ["/things/thing?_size=7", "/things/thing/9", "/things/thing.json?_size=4"])
def test_a_second_visit_to_a_page_it_marks_fresh_is_a_hit(both: tuple[Origin, Origin], target: str) -> None:
    first, second = ask(both[0], target, target)
    assert b"max-age=60" in (first.header(b"cache-control") or b"")
    assert cache_outcome(first) == "uri-miss"
    assert cache_outcome(second) == "hit"
