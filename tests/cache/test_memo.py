"""The memo of a request: what was computed in it is not computed again in it, and never seen by another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings
from perfmw.cache import cached, per_request, request_scope
from perfmw.cache.memo import MOST, Memo, Noted, close_memo, current_memo
from perfmw.cache.tagging import Collector, collect
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio


@pytest.fixture
def scope() -> Iterator[OwnScope]:
    with own_scope(far=True) as scope:
        yield scope


@pytest.fixture(autouse=True)
def no_request() -> Iterator[None]:
    yield
    collect(None)


# ---- @cached(memo=True)


async def test_within_a_request_the_cache_is_not_asked_again(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=60, memo=True)
    async def load(number: int) -> list[int]:
        calls.append(number)
        return [number]

    with request_scope():
        first = await load(1)
        first.append(99)
        scope.memory.clear_nowait()
        await scope.far.clear()
        assert await load(1) == await load(number=1) == [1]
        assert calls == [1]
        assert await load(2) == [2]
    assert await load(1) == [1]
    assert calls == [1, 2, 1]
    info = load.info()
    assert (info.memo_hits, info.hits, info.misses) == (2, 0, 3)


async def test_what_the_cache_had_is_remembered_too(scope: OwnScope) -> None:
    @cached(ttl=60, memo=True)
    async def load() -> int:
        return 1

    await load()
    with request_scope():
        await load()
        scope.clock.advance(100)  # a request sees one state of the world
        await load()
    assert (load.info().hits, load.info().memo_hits, load.info().misses) == (1, 1, 1)


async def test_an_invalidation_holds_in_the_request_as_well(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=60, memo=True, tags=["n:{number}"])
    async def load(number: int) -> int:
        calls.append(number)
        return len(calls)

    with request_scope():
        assert [await load(1), await load(1)] == [1, 1]
        await load.invalidate(1)
        assert [await load(1), await load(1)] == [2, 2]
        await scope.cache.invalidate(tags=["n:1"])
        assert [await load(1), await load(1)] == [3, 3]
        await load.invalidate_all()
        assert [await load(1), await load(1)] == [4, 4]
        assert await load.refresh(1) == 5
        assert await load(1) == 5


async def test_what_is_not_to_be_kept_is_not_remembered_either(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=60, memo=True, condition=lambda value: value > 1)
    async def load() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise ConnectionError
        return len(calls)

    with request_scope():
        assert await load() == 1
        with pytest.raises(ConnectionError):
            await load()
        assert await load() == 3
        assert await load() == 3


async def test_without_being_asked_to_nothing_is_remembered(scope: OwnScope) -> None:
    @cached(ttl=10)
    async def load() -> int:
        return 1

    with request_scope():
        await load()
        memo = current_memo()
        assert memo is not None
        assert len(memo) == 0


def test_sync_functions_have_it_too(scope: OwnScope) -> None:
    calls = []

    @cached(ttl=10, memo=True)
    def load() -> int:
        calls.append(1)
        return len(calls)

    with request_scope():
        assert load() == 1
        scope.memory.clear_nowait()
        assert load() == 1
        load.invalidate()
        assert load() == 2
    assert load.info().memo_hits == 1


# ---- @per_request


async def test_per_request_gives_everybody_the_same_object(scope: OwnScope) -> None:
    calls = []

    @per_request(exclude=["request"])
    async def current_user(request: object) -> threading.Thread:
        calls.append(request)
        await asyncio.sleep(0)
        return threading.Thread()  # nothing that could be copied

    with request_scope():
        one, two = await asyncio.gather(current_user(object()), current_user(object()))
        assert one is two is await current_user(object())
    assert len(calls) == 1
    with request_scope():
        assert await current_user(object()) is not one
    assert await current_user(object()) is not await current_user(object())
    info = current_user.info()
    assert (info.misses, info.coalesced, info.memo_hits) == (2, 1, 1)
    assert len(scope.memory) == 0
    assert asyncio.iscoroutinefunction(current_user)


async def test_per_request_can_be_told_to_forget(scope: OwnScope) -> None:
    calls = []

    @per_request
    def rights(user: int) -> int:
        calls.append(user)
        return len(calls)

    with request_scope():
        assert (rights(1), rights(2), rights(1)) == (1, 2, 1)
        assert rights.invalidate(1)
        assert not rights.invalidate(1)
        assert (rights(1), rights(2)) == (3, 2)
    assert not rights.invalidate(1)


async def test_the_leader_of_a_request_leaves_and_another_call_goes_on(scope: OwnScope) -> None:
    calls, proceed = [], asyncio.Event()

    @per_request
    async def load() -> int:
        calls.append(1)
        await proceed.wait()
        return len(calls)

    with request_scope():
        leader, follower = asyncio.create_task(load()), asyncio.create_task(load())
        await asyncio.sleep(0)
        leader.cancel()
        proceed.set()
        assert await follower == 2


async def test_errors_are_not_kept(scope: OwnScope) -> None:
    calls = []

    @per_request
    async def load() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return 7

    with request_scope():
        with pytest.raises(ConnectionError):
            await load()
        assert await load() == 7


async def test_methods_class_methods_and_static_methods(scope: OwnScope) -> None:
    calls: list[Any] = []

    class Shop:
        def __cache_key__(self) -> str:
            return "shop"

        @per_request
        async def price(self, item: int) -> int:
            calls.append((self, item))
            return item

        @per_request
        @classmethod
        def kind(cls, item: int) -> str:
            calls.append((cls, item))
            return cls.__name__

        @per_request
        @staticmethod
        def rate(item: int) -> int:
            calls.append(item)
            return item

    shop = Shop()
    with request_scope():
        assert await shop.price(1) == await shop.price(1) == 1
        assert Shop.kind(1) == shop.kind(1) == "Shop"  # type: ignore[arg-type,call-arg]
        assert Shop.rate(2) == shop.rate(2) == 2
    assert calls == [(shop, 1), (Shop, 1), 2]


def test_arguments_without_identity_are_named() -> None:
    @per_request
    def load(request: object) -> int:
        return 1

    with (
        request_scope(),
        pytest.raises(TypeError, match=r"'request' \(builtins.object\).*exclude=\['request'\]"),
    ):
        load(object())


# ---- requests and scopes


def test_a_memo_is_bounded_and_is_empty_once_it_is_closed() -> None:
    memo = Memo()
    for number in range(MOST + 10):
        memo.note(number, Noted(number))
    assert len(memo) == MOST
    assert memo.get(9) is None
    assert memo.get(10) == Noted(10)
    memo.close()
    memo.note(1, Noted(1))
    assert len(memo) == 0


def test_a_request_within_a_scope_has_a_memo_of_its_own() -> None:
    with request_scope():
        outside = current_memo()
        collect(Collector())
        inside = current_memo()
        assert inside is not None
        assert inside is not outside
        with request_scope():
            assert current_memo() not in (inside, outside)
        assert current_memo() is inside
        collect(None)
        assert current_memo() is outside
    assert current_memo() is None


def test_when_a_request_is_over_there_is_no_memo() -> None:
    collector = Collector()
    collect(collector)
    memo = current_memo()
    assert memo is not None
    memo.note(1, Noted(1))
    close_memo(collector)
    assert current_memo() is None
    assert len(memo) == 0
    other = Collector()
    collect(other)
    close_memo(other)
    assert current_memo() is None


class Site:
    """An app that asks for its user twice in each request, and once more when the response is out."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.late: list[str] = []
        routes = [Route("/twice", self.twice), Route("/stream", self.stream), Route("/raise", self.fail)]
        self.app = PerfMiddleware(Starlette(routes=routes), settings=Settings(layers=["memory"]))

        @per_request(exclude=["request"])
        async def user(request: Request) -> str:
            self.calls.append(request.headers["x-user"])
            await asyncio.sleep(0.01)
            return f"{request.headers['x-user']} {len(self.calls)}"

        self.user = user

    async def twice(self, request: Request) -> Response:
        names = await asyncio.gather(self.user(request), self.user(request))
        later = BackgroundTask(self.after, request)
        return JSONResponse([*names, await self.user(request)], background=later)

    async def after(self, request: Request) -> None:
        self.late.append(await self.user(request))

    async def stream(self, request: Request) -> Response:
        async def parts() -> Any:
            for _ in range(3):
                yield await self.user(request) + ";"

        return StreamingResponse(parts())

    async def fail(self, request: Request) -> Response:
        await self.user(request)
        self.left = asyncio.create_task(self.go_on(request))
        raise ConnectionError

    async def go_on(self, request: Request) -> None:
        await asyncio.sleep(0.05)
        assert current_memo() is None
        await self.after(request)


async def test_requests_never_share_what_they_compute() -> None:
    site = Site()
    transport = httpx.ASGITransport(site.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        for _ in range(3):  # the first is a full exchange, the next ones are not
            before = len(site.calls)
            names = [f"u{number}" for number in range(8)]
            answers = await asyncio.gather(*(client.get("/twice", headers={"x-user": n}) for n in names))
            for name, answer in zip(names, answers, strict=True):
                said = answer.json()
                assert len(set(said)) == 1
                assert said[0].split()[0] == name
            assert len(site.calls) - before == 16  # once in each request, and once after it
        assert len(site.late) == 24
        streamed = await client.get("/stream", headers={"x-user": "s"})
        assert len(set(streamed.text.split(";")[:-1])) == 1
        before = len(site.calls)
        for _ in range(2):
            await client.get("/raise", headers={"x-user": "f"})
            await site.left
        assert len(site.calls) - before == 4
    await site.app.runtime.stop()
