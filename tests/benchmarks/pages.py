"""Open pages of the dashboard without a browser: ``python -m tests.benchmarks.pages PORT NUMBER``.

Each reads its event stream and asks for its parts again as ``parts.js`` does: with an event, no sooner than
the server asks for, and the later the longer it took. Prints ``ready`` once all have loaded and heard an
event. Browsers run elsewhere, so the process gives way to all others, where Linux knows how.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import httpx

OPEN = ("", "profiles", "caching", "resources", "optimization")
"""What is looked at, by as many pages each."""
SOONEST, LATEST, WORTH = 5.0, 30.0, 400.0
"""Seconds between two refreshes, and how often what one took."""


class Page:
    def __init__(self, client: httpx.AsyncClient, path: str, phase: float) -> None:
        self._client = client
        self._path = path
        self._asked = time.monotonic() - phase
        self._pause = SOONEST
        self.there = asyncio.Event()

    async def look(self) -> None:
        (await self._client.get(self._path)).raise_for_status()
        async with (
            asyncio.TaskGroup() as asking,
            self._client.stream("GET", "api/v1/events", timeout=None) as stream,
        ):
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    self.there.set()
                    self._follow(json.loads(line[6:]), asking)

    def _follow(self, state: Any, asking: asyncio.TaskGroup) -> None:
        patience = state.get("patience", SOONEST)
        if time.monotonic() - self._asked > max(self._pause, patience):
            self._asked = time.monotonic()
            asking.create_task(self._refresh(state["parts"], random.random() * (patience - SOONEST)))

    async def _refresh(self, heard: int, wait: float) -> None:
        await asyncio.sleep(wait)
        began = time.monotonic()
        headers = {"perfmw-parts": str(heard)}
        (await self._client.get(self._path or "parts", headers=headers)).raise_for_status()
        self._pause = min(max(SOONEST, WORTH * (time.monotonic() - began)), LATEST)


async def look(port: int, number: int) -> None:
    limits = httpx.Limits(max_connections=None)
    base = f"http://127.0.0.1:{port}/_perfmw/"
    chance = random.Random(0)
    async with httpx.AsyncClient(base_url=base, limits=limits) as client, asyncio.TaskGroup() as looking:
        turn = 0.5 * number
        pages = [Page(client, OPEN[n % len(OPEN)], chance.random() * turn) for n in range(number)]
        for page in pages:
            looking.create_task(page.look())
        await asyncio.gather(*(page.there.wait() for page in pages))
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)) if sys.platform == "linux" else os.nice(19)
    asyncio.run(look(int(sys.argv[1]), int(sys.argv[2])))
