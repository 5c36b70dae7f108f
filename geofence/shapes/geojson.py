"""Zones from GeoJSON, checked, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.validation import explain_validity

from geofence.zones import Area, Disc, PolygonRings, Ring, Shape

_MAX_LAT_DEG = 85.0
_MAX_WIDTH_DEG = 180.0


SHAPES = ("Polygon", "MultiPolygon", "Circle")
"""Types of geometry that can be a zone."""


_FAULTS = (shapely.errors.ShapelyError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)


class ZoneError(ValueError):
    """A geometry that cannot be judged. `reason`: what is wrong. `place`: where ("longitude latitude"), if it is one place.
    `advice`: what to do, where the reason does not say it. The message is all three."""

    def __init__(self, reason: str, *, place: str | None = None, advice: str | None = None) -> None:
        where = "" if place is None else f"[{place}]"
        super().__init__(f"{reason}{where}" + ("" if advice is None else f"; {advice}"))
        self.reason = reason
        self.place = place
        self.advice = advice

    @property
    def what(self) -> str:
        """Reason and place, without the advice."""
        return self.reason if self.place is None else f"{self.reason}[{self.place}]"


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
        raise ZoneError(f"geometry type {kind!r} is not known", advice="expected Polygon, MultiPolygon or Circle")
    expected = {"type", "centre", "radius_m"} if kind == "Circle" else {"type", "coordinates"}
    unknown = sorted(set(geometry) - expected)
    if unknown:
        raise ZoneError(f"the geometry has a field {unknown[0]!r} that is not known")
    missing = sorted(expected - set(geometry))
    if missing:
        raise ZoneError(f"the geometry has no field {missing[0]!r}")
    try:
        return readers[kind](geometry, repair)
    except ZoneError:
        raise
    except _FAULTS as error:  # of a library, at a shape that nobody thought of
        raise ZoneError(f"it cannot be read as a zone ({type(error).__name__}: {str(error)[:100]})") from error


class ReadZone(NamedTuple):
    """A zone that was read. `mended`: what was wrong with it as it is drawn, if it was mended."""

    zone: Shape
    mended: ZoneError | None = None


def read_zone(geometry: dict[str, Any], *, repair: bool = False) -> ReadZone:
    """A zone as it is drawn, or with `repair` mended if it is invalid. Raises ZoneError."""
    try:
        return ReadZone(zone_from_geojson(geometry))
    except ZoneError as error:
        if not repair:
            raise
        return ReadZone(zone_from_geojson(geometry, repair=True), error)


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
    return _area([_valid(_part(part, number), repair) for number, part in enumerate(parts, 1)])


def _part(coordinates: object, number: int) -> Polygon:
    try:
        return _polygon(coordinates)
    except ZoneError as error:
        raise ZoneError(f"part {number}: {error.reason}", place=error.place, advice=error.advice) from error


def _valid(polygon: Polygon, repair: bool) -> shapely.Geometry:
    if not polygon.is_valid:
        if not repair:
            reason, _, place = explain_validity(polygon).removesuffix("]").partition("[")
            raise ZoneError(
                f"the polygon is invalid: {reason}", place=place or None, advice="mend it, or ask for --repair"
            )
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
