"""The learned policy keeps the contract, learns what no list can know, and is followed only where it wins."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import perfmw_ml
import perfmw_ml.brain
from perfmw_ml import Brain, LearnedEviction, LearnedPolicy, learn_from, read_trace
from perfmw_ml.table import FEATURES, Table

from perfmw import Runtime, Settings
from perfmw.cache import MemoryLayer
from perfmw.testing import EvictionPolicyContract, ModelCache

Access = tuple[str, int]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    perfmw_ml.brain.join_all()
    assert not [one for one in threading.enumerate() if one.name == "perfmw-ml-train"]


def inline(capacity: int) -> LearnedPolicy:
    return LearnedPolicy(capacity, Brain(threaded=False), clock=lambda: 0.0)


class TestLearned(EvictionPolicyContract):
    def make(self, capacity: int) -> LearnedPolicy:
        return inline(capacity)


def mixed(length: int = 12_000, seed: int = 5) -> list[Access]:
    """Pages that are read again and again, and reports that never are: only their names tell them apart."""
    chance = random.Random(seed)
    found: list[Access] = []
    for number in range(length):
        if chance.random() < 0.5:
            found.append((f"/reports/{number}", 1))
        else:
            found.append((f"/pages/{chance.randrange(300)}", 1))
    return found


def hit_ratio(trace: list[Access], policy: str, capacity: int, make: object = None) -> float:
    """Of the second half."""
    from perfmw.cache.eviction import POLICIES

    known = POLICIES if make is None else {**POLICIES, policy: make}
    layer = MemoryLayer(max_entries=capacity, policy=policy, policies=known)  # type: ignore[arg-type]
    before = 0
    for number, (key, _) in enumerate(trace):
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
        if number == len(trace) // 2:
            before = layer.hits
    return (layer.hits - before) / (len(trace) - len(trace) // 2 - 1)


def test_it_learns_which_routes_are_asked_for_again() -> None:
    trace = mixed()
    learned = hit_ratio(trace, "alone", 200, inline)
    assert learned > hit_ratio(trace, "s3fifo", 200) + 0.01
    assert learned > hit_ratio(trace, "lru", 200) + 0.1


class Hopeless(LearnedPolicy):
    """Evicts what was read last."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, Brain(threaded=False))

    def evict(self, incoming: object, size: int) -> object:  # type: ignore[override]
        self._catch_up()
        slot = max(self._table.residents, key=self._table.last.__getitem__)
        key = self._table.keys[slot]
        self._table.leave(slot)
        return key


class Inline(LearnedPolicy):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, Brain(threaded=False))


def test_it_is_followed_only_where_it_wins() -> None:
    trace = mixed(6_000)
    assert hit_ratio(trace, "learned", 200, Inline) > hit_ratio(trace, "s3fifo", 200) - 0.005
    chance = random.Random(8)
    recent = [(f"/pages/{number // 20 + chance.randrange(40)}", 1) for number in range(5_000)]
    assert hit_ratio(recent, "learned", 60, Hopeless) > hit_ratio(recent, "lru", 60) - 0.03


def test_what_it_remembers_is_bounded() -> None:
    cache = ModelCache(policy := inline(100), 100)
    for number in range(5_000):
        cache.write(f"/a/{number}")
    table = policy._table
    assert table.ghosts <= 256 + 3 * 100
    assert len(table.keys) <= 100 + 256 + 3 * 100 + 2
    assert policy.brain.examples <= 8_192
    assert len(policy._open) <= 8_192


def test_patterns_are_bounded() -> None:
    table = Table()
    for number in range(3_000):
        table.read("x" * number)
    assert len(table._numbers) == 1_024


def test_rows_have_every_feature_and_no_infinity() -> None:
    table = Table()
    for key in "aabac":
        slot = table.read(key)
        if not table.holds(slot):
            table.enter(slot, 10, 0.5)
    rows = table.rows(list(table.residents), 13.0)
    assert rows.shape == (3, len(FEATURES))
    assert abs(rows).max() < 1e3


def test_hits_wait_for_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = inline(50)
    cache = ModelCache(policy, 50)
    for number in range(50):
        cache.write(number)
    monkeypatch.setattr(policy, "_scores", None)  # would raise
    for number in range(50):
        assert cache.read(number)


def test_training_is_done_by_a_thread_that_ends() -> None:
    brain = Brain()
    cache = ModelCache(LearnedPolicy(100, brain), 100)
    for key, _ in mixed(6_000):
        if not cache.read(key):
            cache.write(key)
    brain.join(30.0)
    assert brain.model is not None
    assert threading.active_count() >= 1


def test_a_training_that_fails_leaves_the_policy_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    cache = ModelCache(policy := inline(100), 100)
    for key, _ in mixed(6_000):
        if not cache.read(key):
            cache.write(key)
    assert policy.brain.trained > 0
    assert policy.brain.model is None
    cache.check_agreement()


def test_a_recorded_trace_gives_it_a_model_to_begin_with(tmp_path: Path) -> None:
    trace = mixed(8_000)
    with gzip.open(tmp_path / "keys.txt.gz", "wt") as lines:
        lines.write("# recorded\n" + "".join(f"{key} {size}\n" for key, size in trace))
    assert read_trace(tmp_path / "keys.txt.gz") == trace
    brain = learn_from(trace, 200)
    assert brain.model is not None
    later = mixed(3_000, seed=6)
    cold = hit_ratio(later, "alone", 200, inline)
    begun = hit_ratio(later, "alone", 200, lambda capacity: LearnedPolicy(capacity, Brain(before=brain)))
    assert begun > cold


def test_a_runtime_takes_it_by_name(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key, _ in mixed(6_000)))
    given = LearnedEviction(trace=tmp_path / "keys.txt", entries=200)
    runtime = Runtime(
        Settings(eviction_policy="learned", memory_max_entries=100, plugins=[]), plugins=[given]
    )
    layer = runtime.cache.memory
    assert layer is not None
    for key, _ in mixed(4_000):
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
    given.perfmw_shutdown(runtime)
    assert layer.policy == "learned"
    assert layer.hits > 200
    assert len(layer) == 100


def test_a_trace_that_cannot_be_read_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = LearnedEviction(trace=tmp_path / "missing")
    factory = given.perfmw_register_eviction_policies(settings=Settings())["learned"]
    assert len(factory(10)) == 0
    perfmw_ml.brain.join_all()
    assert "learning from a trace failed" in caplog.text


def test_who_does_not_select_it_imports_neither_numpy_nor_scikit_learn() -> None:
    code = (
        "import sys, perfmw_ml; from perfmw import Runtime, Settings;"
        "Runtime(Settings(plugins=[]), plugins=[perfmw_ml.plugin]);"
        "print([name for name in ('numpy', 'sklearn') if name in sys.modules])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_the_entry_point_is_the_plugin() -> None:
    assert "learned" in perfmw_ml.plugin.perfmw_register_eviction_policies(settings=Settings())
