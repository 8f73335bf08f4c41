"""A client that asks as a browser on this machine would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from perfmw.dashboard import create_app
from tests.dashboard.fake import FakeRuntime, busy


def mounted(runtime: FakeRuntime, **options: Any) -> Starlette:
    return Starlette(routes=[Mount("/_perfmw", create_app(runtime, **options))])


def open_client(app: Any, address: str = "127.0.0.1", host: str = "localhost") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


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
