"""Coalescing, and the shares of traced and logged requests: proposed from evidence, switched, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.contracts import PerformanceProfile, RuntimeSnapshot
from perfmw.optimization import SwitchOptimizer
from perfmw.testing import Client
from tests.optimization.world import make_profile

pytestmark = pytest.mark.anyio


def busy(a_second: float) -> PerformanceProfile:
    profile = make_profile()
    throughput = replace(profile.metrics.throughput, count=round(a_second * 100), per_second=a_second)
    return replace(profile, metrics=replace(profile.metrics, throughput=throughput))


def shot(options: dict[str, Any], a_second: float = 1_000.0, **status: int) -> RuntimeSnapshot:
    return RuntimeSnapshot(
        0.0, 100.0, profiles=(busy(a_second),), options=options, cache_status={**status, "hit": 900}
    )


def test_coalescing_is_proposed_where_it_is_off_and_pages_are_kept() -> None:
    optimizer = SwitchOptimizer()
    [found] = optimizer.propose(shot({"coalesce": False}, **{"uri-miss": 300}))
    assert (found.type, found.target, found.toggles) == ("coalescing", "all", True)
    assert found.parameters == {"option": "coalesce", "value": True, "before": False}
    assert found.saved_seconds_per_day > 0
    assert optimizer.propose(shot({"coalesce": True}, **{"uri-miss": 300})) == []
    [lacking] = optimizer.explain(shot({"coalesce": False}, **{"uri-miss": 3}))
    assert "3 misses of 200 needed" in lacking.missing


def test_fewer_requests_are_traced_where_many_are() -> None:
    optimizer = SwitchOptimizer()
    [found] = optimizer.propose(shot({"trace_ratio": 0.5}))
    assert found.title == "Trace 2.00% of the requests instead of 50.00%"
    assert found.parameters["value"] == pytest.approx(0.02)
    assert found.level == "advanced"
    assert optimizer.propose(shot({"trace_ratio": 0.5}, a_second=50.0)) == []
    [lacking] = optimizer.explain(shot({"trace_ratio": 0.5}, a_second=50.0))
    assert (lacking.type, lacking.missing) == ("span_sampling", "few are: 25 requests a second")
    [lacking] = optimizer.explain(shot({"trace_ratio": 0.5}, a_second=5.0))
    assert lacking.missing == "500 requests of 1,000 needed"
    assert optimizer.propose(shot({})) == []


def test_fewer_lines_are_logged_where_many_are() -> None:
    [found] = SwitchOptimizer().propose(shot({"access_log_ratio": 1.0}))
    assert found.type == "log_sampling"
    assert found.title == "Log 2.00% of the requests instead of 100.00%, failures always"
    assert found.parameters == {"option": "access_log_ratio", "value": 0.02, "before": 1.0}
    assert found.evidence["sampled_a_second"] == pytest.approx(1_000)
    assert found.saved_seconds_per_day == pytest.approx(980 * 50e-6 * 86_400)


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a"})


async def test_a_running_site_is_switched_and_switched_back() -> None:
    site = PerfMiddleware(app, settings=Settings(plugins=[], coalesce=False, trace_ratio=0.5))
    runtime = site.runtime
    await Client(site).get("/a")
    assert runtime.snapshot().options == {"coalesce": False, "trace_ratio": 0.5}
    optimizer = SwitchOptimizer()
    found = optimizer.propose(shot(dict(runtime.snapshot().options), **{"uri-miss": 300}))
    assert len(found) == 2
    for opportunity in found:
        optimizer.apply(opportunity, runtime.controls)
        optimizer.apply(opportunity, runtime.controls)
    assert runtime.controls.options() == {"coalesce": True, "trace_ratio": pytest.approx(0.02)}
    assert runtime.tracing is not None
    assert runtime.tracing.chance == pytest.approx(0.02)
    for opportunity in found:
        optimizer.revert(opportunity, runtime.controls)
    assert runtime.controls.options() == {"coalesce": False, "trace_ratio": 0.5}
    for name, value in (("trace_ratio", 2.0), ("nothing", 1)):
        with pytest.raises(ValueError, match=r"trace_ratio|nothing"):
            runtime.controls.set_option(name, value)
    await runtime.stop()
