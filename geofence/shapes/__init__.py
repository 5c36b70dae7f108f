"""Zones out of GeoJSON and back, how large they are, shared sets of them, and where positions lie on them."""

from geofence.shapes.areas import area_m2, drawn_area_m2
from geofence.shapes.arrays import Bools, Float64s, Int32s, Int64s
from geofence.shapes.geojson import SHAPES, ZoneError, geojson_from_zone, read_zone, zone_from_geojson
from geofence.shapes.margins import geodesic_m, margins_m, verdicts, verdicts_on
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet, content_of

__all__ = [
    "SHAPES",
    "Bools",
    "Float64s",
    "Int32s",
    "Int64s",
    "Member",
    "ZoneError",
    "ZoneSet",
    "area_m2",
    "build",
    "content_of",
    "drawn_area_m2",
    "geodesic_m",
    "geojson_from_zone",
    "margins_m",
    "packed",
    "read_zone",
    "verdicts",
    "verdicts_on",
    "zone_from_geojson",
]
