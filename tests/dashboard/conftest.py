"""A client that asks as a browser on this machine would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from perfmw import PerfMiddleware, Settings
from perfmw.dashboard import create_app
from tests.dashboard.fake import FakeRuntime, busy


def mounted(runtime: FakeRuntime, **options: Any) -> Starlette:
    return Starlette(routes=[Mount("/_perfmw", create_app(runtime, **options))])


def open_client(app: Any, address: str = "127.0.0.1", host: str = "localhost") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


@asynccontextmanager
async def observed(site: Any, plugins: Iterable[object] = (), **chosen: Any) -> AsyncIterator[PerfMiddleware]:
    """A site behind the middleware, its runtime started, with the dashboard on and settings as ``chosen``."""
    settings = Settings.load(env={}, cwd="/", **{"dashboard": "loopback", "plugins": (), **chosen})
    app = PerfMiddleware(site, settings=settings, plugins=plugins)
    await app.runtime.start()
    try:
        yield app
    finally:
        await app.runtime.stop()


@pytest.fixture
def runtime() -> FakeRuntime:
    return busy()


@pytest.fixture
def make_client() -> Callable[..., httpx.AsyncClient]:
    def make(runtime: FakeRuntime, address: str = "127.0.0.1", host: str = "localhost") -> httpx.AsyncClient:
        return open_client(mounted(runtime), address, host)

    return make


@pytest.fixture
async def client(runtime: FakeRuntime) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(mounted(runtime)) as client:
        yield client
