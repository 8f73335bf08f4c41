"""``/metrics`` is made between requests, and once for all who ask at the same time."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator

import httpx
import pytest

from perfmw.contracts import RuntimeSnapshot
from tests.dashboard.conftest import mounted, open_client
from tests.dashboard.fake import FakeRuntime

PIECES = 50


class Slow:
    """An exporter of many pieces, which notes how often one was begun and how often the loop turned."""

    name, content_type = "prometheus", "text/plain"

    def __init__(self) -> None:
        self.begun = 0
        self.size = 10
        self.asked = asyncio.Event()

    def render(self, snapshot: RuntimeSnapshot) -> str:
        raise AssertionError("piece by piece was asked for")

    def pieces(self, snapshot: RuntimeSnapshot, accept: str) -> tuple[Iterator[bytes], str]:
        self.begun += 1
        self.asked.set()
        return (b"%d\n" % number * self.size for number in range(PIECES)), f"text/plain; for={accept}"


@pytest.fixture
def exporter(runtime: FakeRuntime) -> Slow:
    exporter = Slow()
    runtime.exporters["prometheus"] = exporter
    return exporter


async def test_the_loop_turns_between_pieces(client: httpx.AsyncClient, exporter: Slow) -> None:
    turns, done = 0, False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    text = (await client.get("/_perfmw/metrics")).text
    done = True
    await counting
    assert text.split() == [str(number) for number in range(PIECES) for _ in range(exporter.size)]
    assert turns >= PIECES


async def test_those_who_ask_together_get_one_exposition(client: httpx.AsyncClient, exporter: Slow) -> None:
    asked = [client.get("/_perfmw/metrics", headers={"accept": "text/plain"}) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert exporter.begun == 1
    assert len({answer.text for answer in answers}) == 1
    await client.get("/_perfmw/metrics", headers={"accept": "text/plain"})
    assert exporter.begun == 2  # the next one is told what is true then


async def test_each_form_is_made_by_itself(client: httpx.AsyncClient, exporter: Slow) -> None:
    forms = ("text/plain", "application/openmetrics-text")
    answers = await asyncio.gather(*(client.get("/_perfmw/metrics", headers={"accept": f}) for f in forms))
    assert [one.headers["content-type"] for one in answers] == [f"text/plain; for={form}" for form in forms]


async def test_who_gives_up_does_not_take_it_from_the_others(runtime: FakeRuntime, exporter: Slow) -> None:
    async with open_client(mounted(runtime)) as client:
        first = asyncio.create_task(client.get("/_perfmw/metrics"))
        await exporter.asked.wait()
        second = asyncio.create_task(client.get("/_perfmw/metrics"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).status_code == 200
    assert exporter.begun == 1


@pytest.mark.parametrize("size", [10, 10_000])
async def test_what_is_compressed_is_the_same(runtime: FakeRuntime, exporter: Slow, size: int) -> None:
    exporter.size = size
    async with open_client(mounted(runtime)) as client:
        packed = await client.get("/_perfmw/metrics", headers={"accept-encoding": "gzip"})
        plain = await client.get("/_perfmw/metrics", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 5, mtime=0))
