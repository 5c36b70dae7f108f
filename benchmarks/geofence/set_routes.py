"""What a user could ask shapely about a shared zone set, by each route that it has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from benchmarks.geofence.set_worlds import SetWorld
from benchmarks.geofence.timing import Timed, medians_ns
from geofence.shapes import Float64s


def points_of(places: Float64s) -> npt.NDArray[np.object_]:
    """Shapely's points of (n, 2)."""
    return np.array(shapely.points(places), np.object_)


def best_of(routes: dict[str, Timed]) -> tuple[str, float]:
    """The fastest route of a peer, by name."""
    times = medians_ns(list(routes.values()), 3)
    return min(zip(routes, times, strict=True), key=lambda pair: pair[1])


def in_out_routes(world: SetWorld, few: int) -> dict[str, Timed]:
    """In or out of a set by shapely, points prebuilt; what is made anew for every batch of fixes is part of the time."""
    tree = shapely.STRtree(world.polygons)
    shapely.prepare(world.polygons)
    points = points_of(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    x, y = world.lon_deg[:few].copy(), world.lat_deg[:few].copy()

    def boxes_then_prepared() -> object:
        which, polygon = tree.query(points)
        return which[shapely.contains_xy(world.polygons[polygon], x[which], y[which])]

    return {
        "STRtree boxes, then prepared contains_xy": (boxes_then_prepared, few),
        "STRtree of the points, prepared polygons": (
            lambda: shapely.STRtree(points).query(world.polygons, predicate="contains"), few,
        ),
    }  # fmt: skip


def within_route(world: SetWorld, few: int) -> Timed:
    tree = shapely.STRtree(world.polygons)
    points = points_of(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    return lambda: tree.query(points, predicate="within"), few


def radius_route(world: SetWorld, few: int) -> Timed:
    """The three-valued verdict by shapely: what is within the radius at all, then sides and distances of those pairs."""
    tree = shapely.STRtree(world.polygons_m)
    points = points_of(world.points_m[:few])
    boundaries = shapely.boundary(world.polygons_m)
    shapely.prepare(boundaries)
    shapely.prepare(world.polygons_m)
    radius_m = world.radius_m[:few]

    def verdicts() -> object:
        answers = np.full(few, -1, np.int8)
        which, polygon = tree.query(points, predicate="dwithin", distance=radius_m)
        answers[which] = 0
        holds = shapely.contains(world.polygons_m[polygon], points[which])
        which, polygon = which[holds], polygon[holds]
        deep = ~shapely.dwithin(boundaries[polygon], points[which], radius_m[which])
        answers[which[deep]] = 1
        return answers

    return verdicts, few


def prepared_on_candidates(world: SetWorld, few: int) -> Timed:
    """GEOS prepared polygons on candidates that are given: no search at all is counted."""
    shapely.prepare(world.polygons)
    which, polygon = shapely.STRtree(world.polygons).query(
        points_of(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    )
    x, y, chosen = world.lon_deg[which], world.lat_deg[which], world.polygons[polygon]
    return lambda: shapely.contains_xy(chosen, x, y), len(which)
