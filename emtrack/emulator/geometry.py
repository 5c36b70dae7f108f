"""The plane the invented people live on: one affine frame of metres, zones in it, and where a path crosses them.

The frame is affine in longitude and latitude, so an edge that is straight in degrees (RFC 7946) is straight here.
Its metre is exact at the frame's centre only (0.25 % off, 12 km to the north); whatever must be exact (a circle's
radius, a depth in a zone) is measured with the scale at the zone's own latitude, good to 0.05 m for zones up to 800 m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Point = tuple[float, float]
Span = tuple[float, float]

CENTRE_LAT_DEG = 53.0
CENTRE_LON_DEG = -2.18
WGS84_A_M = 6_378_137.0
WGS84_E2 = 6.694379990141316e-3
NEAR_M = 1e-9


def metres_per_degree(lat_deg: float) -> Point:
    """Length of one degree of longitude and of latitude at `lat_deg` on the WGS 84 ellipsoid, in metres."""
    sin2 = math.sin(math.radians(lat_deg)) ** 2
    normal_m = WGS84_A_M / math.sqrt(1.0 - WGS84_E2 * sin2)
    meridian_m = normal_m * (1.0 - WGS84_E2) / (1.0 - WGS84_E2 * sin2)
    degree = math.pi / 180.0
    return degree * normal_m * math.cos(math.radians(lat_deg)), degree * meridian_m


M_PER_LON, M_PER_LAT = metres_per_degree(CENTRE_LAT_DEG)


def to_frame(lon_deg: float, lat_deg: float) -> Point:
    """Degrees to frame metres (east, north)."""
    return (lon_deg - CENTRE_LON_DEG) * M_PER_LON, (lat_deg - CENTRE_LAT_DEG) * M_PER_LAT


def to_degrees(point: Point) -> Point:
    """Frame metres to (longitude, latitude)."""
    return CENTRE_LON_DEG + point[0] / M_PER_LON, CENTRE_LAT_DEG + point[1] / M_PER_LAT


def snapped(point: Point) -> Point:
    """The same point after its degrees were written with six digits, as orders.json will have it."""
    lon_deg, lat_deg = to_degrees(point)
    return to_frame(round(lon_deg, 6), round(lat_deg, 6))


def distance_m(a: Point, b: Point) -> float:
    """Distance in frame metres."""
    return math.hypot(b[0] - a[0], b[1] - a[1])


def polar(centre: Point, radius_m: float, angle_rad: float) -> Point:
    """The point at `radius_m` from `centre` in the direction `angle_rad` (anticlockwise from east)."""
    return centre[0] + radius_m * math.cos(angle_rad), centre[1] + radius_m * math.sin(angle_rad)


def clearance_m(a: Point, b: Point, centre: Point) -> float:
    """Least distance of the segment a-b from `centre`, in frame metres."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length2 = dx * dx + dy * dy
    s = 0.0 if length2 == 0 else ((centre[0] - a[0]) * dx + (centre[1] - a[1]) * dy) / length2
    s = min(1.0, max(0.0, s))
    return math.hypot(a[0] + s * dx - centre[0], a[1] + s * dy - centre[1])


def _local_scale(centre: Point) -> Point:
    """Factors that turn a frame difference near `centre` into true metres."""
    lon_m, lat_m = metres_per_degree(to_degrees(centre)[1])
    return lon_m / M_PER_LON, lat_m / M_PER_LAT


def chords(xs: Float64s, ys: Float64s, radius_m: float) -> tuple[Float64s, Float64s]:
    """For each leg of a polyline, the part [enter, leave] (0..1 of the leg) within `radius_m` of the origin.

    xs, ys: float64[n]. Returns two float64[n-1]; enter > leave where the leg stays outside.
    """
    dx, dy = np.diff(xs), np.diff(ys)
    a = dx * dx + dy * dy
    b = xs[:-1] * dx + ys[:-1] * dy
    c = xs[:-1] ** 2 + ys[:-1] ** 2 - radius_m**2
    moving = a > NEAR_M
    root2 = b * b - a * c
    root = np.sqrt(np.maximum(root2, 0.0))
    safe = np.where(moving, a, 1.0)
    enter = np.where(moving, np.maximum((-b - root) / safe, 0.0), 0.0)
    leave = np.where(moving, np.minimum((-b + root) / safe, 1.0), 1.0)
    missed = np.where(moving, root2 <= 0.0, c > 0.0)
    return np.where(missed, 1.0, enter), np.where(missed, 0.0, leave)


@dataclass(frozen=True)
class Circle:
    """A zone of `radius_m` true metres around `centre` (frame)."""

    centre: Point
    radius_m: float

    @property
    def reach_m(self) -> float:
        """Radius of a circle about `centre` that holds the zone, in frame metres (rounded up)."""
        return self.radius_m * 1.003

    @cached_property
    def _scale(self) -> Point:
        return _local_scale(self.centre)

    def geojson(self) -> dict[str, Any]:
        """The geometry as orders.json has it."""
        return {"type": "Circle", "centre": _lon_lat(self.centre), "radius_m": self.radius_m}

    def inside(self, t: Float64s, x: Float64s, y: Float64s) -> list[Span]:
        """Spans of time in which the polyline (t, x, y: float64[n]) is inside; in order, not yet joined."""
        sx, sy = self._scale
        enter, leave = chords((x - self.centre[0]) * sx, (y - self.centre[1]) * sy, self.radius_m)
        return _spans(t, enter, leave)

    def within(self, x: Float64s, y: Float64s, buffer_m: float) -> Bools:
        """Which points are inside, or no further out than `buffer_m`."""
        return self.depth_m(x, y) >= -buffer_m

    def depth_m(self, x: Float64s, y: Float64s) -> Float64s:
        """Distance to the boundary, positive inside, in true metres; the shape of `x`."""
        sx, sy = self._scale
        return self.radius_m - np.hypot((x - self.centre[0]) * sx, (y - self.centre[1]) * sy)


