"""Zones from GeoJSON, GeoPackage, Shapefile and KML, in longitude and latitude of WGS 84.

Every format becomes layers of features with their geometry as it is drawn. What is wrong with one of them is said of that one; the
others are read all the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pyproj import CRS
from pyproj.aoi import AreaOfInterest
from pyproj.exceptions import CRSError, ProjError
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]
from pyproj.transformer import Transformer, TransformerGroup

from emtrack.forms.errors import FormError
from emtrack.forms.features import ID_PROPERTIES, UnfitId, crs_name_of, feature_id, id_text
from emtrack.forms.json_text import read_json_text
from emtrack.zones.foreign import ForeignError, read_foreign
from emtrack.zones.gdal_child import Layer as ForeignLayer
from emtrack.zones.wkb import NoArea, read_wkb

ENDINGS = (".geojson", ".json", ".gpkg", ".shp", ".zip", ".kml", ".kmz")
LARGEST_GEOJSON_BYTES = 64_000_000
WGS84 = CRS.from_epsg(4326)
ID_FIELDS_OF_KML = ("zone_id", "Name", "id")
"""Where an id is looked for if nobody says where. In KML people write it in `Name`, and programs number the `id`."""
OSTN15 = "OSTN15"
OSTN15_SHIFT = "as much as 4.65 m"
"""How far the best transformation without the grid is from the one with it in Great Britain; PROJ itself says 2 m."""
_AREAS = ("Polygon", "MultiPolygon")


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


class _Feature(NamedTuple):
    """A feature as a file holds it. `zone_id` None: it has none. `geometry`: a Polygon or MultiPolygon, its coordinates as they are
    written; None if `trouble` says why it is no zone."""

    zone_id: str | None
    geometry: dict[str, Any] | None
    trouble: str | None = None
    has_heights: bool = False
    has_unfit_id: bool = False


class _Layer(NamedTuple):
    """`crs`: the system that the file names. `fields`: what it says of each feature."""

    features: list[_Feature]
    crs: CRS | None
    fields: list[str]


def read_zone_file(
    path: Path, *, crs: str | None = None, id_field: str | None = None, accept_shift: bool = False
) -> ZoneFile:
    """All zones of all layers of a file. Raises FormError.

    `crs`: the coordinate system of a file that does not say it. `accept_shift`: take the best transformation that is at hand,
    although a better one is known.
    """
    set_network_enabled(False)  # where zones lie is told to nobody
    zones: list[DrawnZone] = []
    notes: list[str] = []
    fields: list[str] = []
    for layer in _layers(path, id_field):
        to_degrees, note = _to_degrees(path, layer, crs, accept_shift)
        notes += [note] if note else []
        fields += [field for field in layer.fields if field not in fields]
        high = sum(feature.has_heights for feature in layer.features)
        if high:
            notes.append(f"heights were left out of {high} zones; zones are flat")
        zones += [_drawn(feature, to_degrees, len(zones) + n) for n, feature in enumerate(layer.features, 1)]
    if not zones:
        raise ZoneFileError(f"{path}: there are no zones in it")
    if not all(zone.is_named for zone in zones):
        notes.append(
            "not every zone has an id: they are called by their row. --id-field names the field that holds it"
        )
    return ZoneFile(path.name, zones, list(dict.fromkeys(notes)), fields)


# ---------------------------------------------------------------------------------------------- layers


def _layers(path: Path, id_field: str | None) -> Iterator[_Layer]:
    if not path.is_file():
        raise ZoneFileError(f"{path}: there is no such file")
    if path.suffix.lower() not in ENDINGS:
        raise ZoneFileError(
            f"{path}: expected GeoJSON, GeoPackage, Shapefile (.shp), KML, or a .zip or .kmz with one of them"
        )
    if path.suffix.lower() in (".geojson", ".json"):
        if path.stat().st_size > LARGEST_GEOJSON_BYTES:
            raise ZoneFileError(f"{path}: it is larger than {LARGEST_GEOJSON_BYTES:,} bytes; send less at once")
        read = read_json_text(path.read_bytes(), str(path))
        if _is_geojson(read):
            yield _geojson_layer(path, read, id_field)
            return
    try:
        layers = read_foreign(path, [id_field] if id_field else [*ID_PROPERTIES, *ID_FIELDS_OF_KML])
    except ForeignError as error:
        raise ZoneFileError(f"{path}: {error}") from error
    for layer in layers:
        if layer.geojson is None:
            yield _foreign_layer(path, layer, id_field)
        else:
            yield _geojson_layer(path, read_json_text(layer.geojson, f"{path}: {layer.name}"), id_field)


def _refuse_unknown_field(path: Path, id_field: str | None, fields: Sequence[str]) -> None:
    if id_field is not None and id_field not in fields:
        raise ZoneFileError(f"{path}: there is no field {id_field!r}; the fields are: {', '.join(fields) or 'none'}")


# ---------------------------------------------------------------------------------------------- GeoJSON


def _is_geojson(read: Any) -> bool:
    return isinstance(read, dict) and read.get("type") in ("FeatureCollection", "Feature", *_AREAS)


def _geojson_layer(path: Path, read: Any, id_field: str | None) -> _Layer:
    if not _is_geojson(read):
        raise ZoneFileError(f"{path}: expected a GeoJSON FeatureCollection")
    raw = read.get("features") if read["type"] == "FeatureCollection" else [read]
    if not isinstance(raw, list):
        raise ZoneFileError(f"{path}: features: expected a list")
    features = [{"type": "Feature", "geometry": one} if read["type"] in _AREAS else one for one in raw]
    properties = [f["properties"] for f in features if isinstance(f, dict) and isinstance(f.get("properties"), dict)]
    fields = list(dict.fromkeys(name for one in properties for name in one))
    _refuse_unknown_field(path, id_field, fields)
    name = crs_name_of(read)
    crs = None if name is None else _crs_named(path, name)
    return _Layer([_geojson_feature(feature, id_field) for feature in features], crs, fields)


def _crs_named(path: Path, name: str) -> CRS:
    try:
        return CRS.from_user_input(name)
    except CRSError as error:
        raise ZoneFileError(f"{path}: crs: {name[:60]!r} is no coordinate system that is known") from error


def _geojson_feature(feature: Any, id_field: str | None) -> _Feature:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return _Feature(None, None, "it is no GeoJSON Feature")
    try:
        zone_id = (
            feature_id(feature) if id_field is None else id_text((feature.get("properties") or {}).get(id_field))
        )
    except UnfitId as error:
        return _Feature(None, None, f"its id {error}", has_unfit_id=True)
    geometry = feature.get("geometry")
    if geometry is None:
        return _Feature(zone_id, None, "it has no geometry")
    return _geojson_geometry(zone_id, geometry)


def _geojson_geometry(zone_id: str | None, geometry: Any) -> _Feature:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        return _collected(zone_id, geometry.get("geometries"))
    if kind not in _AREAS:
        return _Feature(zone_id, None, f"its geometry is {str(kind or 'none')[:60]}; only areas can be zones")
    coordinates = geometry.get("coordinates")
    if not coordinates:
        return _Feature(zone_id, None, "it has no geometry")
    return _Feature(zone_id, {"type": kind, "coordinates": coordinates}, None, _has_heights(coordinates))


def _collected(zone_id: str | None, parts: Any) -> _Feature:
    """A collection of areas as one."""
    found = [_geojson_geometry(zone_id, part) for part in parts] if isinstance(parts, list) else []
    strange = next((part for part in found if part.geometry is None), None)
    if strange is not None or not found:
        return strange or _Feature(zone_id, None, "it has no geometry")
    polygons: list[Any] = []
    for part in found:
        assert part.geometry is not None, "those without one are strange"
        coordinates = part.geometry["coordinates"]
        polygons += coordinates if part.geometry["type"] == "MultiPolygon" else [coordinates]
    return _Feature(
        zone_id, {"type": "MultiPolygon", "coordinates": polygons}, None, any(p.has_heights for p in found)
    )


def _has_heights(coordinates: Any) -> bool:
    while isinstance(coordinates, list) and coordinates and isinstance(coordinates[0], list):
        coordinates = coordinates[0]
    return isinstance(coordinates, list) and len(coordinates) > 2


# ---------------------------------------------------------------------------------------------- other formats


def _foreign_layer(path: Path, layer: ForeignLayer, id_field: str | None) -> _Layer:
    _refuse_unknown_field(path, id_field, layer.fields)
    names = ID_FIELDS_OF_KML if layer.is_kml else ID_PROPERTIES
    field = id_field or next((name for name in names if name in layer.columns), None)
    values = [None] * len(layer.geometries) if field is None else layer.columns[field]
    pairs = zip(values, layer.geometries, strict=True)
    crs = None if layer.crs is None else _crs_named(path, layer.crs)
    return _Layer([_foreign_feature(value, wkb) for value, wkb in pairs], crs, layer.fields)


def _foreign_feature(value: Any, wkb: bytes | None) -> _Feature:
    try:
        zone_id = None if value != value or value == "" else id_text(value)  # NaN: a field that is empty
    except UnfitId as error:
        return _Feature(None, None, f"its id {error}", has_unfit_id=True)
    if wkb is None:
        return _Feature(zone_id, None, "it has no geometry")
    try:
        polygons, has_heights = read_wkb(wkb)
    except NoArea as error:
        return _Feature(zone_id, None, str(error))
    if not any(polygons):
        return _Feature(zone_id, None, "it has no geometry")
    geometry = (
        {"type": "Polygon", "coordinates": polygons[0]}
        if len(polygons) == 1
        else {"type": "MultiPolygon", "coordinates": polygons}
    )
    return _Feature(zone_id, geometry, None, has_heights)


# ---------------------------------------------------------------------------------------------- geometries

Corners = npt.NDArray[np.float64]
Turn = Callable[[Corners], Corners]
"""Coordinates (n, 2) into longitude and latitude."""


def _drawn(feature: _Feature, to_degrees: Turn | None, row: int) -> DrawnZone:
    is_named = feature.zone_id is not None or feature.has_unfit_id
    zone_id = feature.zone_id or f"row {row}"
    if to_degrees is None and feature.has_heights:
        to_degrees = _flat
    if feature.geometry is None or to_degrees is None:
        return DrawnZone(zone_id, feature.geometry, feature.trouble, is_named)
    try:
        geometry = feature.geometry | {"coordinates": _turned(feature.geometry["coordinates"], to_degrees)}
    except ProjError as error:
        what = f"its coordinates cannot be turned into longitude and latitude: {error}"
        return DrawnZone(zone_id, None, what, is_named)
    return DrawnZone(zone_id, geometry, None, is_named)


def _flat(corners: Corners) -> Corners:
    """As they are: a ring has two numbers a corner once it was read."""
    return corners


def _turned(coordinates: Any, to_degrees: Turn) -> Any:
    """Nested lists with every ring turned. What is no ring of numbers stays as it is: it is refused when it is read."""
    ring = _ring(coordinates)
    if ring is not None:
        return to_degrees(ring).tolist()
    return [_turned(one, to_degrees) for one in coordinates] if isinstance(coordinates, list) else coordinates


def _ring(coordinates: Any) -> Corners | None:
    try:
        corners = np.array([corner[:2] for corner in coordinates], np.float64)
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return corners if corners.ndim == 2 and corners.shape[1] == 2 and np.isfinite(corners).all() else None


def _rings(coordinates: Any) -> Iterator[Corners]:
    ring = _ring(coordinates)
    if ring is not None:
        yield ring
    elif isinstance(coordinates, list):
        for one in coordinates:
            yield from _rings(one)


# ---------------------------------------------------------------------------------------------- coordinate systems


def _to_degrees(path: Path, layer: _Layer, given: str | None, accept_shift: bool) -> tuple[Turn | None, str | None]:
    """What turns coordinates into longitude and latitude (None: they are), and what to say of it."""
    crs = _crs_of(path, layer, given)
    if crs == WGS84 or crs == CRS.from_user_input("OGC:CRS84"):
        return None, None
    transformer, shift = _best(crs, layer)
    if shift is not None and not accept_shift:
        raise ZoneFileError(
            f"{path}: the coordinates are in {crs.name}, and what turns them exactly into WGS 84 is not on this machine ({shift}). "
            "Install it (`projsync --file NAME`, or the package proj-data), or accept the error with --accept-shift"
        )

    def to_degrees(places: Corners) -> Corners:
        return np.column_stack(transformer.transform(places[:, 0], places[:, 1], errcheck=True))

    accepted = "" if shift is None else f", with an error that was accepted ({shift})"
    return to_degrees, f"coordinates were turned from {crs.name} into WGS 84{accepted}"


def _crs_of(path: Path, layer: _Layer, given: str | None) -> CRS:
    if given is None:
        if layer.crs is None and path.suffix.lower() in (".geojson", ".json"):
            return WGS84  # RFC 7946
        if layer.crs is None:
            raise ZoneFileError(
                f"{path}: it does not say in which coordinate system it is. Name it with --crs, such as EPSG:4326 or EPSG:27700"
            )
        return layer.crs
    try:
        named = CRS.from_user_input(given)
    except CRSError as error:
        raise ZoneFileError(f"--crs {given!r} is no coordinate system; expected one such as EPSG:27700") from error
    if layer.crs is not None and not layer.crs.equals(named, ignore_axis_order=True):
        raise ZoneFileError(
            f"{path}: it says that it is in {layer.crs.name}, and --crs says {named.name}; leave one out"
        )
    return named


def _best(crs: CRS, layer: _Layer) -> tuple[Transformer, str | None]:
    """The best transformation at hand, and how wrong it may be if a better one is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is what is told here
        where: Any = _area_of_interest(crs, layer)
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


def _area_of_interest(crs: CRS, layer: _Layer) -> AreaOfInterest | None:
    """About where the zones lie: which transformation is best depends on it."""
    rings = [ring for f in layer.features if f.geometry is not None for ring in _rings(f.geometry["coordinates"])]
    if not rings:
        return None
    corners = np.concatenate(rings)
    try:
        turn = Transformer.from_crs(crs, WGS84, always_xy=True)
        west, south, east, north = turn.transform_bounds(*corners.min(axis=0), *corners.max(axis=0))
        if not all(map(math.isfinite, (west, south, east, north))):
            return None
        return AreaOfInterest(max(-180.0, west), max(-90.0, south), min(180.0, east), min(90.0, north))
    except (ProjError, ValueError):
        return None
