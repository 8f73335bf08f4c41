"""Open pages that keep up to date share what is made for one of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from perfmw.dashboard import create_app
from perfmw.dashboard.refreshes import LONGEST, MOST, SHARE, SHORTEST, SOONEST, Refreshes, patience
from tests.dashboard.fake import FakeRuntime

pytestmark = pytest.mark.anyio
PATHS = ("/parts", "/", "/caching", "/resources", "/optimization")


async def ask(
    client: httpx.AsyncClient, path: str, heard: str | None = "1", **headers: str
) -> httpx.Response:
    told = {} if heard is None else {"perfmw-parts": heard}
    answer = await client.get(f"/_perfmw{path}", headers={**told, **headers})
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize("path", PATHS)
async def test_pages_that_heard_of_the_same_state_share_an_answer(
    runtime: FakeRuntime, client: httpx.AsyncClient, path: str
) -> None:
    first = await ask(client, path)
    runtime.profiles_list = []
    runtime.cache_status = {}
    again = await ask(client, path)
    assert again.text == first.text
    assert again.headers == first.headers
    assert "<section" in first.text
    assert (await ask(client, path, heard=None)).status_code == 200


@pytest.mark.parametrize(
    ("heard", "headers"),
    [
        ("2", {}),
        (None, {}),
        ("1", {"cookie": "perfmw-theme=dark"}),
        ("1", {"host": "localhost:81"}),
        ("1", {"accept-encoding": "identity"}),
    ],
    ids=["another state", "no refresh", "another theme", "another host", "another coding"],
)
async def test_who_asks_otherwise_gets_an_answer_of_their_own(
    runtime: FakeRuntime, client: httpx.AsyncClient, heard: str | None, headers: dict[str, str]
) -> None:
    await ask(client, "/")
    runtime.requests = 777_777
    assert "778k" not in (await ask(client, "/")).text
    assert "778k" in (await ask(client, "/", heard, **headers)).text


async def test_what_a_visitor_changes_is_seen_at_once(
    runtime: FakeRuntime, client: httpx.AsyncClient
) -> None:
    assert "data-busy" not in (await ask(client, "/optimization")).text
    asked: dict[str, Any] = {"headers": {"origin": "http://localhost"}, "json": {}}
    assert (await client.post("/_perfmw/api/v1/optimization/start", **asked)).status_code in (200, 202)
    page = await ask(client, "/optimization")
    assert "disabled" in page.text[: page.text.index('id="panel"')]


class Bench:
    """A clock by hand, and answers of which each costs ``price`` seconds."""

    def __init__(self, price: float) -> None:
        self.now = self.spent = 0.0
        self.price = price
        self.made = 0
        self.refreshes = Refreshes(lambda: self.now, lambda: self.spent)

    async def ask(self, heard: str = "1") -> Response:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "server": ("a", 80)}
        return await self.refreshes.answer(
            Request({**scope, "headers": [(b"perfmw-parts", heard.encode())]}), self.make
        )

    async def make(self) -> Response:
        self.made += 1
        self.spent += self.price
        return PlainTextResponse("x")


@pytest.mark.parametrize(
    ("price", "lasting"),
    [(0.0, SHORTEST), (0.009, 0.009 / SHARE), (1.0, LONGEST)],
    ids=["light", "some", "heavy"],
)
async def test_an_answer_serves_until_its_share_is_used_up(price: float, lasting: float) -> None:
    bench = Bench(price)
    for now, made in ((0.0, 1), (lasting - 0.01, 1), (lasting + 0.01, 2)):
        bench.now = now
        await bench.ask()
        assert bench.made == made


async def test_pages_of_many_kinds_share_what_one_kind_may_take() -> None:
    bench = Bench(0.003)
    for heard in ("1", "2", "3"):
        await bench.ask(heard)
    bench.now = 2.9 * 0.003 / SHARE
    await bench.ask("3")
    assert bench.made == 3
    bench.now = 3.1 * 0.003 / SHARE
    await bench.ask("3")
    assert bench.made == 4


async def test_answers_do_not_pile_up() -> None:
    bench = Bench(1.0)
    for n in range(MOST + 1):
        await bench.ask(str(n))
    assert bench.made == MOST + 1
    await bench.ask(str(MOST))
    assert bench.made == MOST + 1
    await bench.ask("0")
    assert bench.made == MOST + 2


@pytest.mark.parametrize("pages", [1, 10, 50, 500])
def test_all_pages_together_ask_no_more_than_twice_a_second(pages: int) -> None:
    assert pages / patience(pages) <= 2.0
    assert patience(pages) >= SOONEST


async def test_the_stream_tells_how_long_to_wait(runtime: FakeRuntime) -> None:
    feed = create_app(runtime).state.feed
    assert json.loads(feed.produce())["patience"] == SOONEST
    feed.listeners = 50
    assert json.loads(feed.produce())["patience"] == patience(50) > SOONEST
