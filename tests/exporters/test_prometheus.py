from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from perfmw.contracts.caching import CacheLayerInfo
from perfmw.contracts.protocols import TextExporter
from perfmw.contracts.resources import PoolSample
from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters import PrometheusExporter
from perfmw.exporters.prometheus import Family, number
from perfmw.profiles import ProfileStore

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Every sample by its name and labels, as Prometheus' own parser reads it."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, /, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def snapshot() -> RuntimeSnapshot:
    clock = [1000.0]
    store = ProfileStore(clock=lambda: clock[0])
    recorder = store.recorder("GET /items/{id}")
    for _ in range(60):
        recorder.origin(0.1, 200, "uri-miss")
    for _ in range(40):
        recorder.hit(0.001)
    recorder.origin(0.2, 503, "uri-miss")
    recorder.exception(0.2, "uri-miss")
    store.recorder("SELECT ?", "query").exception(0.05, "")
    clock[0] += 10
    store.tick(clock[0])
    return RuntimeSnapshot(
        taken_at=clock[0],
        window_seconds=10.0,
        profiles=store.snapshot(),
        layers=[
            CacheLayerInfo("memory", "memory", entries=3, bytes=4096, max_bytes=10**6, hits=40, misses=62)
        ],
        pools=[
            PoolSample("cpu", "cores", 2.0, 1.0, 0.5, 0.0),
            PoolSample("network", "bytes/s", None, 10.0, None, None, wait_seconds=0.25),
            PoolSample("orders", "connections", 5.0, 5.0, 1.0, 0.4, waiting=3, errors=2),
        ],
        cache_rules=[{"path": "/items/*"}],
        cache_status={"hit": 40, "uri-miss": 62},
    )


def test_prometheus_reads_what_happened() -> None:
    samples = parsed(PrometheusExporter().render(snapshot()))
    route = "GET /items/{id}"
    assert value(samples, "perfmw_requests_total", route=route, outcome="hit") == 40
    assert value(samples, "perfmw_requests_total", route=route, outcome="forwarded") == 62
    assert value(samples, "perfmw_request_errors_total", route=route, kind="503") == 1
    assert value(samples, "perfmw_request_errors_total", route=route, kind="exception") == 1
    assert value(samples, "perfmw_request_duration_seconds_count", route=route) == 102
    assert value(samples, "perfmw_request_duration_seconds_sum", route=route) == pytest.approx(6.44)
    p95 = value(samples, "perfmw_request_duration_seconds", route=route, quantile="0.95")
    assert p95 == pytest.approx(0.1, rel=0.01)
    assert value(samples, "perfmw_request_apdex_ratio", route=route) == pytest.approx(100 / 102)
    assert value(samples, "perfmw_operation_duration_seconds_count", type="query", name="SELECT ?") == 1
    assert value(samples, "perfmw_operation_errors_total", type="query", name="SELECT ?") == 1
    assert value(samples, "perfmw_cache_responses_total", status="hit") == 40
    assert value(samples, "perfmw_cache_layer_hits_total", layer="memory", kind="memory") == 40
    assert value(samples, "perfmw_cache_layer_size_bytes", layer="memory", kind="memory") == 4096
    assert value(samples, "perfmw_pool_utilization_ratio", pool="cpu") == 0.5
    assert value(samples, "perfmw_pool_wait_seconds", pool="network") == 0.25
    assert value(samples, "perfmw_pool_waiting", pool="orders") == 3
    assert value(samples, "perfmw_pool_errors_total", pool="orders") == 2
    assert value(samples, "perfmw_profiles") == 2
    assert value(samples, "perfmw_cache_rules") == 1
    assert 0 < value(samples, "perfmw_score") <= 100
    assert value(samples, "perfmw_profile_score", type="component", name=route) == value(
        samples, "perfmw_score"
    )


def test_what_is_not_known_is_not_said() -> None:
    samples = parsed(PrometheusExporter().render(snapshot()))
    names = {name for name, labels in samples if ("pool", "network") in labels}
    assert names == {"perfmw_pool_used", "perfmw_pool_wait_seconds"}
    assert not any(name == "perfmw_cache_layer_max_entries" for name, _ in samples)


def test_an_empty_snapshot_is_a_valid_exposition() -> None:
    samples = parsed(PrometheusExporter().render(RuntimeSnapshot(0.0, 0.0)))
    assert value(samples, "perfmw_profiles") == 0
    assert ("perfmw_score", frozenset()) not in samples


def test_every_family_has_its_type_and_help() -> None:
    text = PrometheusExporter().render(snapshot())
    families = list(text_string_to_metric_families(text))
    assert len(families) > 20
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "summary")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
    assert text.count("# TYPE") == len({family.name for family in families})
    assert text.endswith("\n")


@given(st.text(max_size=40))
def test_any_name_can_be_a_label(name: str) -> None:
    store = ProfileStore()
    store.recorder(name).hit(0.1)
    text = PrometheusExporter().render(RuntimeSnapshot(0.0, 1.0, store.snapshot()))
    wanted = name.encode("utf-8", "replace").decode()
    samples = parsed(text.encode().decode())
    assert value(samples, "perfmw_requests_total", route=wanted, outcome="hit") == 1


def test_a_profile_without_requests_has_no_quantiles() -> None:
    store = ProfileStore()
    store.recorder("GET /a")
    samples = parsed(PrometheusExporter().render(RuntimeSnapshot(0.0, 1.0, store.snapshot())))
    assert math.isnan(value(samples, "perfmw_request_duration_seconds", route="GET /a", quantile="0.5"))


@pytest.mark.parametrize(
    ("given_value", "text"),
    [(3, "3"), (0.1, "0.1"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e-9, "1e-09")],
)
def test_numbers_are_spelt_as_prometheus_reads_them(given_value: float, text: str) -> None:
    assert number(given_value) == text


def test_help_texts_are_escaped() -> None:
    family = Family("x", "gauge", "one\\two\nthree")
    family.add(1)
    assert family.head().splitlines()[0] == "# HELP x one\\\\two\\nthree"


def test_it_is_a_text_exporter() -> None:
    exporter = PrometheusExporter()
    assert isinstance(exporter, TextExporter)
    assert exporter.content_type.startswith("text/plain; version=0.0.4")
