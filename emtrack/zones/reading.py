"""Zones from GeoJSON, GeoPackage, Shapefile and KML, in longitude and latitude of WGS 84."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import pyogrio
import shapely
from pyproj import CRS
from pyproj.aoi import AreaOfInterest
from pyproj.exceptions import CRSError, ProjError
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]
from pyproj.transformer import Transformer, TransformerGroup
from shapely.geometry.base import BaseGeometry

from emtrack.forms.errors import FormError

ENDINGS = (".geojson", ".json", ".gpkg", ".shp", ".zip", ".kml")
WGS84 = CRS.from_epsg(4326)
ID_FIELDS = ("zone_id", "id")
ID_FIELDS_OF_KML = ("zone_id", "Name", "id")
"""Where an id is looked for if nobody says where. In KML people write it in `Name`, and programs number the `id`."""
OSTN15 = "OSTN15"
OSTN15_SHIFT = "as much as 4.65 m"
"""How far the best transformation without the grid is from the one with it in Great Britain; PROJ itself says 2 m."""


class ZoneFileError(FormError):
    """A file that holds no zones as it is. The message says what to change, or which option to give."""


class DrawnZone(NamedTuple):
    """A zone as it is drawn. `geometry`: a GeoJSON Polygon or MultiPolygon; None if `trouble` says why it is no zone.
    `is_named`: the file gave the id; else it is the number of the row."""

    zone_id: str
    geometry: dict[str, Any] | None
    trouble: str | None = None
    is_named: bool = True


class ZoneFile(NamedTuple):
    """What was read. `notes`: what a person should know of how. `fields`: what the file says of each zone."""

    name: str
    zones: list[DrawnZone]
    notes: list[str]
    fields: list[str]


def read_zone_file(
    path: Path, *, crs: str | None = None, id_field: str | None = None, accept_shift: bool = False
) -> ZoneFile:
    """All zones of all layers of a file. Raises ZoneFileError.

    `crs`: the coordinate system of a file that does not say it. `accept_shift`: take the best transformation that is at hand,
    although a better one is known.
    """
    set_network_enabled(False)  # where zones lie is told to nobody
    zones: list[DrawnZone] = []
    notes: list[str] = []
    fields: list[str] = []
    for frame in _layers(path):
        to_degrees, note = _to_degrees(path, frame, crs, accept_shift)
        notes += [note] if note else []
        fields += [str(column) for column in frame.columns if column != frame.geometry.name and column not in fields]
        if frame.has_z.any():
            notes.append(f"heights were left out of {int(frame.has_z.sum())} zones; zones are flat")
        ids = _ids(path, frame, id_field, len(zones))
        zones += [
            _drawn(zone_id, is_named, geometry, to_degrees)
            for (zone_id, is_named), geometry in zip(ids, frame.geometry, strict=True)
        ]
    if not zones:
        raise ZoneFileError(f"{path}: there are no zones in it")
    if not all(zone.is_named for zone in zones):
        notes.append(
            "not every zone has an id: they are called by their row. --id-field names the field that holds it"
        )
    return ZoneFile(path.name, zones, list(dict.fromkeys(notes)), fields)


# ---------------------------------------------------------------------------------------------- layers


def _layers(path: Path) -> Iterator[geopandas.GeoDataFrame]:
    if not path.is_file():
        raise ZoneFileError(f"{path}: there is no such file")
    if path.suffix.lower() not in ENDINGS:
        raise ZoneFileError(f"{path}: expected GeoJSON, GeoPackage, Shapefile (.shp, or a .zip with one) or KML")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, kind in pyogrio.list_layers(path):
                if kind is not None:  # a table without geometries
                    yield pyogrio.read_dataframe(path, layer=name)
    except (RuntimeError, ValueError, OSError) as error:
        if isinstance(error, ZoneFileError):
            raise
        raise ZoneFileError(f"{path}: it cannot be read: {error}") from error


def _ids(path: Path, frame: geopandas.GeoDataFrame, id_field: str | None, before: int) -> Sequence[tuple[str, bool]]:
    """Of each row the id and whether the file gave it."""
    if id_field is not None and id_field not in frame.columns:
        known = ", ".join(str(column) for column in frame.columns if column != frame.geometry.name)
        raise ZoneFileError(f"{path}: there is no field {id_field!r}; the fields are: {known or 'none'}")
    found: list[Any] = [None] * len(frame)
    fields = ID_FIELDS_OF_KML if path.suffix.lower() == ".kml" else ID_FIELDS
    field = id_field or next((name for name in fields if name in frame.columns), None)
    if field is not None:
        found = frame[field].tolist()
    elif path.suffix.lower() in (".geojson", ".json"):
        found = _feature_ids(path, len(frame)) or found
    texts = [_id_text(value) for value in found]
    return [(text or f"row {before + n}", text is not None) for n, text in enumerate(texts, 1)]


def _feature_ids(path: Path, count: int) -> list[Any] | None:
    """Numbers as ids of features are no field for GDAL."""
    features = json.loads(path.read_text(encoding="utf-8-sig")).get("features", [])
    return [feature.get("id") for feature in features] if len(features) == count else None


def _id_text(value: object) -> str | None:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None  # NaN: a field that is empty
    text = "" if value is None else str(value).strip()
    return text if text not in ("", "nan", "<NA>", "None") else None


# ---------------------------------------------------------------------------------------------- geometries


def _drawn(
    zone_id: str, is_named: bool, geometry: BaseGeometry | None, to_degrees: Callable[[Any], Any]
) -> DrawnZone:
    if geometry is None or geometry.is_empty:
        return DrawnZone(zone_id, None, "it has no geometry", is_named)
    parts = [p for p in shapely.get_parts(geometry)] if geometry.geom_type == "GeometryCollection" else [geometry]
    strange = [part.geom_type for part in parts if part.geom_type not in ("Polygon", "MultiPolygon")]
    if strange:
        return DrawnZone(zone_id, None, f"its geometry is {strange[0]}; only areas can be zones", is_named)
    flat = shapely.force_2d(geometry if len(parts) == 1 else _joined(parts))
    try:
        placed = shapely.transform(flat, to_degrees)
    except ProjError as error:
        return DrawnZone(
            zone_id, None, f"its coordinates cannot be turned into longitude and latitude: {error}", is_named
        )
    return DrawnZone(zone_id, shapely.geometry.mapping(placed), None, is_named)


def _joined(parts: Sequence[shapely.Geometry]) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([polygon for part in parts for polygon in shapely.get_parts(part)])


# ---------------------------------------------------------------------------------------------- coordinate systems


def _to_degrees(
    path: Path, frame: geopandas.GeoDataFrame, given: str | None, accept_shift: bool
) -> tuple[Callable[[Any], Any], str | None]:
    """Coordinates (n, 2) into longitude and latitude, and what to say of it."""
    crs = _crs_of(path, frame, given)
    if crs == WGS84 or crs == CRS.from_user_input("OGC:CRS84"):
        return (lambda places: places), None
    transformer, shift = _best(crs, frame)
    if shift is not None and not accept_shift:
        raise ZoneFileError(
            f"{path}: the coordinates are in {crs.name}, and what turns them exactly into WGS 84 is not on this machine ({shift}). "
            "Install it (`projsync --file NAME`, or the package proj-data), or accept the error with --accept-shift"
        )

    def to_degrees(places: Any) -> Any:
        lon, lat = transformer.transform(places[:, 0], places[:, 1], errcheck=True)
        return shapely.get_coordinates(shapely.points(lon, lat))

    accepted = "" if shift is None else f", with an error that was accepted ({shift})"
    return to_degrees, f"coordinates were turned from {crs.name} into WGS 84{accepted}"


def _crs_of(path: Path, frame: geopandas.GeoDataFrame, given: str | None) -> CRS:
    if frame.crs is None and given is None:
        raise ZoneFileError(
            f"{path}: it does not say in which coordinate system it is. Name it with --crs, such as EPSG:4326 or EPSG:27700"
        )
    if given is None:
        own: CRS = frame.crs
        return own
    try:
        named = CRS.from_user_input(given)
    except CRSError as error:
        raise ZoneFileError(f"--crs {given!r} is no coordinate system; expected one such as EPSG:27700") from error
    if frame.crs is not None and not frame.crs.equals(named, ignore_axis_order=True):
        raise ZoneFileError(
            f"{path}: it says that it is in {frame.crs.name}, and --crs says {named.name}; leave one out"
        )
    return named


def _best(crs: CRS, frame: geopandas.GeoDataFrame) -> tuple[Transformer, str | None]:
    """The best transformation at hand, and how wrong it may be if a better one is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is what is told here
        where: Any = _area_of_interest(crs, frame)
        group = TransformerGroup(crs, WGS84, always_xy=True, area_of_interest=where)
    if not group.transformers:
        raise ZoneFileError(f"nothing on this machine turns {crs.name} into WGS 84")
    transformer = group.transformers[0]
    missing = [grid.short_name for operation in group.unavailable_operations for grid in operation.grids]
    if any(OSTN15 in name for name in missing):
        return transformer, f"without {missing[0]} places are {OSTN15_SHIFT} off"
    if group.best_available and transformer.accuracy >= 0:
        return transformer, None
    size = (
        f"some {transformer.accuracy:g} m"
        if transformer.accuracy >= 0
        else "by an unknown distance, perhaps hundreds of metres"
    )
    without = f"without {missing[0]} " if missing else ""
    return transformer, f"{without}places are {size} off"


def _area_of_interest(crs: CRS, frame: geopandas.GeoDataFrame) -> AreaOfInterest | None:
    """About where the zones lie: which transformation is best depends on it."""
    try:
        west, south, east, north = Transformer.from_crs(crs, WGS84, always_xy=True).transform_bounds(
            *frame.total_bounds
        )
        if not all(map(math.isfinite, (west, south, east, north))):
            return None
        return AreaOfInterest(max(-180.0, west), max(-90.0, south), min(180.0, east), min(90.0, north))
    except (ProjError, ValueError):
        return None
