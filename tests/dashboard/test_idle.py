"""While nobody looks, the dashboard does nothing: none of its code runs, no task or timer of it is left."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import perfmw.dashboard
from perfmw import PerfMiddleware
from perfmw.testing import Client
from tests.dashboard.conftest import observed

pytestmark = pytest.mark.anyio
ROOM = str(Path(perfmw.dashboard.__file__).parent)
PAGES = ("", "profiles", "caching", "resources", "optimization", "api/v1/overview", "metrics")


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


@contextmanager
def watched() -> Iterator[list[str]]:
    """The functions of the dashboard that are called meanwhile, in this thread."""
    called: list[str] = []

    def note(frame: FrameType, event: str, detail: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOM):
            called.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)


def tasks() -> list[str]:
    """The dashboard's tasks."""
    codes = {task.get_name(): getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()}
    return [name for name, code in codes.items() if code and code.co_filename.startswith(ROOM)]


def timers() -> list[str]:
    pending: list[Any] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [repr(one) for one in pending if not one.cancelled() and ROOM in repr(one)]


async def look_around(app: PerfMiddleware) -> None:
    client = Client(app, base_url="http://127.0.0.1")
    for path in PAGES:
        assert (await client.get(f"/_perfmw/{path}")).status == 200
    async with client.stream("GET", "/_perfmw/api/v1/events") as stream:
        with watched() as called:
            message = await stream.next()
            while message is not None and b'"routes"' not in message.get("body", b""):
                message = await stream.next()
        assert "Feed._run" in called
        assert "dashboard-events" in tasks()


async def test_it_does_nothing_while_nobody_looks() -> None:
    async with observed(Starlette(routes=[Route("/", hello)])) as app:
        await look_around(app)
        for _ in range(20):  # what was cancelled ends
            await asyncio.sleep(0)
        assert (tasks(), timers()) == ([], [])
        with watched() as called:
            await Client(app).get("/")
            for later in range(3):
                app.runtime.tick(time.time() + later)
            await asyncio.sleep(0.3)  # longer than the stream's own step
        assert called == []
