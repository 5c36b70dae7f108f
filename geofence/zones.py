"""Zones: from GeoJSON to valid areas, and from areas to the packed arrays that the kernels read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.validation import explain_validity

from geofence import kernels_zones as kz
from geofence.kernels import DEG_PER_UNIT, metric_at, to_units
from geofence.orders import Area, Disc, PolygonRings, Ring, Shape

Ints = npt.NDArray[np.int32]
Wide = npt.NDArray[np.int64]
_MAX_LAT_DEG = 85.0
_MAX_WIDTH_DEG = 180.0


class ZoneError(ValueError):
    """A geometry that cannot be judged. The message says what is wrong, where, and what to do."""


# ---------------------------------------------------------------------------------------------- reading


def zone_from_geojson(geometry: dict[str, Any], *, repair: bool = False) -> Shape:
    """A zone from a GeoJSON Polygon or MultiPolygon, or from {"type": "Circle", "centre", "radius_m"}.

    Raises ZoneError for a geometry that is invalid (self-crossing, say); with `repair` that is mended by
    shapely's make_valid instead.
    """
    kind = geometry.get("type")
    readers: dict[str, Callable[[dict[str, Any], bool], Shape]] = {
        "Circle": _read_disc,
        "Polygon": _read_polygon,
        "MultiPolygon": _read_multipolygon,
    }
    if not isinstance(kind, str) or kind not in readers:
        raise ZoneError(f"geometry type {kind!r} is not known; expected Polygon, MultiPolygon or Circle")
    expected = {"type", "centre", "radius_m"} if kind == "Circle" else {"type", "coordinates"}
    unknown = sorted(set(geometry) - expected)
    if unknown:
        raise ZoneError(f"the geometry has a field {unknown[0]!r} that is not known")
    missing = sorted(expected - set(geometry))
    if missing:
        raise ZoneError(f"the geometry has no field {missing[0]!r}")
    return readers[kind](geometry, repair)


def geojson_from_zone(zone: Shape) -> dict[str, Any]:
    """The geometry in the form that `zone_from_geojson` reads."""
    if isinstance(zone, Disc):
        return {"type": "Circle", "centre": list(zone.centre), "radius_m": zone.radius_m}
    polygons = [[[list(corner) for corner in ring] for ring in rings] for rings in zone.polygons]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ZoneError(f"{what} is {value!r}; expected a finite number")
    return float(value)


def _corner(value: object) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ZoneError(f"a coordinate is {value!r}; expected [longitude, latitude]")
    lon_deg, lat_deg = _number(value[0], "a longitude"), _number(value[1], "a latitude")
    if abs(lon_deg) > 180 or abs(lat_deg) > 90:
        raise ZoneError(f"[{lon_deg}, {lat_deg}] lies outside ±180, ±90; the order is longitude, latitude")
    if abs(lat_deg) > _MAX_LAT_DEG:
        raise ZoneError(f"latitude {lat_deg} is beyond ±{_MAX_LAT_DEG:g}, where zones are not supported")
    return lon_deg, lat_deg


def _read_disc(geometry: dict[str, Any], _repair: bool) -> Disc:
    radius_m = _number(geometry["radius_m"], "radius_m")
    if not 0 < radius_m <= 1_000_000:
        raise ZoneError(f"radius_m is {radius_m:g}; expected more than 0 and at most 1,000,000 metres")
    return Disc(_corner(geometry["centre"]), radius_m)


def _polygon(coordinates: object) -> Polygon:
    if not isinstance(coordinates, list | tuple) or not coordinates:
        raise ZoneError("coordinates are empty; expected a list of rings")
    rings = []
    for ring in coordinates:
        if not isinstance(ring, list | tuple) or len(ring) < 4:
            raise ZoneError("a ring has fewer than 4 positions; the first is repeated at its end")
        corners = [_corner(corner) for corner in ring]
        if corners[0] != corners[-1]:
            raise ZoneError(
                f"a ring that begins at {list(corners[0])} is not closed; repeat the first position at its end"
            )
        rings.append(corners)
    return Polygon(rings[0], rings[1:])


def _read_polygon(geometry: dict[str, Any], repair: bool) -> Area:
    return _area([_valid(_polygon(geometry["coordinates"]), repair)])


def _read_multipolygon(geometry: dict[str, Any], repair: bool) -> Area:
    parts = geometry["coordinates"]
    if not isinstance(parts, list | tuple) or not parts:
        raise ZoneError("coordinates are empty; expected a list of polygons")
    return _area([_valid(_polygon(part), repair) for part in parts])


def _valid(polygon: Polygon, repair: bool) -> shapely.Geometry:
    if not polygon.is_valid:
        if not repair:
            raise ZoneError(f"the polygon is invalid: {explain_validity(polygon)}; mend it, or ask for --repair")
        return shapely.make_valid(polygon)
    if polygon.area == 0:
        raise ZoneError("the polygon has no area")
    return polygon


def _polygons_of(geometry: shapely.Geometry) -> list[Polygon]:
    """The polygons in any geometry; a repair can also leave lines and points, which enclose nothing."""
    if isinstance(geometry, Polygon):
        return [geometry]
    return [polygon for part in getattr(geometry, "geoms", []) for polygon in _polygons_of(part)]


def _area(parts: Sequence[shapely.Geometry]) -> Area:
    """The union of the parts: where they overlap or share an edge there is no boundary between them."""
    apart = len(parts) == 1 or MultiPolygon([p for part in parts for p in _polygons_of(part)]).is_valid
    polygons = [p for part in (parts if apart else [shapely.union_all(list(parts))]) for p in _polygons_of(part)]
    if not polygons:
        raise ZoneError("nothing of the polygon is left after its repair; draw it again")
    area = Area(tuple(_rings_of(polygon) for polygon in polygons))
    west, _, east, _ = MultiPolygon(polygons).bounds
    if east - west > _MAX_WIDTH_DEG:
        raise ZoneError(
            f"the zone spans {east - west:.1f}° of longitude; a zone across the 180° meridian is not supported: "
            "make it two requirements, one on each side"
        )
    return area


def union_of(areas: Sequence[Area]) -> Area:
    """All the areas as one: where they touch or overlap there is no boundary between them."""
    return _area([Polygon(rings[0], rings[1:]) for area in areas for rings in area.polygons])


def _rings_of(polygon: Polygon) -> PolygonRings:
    return tuple(_ring_of(ring.coords) for ring in (polygon.exterior, *polygon.interiors))


def _ring_of(coordinates: Any) -> Ring:
    return tuple((float(corner[0]), float(corner[1])) for corner in coordinates)


# ---------------------------------------------------------------------------------------------- packing


@dataclass(frozen=True)
class PackedZones:
    """Zones side by side in arrays, as `kernels_zones.py` lays them out.

    boxes: int32 (zones, 8). shapes: int32 (n,); zones may share a shape.
    """

    boxes: Ints
    shapes: Ints

    def __len__(self) -> int:
        return len(self.boxes)

    def taken(self, rows: Sequence[int]) -> PackedZones:
        """Some of the zones, on the same shapes."""
        return PackedZones(self.boxes[list(rows)], self.shapes)


def packed(zones: Sequence[Shape], widen_m: Sequence[float] | None = None) -> PackedZones:
    """Arrays for the kernels, in the order of `zones`, each taken wider by so many metres (to the millimetre). Corners
    are kept to units of 1/2^32 of a turn (9.3 mm)."""
    boxes = np.zeros((len(zones), 8), np.int32)
    shapes = []
    at = 0
    for row, zone, wider_m in zip(boxes, zones, widen_m or [0.0] * len(zones), strict=True):
        row[kz.WIDEN_MM] = round(wider_m * 1e3)
        shape = _disc_shape(zone, row) if isinstance(zone, Disc) else _area_shape(zone, row)
        row[kz.SHAPE] = at
        shapes.append(shape)
        at += len(shape)
    pack = PackedZones(boxes, np.concatenate(shapes) if shapes else np.empty(0, np.int32))
    kz.fill_rasters(pack.boxes, pack.shapes, np.empty(kz.CELLS * kz.CELLS))
    return pack


def units(lon_lat_deg: npt.ArrayLike) -> Ints:
    """Degrees (n, 2) as units, int32 (n, 2); longitudes wrap round."""
    deg = np.asarray(lon_lat_deg, np.float64).reshape(-1, 2)
    place = np.empty(deg.shape, np.int32)
    to_units(np.ascontiguousarray(deg[:, 0]), np.ascontiguousarray(deg[:, 1]), place)
    return place


def _disc_shape(disc: Disc, row: Ints) -> Ints:
    """The shape of a circle; its box goes into `row`."""
    centre = units([disc.centre])[0]
    _set_box(row, centre.astype(np.int64), centre.astype(np.int64), disc.radius_m + row[kz.WIDEN_MM] * 1e-3)
    corner_cm = round((disc.radius_m + row[kz.WIDEN_MM] * 1e-3) * 150.0)
    return np.array([0, round(disc.radius_m * 1e3), corner_cm, 1, *centre], np.int32)


def _area_shape(area: Area, row: Ints) -> Ints:
    """The shape of an area, its raster still empty; its box goes into `row`."""
    rings = [units(ring) for polygon in area.polygons for ring in polygon]
    corners = np.concatenate(rings)
    _set_box(row, corners.min(axis=0).astype(np.int64), corners.max(axis=0).astype(np.int64), row[kz.WIDEN_MM] * 1e-3)
    head = np.zeros(kz.RING_ENDS + len(rings), np.int32)
    head[kz.RINGS], head[kz.CORNERS] = len(rings), len(corners)
    head[kz.RING_ENDS :] = np.cumsum([len(ring) for ring in rings])
    return np.concatenate([head, corners.ravel()])


def _set_box(row: Ints, west_south: Wide, east_north: Wide, wider_m: float) -> None:
    """The box from corner to corner and so many metres more on each side, taken where a unit is narrowest."""
    highest_deg = max(abs(int(west_south[1])), abs(int(east_north[1]))) * DEG_PER_UNIT + wider_m / 110_000.0
    east, north, _ = metric_at(min(highest_deg, 89.9))
    grow = np.array([wider_m * 1.02 / east, wider_m * 1.02 / north]).astype(np.int64) + (16 if wider_m > 0 else 0)
    size = np.minimum(east_north - west_south + 2 * grow, [2**32 - 1, 2**31 - 1])
    row[kz.WEST], row[kz.WIDTH] = np.array([west_south[0] - grow[0], size[0]]).astype(np.uint32).astype(np.int32)
    row[kz.SOUTH], row[kz.HEIGHT] = max(-(2**31), int(west_south[1] - grow[1])), size[1]
    row[kz.CELLS_EAST], row[kz.CELLS_NORTH] = np.minimum((kz.CELLS << 32) // (size + 1), 2**31 - 1)
