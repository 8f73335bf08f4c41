"""What optimizers may change: rules that come and go without losing what is still good."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"1")]})
    await send({"type": "http.response.body", "body": b"x"})


async def word(client: Client) -> str:
    return str((await client.get("/items/7")).header("cache-status")).removeprefix("perfmw; ")


async def test_a_rule_taken_out_is_not_served_from_and_put_in_again_is_warm() -> None:
    middleware = PerfMiddleware(app, settings=Settings())
    client, controls = Client(middleware), middleware.runtime.controls
    assert await word(client) == "fwd=uri-miss; detail=no-freshness"
    controls.put_cache_rule("trial", path="/items/*", ttl=60)
    assert [await word(client), await word(client)] == ["fwd=uri-miss; stored", "hit; ttl=59"]
    controls.remove_cache_rule("trial")
    controls.remove_cache_rule("trial")
    assert [await word(client) for _ in range(2)] == ["fwd=uri-miss; detail=no-freshness"] * 2
    controls.put_cache_rule("trial", path="/items/*", ttl=60)
    assert await word(client) == "hit; ttl=59"
    controls.put_cache_rule("trial", path="/items/*", ttl=30)
    assert await word(client) == "fwd=uri-miss; stored"
    await middleware.runtime.stop()
