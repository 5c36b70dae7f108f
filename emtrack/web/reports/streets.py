"""Streets under the maps of a report: lines of the base map that a deployment has, drawn pale, with some of their names.

A file without streets, such as the outline of the country, gives none; one that cannot be read gives none either: a report is not
held up by its ground.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from math import hypot
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import structlog

from emtrack.basemap.opening import Basemap, BasemapError, open_basemap
from emtrack.basemap.roads import Area, roads_of, tiles_for
from emtrack.basemap.tiles import TileError
from emtrack.basemap.vector_tiles import UnfitTile

WIDTHS: Final = {
    "highway": 4.0,
    "major_road": 3.2,
    "medium_road": 2.4,
    "minor_road": 1.4,
    "other": 0.9,
    "rail": 1.0,
    "path": 0.7,
}
COLOUR, NAME_COLOUR = "#d8dadc", "#6f777b"
MOST_TILES: Final = 16
MOST_POINTS: Final = 20_000
MOST_NAMES: Final = 12
LEAST_NAMED: Final = 90.0
"""A street that is drawn shorter has no name on the map."""
NAMES_APART: Final = 55.0
EDGE: Final = 40.0
NEAR_ENOUGH: Final = 0.6
"""Corners nearer to each other than that, in units of the drawing, are one."""

log = structlog.get_logger()

At = Callable[[float, float], tuple[float, float]]


class Box(NamedTuple):
    """The part of the earth that is drawn, and how many metres a unit of the drawing is."""

    area: Area
    metres_a_unit: float


class Streets(NamedTuple):
    """Parts of a drawing, and whose data they are."""

    parts: list[str]
    attribution: str


NONE: Final = Streets([], "")


class _Street(NamedTuple):
    kind: str
    name: str | None
    points: list[tuple[float, float]]

    @property
    def length(self) -> float:
        return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.points, self.points[1:], strict=False))


def streets_in(path: Path | None, box: Box, at: At) -> Streets:
    """`path`: the file of the base map. `at`: where a place lies on the drawing."""
    if path is None:
        return NONE
    try:
        basemap = open_basemap(path)
    except BasemapError as error:
        log.warning("a report has no streets", error=type(error).__name__)
        return NONE
    try:
        if basemap.content != "mvt":
            return NONE
        streets = list(_bounded(_streets(basemap, box, at)))
        names = _named(streets, at(box.area.east, box.area.south))
        return Streets([*_drawn(streets), *names], basemap.attribution) if streets else NONE
    except (TileError, UnfitTile) as error:
        log.warning("a report has no streets", error=type(error).__name__)
        return NONE
    finally:
        basemap.close()


def _streets(basemap: Basemap, box: Box, at: At) -> Iterator[_Street]:
    tiles = tiles_for(box.area, box.metres_a_unit, basemap.zooms, MOST_TILES)
    for road in () if tiles is None else roads_of(basemap, tiles, WIDTHS):
        yield _Street(road.kind, road.name, _simplified([at(*place) for place in road.places]))


def _simplified(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept = points[:1]
    for point in points[1:-1]:
        if hypot(point[0] - kept[-1][0], point[1] - kept[-1][1]) >= NEAR_ENOUGH:
            kept.append(point)
    return kept + points[-1:]


def _bounded(streets: Iterable[_Street]) -> Iterator[_Street]:
    """Until so many corners are drawn: of a city at a small scale the rest would be one grey."""
    corners = 0
    for street in streets:
        corners += len(street.points)
        if corners > MOST_POINTS:
            return
        yield street


def _drawn(streets: Iterable[_Street]) -> Iterator[str]:
    """One path for each kind, the widest last: it lies on top."""
    paths: dict[str, list[str]] = {}
    for street in streets:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in street.points)
        paths.setdefault(street.kind, []).append(f"M{corners}")
    for kind in sorted(paths, key=lambda one: WIDTHS[one]):
        dashes = ' stroke-dasharray="4 3"' if kind in ("rail", "path") else ""
        yield f'<path d="{"".join(paths[kind])}" fill="none" stroke="{COLOUR}" stroke-width="{WIDTHS[kind]}"{dashes}/>'


def _named(streets: Iterable[_Street], size: tuple[float, float]) -> Iterator[str]:
    """The longest of each name, the longest first, where there is room. `size`: of the drawing."""
    longest: dict[str, _Street] = {}
    for street in streets:
        if street.name and (street.name not in longest or street.length > longest[street.name].length):
            longest[street.name] = street
    told: list[tuple[float, float]] = []
    for name, street in sorted(longest.items(), key=lambda pair: (-pair[1].length, pair[0])):
        if street.length < LEAST_NAMED or len(told) == MOST_NAMES:
            return
        place = _seen_best(street.points, size)
        if place is not None and all(hypot(place[0] - x, place[1] - y) > NAMES_APART for x, y in told):
            told.append(place)
            said = f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" font-size="7.5" text-anchor="middle" fill="{NAME_COLOUR}">'
            yield f"{said}{escape(name[:40])}</text>"


def _seen_best(points: list[tuple[float, float]], size: tuple[float, float]) -> tuple[float, float] | None:
    """Of a line the place nearest to the middle of the drawing; None where it is at the edge."""
    along = [
        (a[0] + (b[0] - a[0]) * step / 10, a[1] + (b[1] - a[1]) * step / 10)
        for a, b in itertools.pairwise(points)
        for step in range(11)
    ]
    x, y = min(along, key=lambda at: hypot(at[0] - size[0] / 2, at[1] - size[1] / 2))
    return (x, y) if EDGE < x < size[0] - EDGE and EDGE < y < size[1] - EDGE else None
