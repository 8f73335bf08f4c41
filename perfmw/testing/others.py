"""The contracts of codecs, optimizers, exporters, resource pools and alert channels."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from perfmw.contracts import (
    AlertChannel,
    Codec,
    Exporter,
    OptimizationOpportunity,
    Optimizer,
    ResourcePool,
    RuntimeSnapshot,
    TextExporter,
)
from perfmw.testing.checks import Contract, check, check_raises
from perfmw.testing.samples import SAMPLE_TIME, sample_alert, sample_snapshot


def _check_name(thing: object) -> None:
    name = getattr(thing, "name", None)
    check(isinstance(name, str) and name, f"name is a text, not {name!r}")


class CodecContract(Contract):
    """What every ``Codec`` promises."""

    detects_damage = True
    """Whether a truncated text must be refused; False for a codec that cannot tell."""
    context: dict[str, Any] = {"key": "GET https://host/a"}  # noqa: RUF012 - tests read it only
    samples: Sequence[bytes] = (b"", b"a", b"text " * 1_000, bytes(range(256)) * 64)

    def make(self) -> Codec:
        raise NotImplementedError("say how to make the codec")

    def test_it_has_a_name(self) -> None:
        _check_name(self.make())

    def test_data_come_back_unchanged(self) -> None:
        codec = self.make()
        for data in self.samples:
            encoded = codec.encode(data, self.context)
            check(isinstance(encoded, bytes), "encode returns bytes")
            check(codec.decode(encoded, self.context) == data, f"{data[:20]!r}… comes back unchanged")

    def test_another_instance_decodes(self) -> None:
        encoded = self.make().encode(b"shared", self.context)
        check(self.make().decode(encoded, self.context) == b"shared", "what one process writes another reads")

    def test_the_context_is_left_alone(self) -> None:
        before = copy.deepcopy(self.context)
        codec = self.make()
        codec.decode(codec.encode(b"x", self.context), self.context)
        check(self.context == before, "the context is left as it was")

    def test_damaged_data_raise_value_error(self) -> None:
        codec = self.make()
        encoded = codec.encode(b"text " * 1_000, self.context)
        if self.detects_damage:
            cut = encoded[: len(encoded) // 2]
            check_raises(ValueError, lambda: codec.decode(cut, self.context), "half a text raises ValueError")
        for garbage in (b"", b"\x00", b"no such format", encoded[::-1]):
            try:
                codec.decode(garbage, self.context)
            except ValueError:
                pass  # the only exception that callers expect


class RecordingControls:
    """``Controls`` that keep what an optimizer did: ``rules`` by id, ``options`` by name."""

    def __init__(self) -> None:
        self.rules: dict[str, dict[str, Any]] = {}
        self.options: dict[str, Any] = {}

    def put_cache_rule(
        self,
        rule_id: str,
        *,
        path: str,
        ttl: float,
        methods: Sequence[str] = ("GET",),
        vary: Sequence[str] = (),
        tags: Sequence[str] = (),
        stale_while_revalidate: float = 0.0,
    ) -> None:
        rule = {"path": path, "ttl": ttl, "methods": methods, "vary": vary, "tags": tags}
        if stale_while_revalidate:
            rule["stale_while_revalidate"] = stale_while_revalidate
        self.rules[rule_id] = {
            name: list(v) if isinstance(v, list | tuple) else v for name, v in rule.items()
        }

    def remove_cache_rule(self, rule_id: str) -> None:
        self.rules.pop(rule_id, None)

    def set_option(self, name: str, value: Any) -> None:
        self.options[name] = value


class OptimizerContract(Contract):
    """What every ``Optimizer`` promises. ``snapshot`` gives one in which it finds something."""

    def make(self) -> Optimizer:
        raise NotImplementedError("say how to make the optimizer")

    def snapshot(self) -> RuntimeSnapshot:
        return sample_snapshot()

    def proposals(self) -> Sequence[OptimizationOpportunity]:
        found = self.make().propose(self.snapshot())
        check(found, "it finds something in the suite's snapshot")
        return found

    def test_it_has_a_name(self) -> None:
        _check_name(self.make())

    def test_nothing_is_found_in_nothing(self) -> None:
        empty = RuntimeSnapshot(taken_at=SAMPLE_TIME, window_seconds=60.0)
        check(list(self.make().propose(empty)) == [], "an empty snapshot holds no opportunity")

    def test_the_same_snapshot_gives_the_same_opportunities(self) -> None:
        snapshot = self.snapshot()
        before = copy.deepcopy(snapshot)
        first, second = self.make().propose(snapshot), self.make().propose(snapshot)
        check(list(first) == list(second), "the same snapshot gives the same opportunities, ids too")
        check(snapshot == before, "propose leaves the snapshot as it was")

    def test_opportunities_are_plain_data(self) -> None:
        name = self.make().name
        found = self.proposals()
        check(len({item.id for item in found}) == len(found), "each opportunity has an id of its own")
        for item in found:
            check(item.optimizer == name, "an opportunity names its optimizer")
            check(json.loads(json.dumps(item.parameters)) == item.parameters, "parameters are JSON values")
            check(0 <= item.expected_gain <= 1, "expected_gain is a share, 0..1")
            check(item.title and item.target, "an opportunity says what it is about")

    def test_revert_undoes_apply(self) -> None:
        for item in self.proposals():
            controls = RecordingControls()
            controls.put_cache_rule("other", path="/other", ttl=1.0)
            self.make().apply(item, controls)
            applied = copy.deepcopy(controls.rules)
            self.make().apply(item, controls)
            check(controls.rules == applied, "apply twice is as good as once")
            self.make().revert(item, controls)
            check(list(controls.rules) == ["other"], "revert undoes apply, and nothing else")
            self.make().revert(item, controls)
            check(list(controls.rules) == ["other"], "revert twice is as good as once")


class ExporterContract(Contract):
    """What every ``Exporter`` and ``TextExporter`` promises."""

    def make(self) -> Exporter | TextExporter:
        raise NotImplementedError("say how to make the exporter")

    def test_it_has_a_name(self) -> None:
        _check_name(self.make())

    def test_it_takes_a_full_and_an_empty_snapshot(self) -> None:
        empty = RuntimeSnapshot(taken_at=SAMPLE_TIME, window_seconds=0.0)
        for snapshot in (sample_snapshot(), empty):
            before = copy.deepcopy(snapshot)
            exporter = self.make()
            if isinstance(exporter, TextExporter):
                self._check_text(exporter, snapshot)
            else:
                self.run(lambda: self._send(exporter, snapshot))  # noqa: B023 - run at once
            check(snapshot == before, "an exporter leaves the snapshot as it was")

    def _check_text(self, exporter: TextExporter, snapshot: RuntimeSnapshot) -> None:
        text = exporter.render(snapshot)
        check(isinstance(text, str), "render returns a text")
        check(exporter.render(snapshot) == text, "the same snapshot gives the same text")
        check("/" in exporter.content_type, "content_type is a media type")

    @staticmethod
    async def _send(exporter: Exporter, snapshot: RuntimeSnapshot) -> None:
        await exporter.export(snapshot)
        await exporter.export(snapshot)
        await exporter.aclose()
        await exporter.aclose()


class ResourcePoolContract(Contract):
    """What every ``ResourcePool`` promises."""

    def make(self) -> ResourcePool:
        raise NotImplementedError("say how to make the pool")

    def test_it_has_a_name(self) -> None:
        _check_name(self.make())

    def test_samples_are_plausible(self) -> None:
        pool = self.make()
        for step in range(3):
            sample = pool.sample(SAMPLE_TIME + step)
            check(sample.name == pool.name, "a sample carries the name of its pool")
            check(sample.sampled_at == SAMPLE_TIME + step, "a sample carries the time it was asked for")
            check(sample.unit, "a sample names its unit")
            check(sample.used >= 0, "what is used is not negative")
            check(sample.capacity is None or sample.capacity > 0, "a capacity is positive, or None")
            check(sample.utilization is None or 0 <= sample.utilization <= 1, "utilization is 0..1, or None")
            waited = sample.wait_seconds
            check(waited is None or waited >= 0, "nobody waits less than no time")

    def test_the_same_time_twice(self) -> None:
        pool = self.make()
        pool.sample(SAMPLE_TIME)
        check(pool.sample(SAMPLE_TIME).sampled_at == SAMPLE_TIME, "two samples of one moment are no error")


class AlertChannelContract(Contract):
    """What every ``AlertChannel`` promises."""

    def make(self) -> AlertChannel:
        raise NotImplementedError("say how to make the channel")

    def test_it_has_a_name(self) -> None:
        _check_name(self.make())

    def test_it_takes_an_alert_and_its_end(self) -> None:
        raised, resolved = sample_alert(), sample_alert(resolved=True)
        before = copy.deepcopy((raised, resolved))

        async def scenario() -> None:
            channel = self.make()
            await channel.send(raised)
            await channel.send(raised)
            await channel.send(resolved)

        self.run(scenario)
        check((raised, resolved) == before, "a channel leaves the alert as it was")
