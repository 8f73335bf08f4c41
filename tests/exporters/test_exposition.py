"""The forms of the exposition, read back by the readers of others."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as classic_families

from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters import PrometheusExporter
from perfmw.exporters.buckets import BOUNDS
from perfmw.exporters.exposition import PART, Family, negotiated, text_of
from perfmw.exporters.protobuf import encode
from perfmw.profiles import ProfileStore
from perfmw.profiles.distributions import by_outcome
from perfmw.profiles.traces import Exemplar

SERVER = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def snapshot() -> RuntimeSnapshot:
    clock = [1000.0]
    store = ProfileStore(clock=lambda: clock[0])
    recorder = store.recorder("GET /items/{id}")
    for number in range(60):
        recorder.origin(0.01 * 1.08**number, 200, "uri-miss")
    for _ in range(40):
        recorder.hit(0.001)
    recorder.exception(0.2, "uri-miss")
    store.recorder('SELECT "a\\b" \n?', "query").exception(0.05, "")
    clock[0] += 10
    store.tick(clock[0])

    def exemplars(route: str) -> list[Exemplar]:
        return [
            Exemplar(0xABC, 0xDEF, 0.06, 1005.25),
            Exemplar(7, 8, 0.06, 1001.0),
            Exemplar(1, 2, 99.0, 1002.0),
        ]

    return RuntimeSnapshot(
        taken_at=clock[0],
        window_seconds=10.0,
        profiles=store.snapshot(),
        merged=lambda: by_outcome(store, exemplars),
        cache_status={"hit": 40, "uri-miss": 61},
    )


def families(exporter: PrometheusExporter) -> dict[str, Any]:
    body, content_type = exporter.answer(snapshot(), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


@pytest.mark.parametrize("histograms", [False, True])
def test_openmetrics_is_what_the_reference_parser_reads(histograms: bool) -> None:
    exporter = PrometheusExporter(histograms)
    found = families(exporter)
    classic = {family.name: family for family in classic_families(exporter.render(snapshot()))}
    assert found.keys() == classic.keys()
    for name, family in found.items():
        values = {(one.name, tuple(one.labels.items())): one.value for one in family.samples}
        for one in classic[name].samples:
            there = values[one.name, tuple(one.labels.items())]
            assert there == one.value or (math.isnan(there) and math.isnan(one.value))


def test_exemplars_stand_beside_their_buckets() -> None:
    buckets = {
        one.labels["le"]: one.exemplar
        for one in families(PrometheusExporter(True))["perfmw_request_duration_seconds"].samples
        if one.name.endswith("_bucket")
    }
    newest = buckets["0.075"]
    assert newest.labels == {"trace_id": f"{0xABC:032x}", "span_id": f"{0xDEF:016x}"}
    assert (newest.value, float(newest.timestamp)) == (0.06, 1005.25)
    assert buckets["+Inf"].value == 99.0
    assert [le for le, one in buckets.items() if one is not None] == ["0.075", "+Inf"]


def test_the_old_text_form_has_no_exemplars() -> None:
    text = PrometheusExporter(True).render(snapshot())
    assert "trace_id" not in text
    assert "# EOF" not in text


@pytest.mark.parametrize(
    ("accept", "native", "form"),
    [
        ("", False, "text"),
        ("*/*", True, "text"),
        ("text/plain", True, "text"),
        ("application/json", False, "text"),
        (SERVER, False, "openmetrics"),
        (SERVER, True, "protobuf"),
        (OPENMETRICS, True, "openmetrics"),
        ("application/openmetrics-text", False, "openmetrics"),
        ("application/openmetrics-text; version=2.0.0, text/plain; q=0.2", False, "text"),
        ("application/openmetrics-text; q=0.2, text/plain; q=0.9", False, "text"),
        ("application/openmetrics-text; q=0, text/plain; q=0.1", False, "text"),
        ("application/openmetrics-text; q=nonsense", False, "text"),
        (
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
            True,
            "text",
        ),
        (" , ;q=1,;;=", True, "text"),
    ],
)
def test_the_scraper_gets_the_form_it_likes_best(accept: str, native: bool, form: str) -> None:
    assert negotiated(accept, native) == form


@given(st.text())
def test_any_accept_header_gets_an_answer(accept: str) -> None:
    assert negotiated(accept, True) in ("text", "openmetrics", "protobuf")


@given(st.text(), st.text(), st.floats())
def test_any_label_can_be_read_back_from_openmetrics(label: str, help_text: str, value: float) -> None:
    family = Family("a_total", "gauge", help_text)
    family.add(value, ("name", label))
    (read,) = text_string_to_metric_families(text_of([family], "openmetrics"))
    (sample,) = read.samples
    assert sample.labels["name"] == label.encode("utf-8", "replace").decode()
    assert sample.value == value or (math.isnan(value) and math.isnan(sample.value))


# -- protobuf, read by a decoder that knows nothing of the encoder ------------------------------------------


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            yield field, varint()
        elif kind == 1:
            yield field, struct.unpack_from("<d", data, place)[0]
            place += 8
        else:
            assert kind == 2
            length = varint()
            yield field, data[place : place + length]
            place += length


def messages(data: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(data):
        length = shift = 0
        while True:
            byte = data[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(data[place : place + length])
        place += length
    return found


def signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def test_native_histograms_tell_the_same_counts() -> None:
    body, content_type = PrometheusExporter(native=True).answer(snapshot(), SERVER)
    assert "MetricFamily" in content_type
    by_name = {dict(fields(one))[1].decode(): one for one in messages(body)}
    family = by_name["perfmw_request_duration_seconds"]
    assert dict(fields(family))[3] == 4
    (metric,) = [content for field, content in fields(family) if field == 4]
    histogram = list(fields(dict(fields(metric))[7]))
    one = dict(histogram)
    assert one[1] == 101
    assert one[2] == pytest.approx(sum(0.01 * 1.08**n for n in range(60)) + 0.04 + 0.2)
    schema, index, count = signed(one[5]), 0, 0
    deltas = iter(signed(value) for field, value in histogram if field == 13)
    buckets = {}
    for span in (dict(fields(content)) for field, content in histogram if field == 12):
        index += signed(span[1])
        for _ in range(span[2]):
            count += next(deltas)
            buckets[2 ** (index * 2.0**-schema)] = count
            index += 1
    assert next(deltas, None) is None
    assert sum(buckets.values()) == 101
    assert buckets[min(bound for bound in buckets if bound > 0.00099)] == 40
    assert max(buckets) == pytest.approx(0.01 * 1.08**59, rel=2 ** (2.0**-schema) - 1 + 0.02)
    assert sum(field == 16 for field, _ in histogram) == 3


def test_the_other_families_are_the_same_in_protobuf() -> None:
    body, _ = PrometheusExporter(native=True).answer(snapshot(), SERVER)
    names = {dict(fields(one))[1].decode() for one in messages(body)}
    text = PrometheusExporter(native=True).render(snapshot())
    assert names == {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}


def test_summaries_have_their_quantiles_in_protobuf() -> None:
    family = Family("a", "summary", "a")
    for q in ("0.5", "0.99"):
        family.add(float(q) / 10, ("route", "x"), ("quantile", q))
    family.add(3.0, ("route", "x"), suffix="_sum")
    family.add(7, ("route", "x"), suffix="_count")
    (message,) = messages(encode([family]))
    (metric,) = [content for field, content in fields(message) if field == 4]
    summary = list(fields(dict(fields(metric))[4]))
    assert dict(summary)[1] == 7
    assert dict(summary)[2] == 3.0
    assert [tuple(dict(fields(content)).values()) for field, content in summary if field == 3] == [
        (0.5, 0.05),
        (0.99, 0.099),
    ]


# -- piece by piece -----------------------------------------------------------------------------------------

MANY = 100


def many_routes() -> RuntimeSnapshot:
    store = ProfileStore(clock=lambda: 1000.0)
    for number in range(MANY):
        store.recorder(f"GET /r{number}").origin(0.01 * (1 + number), 200, "uri-miss")
    return RuntimeSnapshot(
        taken_at=1000.0, window_seconds=10.0, profiles=store.snapshot(), merged=lambda: by_outcome(store)
    )


@pytest.mark.parametrize("accept", ["", OPENMETRICS, SERVER])
def test_pieces_are_small_and_together_the_whole(accept: str) -> None:
    exporter, taken = PrometheusExporter(native=True), many_routes()
    pieces, content_type = exporter.pieces(taken, accept)
    made = list(pieces)
    assert (b"".join(made), content_type) == exporter.answer(taken, accept)
    if "protobuf" not in content_type:
        assert max(piece.count(b"\n") for piece in made) <= 2 + PART * (len(BOUNDS) + 3)


def test_a_family_in_parts_has_one_head_and_all_its_series() -> None:
    text = PrometheusExporter().render(many_routes())
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    found = {family.name: family for family in classic_families(text)}
    assert {one.labels["route"] for one in found["perfmw_request_apdex_ratio"].samples} == {
        f"GET /r{number}" for number in range(MANY)
    }


def test_a_family_in_parts_is_one_message() -> None:
    parts = [Family("a", "gauge", "a"), Family("a", "gauge", "a"), Family("b", "gauge", "b")]
    whole = Family("a", "gauge", "a")
    for number, part in enumerate(parts):
        part.add(number, ("n", str(number)))
        if part.name == "a":
            whole.add(number, ("n", str(number)))
    assert encode(parts) == encode([whole, parts[-1]])
    assert encode([Family("a", "gauge", "a"), *parts]) == encode(parts)
