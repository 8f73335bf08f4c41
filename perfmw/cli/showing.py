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
from pathlib import Path
from time import perf_counter
from typing import Any

import perfmw
from perfmw.cli.children import Child
from perfmw.cli.shoppers import Shoppers, Tally, Watch
from perfmw.cli.wire import Origin, WireClient, WireError, WireResponse

DASHBOARD = "/_perfmw/"
_API = f"{DASHBOARD}api/v1"
_MIN_BASELINE = 5.5
_MIN_AFTER = 1.0
_PAIRS_NEEDED = 6
"""Blocks: below three pairs of them no experiment is decided."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each part takes, in seconds, and how the experiments fit into theirs."""

    baseline: float
    optimization: float
    after: float
    steps: int
    blocks: int

    @property
    def block_seconds(self) -> float:
        return self.optimization / (self.steps * self.blocks)


def schedule(seconds: float) -> Schedule:
    """Divide what is left of the demonstration's time."""
    baseline = max(_MIN_BASELINE, 0.3 * seconds)
    after = max(_MIN_AFTER, 0.15 * seconds)
    optimization = max(2.0, seconds - baseline - after)
    steps = min(5, max(1, int(optimization // 4)))
    blocks = 8 if optimization / steps >= 6 else _PAIRS_NEEDED
    return Schedule(baseline, optimization, after, steps, blocks)


@dataclass(slots=True)
class Phase:
    """The shop in one phase. ``shop_calls`` and ``partner_calls`` count requests that reached them."""

    tally: Tally
    shop_calls: int
    partner_calls: int
    score: float | None

    def per_thousand(self, calls: int) -> float | None:
        return 1000 * calls / self.tally.requests if self.tally.requests else None


@dataclass(slots=True)
class Shown:
    """What came of a demonstration."""

    before: Phase
    after: Phase
    steps: list[dict[str, Any]]
    watch: Watch
    personal_checked: int


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
        package, folder = _shop_package()
        # An empty working directory: the settings of the user's own project are not the demo's.
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="perfmw-demo-")))
        partner = Child(f"{package}.pricing:app", bare=True, app_dir=folder, cwd=scratch)
        self.partner = self._stack.enter_context(partner).wait()
        env = {
            "SHOP_PARTNER_URL": self.partner.url,
            "SHOP_DATABASE": str(scratch / "shop.sqlite3"),
            "PERFMW_DASHBOARD": "loopback",
            "PERFMW_DASHBOARD_TOKEN": self._token,
        }
        shop = Child(f"{package}.app:app", app_dir=folder, cwd=scratch, env=env, without=_settings_in_env())
        self.shop = self._stack.enter_context(shop).wait()

    async def show(self, seconds: float, *, stay: bool = False) -> Shown:
        """Baseline, optimization, after: ``seconds`` in all. With ``stay`` the visitors go on afterwards."""
        plan = schedule(seconds)
        client, api = WireClient(self.shop), WireClient(self.shop)
        shoppers = Shoppers(client)
        try:
            before = await self._phase(shoppers, api, "the shop as it is", plan.baseline)
            checked = before.tally.personal_checked
            steps = await self._optimize(shoppers, api, plan)
            checked += shoppers.new_phase().personal_checked
            after = await self._phase(shoppers, api, "the shop after it", plan.after)
            checked += after.tally.personal_checked
            return Shown(before, after, steps, shoppers.watch, checked)
        finally:
            if not stay:
                await shoppers.stop()
                client.close()
            api.close()

    async def _phase(self, shoppers: Shoppers, api: WireClient, name: str, seconds: float) -> Phase:
        shoppers.new_phase()
        shop, partner = await self._calls(api)
        await self._watch(shoppers, name, seconds)
        tally = shoppers.new_phase()
        score = await self._score(api)
        shop_now, partner_now = await self._calls(api)
        return Phase(tally, shop_now - shop, partner_now - partner, score)

    async def _watch(self, shoppers: Shoppers, name: str, seconds: float) -> None:
        began = perf_counter()
        while (passed := perf_counter() - began) < seconds:
            self._tell(shoppers, name, passed / seconds, "")
            await asyncio.sleep(min(0.2, seconds - passed))
        self._tell(shoppers, name, 1.0, "")

    def _tell(self, shoppers: Shoppers, name: str, done: float, detail: str) -> None:
        self.on_stage(Stage(name, min(done, 1.0), detail, shoppers.tally.requests))

    async def _calls(self, api: WireClient) -> tuple[int, int]:
        """How often the shop and its partner have been called."""
        async with WireClient(self.partner) as partner:
            answers = [await api.get("/calls"), await partner.get("/calls")]
        shop, other = (int(json.loads(answer.body)["calls"]) for answer in answers)
        return shop, other

    async def _score(self, api: WireClient) -> float | None:
        overview = _json(await api.get(f"{_API}/overview"))["overview"]
        score = overview["performance_score"]["value"]
        return None if score is None else float(score)

    async def _optimize(self, shoppers: Shoppers, api: WireClient, plan: Schedule) -> list[dict[str, Any]]:
        """One optimization run, as the dashboard's button starts it; the verdicts."""
        request = {"max_steps": plan.steps, "blocks": plan.blocks, "block_seconds": plan.block_seconds}
        began, titles = perf_counter(), dict[str, str]()
        _json(await self._post(api, f"{_API}/optimization/start", request))
        while True:
            state = _json(await api.get(f"{_API}/optimization"))
            if state["status"] != "running":
                steps = (state.get("last") or {}).get("steps", [])
                return [{"title": titles.get(step["step_id"], step["step_id"]), **step} for step in steps]
            step = state.get("step") or {"id": "", "title": ""}
            titles[step["id"]] = step["title"]
            done = (perf_counter() - began) / plan.optimization
            self._tell(shoppers, "optimizing", done, step["title"])
            await asyncio.sleep(0.1)

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
