"""Zones packed into the arrays that the kernels read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.shapes import kernels_zones as kz
from geofence.shapes.arrays import Float64s, Int32s, Int64s
from geofence.shapes.kernels import UNITS_PER_DEG, to_units
from geofence.shapes.kernels_zones import PackedZones
from geofence.zones import Area, Disc, Ring, Shape

_NO_DISCS = np.empty((0, 3), np.float64)
_EASTERNMOST_DEG = (2**31 - 1) / UNITS_PER_DEG


def packed(zones: Sequence[Shape], widen_m: Sequence[float] | None = None) -> PackedZones:
    """Arrays for the kernels, in the order of `zones`, each taken wider by so many metres (to the millimetre). Corners
    are kept to units of 1/2^32 of a turn (9.3 mm)."""
    wider_m = np.zeros(len(zones)) if widen_m is None else np.array(widen_m, np.float64)
    discs = [i for i, zone in enumerate(zones) if isinstance(zone, Disc)]
    areas = [i for i, zone in enumerate(zones) if isinstance(zone, Area)]
    pack = packed_rings(rings_of([zone for zone in zones if isinstance(zone, Area)]), wider_m[areas])
    if not discs:
        return pack
    of_discs = _packed_discs([zone for zone in zones if isinstance(zone, Disc)], wider_m[discs])
    boxes = np.empty((len(zones), 8), np.int32)
    boxes[areas], boxes[discs] = pack.boxes, of_discs.boxes
    boxes[discs, kz.SHAPE] += len(pack.shapes)
    return PackedZones(boxes, np.concatenate([pack.shapes, of_discs.shapes]), of_discs.discs)


def packed_apart(many: Sequence[Sequence[Shape]], widen_m: Sequence[Sequence[float]]) -> list[PackedZones]:
    """`packed` of the zones of many people, each by itself, for a tenth of the time: they share what their boxes point to."""
    pack = packed(list(chain.from_iterable(many)), list(chain.from_iterable(widen_m)))
    ends = np.cumsum([0, *map(len, many)]).tolist()
    return [pack._replace(boxes=pack.boxes[begin:end]) for begin, end in pairwise(ends)]


class Rings(NamedTuple):
    """The rings of many areas. corners: int32 (n, 2), units, rings closed. Ring r is corners[ends[r - 1]:ends[r]], those of area a
    are first[a]:first[a + 1]."""

    corners: Int32s
    ends: Int64s
    first: Int64s


def rings_of(areas: Sequence[Area]) -> Rings:
    """All rings of some areas."""
    rings = [ring for area in areas for polygon in area.polygons for ring in polygon]
    counts = [sum(map(len, area.polygons)) for area in areas]
    return Rings(
        units(corners_of(rings)),
        np.cumsum([len(ring) for ring in rings], dtype=np.int64),
        np.cumsum([0, *counts], dtype=np.int64),
    )


def corners_of(rings: Iterable[Ring]) -> Float64s:
    """All corners of some rings, one after the other: (n, 2), degrees. Those on the 180° meridian are taken a unit (9 mm) west of it:
    at +180° longitudes wrap round to -180°, the other side of a zone that ends there."""
    numbers = chain.from_iterable(chain.from_iterable(rings))
    return np.minimum(np.fromiter(numbers, np.float64).reshape(-1, 2), _EASTERNMOST_DEG)


def packed_rings(rings: Rings, widen_m: Float64s) -> PackedZones:
    """`packed` for areas that are rings already."""
    corners, ends, first = rings
    count = len(first) - 1
    boxes = np.zeros((count, 8), np.int32)
    if count == 0:
        return PackedZones(boxes, np.empty(0, np.int32), _NO_DISCS)
    begins = np.concatenate([[0], ends[:-1]])
    corner_first = np.concatenate([begins, ends[-1:]])[first]
    corner_counts, ring_counts = np.diff(corner_first), np.diff(first)
    west_south = np.minimum.reduceat(corners, corner_first[:-1], axis=0).astype(np.int64)
    east_north = np.maximum.reduceat(corners, corner_first[:-1], axis=0).astype(np.int64)
    boxes[:, kz.WIDEN_MM] = np.rint(widen_m * 1e3)
    kz.set_boxes(boxes, west_south, east_north, widen_m)
    lengths = kz.RING_ENDS + ring_counts + 2 * corner_counts
    at = np.concatenate([[0], np.cumsum(lengths)])
    boxes[:, kz.SHAPE] = at[:-1]
    shapes = np.zeros(at[-1], np.int32)
    shapes[at[:-1] + kz.RINGS], shapes[at[:-1] + kz.CORNERS] = ring_counts, corner_counts
    of_ring = np.repeat(np.arange(count), ring_counts)
    shapes[at[of_ring] + kz.RING_ENDS + np.arange(len(ends)) - first[of_ring]] = ends - corner_first[of_ring]
    of_corner = np.repeat(np.arange(count), corner_counts)
    place = (
        at[of_corner]
        + kz.RING_ENDS
        + ring_counts[of_corner]
        + 2 * (np.arange(len(corners)) - corner_first[of_corner])
    )
    shapes[place], shapes[place + 1] = corners[:, 0], corners[:, 1]
    zones = PackedZones(boxes, shapes, _NO_DISCS)
    kz.fill_rasters(zones, np.empty(kz.CELLS * kz.CELLS))
    return zones


def _packed_discs(discs: Sequence[Disc], widen_m: Float64s) -> PackedZones:
    centres = units([disc.centre for disc in discs])
    radius_m = np.array([disc.radius_m for disc in discs])
    boxes = np.zeros((len(discs), 8), np.int32)
    boxes[:, kz.WIDEN_MM] = np.rint(widen_m * 1e3)
    boxes[:, kz.SHAPE] = 6 * np.arange(len(discs))
    kz.set_boxes(boxes, centres.astype(np.int64), centres.astype(np.int64), radius_m + widen_m)
    corner_cm = np.rint((radius_m + widen_m) * 150.0)
    columns = [np.zeros(len(discs)), np.rint(radius_m * 1e3), corner_cm, np.arange(len(discs)), *centres.T]
    exact = np.column_stack([np.array([disc.centre for disc in discs], np.float64), radius_m])
    return PackedZones(boxes, np.column_stack(columns).astype(np.int32).ravel(), exact)


def units(lon_lat_deg: npt.ArrayLike) -> Int32s:
    """Degrees (n, 2) as units, int32 (n, 2); longitudes wrap round."""
    deg = np.asarray(lon_lat_deg, np.float64).reshape(-1, 2)
    place = np.empty(deg.shape, np.int32)
    to_units(np.ascontiguousarray(deg[:, 0]), np.ascontiguousarray(deg[:, 1]), place)
    return place
