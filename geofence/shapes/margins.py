"""The one door before the kernels: casts, then margins, then verdicts."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from geofence.shapes import kernels_zones as kz
from geofence.shapes.arrays import Float64s, Int8s, Int32s, Int64s, UInt64s
from geofence.shapes.kernels_zones import Fixes, Masks, PackedZones, Scratch
from geofence.words import Presence

Verdicts = Int8s
"""Of Presence."""

_EARTH_M = 6_371_008.8
_SPHERE_ERROR = 0.006
"""A sphere is nowhere more than this part off the ellipsoid in a distance."""


def margins_m(zones: PackedZones, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Float64s:
    """Signed margins (positive inside) of n positions to the boundaries of all zones as drawn: float64 (n, zones)."""
    lon, lat = floats(lon_deg), floats(lat_deg)
    margins = np.empty((len(lon), len(zones.boxes)), np.float64)
    kz.margins_of(zones, lon, lat, margins)
    return margins


def verdicts_on(
    zones: PackedZones, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, radius_m: npt.ArrayLike
) -> Verdicts:
    """Verdicts of n positions with their radii (more than 0) on all zones, widened as they are: int8 of Presence
    (n, zones). The same as `verdicts(margins_m(zones, …) + widen_m, radius_m)`, and many times faster."""
    lon = floats(lon_deg)
    answers = np.empty((len(lon), len(zones.boxes)), np.int8)
    kz.verdicts_on_all(zones, lon, floats(lat_deg), floats(radius_m), answers)
    return answers


def masks_of(
    zones: PackedZones,
    first: Int64s,
    wearer: Int32s,
    lon_deg: npt.ArrayLike,
    lat_deg: npt.ArrayLike,
    radius_m: npt.ArrayLike,
) -> Masks:
    """Verdicts of n positions on the zones of their wearers: `first[w]:first[w + 1]` are those of wearer w."""
    fixes, most = Fixes(wearer, floats(lon_deg), floats(lat_deg)), _most_zones(first)
    masks = Masks(*np.zeros((2, len(wearer), -(-most // 64)), np.uint64))
    kz.verdicts_of(zones, first, fixes, floats(radius_m), masks, _scratch(most))
    return masks


def contained(
    zones: PackedZones, first: Int64s, wearer: Int32s, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike
) -> UInt64s:
    """In or out as drawn, of n positions on the zones of their wearers: bit masks (n, words) as in `Masks`."""
    fixes, most = Fixes(wearer, floats(lon_deg), floats(lat_deg)), _most_zones(first)
    inside = np.zeros((len(wearer), -(-most // 64)), np.uint64)
    kz.contains_of(zones, first, fixes, inside, _scratch(most))
    return inside


def _most_zones(first: Int64s) -> int:
    """Of one wearer, and at least 1."""
    return int(np.diff(first).max(initial=1))


def _scratch(most_zones: int) -> Scratch:
    return Scratch(np.empty(kz.TILE * most_zones + 1, np.int64), np.empty(2, np.int64))


def verdicts(margin_m: Float64s, radius_m: Float64s) -> Verdicts:
    """RULES.md section 3: INSIDE if m >= r, OUTSIDE if m <= -r, else UNKNOWN. int8 of Presence, broadcast."""
    inside = (margin_m >= radius_m).astype(np.int8)
    outside = (margin_m <= -radius_m).astype(np.int8)
    return inside * np.int8(Presence.INSIDE) + outside * np.int8(Presence.OUTSIDE)


def floats(values: npt.ArrayLike) -> Float64s:
    """As the kernels take them."""
    return np.ascontiguousarray(values, np.float64)


@cache
def _wgs84() -> Any:
    """PROJ is loaded when it is first needed: a tenth of a second of each start, for what a sphere settles nearly always."""
    from pyproj import Geod

    return Geod(ellps="WGS84")


def geodesic_m(lon_a_deg: float, lat_a_deg: float, lon_b_deg: float, lat_b_deg: float) -> float:
    """Geodesic distance on WGS 84 in metres (Karney's method, by PROJ)."""
    return float(_wgs84().inv(lon_a_deg, lat_a_deg, lon_b_deg, lat_b_deg)[2])


def at_most_apart_m(lon_deg: Float64s, lat_deg: Float64s) -> Float64s:
    """Upper bounds of the geodesic distances between neighbours, (n,) to (n - 1,), by a sphere."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    half_lat, half_lon = np.diff(lat) / 2, np.diff(lon) / 2
    haversine = np.sin(half_lat) ** 2 + np.cos(lat[:-1]) * np.cos(lat[1:]) * np.sin(half_lon) ** 2
    sphere_m: Float64s = 2 * _EARTH_M * np.arcsin(np.minimum(1.0, np.sqrt(haversine)))
    return sphere_m * (1 + _SPHERE_ERROR)


def farther_than(lon_a_deg: float, lat_a_deg: float, lon_b_deg: float, lat_b_deg: float, limit_m: float) -> bool:
    """Whether the geodesic distance is more than `limit_m`.

    A sphere settles nearly every case for a tenth of the cost; the geodesic is worked out where it does not.
    """
    lat_a, lat_b = math.radians(lat_a_deg), math.radians(lat_b_deg)
    half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(lon_b_deg - lon_a_deg) / 2
    haversine = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    sphere_m = 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(haversine)))
    if sphere_m * (1 + _SPHERE_ERROR) <= limit_m:
        return False
    if sphere_m * (1 - _SPHERE_ERROR) > limit_m:
        return True
    return geodesic_m(lon_a_deg, lat_a_deg, lon_b_deg, lat_b_deg) > limit_m
