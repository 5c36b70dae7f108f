"""Zones: from GeoJSON to valid areas, and from areas to the packed arrays that the kernels read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.validation import explain_validity

from geofence.kernels import SEMI_MAJOR_M, earth_centred
from geofence.orders import Area, Disc, PolygonRings, Ring, Shape

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SAGITTA_M = 0.005
"""How far a chord may lie from its edge: under the ground, and (on a parallel of latitude) to the side."""
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
    """Zones side by side in arrays. Ring r of all zones has corners corner_ends[r]:corner_ends[r+1], and so on.

    balls: float64 (zones, 4), centre (Earth-centred m) and radius (m) of a ball that holds the zone.
    discs: float64 (zones,), radius of a circular zone in m, -1 for an area.
    rings: int64 (zones + 1,), first ring of each zone.
    corner_ends: int64 (rings + 1,); corners: float64 (n, 2), longitude and latitude as drawn, rings closed.
    chain_ends: int64 (rings + 1,); chain: float64 (n, 3), the same rings as short chords in Earth-centred m.
    """

    balls: Floats
    discs: Floats
    rings: Ints
    corner_ends: Ints
    corners: Floats
    chain_ends: Ints
    chain: Floats

    def __len__(self) -> int:
        return len(self.discs)

    @property
    def arrays(self) -> tuple[Floats, Floats, Ints, Ints, Floats, Ints, Floats]:
        """In the order in which the kernels take them."""
        return (
            self.balls, self.discs, self.rings, self.corner_ends, self.corners, self.chain_ends, self.chain,
        )  # fmt: skip


def packed(zones: Sequence[Shape]) -> PackedZones:
    """Arrays for the kernels, in the order of `zones`."""
    corners: list[Floats] = []
    chains: list[Floats] = []
    balls: list[tuple[float, float, float, float]] = []
    rings = [0]
    for zone in zones:
        if isinstance(zone, Disc):
            balls.append((*earth_centred(*zone.centre), zone.radius_m))
        else:
            zone_rings = [np.array(ring, np.float64) for polygon in zone.polygons for ring in polygon]
            zone_chains = [_chain(ring) for ring in zone_rings]
            corners += zone_rings
            chains += zone_chains
            balls.append(_ball(np.concatenate(zone_chains)))
        rings.append(len(corners))
    return PackedZones(
        balls=np.array(balls, np.float64).reshape(-1, 4),
        discs=np.array([zone.radius_m if isinstance(zone, Disc) else -1.0 for zone in zones], np.float64),
        rings=np.array(rings, np.int64),
        corner_ends=np.cumsum([0, *map(len, corners)], dtype=np.int64),
        corners=np.concatenate(corners) if corners else np.empty((0, 2)),
        chain_ends=np.cumsum([0, *map(len, chains)], dtype=np.int64),
        chain=np.concatenate(chains) if chains else np.empty((0, 3)),
    )


def _ball(points: Floats) -> tuple[float, float, float, float]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius_m = float(np.sqrt(((points - centre) ** 2).sum(axis=1).max()))
    return float(centre[0]), float(centre[1]), float(centre[2]), radius_m + 1.0


def _chain(ring: Floats) -> Floats:
    """The ring as chords in Earth-centred metres, none further than 2 × _SAGITTA_M from its edge. float64 (n, 3)."""
    places = [ring[:1]]
    for start, stop in itertools.pairwise(ring):
        pieces = _pieces(start, stop)
        steps = np.arange(1, pieces + 1).reshape(-1, 1) / pieces
        between = start + steps * (stop - start)
        between[-1] = stop
        places.append(between)
    lon_lat = np.concatenate(places)
    return np.array([earth_centred(lon_deg, lat_deg) for lon_deg, lat_deg in lon_lat], np.float64)


def _pieces(start: Floats, stop: Floats) -> int:
    """How many chords an edge needs. A chord of length c sinks c²/8R below the ground, and a parallel bends away
    from it by tan(latitude) times as much."""
    lat = math.radians(min(_MAX_LAT_DEG, max(abs(start[1]), abs(stop[1]))))
    east_m = math.radians(stop[0] - start[0]) * math.cos(min(abs(math.radians(start[1])), abs(math.radians(stop[1]))))
    length_m = SEMI_MAJOR_M * math.hypot(east_m, math.radians(stop[1] - start[1]))
    longest_m = math.sqrt(8 * SEMI_MAJOR_M * _SAGITTA_M / max(1.0, math.tan(lat)))
    return max(1, math.ceil(length_m / longest_m))
