"""Numbers as people read them, with their unit; and lines of numbers as SVG paths. Pure.

``static/figures.js`` writes the same text for the same number, so that a page looks alike before and
after its first live update; a browser test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmw.contracts import Stat

NONE = "–"
SPACE = "\u202f"  # a narrow space that does not break between number and unit


def number(value: float) -> str:
    """Three significant digits below 1,000, so that columns align; whole numbers above; zero is 0."""
    size = abs(value)
    if size >= 999.5:
        return f"{value:,.0f}"
    if size < 0.005:
        return "<0.01" if value > 0 else "0"
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{value:.{digits}f}"


def count(value: float | None) -> str:
    if value is None:
        return NONE
    if value < 100_000:
        return f"{value:,.0f}"
    return f"{number(value / 1e3)}k" if value < 999_500 else f"{number(value / 1e6)}M"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 0.0:
        return f"−{duration(-seconds)}"
    if seconds == 0.0:
        return f"0{SPACE}s"
    if seconds < 0.0009995:
        return f"{number(seconds * 1e6)}{SPACE}µs"
    if seconds < 0.9995:
        return f"{number(seconds * 1e3)}{SPACE}ms"
    if seconds < 119.5:
        return f"{number(seconds)}{SPACE}s"
    if seconds < 7_170:
        return f"{number(seconds / 60)}{SPACE}min"
    return f"{number(seconds / 3600)}{SPACE}h"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{number(share * 100)}{SPACE}%"


def whole_percent(share: float) -> str:
    """For changes, whose decimals are noise."""
    return f"{share * 100:.0f}{SPACE}%"


def rate(per_second: float | None) -> str:
    return NONE if per_second is None else f"{number(per_second)}/s"


def size(value: float | None) -> str:
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if value < 1_000:
            return f"{number(value)}{SPACE}{unit}"
        value /= 1_024
    return f"{number(value)}{SPACE}GiB"


def span(seconds: float) -> str:
    """A length of time in running text, in whole units, or in halves of those few there are."""
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < limit:
            half = seconds > 1 and seconds % length == length / 2
            return f"{seconds / length:.{1 if half else 0}f}{SPACE}{unit}"
    return f"{seconds / 86_400:.0f} days"


def ago(seconds: float) -> str:
    return "just now" if seconds < 2 else f"{span(seconds)} ago"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and its unit apart, so that the page can set them in different sizes."""

    value: str
    unit: str


SECONDS = {"s": 1.0, "ms": 1e-3}


def stat_figure(stat: Stat) -> Figure:
    """The value of a stat card in the form its unit asks for."""
    if stat.value is None:
        return Figure(NONE, "")
    if stat.unit == "/100":
        return Figure(f"{stat.value:.0f}", "/100")
    if stat.unit in SECONDS:
        value, _, unit = duration(stat.value * SECONDS[stat.unit]).partition(SPACE)
        return Figure(value, unit)
    return Figure(number(stat.value), stat.unit)


@dataclass(frozen=True, slots=True)
class Trend:
    """``word`` says in words what the arrow and colour show."""

    text: str
    word: str
    arrow: str


STEADY = 0.005


def trend(stat: Stat) -> Trend:
    """How the newer half of the series stands against the older, and whether that is good."""
    if stat.trend is None:
        return Trend("", "no trend yet", "")
    if abs(stat.trend) < STEADY:
        return Trend("steady", "steady", "→")
    rising = stat.trend > 0
    word = "better" if rising == (stat.better == "up") else "worse"
    return Trend(whole_percent(abs(stat.trend)), word, "▲" if rising else "▼")


@dataclass(frozen=True, slots=True)
class Spark:
    """SVG path data of a line and of the area below it; both empty below two points."""

    line: str = ""
    area: str = ""


FLAT = 0.2


TINY = 1e-12
"""A difference that no figure shows, and that division does not survive."""


def spark(series: Sequence[float], width: int = 240, height: int = 56) -> Spark:
    """Scales a series into ``width`` by ``height`` with room for the stroke.

    The frame spans at least ``FLAT`` of the largest value, so that a ripple does not look like a collapse.
    """
    if len(series) < 2:
        return Spark()
    low, high = min(series), max(series)
    middle, room = (low + high) / 2, height - 6
    span = max(high - low, FLAT * max(abs(low), abs(high)), TINY)
    step = width / (len(series) - 1)
    ys = [3 + room * (0.5 - (value - middle) / span) for value in series]
    line = "L".join(f"{i * step:.1f},{y:.1f}" for i, y in enumerate(ys))
    return Spark(f"M{line}", f"M{line}V{height}H0Z")


def short(series: Sequence[float]) -> str:
    """The series as a JSON list of six significant digits: enough for a table, and small."""
    return "[" + ",".join(f"{value:.6g}" for value in series) + "]"
