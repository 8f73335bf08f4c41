"""``tag()`` adds to what is being built, in this context only."""

from __future__ import annotations

import asyncio

import pytest

from perfmw.cache import tag
from perfmw.cache.tagging import Collector, collect, collecting

pytestmark = pytest.mark.anyio


def test_without_a_collector_it_does_nothing_but_check() -> None:
    tag("a")
    with pytest.raises(TypeError, match="int"):
        tag(7)  # type: ignore[arg-type]


async def test_tasks_add_to_their_parents_set_and_requests_do_not_mix() -> None:
    async def part(name: str) -> None:
        tag(name)

    async def request(name: str) -> set[str] | None:
        collector = Collector()
        collect(collector)
        tag(name, "all")
        await asyncio.gather(part(f"{name}.1"), asyncio.to_thread(tag, f"{name}.2"))
        assert collecting() is collector
        return collector.tags

    one, two = await asyncio.gather(request("one"), request("two"))
    assert one == {"one", "all", "one.1", "one.2"}
    assert two == {"two", "all", "two.1", "two.2"}


def test_gathering_stops_when_told_to() -> None:
    collector = Collector()
    collect(collector)
    collect(None)
    tag("late")
    assert not hasattr(collector, "tags")
