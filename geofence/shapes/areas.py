"""How large zones are, on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
from pyproj import Geod

from geofence.zones import Disc, Shape

_WGS84 = Geod(ellps="WGS84")
_LONGEST_DEG = 0.01
"""Edges are straight in degrees and geodesics are not: pieces so short differ by nothing that can be seen."""


def area_m2(shape: Shape) -> float:
    """The area of a zone on WGS 84 in m². Of a circle that of a plane one, which is 1 part in 10,000 off at 200 km."""
    if isinstance(shape, Disc):
        return math.pi * shape.radius_m**2
    return sum(_rings_m2(rings) for rings in shape.polygons)


def drawn_area_m2(geometry: dict[str, Any]) -> float:
    """The area of a GeoJSON Polygon or MultiPolygon as its corners go round, in m², valid or not: of a ring that crosses itself,
    the parts that go round the other way are taken off. Overlaps of the parts of a MultiPolygon count twice."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return sum(_rings_m2(rings) for rings in polygons)


def _rings_m2(rings: Iterable[Sequence[Any]]) -> float:
    outer, *holes = (abs(_ring_m2(ring)) for ring in rings)
    return max(0.0, outer - sum(holes))


def _ring_m2(ring: Sequence[Any]) -> float:
    line = shapely.LineString(np.array([corner[:2] for corner in ring], np.float64))
    lon_lat = shapely.get_coordinates(shapely.segmentize(line, _LONGEST_DEG))
    return float(_WGS84.polygon_area_perimeter(lon_lat[:, 0], lon_lat[:, 1])[0])
