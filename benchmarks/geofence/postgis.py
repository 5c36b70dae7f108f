"""A shared zone set beside PostGIS."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import asyncpg
import numpy as np
import shapely

from benchmarks.geofence.set_routes import points_of
from benchmarks.geofence.set_worlds import SetWorld
from benchmarks.geofence.timing import Line, medians_ns


def postgis(dsn: str, world: SetWorld, few: int) -> Line:
    """W2 on a server with PostGIS: a GiST index, points in a table, one statement."""
    theirs = asyncio.run(_joined_ns(dsn, world, few))
    (ours,) = medians_ns([(lambda: world.zone_set.contains(world.lon_deg, world.lat_deg), len(world.lon_deg))])
    return Line("W2 in/out", ours, "PostGIS, ST_Contains with a GiST index", theirs, "300")


async def _joined_ns(dsn: str, world: SetWorld, few: int) -> float:
    """Nanoseconds a point, the median of three joins."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        await _fill(connection, world, few)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            await connection.fetchval("SELECT count(*) FROM place p JOIN zone z ON ST_Contains(z.g, p.g)")
            times.append((time.perf_counter() - start) / few * 1e9)
        return statistics.median(times)
    finally:
        await connection.close()


async def _fill(connection: Any, world: SetWorld, few: int) -> None:
    await connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    await connection.execute("CREATE TEMP TABLE zone (g geometry); CREATE TEMP TABLE place (g geometry)")
    await connection.executemany(
        "INSERT INTO zone VALUES (ST_GeomFromWKB($1, 4326))", [(shapely.to_wkb(p),) for p in world.polygons]
    )
    await connection.execute("CREATE INDEX ON zone USING gist (g)")
    points = shapely.to_wkb(points_of(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]])))
    await connection.executemany("INSERT INTO place VALUES (ST_GeomFromWKB($1, 4326))", [(p,) for p in points])
    await connection.execute("ANALYZE zone; ANALYZE place")
