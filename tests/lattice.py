"""Polygons whose corners lie on a tiny lattice, where everything degenerates: rays through corners, edges along rays, cells whose
borders run along edges. Whoever is right on all of them has few places left to be wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geofence.zones import Area

DEG_PER_UNIT = 360 / 2**32
STEP = 256
"""Units between lattice lines: half the side of the smallest cells of a zone set, and twice that of their parts, so that lines and
borders coincide."""
SIZE = 8
"""Lattice lines of a polygon."""
TILE = SIZE + 3
ORIGIN = (-(2**24), 610_000_128)
"""Where the lattice lies (units): between Greenwich and Stoke."""


class Lattice(NamedTuple):
    """Polygons apart from each other in lattice steps, and where each lies: (n, 2) steps."""

    polygons: npt.NDArray[np.object_]
    at: npt.NDArray[np.int64]


def lattice(count: int, seed: int) -> Lattice:
    """About so many valid polygons, half of them stars of any slopes, half of them patches of whole and half squares with holes."""
    rng = np.random.default_rng(seed)
    drawn = [_star(rng) if rng.random() < 0.5 else _patch(rng) for _ in range(count)]
    kept = [polygon for polygon in drawn if polygon is not None]
    across = int(np.ceil(np.sqrt(len(kept))))
    at = np.array([(i % across * TILE, i // across * TILE) for i in range(len(kept))])
    return Lattice(np.array(kept, np.object_), at)


def _star(rng: np.random.Generator) -> shapely.Polygon | None:
    corners = rng.integers(0, SIZE, (rng.integers(3, 9), 2))
    middle = corners.mean(axis=0)
    order = np.argsort(np.arctan2(*(corners - middle).T), kind="stable")
    polygon = shapely.Polygon(corners[order])
    return polygon if polygon.is_valid and polygon.area > 0 else None


_CELL = np.array([(x, y) for x in range(SIZE - 1) for y in range(SIZE - 1)])
_SQUARES = _CELL[:, None] + np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
_PIECES = np.stack(
    [shapely.polygons(_SQUARES)] + [shapely.polygons(np.delete(_SQUARES, corner, axis=1)) for corner in range(4)],
    axis=1,
)
"""Of each cell of the lattice: the whole square, and the four halves."""


def _patch(rng: np.random.Generator) -> shapely.Polygon | None:
    kind = rng.choice(6, len(_CELL), p=[0.45, 0.05, 0.05, 0.05, 0.05, 0.35])
    pieces = _PIECES[kind < 5, kind[kind < 5]]
    parts = [part for part in shapely.get_parts(shapely.union_all(pieces)) if part.geom_type == "Polygon"]
    return max(parts, key=lambda part: part.area) if parts else None


def placed(polygon: shapely.Polygon, at: npt.NDArray[np.int64]) -> Area:
    """The polygon as an area, in degrees that are exact in units."""
    rings = [polygon.exterior, *polygon.interiors]
    return Area((tuple(tuple(map(tuple, degrees(np.array(ring.coords) + at).tolist())) for ring in rings),))


def degrees(steps: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Lattice steps (n, 2), whole or half, as degrees."""
    units = np.asarray(steps, np.float64) * STEP + ORIGIN
    return units * DEG_PER_UNIT


def probes() -> npt.NDArray[np.float64]:
    """All places at half steps in and about a polygon: (n, 2)."""
    halves = np.arange(-2, 2 * SIZE + 1) / 2
    return np.stack(np.meshgrid(halves, halves), axis=-1).reshape(-1, 2)
