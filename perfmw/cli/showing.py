"""What ``perfmw demo`` shows: the shop as it is, an optimization of it under traffic, the shop after it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import quote

import perfmw
from perfmw.cli.children import Child
from perfmw.cli.listening import free_port
from perfmw.cli.shoppers import Shoppers, Tally, Watch
from perfmw.cli.twin import Twin, open_twin
from perfmw.cli.wire import Origin, WireClient, WireError, WireResponse
from perfmw.profiles.score import weighted_mean

DASHBOARD = "/_perfmw/"
_API = f"{DASHBOARD}api/v1"
_MIN_BASELINE, _MIN_OPTIMIZATION, _MIN_AFTER = 6.0, 2.4, 0.7
_FEWEST_BLOCKS = 6
"""Below three pairs of blocks no experiment is decided."""
_AT_ONCE = 5
"""Changes that are on trial at a time, each of another route."""
_PAUSE = 0.1
_SETTLE = 6.0
"""Seconds that the twin may go on comparing after the visitors left."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each part takes, in seconds, and the runs of experiments that the middle part has room for."""

    baseline: float
    optimization: float
    after: float
    runs: int
    blocks: int

    def request(self, left: float) -> dict[str, Any] | None:
        """What to ask of the optimizer with so many seconds ``left``; None when they are too few."""
        if left < 0.6 * self.optimization / self.runs:
            return None
        seconds = left / max(1, round(left * self.runs / self.optimization))
        return {
            "max_steps": _AT_ONCE,
            "at_once": _AT_ONCE,
            "blocks": self.blocks,
            "block_seconds": seconds / self.blocks,
        }


