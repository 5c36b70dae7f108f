"""Longitude and latitude to metres, beside pyproj."""

from __future__ import annotations

import numpy as np
import pyproj
from numba import njit

from benchmarks.geofence.timing import Line, medians_ns
from geofence.shapes import Float64s
from geofence.shapes.kernels import UNITS_PER_DEG, metric_at


@njit(nogil=True)
def _local_metres(place_deg: Float64s, east_m: Float64s, north_m: Float64s, lon_deg: float, lat_deg: float) -> None:
    """Metres east and north of an origin near n positions (2, n), as the near distances take them: float64 (n,), written."""
    for i in range(place_deg.shape[1]):
        east, north, change = metric_at(place_deg[1, i])
        to_north = (place_deg[1, i] - lat_deg) * UNITS_PER_DEG
        east_m[i] = (place_deg[0, i] - lon_deg) * UNITS_PER_DEG * (east - change * to_north)
        north_m[i] = to_north * north


def projection(n: int) -> Line:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-3, 0.5, n), rng.uniform(51, 54.5, n)
    place, east, north = np.stack([lon, lat]), np.empty(n), np.empty(n)
    few = n // 20
    to_grid = pyproj.Transformer.from_crs(4326, 27700, always_xy=True)
    ours, theirs = medians_ns(
        [
            (lambda: _local_metres(place, east, north, -2.0, 53.0), n),
            (lambda: to_grid.transform(lon[:few], lat[:few]), few),
        ]
    )
    return Line("longitude/latitude to metres", ours, "pyproj to EPSG:27700", theirs, "50")
