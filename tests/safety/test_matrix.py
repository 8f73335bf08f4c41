"""The safety matrix, row by row, by direct calls and over a socket."""

from __future__ import annotations

import pytest

from tests.safety.rows import ROWS
from tests.safety.run import check
from tests.safety.site import Site

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("way", ["direct", "socket"])
@pytest.mark.parametrize("title", ROWS)
async def test_row(title: str, way: str) -> None:
    assert await check(title, way) == ""


class Careless:
    """A cache as they should not be: by path alone, whatever the response says."""

    def __init__(self, app: Site) -> None:
        self.app = app
        self.kept: dict[str, list[object]] = {}

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = self.kept.get(scope["path"])
        if messages is None:
            messages = self.kept[scope["path"]] = []

            async def keep(message: object) -> None:
                messages.append(message)

            await self.app(scope, receive, keep)
        for message in messages:
            await send(message)


HARMLESS = {"a rule caches what is safe", "oversized fields", "control characters in fields"}
"""Rows that a careless cache need not fail."""


@pytest.mark.parametrize("title", sorted(ROWS.keys() - HARMLESS - {"CR and LF in reflected values"}))
async def test_every_row_finds_a_careless_cache_out(title: str) -> None:
    assert await check(title, "direct", Careless) != ""
