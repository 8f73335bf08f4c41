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
from typing import Any

import perfmw
from perfmw.cli.children import Child
from perfmw.cli.listening import free_port
from perfmw.cli.shoppers import Shoppers, Tally, Watch
from perfmw.cli.wire import Origin, WireClient, WireError, WireResponse

DASHBOARD = "/_perfmw/"
_API = f"{DASHBOARD}api/v1"
_MIN_BASELINE, _MIN_OPTIMIZATION, _MIN_AFTER = 6.0, 2.4, 0.7
_FEWEST_BLOCKS = 6
"""Below three pairs of blocks no experiment is decided."""
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each part takes, in seconds, and the experiments that the middle part has room for."""

    baseline: float
    optimization: float
    after: float
    experiments: int
    blocks: int

    def request(self, left: float) -> dict[str, Any] | None:
        """What to ask of the optimizer with so many seconds ``left``; None when they are too few."""
        share = self.optimization / self.experiments
        steps = max(1, round(left / share))
        if left < 0.6 * share:
            return None
        return {"max_steps": steps, "blocks": self.blocks, "block_seconds": left / steps / self.blocks}


def schedule(seconds: float) -> Schedule:
    """Divide the demonstration's time: a look long enough to know the shop, then room for experiments."""
    baseline = max(_MIN_BASELINE, 0.33 * seconds)
    after = max(_MIN_AFTER, 0.15 * seconds)
    optimization = max(_MIN_OPTIMIZATION, seconds - baseline - after)
    experiments = max(1, min(4, int(optimization // 12)))
    blocks = max(_FEWEST_BLOCKS, min(12, 2 * int(optimization / experiments / 2)))
    return Schedule(baseline, optimization, after, experiments, blocks)


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
        self._log = scratch / "log"
        served = partial(Child, app_dir=folder, cwd=scratch, log=self._log, without=_settings_in_env())
        self.partner = Origin("127.0.0.1", free_port())  # chosen here, so that both start at the same time
        partner = self._stack.enter_context(
            served(f"{package}.pricing:app", bare=True, port=self.partner.port)
        )
        env = {
            "SHOP_PARTNER_URL": self.partner.url,
            "SHOP_DATABASE": str(scratch / "shop.sqlite3"),
            "PERFMW_DASHBOARD": "loopback",
            "PERFMW_DASHBOARD_TOKEN": self._token,
        }
        shop = self._stack.enter_context(served(f"{package}.app:app", env=env))
        self.shop = shop.wait()
        partner.wait()
        self._stack.callback(partner.dismiss)  # both stop at the same time, too

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
            step = state.get("step") or {"id": "", "title": ""}
            titles[step["id"]] = step["title"]
            self._tell(shoppers, "optimizing", (perf_counter() - began) / planned, step["title"])
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
