"""The forms in which Prometheus takes figures, and which of them a scraper asked for. Pure.

Text format 0.0.4 is what every tool reads; OpenMetrics 1.0 carries exemplars; the delimited protobuf form of
``io.prometheus.client.MetricFamily`` (github.com/prometheus/client_model) carries native histograms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeVar

from perfmw.exporters.buckets import Exponential

Kind = Literal["counter", "gauge", "summary", "histogram"]
Labels = tuple[tuple[str, str], ...]
Form = Literal["text", "openmetrics", "protobuf"]

PART: Final = 32
"""Series of a family that are made at a time: requests need not wait for those of a thousand routes."""
T = TypeVar("T")

CONTENT_TYPES: dict[Form, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "protobuf": (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    ),
}


@dataclass(slots=True, frozen=True)
class Example:
    """A request that stands for a bucket: its ids as hexadecimal digits, its value, unix seconds."""

    trace_id: str
    span_id: str
    value: float
    at: float


@dataclass(slots=True, frozen=True)
class Native:
    """A native histogram of one series; the sum is in seconds."""

    labels: Labels
    shape: Exponential
    count: int
    sum: float
    exemplars: tuple[Example, ...] = ()


@dataclass(slots=True)
class Family:
    """One metric, or a part of its series: name, type, help and samples of (name suffix, labels, value)."""

    name: str
    kind: Kind
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)
    exemplars: dict[int, Example] = field(default_factory=dict)
    """By the place of the sample they stand beside."""
    natives: list[Native] = field(default_factory=list)

    def add(
        self, value: float | None, *labels: tuple[str, str], suffix: str = "", exemplar: Example | None = None
    ) -> None:
        """A sample; None, "not known", leaves it out."""
        if value is None:
            return
        if exemplar is not None:
            self.exemplars[len(self.samples)] = exemplar
        self.samples.append((suffix, labels, value))

    def head(self, form: Form = "text") -> str:
        """What stands before the samples in a text form."""
        modern = form == "openmetrics"
        # OpenMetrics names a counter's family without the suffix of its samples.
        name = self.name.removesuffix("_total") if modern and self.kind == "counter" else self.name
        explained = escape_label(self.help) if modern else escape_help(self.help)
        return f"# HELP {name} {explained}\n# TYPE {name} {self.kind}\n"

    def lines(self, form: Form = "text") -> Iterator[str]:
        """The samples in a text form."""
        for place, (suffix, labels, value) in enumerate(self.samples):
            text = f"{{{_pairs(labels)}}}" if labels else ""
            line = f"{self.name}{suffix}{text} {number(value)}"
            found = self.exemplars.get(place) if form == "openmetrics" else None
            yield f"{line}\n" if found is None else f"{line} {_exemplar(found)}\n"


def in_parts(items: Sequence[T], *families: Callable[[Sequence[T]], Family]) -> Iterator[Family]:
    """Each family with the series of all ``items``, in parts that follow each other."""
    for family in families:
        for start in range(0, len(items), PART):
            yield family(items[start : start + PART])


def _pairs(labels: Labels) -> str:
    return ",".join([_pair(*label) for label in labels])


@lru_cache(1 << 12)
def _pair(name: str, content: str) -> str:
    """Kept, since a route's name stands before each of its two dozen samples."""
    return f'{name}="{escape_label(content)}"'


def _exemplar(one: Example) -> str:
    labels = _pairs((("trace_id", one.trace_id), ("span_id", one.span_id)))
    return f"# {{{labels}}} {number(one.value)} {number(round(one.at, 3))}"


def escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def escape_label(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    # A lone surrogate (from a path that is no UTF-8) cannot be encoded for the wire.
    return escaped.encode("utf-8", "replace").decode()


def number(value: float) -> str:
    """A sample value as Go's ParseFloat reads it."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def text_pieces(families: Iterable[Family], form: Form = "text") -> Iterator[str]:
    """The exposition in a text form, piece by piece; parts of a family follow each other under one head."""
    before = ""
    for family in families:
        if family.samples:
            head = "" if family.name == before else family.head(form)
            before = family.name
            yield head + "".join(family.lines(form))
    if form == "openmetrics":
        yield "# EOF\n"


def text_of(families: Iterable[Family], form: Form = "text") -> str:
    """The whole exposition in a text form, ending in a newline."""
    return "".join(text_pieces(families, form))


# -- what a scraper asks for ------------------------------------------------------------------------------


def negotiated(accept: str, native: bool = False) -> Form:
    """The form of highest weight in an Accept header (RFC 9110, 12.5.1), the first of equals; else text.

    :param native: whether there are native histograms; without them nobody gains by protobuf.
    """
    best: tuple[float, Form] = (0.0, "text")
    for item in accept.split(","):
        media, *parameters = [part.strip().lower() for part in item.split(";")]
        known = dict(part.partition("=")[::2] for part in parameters)
        form = _form(media, known, native)
        weight = _weight(known.get("q", "1"))
        if form is not None and weight > best[0]:
            best = (weight, form)
    return best[1]


def _form(media: str, parameters: dict[str, str], native: bool) -> Form | None:
    if media == "application/openmetrics-text":
        return "openmetrics" if parameters.get("version", "1.0.0").strip('"') in ("1.0.0", "0.0.1") else None
    if media == "application/vnd.google.protobuf":
        asked = parameters.get("proto"), parameters.get("encoding")
        return "protobuf" if native and asked == ("io.prometheus.client.metricfamily", "delimited") else None
    return "text" if media in ("text/plain", "text/*", "*/*") else None


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
