"""Limits, quotas and the forecast as the JSON API and Prometheus tell them."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.contracts import ResourceUsageMetrics
from perfmw.settings import Concurrency, Quota
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


async def test_what_is_limited_and_refused_is_told() -> None:
    settings = Settings(
        concurrency_limit="on",
        concurrency=Concurrency(groups={"/reports/**": "reports"}),
        quotas=[Quota(name="few", limit=60, burst=1)],
        dashboard="loopback",
        plugins=[],
    )
    client = Client(PerfMiddleware(app, settings), base_url="http://127.0.0.1")
    async with client:
        assert [(await client.post("/")).status for _ in range(2)] == [200, 429]
        told = (await client.get("/_perfmw/api/v1/limits")).json()
        text = (await client.get("/_perfmw/metrics")).text
    assert told["mode"] == "on"
    assert [row["group"] for row in told["groups"]] == ["default", "reports"]
    assert told["groups"][0]["admitted"]["normal"] == 1
    assert told["quotas"][0]["refused"] == 1
    assert 'perfmw_concurrency_limit{group="default"} 20' in text
    assert 'perfmw_concurrency_admitted_total{group="default",priority="normal"} 1' in text
    assert 'perfmw_quota_refused_total{quota="few"} 1' in text


async def test_the_forecast_is_told_once_there_is_one() -> None:
    settings = Settings(dashboard="loopback", forecast_capacity=10.0, plugins=[])
    wrapped = PerfMiddleware(app, settings)
    client = Client(wrapped, base_url="http://127.0.0.1")
    async with client:
        before = (await client.get("/_perfmw/api/v1/forecast")).json()
        at_start = (await client.get("/_perfmw/metrics")).text
        scaling = wrapped.runtime.rounds.scaling
        scaling.tick(2e9, ResourceUsageMetrics(cpu_seconds=0.0))
        scaling.tick(2e9 + 60.0, ResourceUsageMetrics(cpu_seconds=0.1))
        after = wrapped.runtime.snapshot()
    assert before["rate"] is None
    assert before["advice"] is None
    assert before["wanted"] == 1
    assert "perfmw_workers_wanted 1\n" in at_start  # autoscalers take none for 0
    assert "perfmw_request_rate" not in at_start
    assert after.forecast["advice"]["wanted"] == 1
    exporter: Any = wrapped.runtime.exporters["prometheus"]
    assert "perfmw_workers_wanted 1\n" in exporter.render(after)
    off = (await client.get("/_perfmw/api/v1/limits")).json()
    assert off == {"mode": "off", "groups": [], "quotas": []}
