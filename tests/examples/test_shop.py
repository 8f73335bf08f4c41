"""The sample shop as perfmw's demonstration needs it: slow in public, personal in private."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfmw.cli.children import Child
from perfmw.cli.replaying import cache_outcome
from perfmw.cli.wire import WireClient, WireResponse

EXAMPLES = Path(__file__).parents[2] / "examples"
OURS = [name for name in os.environ if name.startswith("PERFMW_")]
Ask = Callable[..., WireResponse]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask the wrapped shop for a page, as a user or as nobody."""
    scratch = tmp_path_factory.mktemp("shop")
    with Child("shop.pricing:app", bare=True, app_dir=EXAMPLES, cwd=scratch) as partner:
        env = {"SHOP_PARTNER_URL": partner.wait().url, "SHOP_DATABASE": str(scratch / "shop.sqlite3")}
        with Child("shop.app:app", app_dir=EXAMPLES, cwd=scratch, env=env, without=OURS) as shop:
            origin = shop.wait()

            def get(target: str, user: str | None = None, **fields: str) -> WireResponse:
                headers = [
                    (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
                ]
                if user:
                    headers.append((b"cookie", f"shop_user={user}".encode()))

                async def once() -> WireResponse:
                    async with WireClient(origin) as client:
                        return await client.get(target, headers)

                return asyncio.run(once())

            yield get


@pytest.mark.parametrize(
    ("target", "mark"),
    [
        ("/", b'data-page="home"'),
        ("/category/lamps", b'data-category="lamps"'),
        ("/search?q=oak", b'data-search="oak"'),
        ("/product/77", b'data-product="77"'),
        ("/about", b'data-page="about"'),
        ("/news", b'data-page="news"'),
    ],
)
def test_public_pages_say_what_they_are_and_repeat(ask: Ask, target: str, mark: bytes) -> None:
    first, second = ask(target), ask(target)
    assert first.status == 200
    assert mark in first.body
    assert first.body == second.body


@pytest.mark.parametrize("target", ["/account", "/cart"])
def test_personal_pages_are_for_one_person(ask: Ask, target: str) -> None:
    one, other, nobody = ask(target, "ann"), ask(target, "bob"), ask(target)
    assert b'data-user="ann"' in one.body
    assert b"bob" not in one.body
    assert b'data-user="bob"' in other.body
    assert nobody.status == 401


def test_public_pages_greet_who_is_signed_in_and_nobody_else(ask: Ask) -> None:
    assert b"Hello, ann!" in ask("/about", "ann").body
    assert b"Hello, bob!" in ask("/about", "bob").body
    assert b"Welcome!" in ask("/about").body
    assert b"Hello" not in ask("/about").body


def test_names_are_escaped(ask: Ask) -> None:
    assert b"<b>" not in ask("/search?q=%3Cb%3E").body.split(b"<h1>")[1]


def test_news_is_kept_and_validated(ask: Ask) -> None:
    first = ask("/news")
    tag = first.header(b"etag")
    assert tag is not None
    assert cache_outcome(ask("/news")) == "hit"
    assert ask("/news", if_none_match=tag.decode()).status == 304


def test_a_deal_is_never_kept(ask: Ask) -> None:
    for _ in range(2):
        assert cache_outcome(ask("/deals")) != "hit"


def test_cookies_are_never_replayed(ask: Ask) -> None:
    first, second = ask("/welcome"), ask("/welcome")
    assert first.header(b"set-cookie") is not None
    assert first.header(b"set-cookie") != second.header(b"set-cookie")


@pytest.mark.parametrize("target", ["/product/999999", "/category/nosuch", "/nosuch"])
def test_what_there_is_not(ask: Ask, target: str) -> None:
    assert ask(target).status == 404


def test_calls_are_counted(ask: Ask) -> None:
    before = json.loads(ask("/calls").body)
    ask("/about", "ann")
    ask("/about")
    ask("/welcome")
    after = json.loads(ask("/calls").body)
    assert (after["calls"], after["shared"]) == (before["calls"] + 3, before["shared"] + 1)
