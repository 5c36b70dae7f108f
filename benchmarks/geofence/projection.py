"""Longitude and latitude to metres, beside pyproj."""

from __future__ import annotations

import numpy as np
import pyproj

from benchmarks.geofence.timing import Line, medians_ns
from geofence.shapes.kernels import local_metres


def projection(n: int) -> Line:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-3, 0.5, n), rng.uniform(51, 54.5, n)
    east, north = np.empty(n), np.empty(n)
    few = n // 20
    to_grid = pyproj.Transformer.from_crs(4326, 27700, always_xy=True)
    ours, theirs = medians_ns(
        [
            (lambda: local_metres(lon, lat, east, north, -2.0, 53.0), n),
            (lambda: to_grid.transform(lon[:few], lat[:few]), few),
        ]
    )
    return Line("longitude/latitude to metres", ours, "pyproj to EPSG:27700", theirs, "50")
