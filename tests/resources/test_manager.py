from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts.resources import PoolSample
from perfmw.resources import ResourceManagementSystem, ResourceSampler, efficiency, pool_efficiency


class Pool:
    def __init__(self, name: str, utilization: float | None, saturation: float | None = None) -> None:
        self.name = name
        self.utilization = utilization
        self.saturation = saturation

    def sample(self, now: float) -> PoolSample:
        return PoolSample(self.name, "bytes", 1.0, 0.0, self.utilization, self.saturation, sampled_at=now)


class Broken:
    name = "broken"

    def sample(self, now: float) -> PoolSample:
        raise OSError("gone")


def sample(utilization: float | None, saturation: float | None = None) -> PoolSample:
    return Pool("x", utilization, saturation).sample(0.0)


@pytest.mark.parametrize(
    ("utilization", "saturation", "wanted"),
    [
        (0.0, 0.0, 1.0),
        (0.8, None, 1.0),
        (0.9, 0.0, 0.5),
        (1.0, 0.0, 0.0),
        (0.5, 0.25, 0.75),
        (None, 0.1, 0.9),
    ],
)
def test_a_pool_is_efficient_while_nothing_waits(
    utilization: float | None, saturation: float | None, wanted: float
) -> None:
    assert pool_efficiency(sample(utilization, saturation)) == pytest.approx(wanted)


def test_efficiency_is_the_mean_of_what_is_known() -> None:
    assert efficiency([sample(1.0), sample(0.1), sample(None)]) == pytest.approx(0.5)
    assert efficiency([sample(None)]) is None
    assert efficiency([]) is None


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_load_is_never_more_efficient(one: float, two: float, saturation: float) -> None:
    low, high = sorted((one, two))
    light, heavy = pool_efficiency(sample(low, saturation)), pool_efficiency(sample(high, saturation))
    assert light is not None
    assert heavy is not None
    assert 0.0 <= heavy <= light <= 1.0


def test_a_pool_that_fails_is_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    sampler = ResourceSampler([Pool("a", 0.5), Broken()])
    assert [one.name for one in sampler.sample(1.0)] == ["a"]
    sampler.sample(2.0)
    assert sampler.failures == {"broken": 2}
    assert len(caplog.records) == 1
    assert "broken" in caplog.text


def test_pools_are_known_by_the_name_they_were_registered_under() -> None:
    sampler = ResourceSampler({"orders-db": Pool("database", 0.5)})
    assert [one.name for one in sampler.sample(1.0)] == ["orders-db"]
    assert sampler.names == ["orders-db"]


def test_the_history_is_bounded() -> None:
    sampler = ResourceSampler([Pool("a", 0.5)], history=3)
    for now in range(10):
        sampler.sample(float(now))
    assert [one.sampled_at for one in sampler.history("a")] == [7.0, 8.0, 9.0]
    assert sampler.history("b") == []
    assert [one.sampled_at for one in sampler.latest()] == [9.0]


def test_what_is_kept_may_be_more_than_this_process_sees() -> None:
    def merge(own: list[PoolSample]) -> list[PoolSample]:
        return [*(replace(one, utilization=0.75) for one in own), PoolSample("far", "x", 1.0, 1.0, 1.0)]

    sampler = ResourceSampler([Pool("a", 0.5)], merge=merge)
    [own] = sampler.sample(1.0)
    assert [one.name for one in sampler.kept] == ["a", "far"]
    assert (own.utilization, [one.utilization for one in sampler.history("a")]) == (0.5, [0.75])
    assert sampler.history("far") == [], "only pools that this process has can be managed"


def test_managers_of_one_worker_are_those_of_all() -> None:
    first, second = (
        ResourceManagementSystem(ResourceSampler([Pool("cpu", 0.2), Pool("memory", 0.9)]), clock=ticks)
        for ticks in (count(10.0).__next__, count(10.5).__next__)
    )
    api = first.create("api", "component", ["cpu"])
    second.take_over(first.records())
    assert [one.name for one in second.managers()] == ["host", "api"]
    assert second.get(api.id) == api
    with pytest.raises(ValueError, match="named 'api' already"):
        second.create("api")
    assert second.delete(api.id)
    first.take_over(second.records())
    second.take_over(first.records())
    assert [one.name for one in (*first.managers(), *second.managers())] == ["host", "host"]
    assert first.create("api", "component", ["cpu"]).id == api.id
    second.take_over(first.records())
    assert second.get(api.id) is not None, "made anew after it was removed"


def test_a_worker_that_lacks_the_pools_takes_no_manager_over() -> None:
    first = ResourceManagementSystem(ResourceSampler([Pool("gpu", 0.2)]))
    second = ResourceManagementSystem(ResourceSampler([Pool("cpu", 0.2)]))
    first.create("graphics", pools=["gpu"])
    second.take_over(first.records())
    assert [one.name for one in second.managers()] == ["host"]


def test_what_was_removed_is_remembered_within_bounds() -> None:
    system = ResourceManagementSystem(ResourceSampler([Pool("cpu", 0.2)]))
    for number in range(300):
        assert system.delete(system.create(f"m{number}").id)
    records = system.records()
    assert len(records) == 200
    assert [records[0].name, records[-1].name] == ["host", "m299"]


def test_the_host_has_a_manager_over_all_pools() -> None:
    cpu = Pool("cpu", 0.2)
    sampler = ResourceSampler([cpu, Pool("gpu", 0.9)])
    system = ResourceManagementSystem(sampler, clock=lambda: 5.0)
    sampler.sample(1.0)
    cpu.utilization = 0.1
    sampler.sample(2.0)
    [manager] = system.managers()
    assert (manager.name, manager.scope, manager.metadata.created_at) == ("host", "global", 5.0)
    assert manager.pools.cpu is not None
    assert manager.pools.cpu.utilization == 0.1
    assert manager.pools.memory is None
    assert list(manager.pools.other) == ["gpu"]
    assert manager.metrics.utilization == {"cpu": 0.1, "gpu": 0.9}
    assert manager.metrics.waste == {"cpu": pytest.approx(0.8), "gpu": pytest.approx(0.1)}
    assert manager.metrics.efficiency == pytest.approx(0.75)


def test_managers_are_created_and_deleted() -> None:
    system = ResourceManagementSystem(ResourceSampler([Pool("cpu", 0.2), Pool("memory", 0.9)]))
    manager = system.create("api", "component", ["cpu"])
    assert system.get(manager.id) is manager
    assert [one.name for one in system.managers()] == ["host", "api"]
    with pytest.raises(ValueError, match="named 'api' already"):
        system.create("api")
    with pytest.raises(ValueError, match="no resource pool named gpu; there are cpu, memory"):
        system.create("other", pools=["gpu"])
    assert system.delete(manager.id) is True
    assert system.delete(manager.id) is False
    assert system.get(manager.id) is None
