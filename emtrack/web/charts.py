"""Charts as plain SVG: where marks stand, in units of a drawing that is as wide as a small screen. What they say stands in the table
below each, too.

A chart is drawn by the macros of `charts.html`; here are numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Final, NamedTuple

from emtrack.worth.figures import Bar, Drawing, Point

WIDTH: Final = 340
ROW: Final = 46
"""Of a bar with its words above it."""
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 24
MOST_TICKS: Final = 6


class DrawnBar(NamedTuple):
    """`low`, `high`: where its whisker begins and ends; None: it has none."""

    label: str
    value: str
    y: float
    width: float
    low: float | None
    high: float | None


class Tick(NamedTuple):
    label: str
    at: float


class DrawnPoint(NamedTuple):
    label: str
    x: float
    y: float
    low: float | None
    high: float | None
    marked: bool


class Drawn(NamedTuple):
    """`said`: the whole chart in words, for who does not see it. `paths`: points of unbroken lines."""

    title: str
    unit: str
    said: str
    height: float
    bars: tuple[DrawnBar, ...] = ()
    points: tuple[DrawnPoint, ...] = ()
    paths: tuple[str, ...] = ()
    centre: float | None = None
    xs: tuple[Tick, ...] = ()
    ys: tuple[Tick, ...] = ()
    mark: str = ""


def drawn(drawing: Drawing) -> Drawn:
    return _bars(drawing) if drawing.bars else _points(drawing)


def number(value: float) -> str:
    """Three digits that count, without noughts at the end."""
    if value == 0:
        return "0"
    digits = max(0, 2 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def top_of_axis(most: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is no less than `most`."""
    if most <= 0:
        return 1.0
    power = 10.0 ** floor(log10(most))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= most * (1 - 1e-9))


def _bars(drawing: Drawing) -> Drawn:
    top = top_of_axis(max(bar.high or bar.value for bar in drawing.bars))
    scale = WIDTH / top
    bars = tuple(_bar(bar, place, scale) for place, bar in enumerate(drawing.bars))
    said = "; ".join(f"{bar.label} {_of(bar)}" for bar in drawing.bars)
    return Drawn(drawing.title, drawing.unit, f"{drawing.title}: {said}.", ROW * len(bars), bars)


def _of(bar: Bar) -> str:
    interval = "" if bar.low is None or bar.high is None else f" ({number(bar.low)} to {number(bar.high)})"
    return f"{number(bar.value)}{interval}"


def _bar(bar: Bar, place: int, scale: float) -> DrawnBar:
    low, high = (None if end is None else round(max(0.0, end) * scale, 1) for end in (bar.low, bar.high))
    return DrawnBar(bar.label, _of(bar), place * ROW, round(bar.value * scale, 1), low, high)


def _points(drawing: Drawing) -> Drawn:
    points = drawing.points
    known = [end for p in points for end in (p.value, p.high, drawing.centre) if end is not None]
    top = top_of_axis(max(known, default=1.0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(points))
    xs = [round(LEFT + step * (place + 0.5), 1) for place in range(len(points))]

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), 1)

    shown = tuple(
        DrawnPoint(
            p.label,
            x,
            y(p.value),
            None if p.low is None else y(p.low),
            None if p.high is None else y(p.high),
            p.marked,
        )
        for p, x in zip(points, xs, strict=True)
        if p.value is not None
    )
    every = ceil(len(points) / MOST_TICKS)
    ticks = tuple(Tick(p.label, x) for p, x in zip(points, xs, strict=True))[::every]
    return Drawn(
        drawing.title, drawing.unit, _said(drawing), HEIGHT, points=shown, paths=_paths(points, shown), mark=drawing.mark,
        centre=None if drawing.centre is None else y(drawing.centre), xs=ticks,
        ys=tuple(Tick(number(value), y(value)) for value in (0, top / 2, top)),
    )  # fmt: skip


def _paths(points: Sequence[Point], shown: Sequence[DrawnPoint]) -> tuple[str, ...]:
    """A line breaks where a value is not known."""
    at = {point.label: f"{point.x},{point.y}" for point in shown}
    paths: list[list[str]] = [[]]
    for point in points:
        if point.value is None:
            paths.append([])
        else:
            paths[-1].append(at[point.label])
    return tuple(" ".join(path) for path in paths if path)


def _said(drawing: Drawing) -> str:
    known = [point for point in drawing.points if point.value is not None]
    if not known:
        return f"{drawing.title}: nothing is known."
    values = [point.value for point in known if point.value is not None]
    marked = [point.label for point in known if point.marked]
    more = f" {drawing.mark.capitalize()}: {', '.join(marked)}." if drawing.mark and marked else ""
    span = f"from {known[0].label} to {known[-1].label}"
    among = f"between {number(min(values))} and {number(max(values))}"
    return f"{drawing.title}: {span}, {among}.{more}"