@dataclass(frozen=True)
class Polygon:
    """A zone with straight edges; `corners` (frame) run once around, the first is not repeated."""

    centre: Point
    corners: tuple[Point, ...]

    @cached_property
    def reach_m(self) -> float:
        """Radius of a circle about `centre` that holds the zone, in frame metres."""
        return max(distance_m(self.centre, corner) for corner in self.corners)

    @cached_property
    def _edges(self) -> tuple[Float64s, Float64s]:
        starts = np.array(self.corners)
        return starts, np.roll(starts, -1, axis=0)

    def geojson(self) -> dict[str, Any]:
        """The geometry as orders.json has it (ring closed)."""
        ring = [_lon_lat(corner) for corner in self.corners]
        return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

    def contains(self, point: Point) -> bool:
        """Even-odd test of one point."""
        (ax, ay), (bx, by) = (edge.T for edge in self._edges)
        crosses = (ay > point[1]) != (by > point[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            at_x = ax + (point[1] - ay) / (by - ay) * (bx - ax)
        return bool(np.count_nonzero(crosses & (point[0] < at_x)) % 2)

    def inside(self, t: Float64s, x: Float64s, y: Float64s) -> list[Span]:
        """Spans of time in which the polyline (t, x, y: float64[n]) is inside; in order, not yet joined."""
        enter, leave = chords(x - self.centre[0], y - self.centre[1], self.reach_m)
        spans: list[Span] = []
        for i in np.flatnonzero(enter < leave).tolist():
            a, b = (float(x[i]), float(y[i])), (float(x[i + 1]), float(y[i + 1]))
            length = float(t[i + 1] - t[i])
            spans += [(float(t[i]) + s0 * length, float(t[i]) + s1 * length) for s0, s1 in self._parts(a, b)]
        return spans

    def within(self, x: Float64s, y: Float64s, buffer_m: float) -> Bools:
        """Which points are inside, or no further out than `buffer_m`."""
        near = np.hypot(x - self.centre[0], y - self.centre[1]) <= self.reach_m + 1.003 * buffer_m
        for i in np.flatnonzero(near).tolist():
            inside = self.contains((float(x[i]), float(y[i])))
            near[i] = inside or float(self.depth_m(x[i : i + 1], y[i : i + 1])[0]) <= buffer_m
        return near

    def _parts(self, a: Point, b: Point) -> list[Span]:
        """The parts (0..1) of the segment a-b that are inside."""
        cuts = [0.0, *self._crossings(a, b), 1.0]
        parts = []
        for s0, s1 in pairwise(cuts):
            middle = (s0 + s1) / 2
            point = (a[0] + middle * (b[0] - a[0]), a[1] + middle * (b[1] - a[1]))
            if s1 > s0 and self.contains(point):
                parts.append((s0, s1))
        return parts

    def _crossings(self, a: Point, b: Point) -> list[float]:
        """Where (0..1) the segment a-b cuts an edge, ascending."""
        starts, ends = self._edges
        ex, ey = (ends - starts).T
        dx, dy = b[0] - a[0], b[1] - a[1]
        wx, wy = starts[:, 0] - a[0], starts[:, 1] - a[1]
        cross = dx * ey - dy * ex
        ok = np.abs(cross) > NEAR_M
        safe = np.where(ok, cross, 1.0)
        along, beside = (wx * ey - wy * ex) / safe, (wx * dy - wy * dx) / safe
        hit = ok & (along > 0) & (along < 1) & (beside >= 0) & (beside <= 1)
        return sorted(float(s) for s in along[hit])

    def depth_m(self, x: Float64s, y: Float64s) -> Float64s:
        """Distance to the nearest edge, from whichever side, in true metres; the shape of `x`."""
        sx, sy = _local_scale(self.centre)
        starts, ends = self._edges
        best = np.full(x.shape, np.inf)
        for (ax, ay), (bx, by) in zip(starts * (sx, sy), ends * (sx, sy), strict=True):
            ex, ey = bx - ax, by - ay
            px, py = x * sx - ax, y * sy - ay
            s = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
            best = np.minimum(best, np.hypot(px - s * ex, py - s * ey))
        return best


Shape = Circle | Polygon


def _lon_lat(point: Point) -> list[float]:
    lon_deg, lat_deg = to_degrees(point)
    return [round(lon_deg, 6), round(lat_deg, 6)]


def _spans(t: Float64s, enter: Float64s, leave: Float64s) -> list[Span]:
    """Parts of legs to spans of time."""
    found = np.flatnonzero(enter < leave)
    length = t[found + 1] - t[found]
    begins, ends = t[found] + enter[found] * length, t[found] + leave[found] * length
    return list(zip(begins.tolist(), ends.tolist(), strict=True))
