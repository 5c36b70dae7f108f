"""Shared zone sets as ours and as polygons of shapely, with places to ask about: invented ones, and real ones."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from benchmarks.geofence import worlds
from geofence import Area
from geofence.shapes import Float64s, Member, ZoneSet, build


class SetWorld(NamedTuple):
    zone_set: ZoneSet
    built_s: float
    vertices: int
    polygons: npt.NDArray[np.object_]
    """In degrees."""
    polygons_m: npt.NDArray[np.object_]
    lon_deg: Float64s
    lat_deg: Float64s
    points_m: Float64s
    radius_m: Float64s


def set_world(rings: Sequence[Float64s], places: Float64s, radius_m: Float64s) -> SetWorld:
    members = [Member(f"Z{i:06d}", Area(((tuple(map(tuple, ring.tolist())),),))) for i, ring in enumerate(rings)]
    build(members[:2])  # compiles
    taken_s: list[float] = []
    while len(taken_s) < 3 and sum(taken_s) < 6:
        start = time.perf_counter()
        zone_set = build(members)
        taken_s.append(time.perf_counter() - start)
    scale = worlds.M_PER_DEG * np.array([np.cos(np.radians(53.0)), 1.0])  # a plane is plane enough for a baseline
    return SetWorld(
        zone_set, statistics.median(taken_s), sum(map(len, rings)),
        np.array([shapely.Polygon(ring) for ring in rings], np.object_),
        np.array([shapely.Polygon(ring * scale) for ring in rings], np.object_),
        places[:, 0].copy(), places[:, 1].copy(), places * scale, radius_m,
    )  # fmt: skip


def real_world(folder: Path) -> SetWorld | None:
    """The LSOAs of four districts, and the street crime of three months."""
    files = sorted((folder / "uk-boundaries" / "lsoa_by_lad").glob("*.json"))
    if not files:
        return None
    rings: list[Float64s] = []
    for file in files:
        for feature in json.loads(file.read_text())["features"]:
            geometry = feature["geometry"]
            polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            rings += [np.array(polygon[0], np.float64) for polygon in polygons]
    places = []
    for file in sorted((folder / "police-uk-staffordshire").glob("*-street.csv")):
        with file.open() as lines:
            head = next(lines).strip().split(",")
            at = head.index("Longitude")
            places += [line.split(",")[at : at + 2] for line in lines]
    points = np.array([(float(lon), float(lat)) for lon, lat in places if lon and lat])
    rng = np.random.default_rng(6)
    points = points[rng.integers(0, len(points), 200_000)]
    return set_world(rings, points, worlds.radii_like_the_field(rng, len(points)))
