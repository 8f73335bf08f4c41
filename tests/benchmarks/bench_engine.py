"""The engine on a live uvicorn: how often it is wrong where nothing was changed, and what it costs.

    python -m tests.benchmarks.bench_engine aa [--runs 50] [--blocks 16] [--block-seconds 1]
    python -m tests.benchmarks.bench_engine cost [--seconds 20]

``aa``: trials of a change that changes nothing, ten routes at a time, under load whose level wanders, with
pauses that make everything slow for a moment. Claimed are those that are kept, called worse, or stopped by a
guardrail.

``cost``: idle is the CPU time of a process with a started runtime, 300 profiles and nobody's requests, less
what an event loop takes alone. Working is the CPU time that the runtime's own tasks take, the trials,
the rounds and the survey among them, while ten trials run under load; what requests take is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import uvicorn

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.cli.wire import Origin, WireClient
from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    OptimizationRequest,
    OptimizationResult,
    RuntimeSnapshot,
)
from tests.benchmarks.verdicts import told

ROUTES = 10
VISITORS = 30
THINK = 0.15
MEDIAN, SPREAD = 0.015, 0.5
WANDER, MEMORY = 0.12, 0.97
"""The level's standard deviation, and how much of it is left after a tenth of a second."""


class Placebo:
    """Proposes a change of each route that changes nothing."""

    name = "placebo"

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        names = [one.name for one in snapshot.profiles if one.name.startswith("GET /r")]
        return [
            OptimizationOpportunity(f"placebo:{name}", "placebo", name, f"nothing for {name}", self.name)
            for name in names
        ]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...


class Plugin:
    """Registers it."""

    @hookimpl
    def perfmw_register_optimizers(self, settings: Settings) -> Mapping[str, Placebo]:
        return {"placebo": Placebo()}


class Noisy:
    """An app whose latency wanders for all routes together, and stops for a moment now and then."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._level = 0.0
        self._pause_until = 0.0

    async def wander(self) -> None:
        while True:
            fresh = WANDER * math.sqrt(1 - MEMORY**2)
            self._level = MEMORY * self._level + self._random.gauss(0, fresh)
            if self._random.random() < 0.01:
                self._pause_until = time.monotonic() + self._random.uniform(0.05, 0.3)
            await asyncio.sleep(0.1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        seconds = MEDIAN * math.exp(self._level + self._random.gauss(0, SPREAD))
        await asyncio.sleep(max(seconds, self._pause_until - time.monotonic()))
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]}
        )
        await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def site(seed: int) -> AsyncIterator[PerfMiddleware]:
    """The app under uvicorn, with visitors."""
    noisy = Noisy(seed)
    app = PerfMiddleware(noisy, settings=Settings(plugins=[]), plugins=[Plugin()])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with WireClient(Origin("127.0.0.1", port)) as client:
        work = [_visit(client, Random(f"{seed} {number}")) for number in range(VISITORS)]
        tasks = [asyncio.create_task(one) for one in (noisy.wander(), *work)]
        try:
            yield app
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    server.should_exit = True
    await serving
    await app.runtime.stop()


async def _visit(client: WireClient, random: Random) -> None:
    while True:
        await client.get(f"/r{random.randrange(ROUTES)}")
        await asyncio.sleep(random.expovariate(1 / THINK))


def asked(blocks: int, block_seconds: float) -> OptimizationRequest:
    return OptimizationRequest(
        types=("placebo",), max_steps=ROUTES, at_once=ROUTES, blocks=blocks, block_seconds=block_seconds
    )


def claims(result: OptimizationResult) -> Counter[str]:
    """How many steps ended how."""
    found: Counter[str] = Counter()
    for step in result.steps:
        stopped, worse = step.reason.startswith("stopped"), "got worse" in step.reason
        found["stopped" if stopped else "worse" if worse else step.verdict] += 1
        if stopped or worse or step.success:
            print(f"  {step.step_id}: {step.reason}")
    return found


async def aa(runs: int, blocks: int, block_seconds: float, seed: int) -> Counter[str]:
    found: Counter[str] = Counter()
    async with site(seed) as app:
        await asyncio.sleep(4)
        while found.total() < runs:
            result = await app.runtime.engine.optimize(asked(blocks, block_seconds))
            found += claims(result)
            for entry in app.runtime.ledger.kept():
                app.runtime.engine.rollback(entry.id)
    return found


class Timed(Coroutine[Any, Any, Any]):
    """A coroutine whose CPU time is added up."""

    spent = 0.0

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        began = time.thread_time()
        try:
            return self._inner.send(value)
        finally:
            Timed.spent += time.thread_time() - began

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


def timing(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task factory that times the runtime's own tasks, and the trials of a run."""
    parent = asyncio.current_task(loop)
    named = str(more.get("name") or "").startswith("perfmw-") and "revalidate" not in str(more["name"])
    ours = named or (parent is not None and parent.get_name().startswith("perfmw-"))
    task = asyncio.Task(Timed(work) if ours else work, loop=loop, **more)
    if ours and not named:
        task.set_name("perfmw-trial")
    return task


async def idle(seconds: float, *, with_runtime: bool) -> float:
    """The share of a core that the process takes."""
    app = PerfMiddleware(Noisy(1), settings=Settings(plugins=[]))
    runtime = app.runtime
    if with_runtime:
        for number in range(300):
            recorder = runtime.profiles.recorder(f"GET /r{number}", "component")
            for _ in range(60):
                recorder.origin(0.02, 200, "no-store")
        await runtime.start()
        await asyncio.sleep(40)  # it has looked what there is by then
    began, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    spent = time.process_time() - began
    await runtime.stop()
    return spent / (time.perf_counter() - wall)


async def working(seconds: float) -> float:
    """The share of a core that the runtime's own tasks take while trials run."""
    asyncio.get_running_loop().set_task_factory(timing)
    async with site(2) as app:
        await asyncio.sleep(4)
        trials = app.runtime.engine.optimize(asked(16, seconds / 16))
        Timed.spent, wall = 0.0, time.perf_counter()
        await app.runtime.spawn(trials, name="perfmw-optimization")
        return Timed.spent / (time.perf_counter() - wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["aa", "cost"])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--block-seconds", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.what == "aa":
        found = asyncio.run(aa(given.runs, given.blocks, given.block_seconds, given.seed))
        wrong = found["kept"] + found["worse"] + found["stopped"]
        share = wrong / found.total()
        told(f"claimed, of {found.total()} live A/A runs", share, most=0.01)
        print(f"  {dict(found)}")
        return
    alone = asyncio.run(idle(given.seconds, with_runtime=False))
    own = asyncio.run(idle(given.seconds, with_runtime=True)) - alone
    told("engine and runtime, idle, of a core", 100 * own, most=0.5, unit="%")
    busy = asyncio.run(working(given.seconds))
    told("engine and runtime, ten trials, of a core", 100 * busy, most=3, unit="%")


if __name__ == "__main__":
    main()
