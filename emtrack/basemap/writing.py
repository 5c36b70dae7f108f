"""Vector tiles out of features, as one PMTiles file: for the demonstration and for tools. No service imports this.

GDAL (pyogrio) cuts, simplifies and encodes a layer at a time. A tile of several layers is their tiles one behind the other: in
Mapbox Vector Tiles a layer is a repeated field.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import pyogrio
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer
from shapely import Geometry

from emtrack.atomic_files import replace_file

TILES = "/* of SQLite */ SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles"
LEVEL = 9

Address = tuple[int, int, int]


class Layer(NamedTuple):
    """Features of one layer at some zooms; layers of one name share no zoom. `features`: geometries in degrees with attributes."""

    name: str
    zooms: tuple[int, int]
    features: Sequence[tuple[Geometry, dict[str, Any]]]


class About(NamedTuple):
    """What a file says of itself. `bounds`: west, south, east, north in degrees."""

    name: str
    attribution: str
    bounds: tuple[float, float, float, float]


def write_pmtiles(path: Path, layers: Iterable[Layer], about: About) -> None:
    """The file is there whole or not at all."""
    tiles: defaultdict[Address, bytes] = defaultdict(bytes)
    known: dict[str, dict[str, Any]] = {}
    for layer in layers:
        if layer.features:
            for address, data in _tiles_of(layer):
                tiles[address] += data
            _describe(known, layer)
    with tempfile.TemporaryFile() as file:
        writer: Any = Writer(file)  # type: ignore[no-untyped-call]
        for address in sorted(tiles, key=lambda one: zxy_to_tileid(*one)):
            writer.write_tile(zxy_to_tileid(*address), gzip.compress(tiles[address], LEVEL, mtime=0))
        writer.finalize(_header(about), _metadata(about, known))
        file.seek(0)
        replace_file(path, file.read())


def _tiles_of(layer: Layer) -> Iterator[tuple[Address, bytes]]:
    frame = geopandas.GeoDataFrame(
        [attributes for _, attributes in layer.features],
        geometry=[shape for shape, _ in layer.features],
        crs="EPSG:4326",
    )
    with tempfile.TemporaryDirectory(prefix="emtrack-tiles-") as folder:
        made = os.path.join(folder, "layer.mbtiles")
        low, high = layer.zooms
        pyogrio.write_dataframe(
            frame, made, driver="MVT", layer=layer.name, FORMAT="MBTILES", MINZOOM=low, MAXZOOM=high, NAME=layer.name,
            COMPRESS="NO", SIMPLIFICATION=1.0, SIMPLIFICATION_MAX_ZOOM=0.0, MAX_SIZE=1_000_000, BUFFER=64,
        )  # fmt: skip
        connection = sqlite3.connect(made)
        try:
            for zoom, column, row, data in connection.execute(TILES):
                yield (zoom, column, (1 << zoom) - 1 - row), data
        finally:
            connection.close()


def _describe(known: dict[str, dict[str, Any]], layer: Layer) -> None:
    """As TileJSON describes vector layers."""
    entry = known.setdefault(layer.name, {"id": layer.name, "fields": {}, "minzoom": 99, "maxzoom": 0})
    entry["minzoom"] = min(entry["minzoom"], layer.zooms[0])
    entry["maxzoom"] = max(entry["maxzoom"], layer.zooms[1])
    for _, attributes in layer.features:
        entry["fields"] |= {
            name: "Number" if isinstance(value, int | float) else "String" for name, value in attributes.items()
        }


def _header(about: About) -> dict[str, Any]:
    west, south, east, north = (round(side * 1e7) for side in about.bounds)
    return {
        "tile_type": TileType.MVT,
        "tile_compression": Compression.GZIP,
        "min_lon_e7": west,
        "min_lat_e7": south,
        "max_lon_e7": east,
        "max_lat_e7": north,
        "center_zoom": 0,
        "center_lon_e7": (west + east) // 2,
        "center_lat_e7": (south + north) // 2,
    }


def _metadata(about: About, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": about.name,
        "format": "pbf",
        "type": "baselayer",
        "attribution": about.attribution,
        "vector_layers": [known[name] for name in sorted(known)],
    }
