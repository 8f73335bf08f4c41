from __future__ import annotations

import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from perfmw import Settings, defaults
from perfmw.resources import CpuPool, MemoryPool, NetworkPool, ProcessUsage, StoragePool, builtin_pools
from perfmw.resources.cgroups import Cgroup

CpuTimes = namedtuple("CpuTimes", "user nice system idle iowait")


def group(tmp_path: Path, membership: str, files: dict[str, str]) -> Cgroup:
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    proc = tmp_path / "membership"
    proc.write_text(membership)
    return Cgroup(root, proc)


def no_cgroup(tmp_path: Path) -> Cgroup:
    return Cgroup(tmp_path / "nothing", tmp_path / "nowhere")


def test_version_2_takes_the_narrowest_limit_above(tmp_path: Path) -> None:
    cgroup = group(
        tmp_path,
        "0::/pod/container\n",
        {
            "pod/cpu.max": "150000 100000\n",
            "pod/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "pod/container/cpu.max": "max 100000\n",
            "pod/memory.max": "1000\n",
            "pod/container/memory.max": "600\n",
            "pod/container/memory.current": "500\n",
            "pod/container/memory.stat": "anon 1\ninactive_file 120\n",
        },
    )
    assert cgroup.cpu_cores == 1.5
    assert cgroup.cpu_seconds() == 2.5
    assert cgroup.memory_bytes == 600
    assert cgroup.memory_used() == 380


def test_version_1(tmp_path: Path) -> None:
    cgroup = group(
        tmp_path,
        "4:memory:/box\n2:cpu,cpuacct:/box\n",
        {
            "cpu/box/cpu.cfs_quota_us": "50000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "cpu/box/cpuacct.usage": "3000000000\n",
            "memory/box/memory.limit_in_bytes": "4096\n",
            "memory/box/memory.usage_in_bytes": "3000\n",
            "memory/box/memory.stat": "cache 9\ntotal_inactive_file 1000\n",
        },
    )
    assert (cgroup.cpu_cores, cgroup.cpu_seconds()) == (0.5, 3.0)
    assert (cgroup.memory_bytes, cgroup.memory_used()) == (4096, 2000)


def test_version_1_that_counts_time_elsewhere_than_it_limits_it(tmp_path: Path) -> None:
    cgroup = group(
        tmp_path,
        "2:cpuacct:/box\n1:cpu:/box\n",
        {
            "cpu/box/cpu.cfs_quota_us": "50000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "cpuacct/cpuacct.usage": "9000000000\n",
            "cpuacct/box/cpuacct.usage": "3000000000\n",
        },
    )
    assert (cgroup.cpu_cores, cgroup.cpu_seconds()) == (0.5, 3.0)
    pool = CpuPool(cgroup)
    pool.sample(0.0)
    (tmp_path / "cgroup" / "cpuacct" / "box" / "cpuacct.usage").write_text("3250000000\n")
    assert pool.sample(1.0).utilization == 0.5