def schedule(seconds: float) -> Schedule:
    """Divide the demonstration's time: a look long enough to know the shop, then room for experiments."""
    baseline = max(_MIN_BASELINE, 0.38 * seconds)
    after = max(_MIN_AFTER, 0.14 * seconds)
    optimization = max(_MIN_OPTIMIZATION, seconds - baseline - after)
    runs = max(1, min(4, int(optimization // 25)))
    blocks = max(_FEWEST_BLOCKS, min(16, 2 * int(optimization / runs / 4)))
    return Schedule(baseline, optimization, after, runs, blocks)


class Calls(NamedTuple):
    """Requests that reached the shop, those of them for cacheable pages, and those to its partner."""

    shop: int
    shared: int
    partner: int


@dataclass(slots=True)
class Phase:
    """The shop in one phase. ``calls`` counts requests that reached it and its partner."""

    tally: Tally
    calls: Calls
    score: float | None

    @property
    def origin_calls(self) -> float | None:
        """Calls of the shop for cacheable pages, per 1,000 requests for them."""
        wanted = self.tally.cacheable.total()
        return 1000 * self.calls.shared / wanted if wanted else None

    def per_thousand(self, calls: int) -> float | None:
        return 1000 * calls / self.tally.requests if self.tally.requests else None


@dataclass(slots=True)
class Shown:
    """What came of a demonstration."""

    before: Phase
    after: Phase
    steps: list[dict[str, Any]]
    watch: Watch
    twin: Twin
    personal_checked: int

    @property
    def clean(self) -> bool:
        """Whether every visitor got what was meant for him, as an uncached shop would have sent it."""
        return self.watch.clean and not self.twin.wrong


@dataclass(slots=True)
class Stage:
    """Where the demonstration is, for a progress display. ``done`` is the stage's share, 0..1."""

    name: str
    done: float
    detail: str
    requests: int


class Demonstration:
    """The shop with its partner, its visitors and the dashboard. Use as a context manager.

    ``on_stage`` is told how things go, several times a second.
    """

    shop: Origin
    partner: Origin

    def __init__(self) -> None:
        self.on_stage: Callable[[Stage], None] = lambda stage: None
        self._stack = ExitStack()
        self._token = secrets.token_urlsafe(24)

    def __enter__(self) -> Demonstration:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return f"{self.shop.url}{DASHBOARD}"

    def start(self) -> None:
        """Start partner and shop as processes of their own; returns when both answer.

        :raises ChildError: one of them did not start.
        """
        package, folder = self._package = _shop_package()
        # An empty working directory: the settings of the user's own project are not the demo's.
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="perfmw-demo-")))
        self._log, self._database = scratch / "log", scratch / "shop.sqlite3"
        served = partial(Child, app_dir=folder, cwd=scratch, log=self._log, without=_settings_in_env())
        self.partner = Origin("127.0.0.1", free_port())  # chosen here, so that both start at the same time
        partner = self._stack.enter_context(
            served(f"{package}.pricing:app", bare=True, port=self.partner.port)
        )
        env = {
            "SHOP_PARTNER_URL": self.partner.url,
            "SHOP_DATABASE": str(self._database),
            "PERFMW_DASHBOARD": "loopback",
            "PERFMW_DASHBOARD_TOKEN": self._token,
        }
        shop = self._stack.enter_context(served(f"{package}.app:app", env=env))
        self.shop = shop.wait()
        partner.wait()
        self._stack.callback(partner.dismiss)  # both stop at the same time, too

    async def show(self, seconds: float, *, stay: bool = False) -> Shown:
        """Baseline, optimization, after: ``seconds`` in all. With ``stay`` the visitors go on afterwards."""
        async with open_twin(*self._package, self._database) as twin, WireClient(self.shop) as api:
            client = WireClient(self.shop)
            shoppers = Shoppers(client, answered=twin.see)
            try:
                return await self._course(shoppers, api, twin, schedule(seconds))
            finally:
                if not stay:
                    await shoppers.stop()
                    client.close()

    async def _course(self, shoppers: Shoppers, api: WireClient, twin: Twin, plan: Schedule) -> Shown:
        before = await self._phase(shoppers, api, "the shop as it is", plan.baseline, pin=True)
        checked = before.tally.personal
        steps = await self._optimize(shoppers, api, plan)
        checked += shoppers.new_phase().personal
        after = await self._phase(shoppers, api, "the shop after it", plan.after)
        checked += after.tally.personal
        await twin.settle(_SETTLE)
        return Shown(before, after, steps, shoppers.watch, twin, checked)

    async def _phase(
        self, shoppers: Shoppers, api: WireClient, name: str, seconds: float, *, pin: bool = False
    ) -> Phase:
        shoppers.new_phase()
        began = await self._calls(api)
        await self._watch(shoppers, name, seconds)
        tally = shoppers.new_phase()
        if pin:
            await self._pin(api)
        score = await self._score(api)
        ended = await self._calls(api)
        return Phase(tally, Calls(*(late - early for late, early in zip(ended, began, strict=True))), score)

    async def _pin(self, api: WireClient) -> None:
        """The score measures against a baseline: let it be this phase, and not the first requests of all."""
        for profile in await self._profiles(api):
            await self._post(api, f"{_API}/profiles/{quote(profile['id'], safe='')}/baseline", {})

    async def _watch(self, shoppers: Shoppers, name: str, seconds: float) -> None:
        began = perf_counter()
        while (passed := perf_counter() - began) < seconds:
            self._tell(shoppers, name, passed / seconds, "")
            await asyncio.sleep(min(0.2, seconds - passed))
        self._tell(shoppers, name, 1.0, "")

    def _tell(self, shoppers: Shoppers, name: str, done: float, detail: str) -> None:
        self.on_stage(Stage(name, min(done, 1.0), detail, shoppers.tally.requests))

    async def _calls(self, api: WireClient) -> Calls:
        async with WireClient(self.partner) as partner:
            shop, other = [json.loads((await one.get("/calls")).body) for one in (api, partner)]
        return Calls(shop["calls"], shop["shared"], other["calls"])

    async def _score(self, api: WireClient) -> float | None:
        """As of now; the overview's is as of the last round of checks, some seconds ago."""
        found = []
        for profile in await self._profiles(api):
            state, count = profile["performance"], profile["metrics"]["throughput"]["count"]
            weight = count * state["baseline"]["latency"] if state["baseline"] else 0.0
            found.append((state["current_score"] if weight else None, weight))
        return weighted_mean(found)

    async def _profiles(self, api: WireClient) -> list[dict[str, Any]]:
        listed = _json(await api.get(f"{_API}/profiles?type=component&limit=100"))
        found: list[dict[str, Any]] = listed["items"]
        return found

    async def _optimize(self, shoppers: Shoppers, api: WireClient, plan: Schedule) -> list[dict[str, Any]]:
        """Optimize as the dashboard's button does, as long as there is time for another experiment."""
        began, steps = perf_counter(), list[dict[str, Any]]()
        while request := plan.request(plan.optimization - (perf_counter() - began)):
            _json(await self._post(api, f"{_API}/optimization/start", request))
            steps += await self._follow_run(shoppers, api, began, plan.optimization)
            await asyncio.sleep(_PAUSE)
        return steps

    async def _follow_run(
        self, shoppers: Shoppers, api: WireClient, began: float, planned: float
    ) -> list[dict[str, Any]]:
        """Wait for the end of the run; its verdicts, each with the title of what was tried."""
        titles: dict[str, str] = {}
        while True:
            state = _json(await api.get(f"{_API}/optimization"))
            if state["status"] != "running":
                steps = (state.get("last") or {}).get("steps", [])
                return [{"title": titles.get(step["step_id"], step["step_id"]), **step} for step in steps]
            titles |= {step["id"]: step["title"] for step in state["trying"]}
            said = ", ".join(step["title"] for step in state["trying"])
            self._tell(shoppers, "optimizing", (perf_counter() - began) / planned, said)
            await asyncio.sleep(_PAUSE)

    async def _post(self, api: WireClient, target: str, value: Mapping[str, Any]) -> WireResponse:
        headers = [
            (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {self._token}".encode()),
        ]
        return await api.request("POST", target, headers, json.dumps(value).encode(), keep=True)


def _json(response: WireResponse) -> Any:
    if response.status >= 300:
        raise WireError(f"the dashboard answered {response.status}: {response.body[:200].decode()}")
    return json.loads(response.body)


def _shop_package() -> tuple[str, Path | None]:
    """The shop's package, and the folder it is in; an installed perfmw carries it within itself."""
    home = Path(perfmw.__file__).parent
    if (home / "_shop").is_dir():
        return "perfmw._shop", None
    return "shop", home.parent / "examples"


def _settings_in_env() -> list[str]:
    return [name for name in os.environ if name.startswith("PERFMW_")]
