"""Figures as shapes: lines over time, waterfalls, flame graphs. Pure; the templates only place them.

Nothing here knows colours: a line has a class, and a name that stands in the legend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from perfmw.profiles.breakdown import Part
from perfmw.profiles.flame import Flame

WIDTH: Final = 1000
HEIGHT: Final = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart as SVG path data; empty where there is nothing to draw."""

    name: str
    key: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines in a frame of ``WIDTH`` by ``HEIGHT``; ``top`` is the value at its upper edge.

    ``marks`` are horizontal lines: name and height in the frame; ``events`` upright ones.
    """

    lines: list[Line]
    top: float
    start: float
    end: float
    marks: list[Line]
    events: list[Line] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not any(line.path for line in self.lines)


def nice(value: float) -> float:
    """The next round number at or above ``value``, not far from it."""
    if value < 1e-12:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * power for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if step * power >= value),
        10.0 * power,
    )


def chart(
    times: Sequence[float],
    values: Mapping[str, Sequence[float | None]],
    span: tuple[float, float],
    marks: Mapping[str, float] | None = None,
) -> Chart:
    """One line for each entry of ``values``, whose points stand at ``times``, within ``span`` (unix seconds).

    A value of None interrupts its line.
    """
    known = [value for line in values.values() for value in line if value is not None]
    marks = marks or {}
    top = nice(max([*known, *marks.values()], default=0.0))
    start, end = span
    wide = max(end - start, 1e-9)
    xs = [WIDTH * min(max((at - start) / wide, 0.0), 1.0) for at in times]
    lines = [Line(name, f"l{n}", _path(xs, line, top)) for n, (name, line) in enumerate(values.items())]
    flat = [Line(name, f"m{n}", _flat(value, top)) for n, (name, value) in enumerate(marks.items())]
    return Chart(lines, top, start, end, flat)


def _y(value: float, top: float) -> float:
    return HEIGHT * (1.0 - min(value / top, 1.0))


def _flat(value: float, top: float) -> str:
    return f"M0,{_y(value, top):.1f}H{WIDTH}"


def _path(xs: Sequence[float], values: Sequence[float | None], top: float) -> str:
    parts, pen = [], "M"
    for x, value in zip(xs, values, strict=True):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f},{_y(value, top):.1f}")
        pen = "L"
    if len(parts) == 1:  # a single point is not seen as a line
        parts.append("h4")
    return "".join(parts)


SPARK: Final = (80, 20)


def spark_of(values: Sequence[float]) -> str:
    """A small line from zero up, as path data in a frame of ``SPARK``; empty below two points."""
    if len(values) < 2 or max(values) <= 0.0:
        return ""
    wide, high = SPARK
    step, top = wide / (len(values) - 1), max(values)
    points = (f"{n * step:.1f},{1 + (high - 2) * (1 - value / top):.1f}" for n, value in enumerate(values))
    return "M" + "L".join(points)


# -- a request's waterfall ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a request: where its bar begins and how wide it is, in percent; seconds; how deep it lies."""

    name: str
    kind: str
    left: float
    width: float
    start: float
    seconds: float
    depth: int
    failed: bool


MOST_BARS: Final = 100
DEEPEST: Final = 6


def waterfall(parts: Iterable[Part], at: float, seconds: float) -> list[Bar]:
    """A request's parts by their beginning, at most ``MOST_BARS`` of them."""
    ordered = sorted(parts, key=lambda part: (part.start, -part.end))
    parents = {part.span_id: part.parent_id for part in ordered if part.span_id}
    whole = max(seconds, 1e-9)
    return [
        Bar(
            name=part.name,
            kind=part.kind,
            left=100.0 * min(max((part.start - at) / whole, 0.0), 1.0),
            width=100.0 * min(max((part.end - part.start) / whole, 0.0), 1.0),
            start=max(part.start - at, 0.0),
            seconds=part.end - part.start,
            depth=_depth(part, parents),
            failed=part.failed,
        )
        for part in ordered[:MOST_BARS]
    ]


def _depth(part: Part, parents: Mapping[int, int]) -> int:
    depth, above = 0, part.parent_id
    while above in parents and depth < DEEPEST:
        depth, above = depth + 1, parents[above]
    return depth


# -- flame graphs -------------------------------------------------------------------------------------------

ROW: Final = 18
LEAST_WIDTH: Final = 2.0
"""Narrower frames than this, of ``WIDTH``, are not drawn."""
MOST_FRAMES: Final = 1_500
LETTER: Final = 6.4


@dataclass(frozen=True, slots=True)
class Frame:
    """A function in a flame graph: a box with as much of its name as fits. ``shade`` 0..5 by its file."""

    x: float
    y: int
    width: float
    name: str
    label: str
    seconds: float
    share: float
    shade: int


@dataclass(frozen=True, slots=True)
class Hot:
    """A function over all of the graph: seconds in it alone, and with what it called."""

    name: str
    own: float
    total: float


@dataclass(frozen=True, slots=True)
class FlameGraph:
    """``hottest`` are the functions that took most time themselves: the table behind the picture."""

    frames: list[Frame]
    height: int
    seconds: float
    hottest: list[Hot]


def flame_graph(root: Flame) -> FlameGraph:
    """The picture of a profile; without frames where nothing was seen."""
    if root.value <= 0.0:
        return FlameGraph([], 0, 0.0, [])
    frames: list[Frame] = []
    for frame in _frames(root):
        frames.append(frame)
        if len(frames) == MOST_FRAMES:
            break
    height = max(frame.y for frame in frames) + ROW
    return FlameGraph(frames, height, root.value, hottest(root))


def _frames(root: Flame) -> Iterator[Frame]:
    """Level by level, so that what is left out lies deepest."""
    level = [(root, 0.0)]
    row = 0
    while level:
        below: list[tuple[Flame, float]] = []
        for flame, x in level:
            width = WIDTH * flame.value / root.value
            if width < LEAST_WIDTH:
                continue
            yield _frame(flame, x, row, width, flame.value / root.value)
            for child in flame.children:
                below.append((child, x))
                x += WIDTH * child.value / root.value
        level, row = below, row + 1


def _frame(flame: Flame, x: float, row: int, width: float, share: float) -> Frame:
    letters = int((width - 6) / LETTER)
    label = (
        flame.name if len(flame.name) <= letters else flame.name[: letters - 1] + "…" if letters > 3 else ""
    )
    place = flame.name.partition("(")[2].partition(":")[0]
    shade = sum(place.encode("utf-8", "replace")) % 6
    return Frame(x, row * ROW, width, flame.name, label, flame.value, share, shade)


def hottest(root: Flame, most: int = 20) -> list[Hot]:
    """The functions that took most time themselves."""
    own: dict[str, float] = {}
    total: dict[str, float] = {}

    def visit(flame: Flame, above: frozenset[str]) -> None:
        inner = sum(child.value for child in flame.children)
        own[flame.name] = own.get(flame.name, 0.0) + max(0.0, flame.value - inner)
        if flame.name not in above:  # a function that calls itself counts once
            total[flame.name] = total.get(flame.name, 0.0) + flame.value
        for child in flame.children:
            visit(child, above | {flame.name})

    for child in root.children:
        visit(child, frozenset())
    names = sorted(own, key=lambda name: -own[name])[:most]
    return [Hot(name, own[name], total[name]) for name in names if own[name] > 0.0]
