"""Whether a drafted zone lies on the only road between two places: by the roads of the base map, where it has any.

Roads are laid on a grid of cells of some metres; whoever goes from a cell of a road to one beside it goes on a road. So roads nearer
to each other than a cell are taken for one, and a bridge for a crossing: a way that is said to be there may not be, and lengths are
up to a twelfth too long. Where the map can say nothing, that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import ceil, cos, hypot, radians
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from emtrack.basemap.opening import Basemap, BasemapError, open_basemap
from emtrack.basemap.roads import Area, roads_of, tiles_for
from emtrack.basemap.tiles import TileError
from emtrack.basemap.vector_tiles import UnfitTile
from geofence import Shape
from geofence.shapes import margins_m, packed

KINDS: Final = ("highway", "major_road", "medium_road", "minor_road", "other", "path")
CELL_M: Final = 12.0
MOST_CELLS_ACROSS: Final = 2_500
FARTHEST_M: Final = 25_000.0
LEAST_ROOM_M: Final = 1_500.0
"""So far round the two places, or a third of their distance, another way is looked for."""
NEAR_M: Final = 150.0
"""A road so near is that of a place."""
MOST_TILES: Final = 120
METRES_A_PIXEL: Final = 8.0
"""Tiles of a scale at which minor roads are on them."""
METRES_A_DEGREE: Final = 111_320.0


class Passes(StrEnum):
    """How the shortest way stands to the zone: clear of it; through it, with another way; through it, and there is no other way. Or
    not known: no roads, too far, or no road at a place."""

    CLEAR = "CLEAR"
    OTHER = "OTHER"
    ONLY = "ONLY"
    UNKNOWN = "UNKNOWN"


class Place(NamedTuple):
    """`name`: the requirement that says of it."""

    name: str
    lon_deg: float
    lat_deg: float


class Way(NamedTuple):
    """From one place to another. `shortest_m`, `around_m`: None: not known, or there is none."""

    from_name: str
    to_name: str
    passes: Passes
    shortest_m: float | None = None
    around_m: float | None = None


class _Grid(NamedTuple):
    """Cells that a road touches. `nodes`: int64[rows, columns], the number of the cell, -1 where no road is. `zone`: bool[nodes]."""

    area: Area
    across_m: float
    nodes: Any
    zone: Any


def ways_past(path: Path | None, zone: Shape, pairs: Sequence[tuple[Place, Place]]) -> list[Way]:
    """`path`: the file of the base map."""
    if path is None or not pairs:
        return [Way(one.name, other.name, Passes.UNKNOWN) for one, other in pairs]
    try:
        basemap = open_basemap(path)
    except BasemapError:
        return [Way(one.name, other.name, Passes.UNKNOWN) for one, other in pairs]
    try:
        return [_way(basemap, zone, one, other) for one, other in pairs]
    finally:
        basemap.close()


def _way(basemap: Basemap, zone: Shape, one: Place, other: Place) -> Way:
    unknown = Way(one.name, other.name, Passes.UNKNOWN)
    try:
        grid = None if basemap.content != "mvt" else _grid(basemap, zone, one, other)
    except (TileError, UnfitTile):
        return unknown
    if grid is None:
        return unknown
    everywhere = _length(grid, one, other, np.ones(len(grid.zone), np.bool_))
    if everywhere is None:
        return unknown
    around = _length(grid, one, other, ~grid.zone)
    if around is None:
        return Way(one.name, other.name, Passes.ONLY, everywhere)
    passes = Passes.CLEAR if around <= everywhere + 1 else Passes.OTHER
    return Way(one.name, other.name, passes, everywhere, around)


def _grid(basemap: Basemap, zone: Shape, one: Place, other: Place) -> _Grid | None:
    """None: too far, or no roads."""
    middle = radians((one.lat_deg + other.lat_deg) / 2)
    apart_m = hypot(
        (one.lon_deg - other.lon_deg) * METRES_A_DEGREE * cos(middle), (one.lat_deg - other.lat_deg) * METRES_A_DEGREE
    )
    if apart_m > FARTHEST_M:
        return None
    room_m = max(LEAST_ROOM_M, apart_m / 3)
    up, across = room_m / METRES_A_DEGREE, room_m / METRES_A_DEGREE / cos(middle)
    area = Area(
        min(one.lon_deg, other.lon_deg) - across, min(one.lat_deg, other.lat_deg) - up,
        max(one.lon_deg, other.lon_deg) + across, max(one.lat_deg, other.lat_deg) + up,
    )  # fmt: skip
    wide_m = (area.east - area.west) * METRES_A_DEGREE * cos(middle)
    high_m = (area.north - area.south) * METRES_A_DEGREE
    cell_m = max(CELL_M, max(wide_m, high_m) / MOST_CELLS_ACROSS)
    tiles = tiles_for(area, METRES_A_PIXEL, basemap.zooms, MOST_TILES)
    if tiles is None:
        return None
    rows, columns = ceil(high_m / cell_m), ceil(wide_m / cell_m)
    is_road = np.zeros((rows, columns), np.bool_)
    for road in roads_of(basemap, tiles, KINDS):
        _lay(is_road, area, np.array(road.places))
    if not is_road.any():
        return None
    nodes = np.full((rows, columns), -1, np.int64)
    nodes[is_road] = np.arange(int(is_road.sum()))
    row, column = np.nonzero(is_road)
    lon = area.west + (column + 0.5) / columns * (area.east - area.west)
    lat = area.south + (row + 0.5) / rows * (area.north - area.south)
    return _Grid(area, cell_m, nodes, margins_m(packed([zone]), lon, lat)[:, 0] >= 0)


def _lay(is_road: Any, area: Area, places: Any) -> None:
    """Every cell under a line, by places along it nearer to each other than half a cell."""
    rows, columns = is_road.shape
    x = (places[:, 0] - area.west) / (area.east - area.west) * columns
    y = (places[:, 1] - area.south) / (area.north - area.south) * rows
    for k in range(len(places) - 1):
        steps = int(2 * max(abs(x[k + 1] - x[k]), abs(y[k + 1] - y[k]))) + 2
        along = np.linspace(0, 1, steps)
        column = np.floor(x[k] + along * (x[k + 1] - x[k])).astype(np.int64)
        row = np.floor(y[k] + along * (y[k + 1] - y[k])).astype(np.int64)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        is_road[row[inside], column[inside]] = True


def _length(grid: _Grid, one: Place, other: Place, allowed: Any) -> float | None:
    """Metres of the shortest way over allowed cells; None: there is none."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    begin, end = _nearest(grid, one, allowed), _nearest(grid, other, allowed)
    if begin is None or end is None:
        return None
    heads, tails, lengths = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows, columns = grid.nodes.shape
        first = grid.nodes[: rows - down, max(0, -right) : columns - max(0, right)]
        second = grid.nodes[down:, max(0, right) : columns - max(0, -right)]
        joined = (first >= 0) & (second >= 0)
        joined[joined] = allowed[first[joined]] & allowed[second[joined]]
        heads.append(first[joined])
        tails.append(second[joined])
        lengths.append(np.full(int(joined.sum()), hypot(down, right) * grid.across_m))
    count = len(allowed)
    graph = csr_array((np.concatenate(lengths), (np.concatenate(heads), np.concatenate(tails))), shape=(count, count))
    found = float(dijkstra(graph, directed=False, indices=begin)[end])
    return found if np.isfinite(found) else None


def _nearest(grid: _Grid, place: Place, allowed: Any) -> int | None:
    """The allowed cell of a road that is nearest to a place; None: none is near."""
    rows, columns = grid.nodes.shape
    x = (place.lon_deg - grid.area.west) / (grid.area.east - grid.area.west) * columns
    y = (place.lat_deg - grid.area.south) / (grid.area.north - grid.area.south) * rows
    row, column = np.nonzero(grid.nodes >= 0)
    away_m = np.hypot(row + 0.5 - y, column + 0.5 - x) * grid.across_m
    away_m[~allowed[grid.nodes[row, column]]] = np.inf
    nearest = int(np.argmin(away_m))
    return None if away_m[nearest] > NEAR_M else int(grid.nodes[row[nearest], column[nearest]])
