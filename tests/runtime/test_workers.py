"""What several workers say of themselves, added up."""

from __future__ import annotations

from typing import Any

from perfmw.contracts import PoolSample
from perfmw.runtime.workers import merged_limits, merged_pools


def pool(name: str, used: float, capacity: float | None, **more: Any) -> PoolSample:
    share = used / capacity if capacity else None
    return PoolSample(name, "connections", capacity, used, share, **more)


def test_pools_of_the_host_are_told_once_and_those_of_workers_added_up() -> None:
    own = [pool("cpu", 1.0, 2.0), pool("database", 4.0, 5.0, waiting=1, saturation=0.2)]
    other = [
        pool("cpu", 1.1, 2.0),
        pool("database", 2.0, 5.0, waiting=2, saturation=0.4),
        pool("late", 1.0, None),
    ]
    cpu, database, late = merged_pools(own, [other])
    assert (cpu.used, cpu.capacity) == (1.0, 2.0)
    assert (database.used, database.capacity, database.utilization) == (6.0, 10.0, 0.6)
    assert (database.waiting, database.saturation) == (3, 0.4)
    assert late.utilization is None
    assert own[1].used == 4.0


def limits(admitted: int, refused: int, keys: int) -> dict[str, Any]:
    group = {
        "group": "default",
        "limit": 20,
        "in_flight": 1,
        "waiting": 0,
        "admitted": {"normal": admitted},
        "refused": {"normal": refused},
    }
    quota = {
        "quota": "few",
        "allowed": admitted,
        "refused": refused,
        "refused_by_priority": {"normal": refused},
        "keys": keys,
        "heaviest": [{"key": "a", "refused": refused}],
    }
    return {"mode": "on", "groups": [group], "quotas": [quota]}


def test_limits_of_all_workers_are_one_table() -> None:
    told = [limits(5, 2, 3), limits(7, 1, 9), {}]
    merged = merged_limits(told)
    (group,), (quota,) = merged["groups"], merged["quotas"]
    assert (group["limit"], group["in_flight"]) == (40, 2)
    assert (group["admitted"], group["refused"]) == ({"normal": 12}, {"normal": 3})
    assert (quota["allowed"], quota["refused"], quota["keys"]) == (12, 3, 9)
    assert quota["heaviest"] == [{"key": "a", "refused": 3}]
    assert told[0] == limits(5, 2, 3)
    assert merged_limits([{}, {}]) == {}
