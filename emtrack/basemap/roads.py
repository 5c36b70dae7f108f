"""Roads of a base map of vector tiles: lines with a kind and a name, in degrees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import asinh, atan, cos, degrees, floor, log2, pi, radians, sinh, tan
from typing import Final, NamedTuple

from emtrack.basemap.opening import Basemap
from emtrack.basemap.tiles import unpacked_tile
from emtrack.basemap.vector_tiles import TileLine, lines_of

LAYERS: Final = frozenset({"roads", "transit", "transportation"})
"""As Protomaps and OpenMapTiles call them."""
CLASSES: Final = {
    "motorway": "highway", "trunk": "highway", "primary": "major_road", "secondary": "major_road", "tertiary": "medium_road",
    "minor": "minor_road", "service": "other", "track": "path",
}  # fmt: skip
"""Of OpenMapTiles, in words of Protomaps."""
METRES_A_PIXEL_AT_0: Final = 156_543.033_928


class Area(NamedTuple):
    """In degrees."""

    west: float
    south: float
    east: float
    north: float


class Road(NamedTuple):
    """`places`: longitude and latitude. A road that crosses the edge of a tile comes in parts, which overlap there a little."""

    kind: str
    name: str | None
    places: list[tuple[float, float]]


class Tiles(NamedTuple):
    """Those of one zoom that cover an area."""

    zoom: int
    addresses: list[tuple[int, int]]


def roads_of(basemap: Basemap, tiles: Tiles, kinds: Iterable[str]) -> Iterator[Road]:
    """Raises TileError or UnfitTile."""
    wanted = frozenset(kinds)
    for column, row in tiles.addresses:
        tile = unpacked_tile(basemap, tiles.zoom, column, row)
        for line in () if tile is None else lines_of(tile, LAYERS):
            kind = _kind_of(line)
            if kind in wanted:
                places = [_place(tiles.zoom, column + x, row + y) for x, y in line.points]
                yield Road(kind, line.tags.get("name"), places)


def _kind_of(line: TileLine) -> str:
    kind = line.tags.get("kind") or line.tags.get("pmap:kind") or line.tags.get("class") or ""
    return CLASSES.get(kind, kind)


def tiles_for(area: Area, metres_a_pixel: float, zooms: tuple[int, int], most: int) -> Tiles | None:
    """The tiles of the zoom that is drawn at a scale, or of one further out, if these are too many. None: too many at all of them."""
    middle = radians((area.south + area.north) / 2)
    wanted = floor(log2(METRES_A_PIXEL_AT_0 * cos(middle) / metres_a_pixel)) + 1
    for zoom in range(min(max(wanted, zooms[0]), zooms[1]), zooms[0] - 1, -1):
        west, north = _tile_at(zoom, area.west, area.north)
        east, south = _tile_at(zoom, area.east, area.south)
        if (east - west + 1) * (south - north + 1) <= most:
            return Tiles(zoom, [(column, row) for row in range(north, south + 1) for column in range(west, east + 1)])
    return None


def _tile_at(zoom: int, lon_deg: float, lat_deg: float) -> tuple[int, int]:
    count = 1 << zoom
    y = (1 - asinh(tan(radians(lat_deg))) / pi) / 2
    return min(max(floor((lon_deg + 180) / 360 * count), 0), count - 1), min(max(floor(y * count), 0), count - 1)


def _place(zoom: int, column: float, row: float) -> tuple[float, float]:
    """Longitude and latitude of a place in the grid of tiles."""
    count = 1 << zoom
    return column / count * 360 - 180, degrees(atan(sinh(pi * (1 - 2 * row / count))))
