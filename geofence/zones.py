"""What a zone is: an area, a disc, or a shared set of areas. Degrees of WGS 84, longitude first."""

from __future__ import annotations

import msgspec

LonLat = tuple[float, float]
"""Longitude, latitude in degrees of WGS 84: the order of GeoJSON, the only one used."""
Ring = tuple[LonLat, ...]
PolygonRings = tuple[Ring, ...]


class Area(msgspec.Struct, frozen=True, tag="area"):
    """One or more polygons (outer ring first, then holes), valid and apart. Edges are straight in degrees."""

    polygons: tuple[PolygonRings, ...]


class Disc(msgspec.Struct, frozen=True, tag="disc"):
    """All places at most `radius_m` (geodesic) from the centre."""

    centre: LonLat
    radius_m: float


class SetZone(msgspec.Struct, frozen=True, tag="set"):
    """A shared zone set as one zone: the union of its members. `version` is what people call it; `content` names exactly
    these members (`zone_sets.content_of`), and is what the judgement looks it up by."""

    set_id: str
    version: str
    content: str


Shape = Area | Disc
Zone = Shape | SetZone
