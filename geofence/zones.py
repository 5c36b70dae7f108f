"""Zones: from GeoJSON to valid areas, and from areas to the packed arrays that the kernels read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.validation import explain_validity

from geofence import kernels_zones as kz
from geofence.kernels import UNITS_PER_DEG, to_units
from geofence.orders import Area, Disc, PolygonRings, Ring, Shape

Ints = npt.NDArray[np.int32]
Wide = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NO_DISCS = np.empty((0, 3), np.float64)
_MAX_LAT_DEG = 85.0
_MAX_WIDTH_DEG = 180.0
_EASTERNMOST_DEG = (2**31 - 1) / UNITS_PER_DEG


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
    return (
        lon_deg + 0.0,
        lat_deg + 0.0,
    )  # -0.0 becomes 0.0: a database would make it so, and the content would be another


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


def _rings_of(polygon: Polygon) -> PolygonRings:
    return tuple(_ring_of(ring.coords) for ring in (polygon.exterior, *polygon.interiors))


def _ring_of(coordinates: Any) -> Ring:
    return tuple((float(corner[0]), float(corner[1])) for corner in coordinates)


# ---------------------------------------------------------------------------------------------- packing


@dataclass(frozen=True)
class PackedZones:
    """Zones side by side in arrays, as `kernels_zones.py` lays them out.

    boxes: int32 (zones, 8). shapes: int32 (n,). discs: float64 (circles, 3).
    """

    boxes: Ints
    shapes: Ints
    discs: Floats

    def __len__(self) -> int:
        return len(self.boxes)


def packed(zones: Sequence[Shape], widen_m: Sequence[float] | None = None) -> PackedZones:
    """Arrays for the kernels, in the order of `zones`, each taken wider by so many metres (to the millimetre). Corners
    are kept to units of 1/2^32 of a turn (9.3 mm)."""
    wider_m = np.zeros(len(zones)) if widen_m is None else np.array(widen_m, np.float64)
    discs = [i for i, zone in enumerate(zones) if isinstance(zone, Disc)]
    areas = [i for i, zone in enumerate(zones) if isinstance(zone, Area)]
    pack = packed_rings(rings_of([zone for zone in zones if isinstance(zone, Area)]), wider_m[areas])
    if not discs:
        return pack
    of_discs = _packed_discs([zone for zone in zones if isinstance(zone, Disc)], wider_m[discs])
    boxes = np.empty((len(zones), 8), np.int32)
    boxes[areas], boxes[discs] = pack.boxes, of_discs.boxes
    boxes[discs, kz.SHAPE] += len(pack.shapes)
    return PackedZones(boxes, np.concatenate([pack.shapes, of_discs.shapes]), of_discs.discs)


class Rings(NamedTuple):
    """The rings of many areas. corners: int32 (n, 2), units, rings closed. Ring r is corners[ends[r - 1]:ends[r]], those of area a
    are first[a]:first[a + 1]."""

    corners: Ints
    ends: Wide
    first: Wide


def rings_of(areas: Sequence[Area]) -> Rings:
    """All rings of some areas."""
    rings = [ring for area in areas for polygon in area.polygons for ring in polygon]
    counts = [sum(map(len, area.polygons)) for area in areas]
    return Rings(
        units(corners_of(rings)),
        np.cumsum([len(ring) for ring in rings], dtype=np.int64),
        np.cumsum([0, *counts], dtype=np.int64),
    )


def corners_of(rings: Iterable[Ring]) -> Floats:
    """All corners of some rings, one after the other: (n, 2), degrees. Those on the 180° meridian are taken a unit (9 mm) west of it:
    at +180° longitudes wrap round to -180°, the other side of a zone that ends there."""
    numbers = chain.from_iterable(chain.from_iterable(rings))
    return np.minimum(np.fromiter(numbers, np.float64).reshape(-1, 2), _EASTERNMOST_DEG)


def packed_rings(rings: Rings, widen_m: Floats) -> PackedZones:
    """`packed` for areas that are rings already."""
    corners, ends, first = rings
    count = len(first) - 1
    boxes = np.zeros((count, 8), np.int32)
    if count == 0:
        return PackedZones(boxes, np.empty(0, np.int32), _NO_DISCS)
    begins = np.concatenate([[0], ends[:-1]])
    corner_first = np.concatenate([begins, ends[-1:]])[first]
    corner_counts, ring_counts = np.diff(corner_first), np.diff(first)
    west_south = np.minimum.reduceat(corners, corner_first[:-1], axis=0).astype(np.int64)
    east_north = np.maximum.reduceat(corners, corner_first[:-1], axis=0).astype(np.int64)
    boxes[:, kz.WIDEN_MM] = np.rint(widen_m * 1e3)
    kz.set_boxes(boxes, west_south, east_north, widen_m)
    lengths = kz.RING_ENDS + ring_counts + 2 * corner_counts
    at = np.concatenate([[0], np.cumsum(lengths)])
    boxes[:, kz.SHAPE] = at[:-1]
    shapes = np.zeros(at[-1], np.int32)
    shapes[at[:-1] + kz.RINGS], shapes[at[:-1] + kz.CORNERS] = ring_counts, corner_counts
    of_ring = np.repeat(np.arange(count), ring_counts)
    shapes[at[of_ring] + kz.RING_ENDS + np.arange(len(ends)) - first[of_ring]] = ends - corner_first[of_ring]
    of_corner = np.repeat(np.arange(count), corner_counts)
    place = (
        at[of_corner]
        + kz.RING_ENDS
        + ring_counts[of_corner]
        + 2 * (np.arange(len(corners)) - corner_first[of_corner])
    )
    shapes[place], shapes[place + 1] = corners[:, 0], corners[:, 1]
    kz.fill_rasters(boxes, shapes, np.empty(kz.CELLS * kz.CELLS))
    return PackedZones(boxes, shapes, _NO_DISCS)


def _packed_discs(discs: Sequence[Disc], widen_m: Floats) -> PackedZones:
    centres = units([disc.centre for disc in discs])
    radius_m = np.array([disc.radius_m for disc in discs])
    boxes = np.zeros((len(discs), 8), np.int32)
    boxes[:, kz.WIDEN_MM] = np.rint(widen_m * 1e3)
    boxes[:, kz.SHAPE] = 6 * np.arange(len(discs))
    kz.set_boxes(boxes, centres.astype(np.int64), centres.astype(np.int64), radius_m + widen_m)
    corner_cm = np.rint((radius_m + widen_m) * 150.0)
    columns = [np.zeros(len(discs)), np.rint(radius_m * 1e3), corner_cm, np.arange(len(discs)), *centres.T]
    exact = np.column_stack([np.array([disc.centre for disc in discs], np.float64), radius_m])
    return PackedZones(boxes, np.column_stack(columns).astype(np.int32).ravel(), exact)


def units(lon_lat_deg: npt.ArrayLike) -> Ints:
    """Degrees (n, 2) as units, int32 (n, 2); longitudes wrap round."""
    deg = np.asarray(lon_lat_deg, np.float64).reshape(-1, 2)
    place = np.empty(deg.shape, np.int32)
    to_units(np.ascontiguousarray(deg[:, 0]), np.ascontiguousarray(deg[:, 1]), place)
    return place
