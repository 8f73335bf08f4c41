"""Monitoring, joined: from recorded requests through the runtime's rounds to those who are told."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from perfmw import PerfMiddleware, Runtime, Settings, hookimpl
from perfmw.contracts import Alert, AlertThreshold, PerformanceProfileConfig
from perfmw.monitoring.silences import Silence
from perfmw.monitoring.store import MonitoringStore
from tests.monitoring.receiver import receiving

pytestmark = pytest.mark.anyio

BEGIN = 1_760_000_040.0


class World:
    """A runtime in simulated time: minutes of traffic, and what comes of them."""

    def __init__(self, monitoring: dict[str, Any] | None = None, **settings: Any) -> None:
        self.runtime = Runtime(
            Settings.load(env={}, cwd="/", plugins=(), monitoring=monitoring or {}, **settings), [self]
        )
        self.now = BEGIN
        self.runtime.profiles._clock = lambda: self.now
        self.runtime.profiles.started_at = self.now
        self.chance = random.Random(4)
        self.told: list[Alert] = []

    @hookimpl
    def perfmw_alert(self, alert: Alert) -> None:
        self.told.append(alert)

    @property
    def watching(self) -> Any:
        return self.runtime.rounds.watching

    def minutes(
        self, count: int, names: tuple[str, ...] = ("GET /x",), *,
        latency: float = 0.05, failing: float = 0.0, requests: int = 12,
    ) -> None:  # fmt: skip
        """``requests`` every five seconds for each target; the requests of a minute share some noise."""
        profiles = self.runtime.profiles
        for _ in range(count):
            noise = {name: self.chance.lognormvariate(0.0, 0.1) for name in names}
            for _ in range(12):
                self.now += 5.0
                for name in names:
                    recorder = profiles.recorder(name)
                    for _ in range(requests):
                        failed = self.chance.random() < failing
                        seconds = latency * noise[name] * self.chance.uniform(0.8, 1.2)
                        recorder.origin(seconds, 500 if failed else 200, "uri-miss")
                profiles.tick(self.now)
                for _ in self.watching.steps(self.now):
                    pass


async def test_a_step_of_20_percent_is_told_within_25_minutes() -> None:
    world = World()
    world.minutes(120)
    assert world.told == []
    step = world.now
    world.minutes(25, latency=0.06)
    (alert,) = world.told
    assert alert.type == "changed_latency"
    assert alert.details["since"] == pytest.approx(step, abs=300.0)
    assert alert.details["ratio"] == pytest.approx(1.2, abs=0.07)
    assert alert.details["confidence"] > 0.999


async def test_noise_tells_nobody_anything() -> None:
    world = World()
    world.minutes(350, ("GET /a", "GET /b", "GET /c"), requests=5)
    assert world.watching.series.buckets >= 1_000
    assert world.told == []


@pytest.mark.parametrize(("later", "told"), [(0.012, False), (0.2, True)])
async def test_a_loop_that_comes_some_milliseconds_late_is_no_incident(later: float, told: bool) -> None:
    world = World()
    recorder = world.runtime.profiles.recorder("process", "system")
    for second in range(3_600):
        world.now += 1.0
        for _ in range(10 if second < 2_700 else 2):
            recorder.done((0.0015 if second < 2_700 else later) * world.chance.uniform(0.8, 1.2))
        world.runtime.profiles.tick(world.now)
        for _ in world.watching.steps(world.now):
            pass
    assert bool(world.told) is told


async def test_fifty_profiles_that_worsen_together_are_one_message_that_names_the_cause() -> None:
    world = World()
    names = tuple(f"GET /{n}" for n in range(50))
    world.minutes(33, names, requests=2)
    world.runtime.annotate("deploy", "shop 2.4.1", world.now - 20.0)
    world.minutes(12, names, latency=0.1, requests=2)
    raised = [alert for alert in world.told if alert.stage == "raised"]
    assert len(raised) == 1
    assert len(world.told) <= 8, "one message and its updates"
    last = world.told[-1]
    assert last.target == "50 profiles"
    assert "deploy: shop 2.4.1" in last.message
    assert last.details["moved_with"][0]["kind"] == "deploy"


async def test_failures_burn_the_budget_and_the_incident_ends() -> None:
    world = World()
    world.minutes(60)
    world.minutes(20, failing=0.3)
    types = {one["type"] for one in world.watching.alerts()[-1].details["findings"]}
    assert {"slo_burn", "degraded_errors"} <= types
    assert world.told[-1].severity == "high"
    world.minutes(200)
    assert [alert.stage for alert in world.told].count("resolved") == 1
    assert all(alert.resolved_at is not None for alert in world.watching.alerts())


async def test_thresholds_look_at_the_last_minutes() -> None:
    world = World({"slo_availability": None})
    world.minutes(10)
    profile = world.runtime.profiles.find("GET /x")
    assert profile is not None
    limits = [AlertThreshold("latency.p95", 0.2, "above", "high")]
    config = PerformanceProfileConfig(name="GET /x", alert_thresholds=limits, monitoring_frequency=10.0)
    world.runtime.profiles.configure(profile.id, config)
    world.minutes(7, latency=0.4)
    assert any(one.type == "threshold" for one in world.told)


async def test_a_profile_that_is_not_monitored_is_left_alone() -> None:
    world = World()
    world.minutes(1)
    profile = world.runtime.profiles.find("GET /x")
    assert profile is not None
    config = PerformanceProfileConfig(name="GET /x", monitoring_enabled=False)
    world.runtime.profiles.configure(profile.id, config)
    world.minutes(40)
    world.minutes(20, latency=0.5, failing=0.5)
    assert world.told == []


async def test_less_traffic_is_found_and_a_night_is_usual() -> None:
    world = World()
    world.minutes(40, requests=20)
    world.minutes(12, requests=0)
    assert any("fewer" in one.message for one in world.watching.series.findings())


async def test_purges_of_a_minute_are_one_annotation() -> None:
    runtime = Runtime(Settings.load(env={}, cwd="/", plugins=()))
    watching = runtime.rounds.watching
    for number in range(50):
        await runtime.invalidate(tags=[f"item:{number}"])
    (purge,) = watching.timeline.items()
    assert (purge.kind, purge.count, purge.text) == ("purge", 50, "tag item:0")
    for keys, text in ((["a"], "1 key"), (["a", "b"], "2 keys")):
        runtime = Runtime(Settings.load(env={}, cwd="/", plugins=()))
        watching = runtime.rounds.watching
        await runtime.invalidate(keys=keys)
        assert [one.text for one in watching.timeline.items()] == [text]


async def test_alerts_reach_a_receiver_that_is_down_at_first_and_survive_a_restart(tmp_path: Path) -> None:
    async with receiving(503) as receiver:
        monitoring = {"channels": {"ops": {"type": "webhook", "url": receiver.url, "secret": "s"}}}
        world = World(monitoring, state_dir=str(tmp_path))
        await world.runtime.start()
        world.minutes(20)
        world.minutes(20, failing=0.3)
        await receiver.until(2)
        for _ in range(100):
            if world.watching.channels()[1].sent:
                break
            await asyncio.sleep(0.05)
        await world.watching.silence("GET /y", time.time() + 3600.0, why="known")
        world.runtime.annotate("deploy", "v2")
        await world.runtime.stop()
        first, again = receiver.messages[:2]
        assert first["data"]["key"] == again["data"]["key"]
        assert first["data"]["severity"] == "high" or len(receiver.messages) > 1
        seen = len(receiver.messages)

        later = World(monitoring, state_dir=str(tmp_path), apdex_t=0.3)
        await later.runtime.start()
        for _ in range(100):
            if later.watching.alerts():
                break
            await asyncio.sleep(0.02)
        assert [one.key for one in later.watching.alerts()] == [first["data"]["key"]]
        assert [one.pattern for one in later.watching.silences()] == ["GET /y"]
        kinds = [one.kind for one in later.watching.timeline.items()]
        assert "deploy" in kinds
        assert any("apdex_t" in one.text for one in later.watching.timeline.items())
        await later.runtime.stop()
        assert len(receiver.messages) == seen, "nobody is told twice"


async def test_a_receiver_that_hangs_holds_nothing_up() -> None:
    async with receiving(*[None] * 50) as receiver:
        world = World({"channels": {"ops": {"type": "slack", "url": receiver.url, "timeout": 0.2}}})
        await world.runtime.start()
        world.minutes(20)
        world.minutes(20, failing=0.3)
        await receiver.until(1)
        async with asyncio.timeout(20):
            await world.runtime.stop()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    wrapped = PerfMiddleware(app, settings=Settings.load(env={}, cwd="/", dashboard="loopback", plugins=()))
    await wrapped.runtime.start()
    transport = httpx.ASGITransport(app=wrapped, client=("127.0.0.1", 1))
    headers = {"origin": "http://localhost"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/_perfmw/api/v1/", headers=headers
    ) as client:
        yield client
    await wrapped.runtime.stop()


async def test_silences_by_the_api(client: httpx.AsyncClient) -> None:
    made = await client.post("alerts/silences", json={"pattern": "GET /x*", "seconds": 60, "why": "deploy"})
    assert made.status_code == 201
    listed = (await client.get("alerts/silences")).json()
    assert [one["pattern"] for one in listed["items"]] == ["GET /x*"]
    assert listed["maintenance"] is False
    ended = await client.post(f"alerts/silences/{made.json()['id']}/end", json={})
    assert ended.status_code == 200
    assert (await client.get("alerts/silences")).json()["items"] == []
    assert (await client.post("alerts/silences/none/end", json={})).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"pattern": "x"}, {"pattern": "", "seconds": 5}, {"pattern": "x", "seconds": -1},
     {"pattern": 1, "seconds": 5}, {"pattern": "x", "until": 5}, {"pattern": "x", "seconds": 1e10},
     {"pattern": "x", "seconds": 5, "until": 1e10}, {"pattern": "x", "sec": 5}],
)  # fmt: skip
async def test_bad_silences(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("alerts/silences", json=body)).status_code == 422


async def test_annotations_by_the_api(client: httpx.AsyncClient) -> None:
    made = await client.post("annotations", json={"text": "shop 2.4.1", "who": "ci"})
    assert made.status_code == 201
    assert made.json()["kind"] == "deploy"
    newest = (await client.get("annotations")).json()["items"][0]
    assert (newest["text"], newest["who"]) == ("shop 2.4.1", "ci")
    for bad in ({}, {"text": " "}, {"text": "x", "at": "now"}, {"text": "x", "kinds": "y"}):
        assert (await client.post("annotations", json=bad)).status_code == 422


async def test_alerts_and_channels_by_the_api(client: httpx.AsyncClient) -> None:
    assert (await client.get("alerts")).json()["items"] == []
    assert (await client.get("alerts", params={"state": "x"})).status_code == 422
    (channel,) = (await client.get("alerts/channels")).json()["items"]
    assert (channel["name"], channel["healthy"], channel["waiting"]) == ("log", True, 0)


async def test_what_is_noted_right_before_the_end_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("v1", "v2", "v3"):
        runtime = Runtime(Settings.load(env={}, cwd="/", plugins=(), state_dir=str(tmp_path)))
        await runtime.start()
        await runtime.rounds.watching.start()
        runtime.rounds.watching.annotate("deploy", name)
        await runtime.stop()
    store = MonitoringStore(str(tmp_path))
    assert [one.text for one in store.annotations() if one.kind == "deploy"] == ["v1", "v2", "v3"]
    store.close()
    assert store.annotations() == []
    assert store.failures == 0
    assert "closed database" not in caplog.text


async def test_a_silence_that_ends_while_others_are_read_stays_ended(tmp_path: Path) -> None:
    runtime = Runtime(Settings.load(env={}, cwd="/", plugins=(), state_dir=str(tmp_path)))
    watching = runtime.rounds.watching
    await watching.start()
    made = await watching.silence("GET /x", time.time() + 60)
    store, begun, go_on = watching._store, threading.Event(), threading.Event()
    assert store is not None
    read = store.silences

    def slowly(now: float) -> list[Silence]:
        found = read(now)
        begun.set()
        assert go_on.wait(10)
        return found

    store.silences, store.changed = slowly, lambda: True  # type: ignore[method-assign]
    reading = asyncio.create_task(watching._reload())
    await asyncio.to_thread(begun.wait, 10)
    ending = asyncio.create_task(watching.unsilence(made.id))
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.gather(reading, ending)
    assert watching.silences() == []
    await watching.stop()
