"""Starting, stopping, owning tasks, invalidating, and which runtime is the current one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Runtime, Settings, hookimpl, invalidate, tag
from perfmw.contracts import OptimizationRequest
from perfmw.settings import SettingsError
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

RULE = Settings(cache_rules=[CacheRule(path="/**", ttl=60, tags=["everything"])])


def site(settings: Settings = RULE, **options: Any) -> PerfMiddleware:
    async def item(request: Request) -> Response:
        tag(f"item:{request.path_params['number']}")
        seen.append(Runtime.current())
        return PlainTextResponse(f"item {request.path_params['number']}")

    async def update(request: Request) -> Response:
        await invalidate(tags=["item:1"])
        return PlainTextResponse("done")

    seen: list[Runtime] = []
    app = Starlette(routes=[Route("/items/{number}", item), Route("/update", update, methods=["POST"])])
    middleware = PerfMiddleware(app, settings=settings, **options)
    middleware.seen = seen  # type: ignore[attr-defined]
    return middleware


async def is_hit(client: Client, path: str) -> bool:
    return "; hit" in str((await client.get(path)).header("cache-status"))


async def test_it_starts_and_stops_with_the_lifespan_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    middleware = site()
    async with Client(middleware) as client:
        assert middleware.runtime.started
        await client.get("/items/1")
        assert asyncio.all_tasks() - before
    assert not middleware.runtime.started
    assert not {task for task in asyncio.all_tasks() - before if not task.done()}


async def test_it_starts_by_itself_where_no_lifespan_comes() -> None:
    middleware = site()
    await Client(middleware).get("/items/1")
    assert middleware.runtime.started
    await middleware.runtime.stop()
    await middleware.runtime.stop()
    assert not middleware.runtime.started


async def test_an_app_without_a_lifespan_still_starts_and_stops_perfmw() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    middleware = PerfMiddleware(app)
    sent: list[str] = []
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        sent.append(f"{message['type']} {middleware.runtime.started}")

    await middleware({"type": "lifespan", "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete True", "lifespan.shutdown.complete False"]


async def test_a_startup_that_fails_is_the_apps_own_affair() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise OSError("no database")

    middleware = PerfMiddleware(app)
    with pytest.raises(OSError, match="no database"):
        await middleware({"type": "lifespan", "state": {}}, _startup, _nothing)
    assert not middleware.runtime.started


async def _startup() -> dict[str, str]:
    return {"type": "lifespan.startup"}


async def _nothing(message: Any) -> None:
    raise AssertionError(f"nothing was to be sent, but {message} was")


async def test_tags_named_while_the_page_is_made_invalidate_it() -> None:
    middleware = site()
    client = Client(middleware)
    for number in (1, 2):
        await client.get(f"/items/{number}")
    await client.post("/update")
    assert [await is_hit(client, "/items/1"), await is_hit(client, "/items/2")] == [False, True]
    assert middleware.seen[0] is middleware.runtime  # type: ignore[attr-defined]
    await middleware.runtime.stop()


@pytest.mark.parametrize(
    ("what", "hits"),
    [
        ({"url": "http://testserver/items/1"}, [False, True]),
        ({"keys": ["GET http://testserver/items/1"]}, [False, True]),
        ({"prefix": "http://testserver/items/"}, [False, False]),
        ({"route": "GET /items/{number}"}, [False, False]),
        ({"tags": ["everything"]}, [False, False]),
        ({"tags": ["item:2", "nobody"]}, [True, False]),
    ],
)
async def test_ways_to_invalidate(what: dict[str, Any], hits: list[bool]) -> None:
    middleware = site()
    client = Client(middleware)
    for number in (1, 2):
        await client.get(f"/items/{number}")
    await middleware.runtime.invalidate(**what)
    assert [await is_hit(client, f"/items/{number}") for number in (1, 2)] == hits
    await middleware.runtime.stop()


async def test_a_relative_url_cannot_be_invalidated() -> None:
    with pytest.raises(ValueError, match="must be absolute"):
        await Runtime(RULE).invalidate(url="/items/1")


async def test_a_fill_that_began_before_an_invalidation_is_not_stored() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def page(request: Request) -> Response:
        tag("page")
        begun.set()
        await gate.wait()
        return PlainTextResponse("old")

    middleware = PerfMiddleware(Starlette(routes=[Route("/", page)]), settings=RULE)
    client = Client(middleware)
    slow = asyncio.create_task(client.get("/"))
    await begun.wait()
    await middleware.runtime.invalidate(tags=["page"])
    gate.set()
    assert (await slow).text == "old"
    assert not await is_hit(client, "/")
    await middleware.runtime.stop()


async def test_plugins_hear_of_start_stop_and_invalidations() -> None:
    class Listener:
        heard: list[Any]

        def __init__(self) -> None:
            self.heard = []

        @hookimpl
        def perfmw_startup(self, runtime: Any) -> None:
            self.heard.append("start")

        @hookimpl
        def perfmw_shutdown(self, runtime: Any) -> None:
            self.heard.append("stop")

        @hookimpl
        def perfmw_invalidated(self, keys: Any, tags: Any) -> None:
            self.heard.append((list(keys), list(tags)))

        @hookimpl
        def perfmw_cache_key(self, request: Any) -> str | None:
            return "one key" if request.path.startswith(b"/items") else None

        @hookimpl
        def perfmw_should_cache(self, request: Any, response: Any) -> bool | None:
            return False if request.query == b"secret" else None

    listener = Listener()
    middleware = site(plugins=[listener])
    async with Client(middleware) as client:
        await client.get("/items/1")
        assert await is_hit(client, "/items/2")
        await middleware.runtime.invalidate(tags=["everything"])
        vetoed = await client.get("/items/3?secret")
        assert vetoed.header("cache-status") == "perfmw; fwd=uri-miss; detail=plugin"
    assert listener.heard == ["start", ([], ["everything"]), "stop"]


async def test_a_plugin_that_fails_to_give_a_key_or_a_verdict_keeps_responses_out() -> None:
    class Broken:
        @hookimpl
        def perfmw_cache_key(self, request: Any) -> str | None:
            return str({b"": 1}[request.query]) if request.path.endswith(b"1") else None

        @hookimpl
        def perfmw_should_cache(self, request: Any, response: Any) -> bool | None:
            return {b"/items/2": True}[request.path]

    class Willing:
        @hookimpl
        def perfmw_should_cache(self, request: Any, response: Any) -> bool | None:
            return True

    client = Client(site(plugins=[Broken(), Willing()]))
    answers = [
        (await client.get(path)).header("cache-status") for path in ("/items/1?x", "/items/2", "/items/3")
    ]
    assert answers == [
        "perfmw; fwd=bypass; detail=plugin",
        "perfmw; fwd=uri-miss; stored",
        "perfmw; fwd=uri-miss; detail=plugin",
    ]


async def test_a_background_task_that_fails_is_logged_and_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> None:
        raise OSError("disk on fire")

    runtime = Runtime(RULE)
    await runtime.start()
    with caplog.at_level(logging.ERROR, "perfmw.runtime"):
        await asyncio.wait([runtime.spawn(failing(), name="burning")])
        await asyncio.sleep(0)
    assert "background task burning failed: disk on fire" in caplog.text
    await runtime.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["memory", "tape"]}, "layers = 'tape'"),
        ({"eviction_policy": "lruu"}, "did you mean 'lru'"),
    ],
)
def test_an_unknown_layer_or_policy_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Runtime(Settings(**settings))


def test_a_shared_runtime_leaves_no_room_for_settings() -> None:
    with pytest.raises(ValueError, match="already has its settings"):
        PerfMiddleware(_startup, settings=RULE, runtime=Runtime(RULE))  # type: ignore[arg-type]


async def test_a_second_run_is_refused_while_one_is_under_way() -> None:
    runtime = Runtime(RULE)
    await runtime.start()
    state = runtime.start_optimization(OptimizationRequest(block_seconds=0.01))
    assert state["status"] == "running"
    with pytest.raises(RuntimeError, match="under way"):
        runtime.start_optimization()
    for _ in range(100):
        if runtime.optimization_state()["status"] == "idle":
            break
        await asyncio.sleep(0.01)
    assert runtime.optimization_state()["last"]["steps_executed"] == 0
    with pytest.raises(KeyError):
        runtime.start_optimization(profile_id="nobody")
    await runtime.stop()


async def test_every_request_is_counted_by_route_and_the_overview_says_so() -> None:
    middleware = site()
    client = Client(middleware)
    for number in (1, 2, 1, 1):
        await client.get(f"/items/{number}")
    (profile,) = middleware.runtime.profiles.snapshot()
    assert (profile.name, profile.metrics.latency.count) == ("GET /items/{number}", 4)
    middleware.runtime.tick(profile.metadata.created_at + 1)
    overview = middleware.runtime.overview()
    assert (overview.cache_hit_rate.value, overview.cache_hit_rate.samples) == (50.0, 4)
    assert middleware.runtime.snapshot().cache_status == {"hit": 2, "uri-miss": 2}
    await middleware.runtime.stop()
