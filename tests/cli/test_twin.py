"""The shop's twin: what it finds wrong, and what not."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perfmw.cli.twin import Twin, open_twin
from perfmw.cli.wire import WireResponse
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
EXAMPLES = Path(__file__).parents[2] / "examples"
Check = Callable[[Twin, Client], Awaitable[None]]


async def with_twin(tmp_path: Path, check: Check) -> Twin:
    """``check`` gets the twin, and a client of the same shop to fetch answers from."""
    async with open_twin("shop", EXAMPLES, tmp_path / "shop.sqlite3") as twin:
        await check(twin, Client(twin._app))
        await twin.settle(10)
        assert twin.waiting == 0
        return twin


async def fetch(client: Client, target: str, user: str | None = None) -> WireResponse:
    headers = [("cookie", f"shop_user={user}")] if user else []
    found = await client.get(target, headers=headers)
    digest = hashlib.sha256(found.body).digest()
    return WireResponse(found.status, found.headers, len(found.body), digest, found.body)


def changed(response: WireResponse) -> WireResponse:
    body = response.body.replace(b"</html>", b"</htmL>")
    digest = hashlib.sha256(body).digest()
    return WireResponse(response.status, response.headers, len(body), digest, body)


async def test_the_same_bytes_are_right_and_one_other_byte_is_wrong(tmp_path: Path) -> None:
    async def check(twin: Twin, client: Client) -> None:
        for target, user in (("/product/7", None), ("/product/7", "ann"), ("/about", None), ("/cart", "bob")):
            answer, now = await fetch(client, target, user), time.time()
            for _ in range(3):
                twin.see(target, user, answer, now, now)
        await twin.settle(10)
        assert (twin.checked, twin.wrong) == (12, 0)
        twin.see("/product/7", "ann", changed(answer), now, now)
        twin.see("/product/7", "ann", await fetch(client, "/product/7", "bob"), now, now)
        twin.see("/product/7", "ann", await fetch(client, "/product/8", "ann"), now, now)

    twin = await with_twin(tmp_path, check)
    assert (twin.checked, twin.wrong) == (15, 3)
    assert twin.examples[0].startswith("/product/7 for ann: another body")


async def test_a_page_of_its_time_is_right_and_one_too_old_is_wrong(tmp_path: Path) -> None:
    async def check(twin: Twin, client: Client) -> None:
        deal, sent = await fetch(client, "/deals"), time.time()
        twin.see("/deals", None, deal, sent - 0.1, sent)
        news = await fetch(client, "/news")
        twin.see("/news", None, news, sent, sent + 0.1)
        twin.see("/news", None, news, sent + 29, sent + 29.1)  # it says max-age=30
        await twin.settle(10)
        assert (twin.checked, twin.wrong) == (3, 0)
        twin.see("/deals", None, deal, sent + 3, sent + 3.1)  # it says nothing
        twin.see("/news", None, news, sent + 60, sent + 60.1)

    twin = await with_twin(tmp_path, check)
    assert (twin.checked, twin.wrong) == (5, 2)
    assert "s ago" in twin.examples[0]


async def test_a_twin_that_fails_is_no_proof(tmp_path: Path) -> None:
    async def broken(*_call: object) -> None:
        raise RuntimeError("out of order")

    twin = Twin(broken)
    working = asyncio.create_task(twin.run())
    twin.see("/about", None, WireResponse(200, [], 1, b"x"), 0.0, 0.0)
    await twin.settle(10)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert (twin.checked, twin.wrong) == (1, 1)
    assert any("the twin failed" in example for example in twin.examples)