def test_version_1_without_limits(tmp_path: Path) -> None:
    cgroup = group(
        tmp_path,
        "4:memory:/\n1:cpu:/\n",
        {
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cgroup.cpu_cores is None
    assert cgroup.memory_bytes is None
    assert cgroup.cpu_seconds() is None
    assert cgroup.memory_used() is None


@pytest.mark.parametrize("damage", ["", "garbage", "x y z", "max", "-5 100000"])
def test_damaged_files_mean_no_limit(tmp_path: Path, damage: str) -> None:
    cgroup = group(tmp_path, f"0::/\n{damage}\n", {"cpu.max": damage, "memory.max": damage})
    assert (cgroup.cpu_cores, cgroup.memory_bytes) == (None, None)


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    cgroup = no_cgroup(tmp_path)
    assert (cgroup.cpu_cores, cgroup.memory_bytes, cgroup.cpu_seconds()) == (None, None, None)


def test_cpu_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [CpuTimes(10, 0, 5, 100, 7), CpuTimes(11, 0, 5.5, 101, 8)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: times.pop(0))
    monkeypatch.setattr("perfmw.resources.pools._usable_cores", lambda: frozenset({0, 1}))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (8.0, 0.0, 0.0))
    pool = CpuPool(no_cgroup(tmp_path))
    assert pool.sample(100.0).used == 0.0
    second = pool.sample(101.0)
    assert (second.used, second.capacity, second.utilization) == (1.5, 2.0, 0.75)
    assert second.saturation == 0.75
    assert (second.unit, second.sampled_at) == ("cores", 101.0)


def test_cpu_of_the_cores_that_a_process_may_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others do on other cores takes nothing from this process."""
    idle, busy = CpuTimes(1, 0, 0, 100, 0), CpuTimes(9, 0, 0, 92, 0)
    rounds = [[idle, idle, idle], [busy, busy, CpuTimes(1.5, 0, 0, 100.5, 0)]]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: rounds.pop(0))
    monkeypatch.setattr("perfmw.resources.pools._usable_cores", lambda: frozenset({2}))
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    pool = CpuPool(no_cgroup(tmp_path))
    pool.sample(100.0)
    sample = pool.sample(101.0)
    assert (sample.used, sample.capacity) == (0.5, 1.0)


def test_cpu_of_a_limited_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.resources.pools._usable_cores", lambda: frozenset(range(4)))
    cgroup = group(tmp_path, "0::/\n", {"cpu.max": "50000 100000", "cpu.stat": "usage_usec 1000000\n"})
    pool = CpuPool(cgroup)
    pool.sample(10.0)
    (tmp_path / "cgroup" / "cpu.stat").write_text("usage_usec 1250000\n")
    sample = pool.sample(11.0)
    assert (sample.capacity, sample.used, sample.utilization) == (0.5, 0.25, 0.5)


def test_memory_of_a_limited_group(tmp_path: Path) -> None:
    cgroup = group(
        tmp_path,
        "0::/\n",
        {"memory.max": "1000", "memory.current": "400", "memory.stat": "inactive_file 150\n"},
    )
    sample = MemoryPool(cgroup).sample(1.0)
    assert (sample.capacity, sample.used, sample.utilization) == (1000.0, 250.0, 0.25)


def test_memory_of_the_host(tmp_path: Path) -> None:
    sample = MemoryPool(no_cgroup(tmp_path)).sample(1.0)
    assert sample.capacity == psutil.virtual_memory().total
    assert sample.utilization is not None
    assert 0.0 < sample.utilization <= 1.0


def test_storage_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=1000, used=600, free=200, percent=75.0)
    monkeypatch.setattr(psutil, "disk_usage", lambda path: usage)
    busy = [{"sda": SimpleNamespace(busy_time=1000)}, {"sda": SimpleNamespace(busy_time=1500)}]
    monkeypatch.setattr(psutil, "disk_io_counters", lambda perdisk: busy.pop(0))
    pool = StoragePool(tmp_path)
    pool.sample(1.0)
    sample = pool.sample(2.0)
    assert (sample.capacity, sample.used, sample.utilization) == (800.0, 600.0, 0.75)
    assert sample.saturation == 0.5


def test_storage_without_disk_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda perdisk: {})
    assert StoragePool(tmp_path).sample(1.0).saturation is None


def nic(received: int, sent: int, dropped: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        bytes_recv=received,
        bytes_sent=sent,
        packets_recv=received // 100,
        packets_sent=sent // 100,
        dropin=dropped,
        dropout=0,
        errin=0,
        errout=0,
    )


def test_network_counts_the_busier_direction_without_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = [
        {"eth0": nic(0, 0), "lo": nic(0, 0)},
        {"eth0": nic(1000, 5_000_000, 50), "lo": nic(10**9, 10**9)},
    ]
    links = {
        "eth0": SimpleNamespace(isup=True, speed=100),
        "eth1": SimpleNamespace(isup=False, speed=1000),
        "lo": SimpleNamespace(isup=True, speed=0),
    }
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: counters.pop(0))
    monkeypatch.setattr(psutil, "net_if_stats", lambda: links)
    pool = NetworkPool()
    pool.sample(1.0)
    sample = pool.sample(2.0)
    assert (sample.used, sample.capacity, sample.utilization) == (5e6, 12.5e6, 0.4)
    assert sample.saturation == pytest.approx(50 / 50_060)


def test_a_link_without_a_speed_has_no_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"eth0": SimpleNamespace(isup=True, speed=0)})
    sample = NetworkPool().sample(1.0)
    assert (sample.capacity, sample.utilization) == (None, None)


def test_a_counter_that_was_reset_gives_no_negative_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [CpuTimes(100, 0, 0, 0, 0), CpuTimes(1, 0, 0, 0, 0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: times.pop(0))
    pool = CpuPool(no_cgroup(tmp_path))
    pool.sample(1.0)
    assert pool.sample(2.0).used == 0.0


def test_every_builtin_pool_reads_this_machine(tmp_path: Path) -> None:
    pools = builtin_pools(tmp_path)
    names = ["cpu", "memory", "storage", "network", "descriptors", "event-loop", "threads", "anyio-threads"]
    assert list(pools) == names
    for name, pool in pools.items():
        pool.sample(1.0)
        sample = pool.sample(2.0)
        assert sample.name == name == pool.name
        assert sample.utilization is None or 0.0 <= sample.utilization <= 1.0
        assert sample.saturation is None or 0.0 <= sample.saturation <= 1.0


def test_this_process_used_cpu_and_memory() -> None:
    usage = ProcessUsage()
    usage.sample(1.0)
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass
    found = usage.sample(2.0)
    assert found.cpu_seconds is not None
    assert found.cpu_seconds > 0.0
    assert found.cpu_utilization is not None
    assert found.cpu_utilization > 0.0
    assert found.memory_bytes is not None
    assert found.memory_bytes > 1_000_000
    assert found.average is not None
    assert found.storage_utilization is not None
    assert 0.0 < found.storage_utilization <= 1.0
    assert ProcessUsage("/no/such/folder").sample(1.0).storage_utilization is None


def test_the_disk_that_is_watched_is_that_of_the_cache_though_its_folder_is_still_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    measure = psutil.disk_usage

    def measured(path: str) -> object:
        asked.append(path)
        return measure(path)

    monkeypatch.setattr(psutil, "disk_usage", measured)
    file = tmp_path / "later" / "cache.sqlite3"
    pools = defaults.perfmw_register_resource_pools(Settings(disk_path=str(file), plugins=[]))
    assert pools["storage"].sample(1.0).capacity
    file.parent.mkdir()
    pools["storage"].sample(2.0)
    assert asked == [str(tmp_path), str(file.parent)]


def test_without_a_descriptor_left_all_are_in_use_and_the_last_figures_stay() -> None:
    code = """
import os, resource
from perfmw.resources.descriptors import DescriptorPool
from perfmw.resources.process import ProcessUsage
pool, usage = DescriptorPool(), ProcessUsage()
before = usage.sample(1.0)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True:
        os.dup(0)
except OSError:
    pass
found = pool.sample(2.0)
assert (found.used, found.utilization) == (40.0, 1.0), found
assert usage.sample(2.0) == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
