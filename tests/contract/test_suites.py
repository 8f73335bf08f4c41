"""The suites find what they are there for: a broken implementation fails the test that names its fault."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from aiocache import SimpleMemoryCache

from perfmw.contracts import Alert, Controls, OptimizationOpportunity, PoolSample, RuntimeSnapshot
from perfmw.testing import (
    AlertChannelContract,
    CacheLayerContract,
    CodecContract,
    Contract,
    ContractError,
    EvictionPolicyContract,
    ExporterContract,
    FakeClock,
    OptimizerContract,
    ResourcePoolContract,
    check_raises,
    run_contract,
)


class Fifo:
    def __init__(self, capacity: int) -> None:
        self.order: OrderedDict[Hashable, None] = OrderedDict()

    def on_hit(self, key: Hashable) -> None: ...

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self.order[key] = None

    def on_update(self, key: Hashable, size: int, cost: float) -> None: ...

    def on_remove(self, key: Hashable) -> None:
        del self.order[key]

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        return self.order.popitem(last=False)[0]

    def resize(self, capacity: int) -> None: ...

    def keys(self) -> Iterable[Hashable]:
        return list(self.order)

    def __len__(self) -> int:
        return len(self.order)


class RemembersRemoved(Fifo):
    def on_remove(self, key: Hashable) -> None: ...


class EvictsWithoutForgetting(Fifo):
    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        return next(iter(self.order)) if self.order else super().evict(incoming, size)


class EmptyIsNone(Fifo):
    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        return super().evict(incoming, size) if self.order else None


class KeepsTheRefused(Fifo):
    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if incoming is not None:
            self.order[incoming] = None
            return incoming
        return super().evict(incoming, size)


class CountsTwice(Fifo):
    def keys(self) -> Iterable[Hashable]:
        return [*self.order, *self.order]


class Zlib:
    name = "zlib"

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        try:
            return zlib.decompress(data)
        except zlib.error as error:
            raise ValueError(str(error)) from error


class LeaksItsErrors(Zlib):
    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return zlib.decompress(data)


class Lossy(Zlib):
    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return zlib.compress(data.rstrip())


class Forgetful(Zlib):
    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return super().decode(data, context)[:100]


class Rule:
    """An optimizer that proposes one rule for the first route."""

    name = "rule"

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        return [
            OptimizationOpportunity(
                route.route, "rule", route.route, "Cache it", self.name, {"path": "/items/*"}
            )
            for route in snapshot.routes
        ]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        controls.put_cache_rule(opportunity.id, path=opportunity.parameters["path"], ttl=60.0)

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        controls.remove_cache_rule(opportunity.id)


class NeverReverts(Rule):
    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...


class Impure(Rule):
    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        snapshot.window_seconds += 1
        return super().propose(snapshot)


class Pool:
    name = "pool"

    def sample(self, now: float) -> PoolSample:
        return PoolSample("pool", "connections", 10.0, 3.0, 0.3, sampled_at=now)


class Percent(Pool):
    def sample(self, now: float) -> PoolSample:
        return PoolSample("pool", "connections", 10.0, 3.0, 30.0, sampled_at=now)


class OwnClock(Pool):
    def sample(self, now: float) -> PoolSample:
        return PoolSample("pool", "connections", 10.0, 3.0, 0.3)


class Text:
    name = "text"
    content_type = "text/plain"

    def render(self, snapshot: RuntimeSnapshot) -> str:
        return f"{len(snapshot.profiles)} profiles"


class NeedsProfiles(Text):
    def render(self, snapshot: RuntimeSnapshot) -> str:
        return snapshot.profiles[0].name


class Changing(Text):
    def render(self, snapshot: RuntimeSnapshot) -> str:
        self.calls = getattr(self, "calls", 0) + 1
        return str(self.calls)


class Push:
    name = "push"

    async def export(self, snapshot: RuntimeSnapshot) -> None: ...

    async def aclose(self) -> None: ...


class ClosesOnce(Push):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True


class Channel:
    name = "channel"

    async def send(self, alert: Alert) -> None: ...


class Nameless(Channel):
    name = ""


class ForgetsTtl(SimpleMemoryCache):
    async def _set(self, key: str, value: Any, ttl: Any = None, **rest: Any) -> Any:
        return await super()._set(key, value, ttl=None, **rest)


class Cache(CacheLayerContract):
    kind: type[SimpleMemoryCache] = SimpleMemoryCache

    async def make(self) -> Any:
        self.kind._cache = {}  # aiocache's memory backend is one for the whole process
        return self.kind(timeout=None)


def suite(contract: type[Contract], implementation: Any) -> type[Contract]:
    def make(self: Contract, *arguments: Any) -> Any:
        return implementation(*arguments)

    return type(f"Test{implementation.__name__}", (contract,), {"make": make})


SOUND = [
    suite(EvictionPolicyContract, Fifo),
    suite(CodecContract, Zlib),
    suite(OptimizerContract, Rule),
    suite(ResourcePoolContract, Pool),
    suite(ExporterContract, Text),
    suite(ExporterContract, Push),
    suite(AlertChannelContract, Channel),
    Cache,
]
BROKEN = [
    (suite(EvictionPolicyContract, RemembersRemoved), "test_a_removed_key_is_forgotten_and_may_return"),
    (suite(EvictionPolicyContract, EvictsWithoutForgetting), "test_evict_names_residents_until_none_is_left"),
    (suite(EvictionPolicyContract, EmptyIsNone), "test_evicting_from_an_empty_policy_raises_lookup_error"),
    (suite(EvictionPolicyContract, KeepsTheRefused), "test_a_refused_newcomer_is_not_resident"),
    (suite(EvictionPolicyContract, CountsTwice), "test_as_many_keys_as_the_capacity_fit"),
    (suite(CodecContract, LeaksItsErrors), "test_damaged_data_raise_value_error"),
    (suite(CodecContract, Lossy), "test_data_come_back_unchanged"),
    (suite(CodecContract, Forgetful), "test_data_come_back_unchanged"),
    (suite(OptimizerContract, NeverReverts), "test_revert_undoes_apply"),
    (suite(OptimizerContract, Impure), "test_the_same_snapshot_gives_the_same_opportunities"),
    (suite(ResourcePoolContract, Percent), "test_samples_are_plausible"),
    (suite(ResourcePoolContract, OwnClock), "test_samples_are_plausible"),
    (suite(ExporterContract, NeedsProfiles), "test_it_takes_a_full_and_an_empty_snapshot"),
    (suite(ExporterContract, Changing), "test_it_takes_a_full_and_an_empty_snapshot"),
    (suite(ExporterContract, ClosesOnce), "test_it_takes_a_full_and_an_empty_snapshot"),
    (suite(AlertChannelContract, Nameless), "test_it_has_a_name"),
    (type("TestForgetsTtl", (Cache,), {"kind": ForgetsTtl}), "test_an_entry_expires"),
]


@pytest.mark.parametrize("sound", SOUND, ids=lambda suite: suite.__name__)
def test_a_sound_implementation_passes(sound: type[Contract]) -> None:
    assert len(run_contract(sound)) >= 2


@pytest.mark.parametrize(("broken", "test"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_implementation_fails(broken: type[Contract], test: str) -> None:
    with pytest.raises(ContractError, match=rf"{broken.__name__}\.{test}: "):
        run_contract(broken)


def test_a_suite_that_makes_nothing_says_so() -> None:
    with pytest.raises(ContractError, match="say how to make the policy"):
        run_contract(EvictionPolicyContract)


def test_check_raises_reports_what_came_back() -> None:
    with pytest.raises(ContractError, match="it must raise; it returned 7"):
        check_raises(ValueError, lambda: 7, "it must raise")


def test_a_fake_clock_moves_forward_only() -> None:
    clock = FakeClock(100.0)
    assert (clock(), clock.advance(2.5), clock()) == (100.0, 102.5, 102.5)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
