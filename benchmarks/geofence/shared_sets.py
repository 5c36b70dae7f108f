"""W2 and W3: shared zone sets beside shapely."""

from __future__ import annotations

import numpy as np
import shapely

from benchmarks.geofence.set_routes import best_of, in_out_routes, points_of, radius_route, within_route
from benchmarks.geofence.set_worlds import SetWorld
from benchmarks.geofence.timing import Line, medians_ns


def shared(name: str, world: SetWorld, n: int, few: int, wanted: tuple[str, str, str]) -> list[Line]:
    zone_set = world.zone_set
    best, _ = best_of(in_out_routes(world, few))
    ours, with_radius, route, within, radius = medians_ns(
        [
            (lambda: zone_set.contains(world.lon_deg, world.lat_deg), n),
            (lambda: zone_set.verdicts(world.lon_deg, world.lat_deg, world.radius_m), n),
            in_out_routes(world, few)[best],
            within_route(world, few),
            radius_route(world, few),
        ]
    )
    return [
        Line(f"{name} in/out", ours, f"shapely, best route: {best}", route, wanted[0]),
        Line(f"{name} in/out", ours, "shapely STRtree `within`", within, wanted[1]),
        Line(
            f"{name}r verdict with radii", with_radius, "shapely dwithin, then sides and distances", radius, wanted[2]
        ),
    ]


def hits(world: SetWorld, few: int = 100_000) -> str:
    points = points_of(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    candidates = shapely.STRtree(world.polygons).query(points).shape[1] / len(points)
    inside = world.zone_set.contains(world.lon_deg[:few], world.lat_deg[:few]).mean()
    verdicts = world.zone_set.verdicts(world.lon_deg[:few], world.lat_deg[:few], world.radius_m[:few])
    unknown = float((verdicts == 0).mean())
    return (
        f"{candidates:.2f} candidates and {inside:.2f} hits a point; {unknown:.0%} of the verdicts with radii UNKNOWN"
    )
