"""Prometheus' protobuf exposition, written by hand: a dozen messages need no generated code. Pure.

Field numbers are those of ``io/prometheus/client/metrics.proto`` (github.com/prometheus/client_model); each
family is preceded by its length. It is the only form that carries native histograms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import pack
from typing import Final

from perfmw.exporters.buckets import Exponential
from perfmw.exporters.exposition import Example, Family, Labels, Native

_KINDS: Final = {"counter": 0, "gauge": 1, "summary": 2, "histogram": 4}
_VALUES: Final = {"gauge": 2, "counter": 3}
_LEAST_SCHEMA: Final = -4


def encode(families: Iterable[Family]) -> bytes:
    """The whole exposition; families without samples are left out."""
    return b"".join(pieces(families))


def pieces(families: Iterable[Family]) -> Iterator[bytes]:
    """The same piece by piece; parts of a family follow each other and become one message.

    A piece is empty while a message is not complete, since its length stands before it.
    """
    name, message = "", bytearray()
    for family in families:
        if family.name != name:
            yield _delimited(bytes(message)) if message else b""
            name, message = family.name, bytearray()
        if family.samples or family.natives:
            message += _body(family) if message else _head(family) + _body(family)
        yield b""
    if message:
        yield _delimited(bytes(message))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _delimited(message: bytes) -> bytes:
    return _varint(len(message)) + message


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + pack("<d", value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _delimited(content)


def _text(field: int, content: str) -> bytes:
    return _message(field, content.encode("utf-8", "replace"))


def _head(family: Family) -> bytes:
    return _text(1, family.name) + _text(2, family.help) + _whole(3, _KINDS[family.kind])


def _body(family: Family) -> bytes:
    metrics = _natives(family) if family.natives else _metrics(family)
    return b"".join(_message(4, metric) for metric in metrics)


def _labels(labels: Labels) -> bytes:
    return b"".join(_message(1, _text(1, name) + _text(2, value)) for name, value in labels)


def _metrics(family: Family) -> Iterator[bytes]:
    if family.kind == "summary":
        yield from _summaries(family)
        return
    for _, labels, value in family.samples:
        yield _labels(labels) + _message(_VALUES[family.kind], _double(1, value))


def _summaries(family: Family) -> Iterator[bytes]:
    """A message for each series: its quantiles, then sum and count."""
    found: dict[Labels, list[bytes]] = {}
    for suffix, labels, value in family.samples:
        series = tuple(one for one in labels if one[0] != "quantile")
        parts = found.setdefault(series, [])
        if suffix == "_count":
            parts.append(_whole(1, int(value)))
        elif suffix == "_sum":
            parts.append(_double(2, value))
        else:
            parts.append(_message(3, _double(1, float(labels[-1][1])) + _double(2, value)))
    for series, parts in found.items():
        yield _labels(series) + _message(4, b"".join(parts))


def _natives(family: Family) -> Iterator[bytes]:
    for one in family.natives:
        yield _labels(one.labels) + _message(7, _native(one))


def _native(one: Native) -> bytes:
    shape = one.shape
    if shape.scale < _LEAST_SCHEMA:
        raise ValueError(f"no native histogram is as coarse as {shape.scale}")
    spans, deltas = _sparse(shape)
    return b"".join(
        (
            _whole(1, one.count),
            _double(2, one.sum),
            _whole(5, _zigzag(shape.scale)),
            _double(6, 1e-12),
            _whole(7, shape.zero_count),
            *(_message(12, _whole(1, _zigzag(gap)) + _whole(2, length)) for gap, length in spans),
            *(_whole(13, _zigzag(delta)) for delta in deltas),
            *(_message(16, _exemplar(example)) for example in one.exemplars),
        )
    )


def _exemplar(one: Example) -> bytes:
    moment = _whole(1, int(one.at)) + _whole(2, int(one.at % 1 * 1e9))
    labels = _labels((("trace_id", one.trace_id), ("span_id", one.span_id)))
    return labels + _double(2, one.value) + _message(3, moment)


def _sparse(shape: Exponential) -> tuple[Sequence[tuple[int, int]], Sequence[int]]:
    """Runs of filled buckets as (gap before, length), and each count as the difference to the one before.

    Prometheus numbers a bucket by its upper bound, OpenTelemetry by its lower one: they differ by one.
    """
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    before, end = 0, 0
    for place, count in enumerate(shape.counts):
        if not count:
            continue
        index = shape.offset + place + 1
        if spans and index == end:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index - end if spans else index, 1))
        deltas.append(count - before)
        before, end = count, index + 1
    return (spans or [(0, 0)]), deltas
