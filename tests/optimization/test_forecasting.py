"""What is prepared for load that is due, and what of it is undone."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw.contracts import PoolSample, RuntimeSnapshot
from perfmw.optimization import ForecastOptimizer
from perfmw.optimization.forecasting import load_due
from perfmw.testing import RecordingControls

FORECAST: dict[str, Any] = {
    "rate": 20.0,
    "horizon": 3600.0,
    "expected": 60.0,
    "interval": [50.0, 75.0],
    "advice": {"at": 0.0, "current": 2, "wanted": 5, "reason": "12 a second and worker"},
}
POOL = PoolSample("db", "connections", 10.0, 6.0, 0.6)


def shot(*pools: PoolSample, **changed: Any) -> RuntimeSnapshot:
    return RuntimeSnapshot(0.0, 60.0, pools=pools, forecast={**FORECAST, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"expected": 25.0},
        {"interval": None},
        {"interval": [15.0, 100.0]},
        {"rate": None},
        {"rate": 0.1, "expected": 0.5, "interval": [0.4, 0.6]},
    ],
    ids=["hardly more", "nobody knows how sure", "not sure", "unknown", "next to nothing"],
)
def test_load_that_is_not_due_is_not_prepared_for(changed: dict[str, Any]) -> None:
    assert load_due(shot(**changed).forecast) is None
    assert ForecastOptimizer().prepare(shot(POOL, **changed), {"db"}) == []
    assert ForecastOptimizer().recommend(shot(**changed)) == []


def test_load_that_is_due_warms_up_and_enlarges_pools() -> None:
    optimizer, controls = ForecastOptimizer(), RecordingControls()
    idle, other = PoolSample("idle", "connections", 10.0, 1.0, 0.1), PoolSample("cpu", "cores", 2.0, 2.0, 1.0)
    warm, larger = optimizer.prepare(shot(POOL, idle, other), {"db", "idle"})
    assert warm.type == "warm_up"
    # three times as many requests would take 18 connections, 23 with room to spare: twice as many is the most
    assert larger.title == "Give the pool db 20 connections instead of 10"
    optimizer.apply(warm, controls)
    optimizer.apply(larger, controls)
    assert controls.options == {"warm_up": ["hottest"], "pool:db": 20}
    optimizer.revert(larger, controls)
    optimizer.revert(warm, controls)
    assert controls.options == {"warm_up": ["hottest"], "pool:db": 10.0}
    with pytest.raises(ValueError, match="parameters"):
        optimizer.apply(larger.__class__("x", "x", "all", "x", "forecast"), controls)


def test_more_workers_are_advised_where_they_are_needed() -> None:
    [advice] = ForecastOptimizer().recommend(shot())
    assert advice.title == "Have 5 workers within 1 h instead of 2"
    assert "60 requests a second are expected in 1 h, 20 come now" in advice.detail
    enough = {**FORECAST["advice"], "wanted": 2}
    assert ForecastOptimizer().recommend(shot(advice=enough)) == []
    assert ForecastOptimizer().propose(shot(POOL)) == ()
