"""An hour of a device, packed: its positions in the order of time, and a head that says in bounds where they lie.

Of a device whose heads say that it was far away, nothing else need be read: `away_devices`. The bounds only ever err towards reading
more, so that nobody is told to have been elsewhere whose positions would not say so:

    gap_ms     twice the time from the hour's beginning to its first position and from its last to the hour's end, or the longest time
               between two: at each instant a position is at most half of it away
    south …    the box that all positions lie in, rounded outwards
    first, last   so that the step from one hour into the next is looked at too: who was faster than evidence is, is read

A body holds the stored numbers to the last bit. Degrees with seven digits or fewer and radii in whole millimetres, which is what
devices send, are whole numbers: 16 bytes a position. An hour in which one has more is kept in doubles: 28.

    short    at_ms, lon (1e-7 degrees), lat, radius (mm) of each position in turn: int32
    long     -1, how many: int32; then all lon_deg, all lat_deg, all radius_m: float64; then all at_ms: int32; to whole 8 bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from geofence.intervals import Interval
from geofence.judgement.evidence import MAX_JUMPS
from geofence.nearness.grading import MAX_MPS, SLACK, NearRules, Spot, Trail, evident
from geofence.nearness.probability import distances_m
from geofence.shapes import Bools, Float64s, Int32s, Int64s
from geofence.shapes.kernels_near import LONG, LONGEST_DEGREE_M, Columns, unpack

HOUR_MS = 3_600_000
FORM = 2
"""Of heads and bodies. Another number makes them all anew."""
ROUNDED_M = 10.0
"""First and last places are kept as float32: within two metres."""
_NORTH_M, _EAST_M = 110_574.0, 111_319.0
"""No degree is shorter: of latitude, and of longitude on the equator."""
_DEGREE, _METRE = 1e7, 1e3
"""Of what one in a short body is a part."""
_MOST = 2**31 - 1

HEAD = np.dtype(
    [
        ("device", "<i8"), ("hour", "<i4"), ("count", "<i4"), ("is_evident", "<i4"), ("gap_ms", "<i4"),
        ("south", "<f4"), ("north", "<f4"), ("west", "<f4"), ("east", "<f4"), ("radius_m", "<f4"),
        ("first_ms", "<i4"), ("first_lon", "<f4"), ("first_lat", "<f4"), ("first_radius_m", "<f4"),
        ("last_ms", "<i4"), ("last_lon", "<f4"), ("last_lat", "<f4"), ("last_radius_m", "<f4"),
    ]
)  # fmt: skip
"""`hour`: hours since 1970; times in ms of the hour."""
Heads = np.ndarray[Any, np.dtype[np.void]]


class PackedHour(NamedTuple):
    """Of one device: bytes of HEAD, and those of its positions."""

    device_no: int
    head: bytes
    body: bytes


def packed(hour_ms: int, device: Int64s, trail: Trail) -> Iterator[PackedHour]:
    """The positions of one hour (which begins at `hour_ms`), of each device that has any. Sorted by device and time."""
    if not len(device):
        return
    first = np.flatnonzero(np.concatenate(([True], device[1:] != device[:-1])))
    after = np.append(first[1:], len(device))
    heads = _heads(hour_ms, device, trail, first, after - 1)
    at_ms = (trail.fix_ms - hour_ms).astype(np.int32)
    short, is_exact = _in_whole_numbers(at_ms, trail)
    fits = np.logical_and.reduceat(is_exact, first).tolist()
    for place, (begin, end) in enumerate(zip(first.tolist(), after.tolist(), strict=True)):
        part = slice(begin, end)
        body = short[part].tobytes() if fits[place] else _in_doubles(at_ms[part], trail.taken(part))
        yield PackedHour(int(device[begin]), heads[place].tobytes(), body)


def _in_whole_numbers(at_ms: Int32s, trail: Trail) -> tuple[Int32s, Bools]:
    """Rows of short bodies (n, 4), and which of them say exactly what is stored."""
    rows, is_exact = np.empty((len(at_ms), 4), np.int32), np.ones(len(at_ms), np.bool_)
    rows[:, 0] = at_ms
    for place, (column, parts) in enumerate(
        ((trail.lon_deg, _DEGREE), (trail.lat_deg, _DEGREE), (trail.radius_m, _METRE)), 1
    ):
        whole = np.rint(column * parts)
        fits = (np.abs(whole) <= _MOST) & (whole / parts == column)
        rows[:, place] = np.where(fits, whole, 0)
        is_exact &= fits
    return rows, is_exact


def _in_doubles(at_ms: Int32s, trail: Trail) -> bytes:
    head = np.array([LONG, len(at_ms)], np.int32)
    parts = (head, trail.lon_deg, trail.lat_deg, trail.radius_m, at_ms, np.zeros(len(at_ms) % 2, np.int32))
    return b"".join(part.tobytes() for part in parts)


def _heads(hour_ms: int, device: Int64s, trail: Trail, first: Int64s, last: Int64s) -> Heads:
    at_ms = trail.fix_ms - hour_ms
    step_ms = np.diff(at_ms, prepend=at_ms[:1])
    step_ms[first] = 0
    edge_ms = np.maximum(at_ms[first], HOUR_MS - at_ms[last])
    heads = np.zeros(len(first), HEAD)
    heads["device"], heads["hour"] = device[first], hour_ms // HOUR_MS
    heads["count"] = last - first + 1
    heads["is_evident"] = evident(device, trail)
    heads["gap_ms"] = np.maximum(np.maximum(2 * edge_ms, np.maximum.reduceat(step_ms, first)), 1_000)
    for name, column in (("south", trail.lat_deg), ("west", trail.lon_deg)):
        heads[name] = np.nextafter(np.minimum.reduceat(column, first).astype(np.float32), np.float32(-np.inf))
    for name, column in (("north", trail.lat_deg), ("east", trail.lon_deg), ("radius_m", trail.radius_m)):
        heads[name] = np.nextafter(np.maximum.reduceat(column, first).astype(np.float32), np.float32(np.inf))
    for end, at in (("first", first), ("last", last)):
        heads[f"{end}_ms"], heads[f"{end}_radius_m"] = at_ms[at], trail.radius_m[at]
        heads[f"{end}_lon"], heads[f"{end}_lat"] = trail.lon_deg[at], trail.lat_deg[at]
    return heads


class Unpacked(NamedTuple):
    """Columns of one length, by device and time."""

    device: Int64s
    fix_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s

    def taken(self, which: Any) -> Unpacked:
        """A part of it: a mask, or indices."""
        return Unpacked(*(column[which] for column in self))


def unpacked(device: Int64s, hour_ms: Int64s, sizes: Int64s, bodies: bytes, span: Interval) -> Unpacked:
    """Positions of a time, by device and time. Bodies stand one after the other in any order: of which device, of which hour, and how
    many bytes each has."""
    order = np.lexsort((hour_ms, device))
    begins = np.cumsum(sizes) - sizes
    most = len(bodies) // 16  # no position takes less
    columns = Columns(np.empty(most, np.int64), np.empty(most), np.empty(most), np.empty(most))
    counts = np.empty(len(order), np.int64)
    words, doubles = np.frombuffer(bodies, np.int32), np.frombuffer(bodies, np.float64)
    size = unpack(order, begins, sizes, hour_ms, words, doubles, span.begin_ms, span.end_ms, counts, columns)
    return Unpacked(
        np.repeat(device[order], counts),
        columns.fix_ms[:size],
        columns.lon_deg[:size],
        columns.lat_deg[:size],
        columns.radius_m[:size],
    )


def away_devices(heads: Heads, spot: Spot, window: Interval, rules: NearRules) -> Int64s:
    """Devices that were elsewhere for certain all through a window, by the heads of the hours that it touches and of the hour before
    those. Of that hour it need only be known that its positions are evidence, and more of them than jumps can be in a row: then no
    jump before it keeps the first ones of the window from being evidence."""
    first, last = window.begin_ms // HOUR_MS - 1, (window.end_ms - 1) // HOUR_MS
    in_time = (heads["hour"] >= first) & (heads["hour"] <= last)
    if not in_time.all():
        heads = heads[in_time]
    hour, device = heads["hour"] - first, heads["device"]
    fine = heads["is_evident"] == 1
    fine &= np.where(hour == 0, heads["count"] > MAX_JUMPS, _is_far(heads, spot, rules))
    devices, place = np.unique(device, return_inverse=True)
    hours = last - first + 1
    away = np.bincount(place[fine], minlength=len(devices)) == hours
    if not away.any():
        return np.empty(0, np.int64)
    row_of = np.zeros((hours, len(devices)), np.int64)
    row_of[hour, place] = np.arange(len(heads))
    chosen = np.flatnonzero(away)
    for before, here in pairwise(row_of[:, chosen]):
        away[chosen] &= _follows(heads, before, here)
    found: Int64s = devices[away]
    return found


def _is_far(heads: Heads, spot: Spot, rules: NearRules) -> Bools:
    """Nobody gets from any of these positions to the place and back in time, at the speed of evidence."""
    south, north, west, east = (heads[name].astype(np.float64) for name in ("south", "north", "west", "east"))
    north_deg = np.maximum(0.0, np.maximum(south - spot.lat_deg, spot.lat_deg - north))
    east_deg = np.maximum(0.0, np.maximum(west - spot.lon_deg, spot.lon_deg - east))
    middle = np.maximum(np.abs(south + spot.lat_deg), np.abs(north + spot.lat_deg)) / 2
    away_m = np.hypot(north_deg * _NORTH_M, east_deg * _EAST_M * np.cos(np.radians(middle)))
    way_m = away_m * SLACK - rules.doubled * heads["radius_m"].astype(np.float64) - spot.radius_m
    far: Bools = way_m > MAX_MPS * heads["gap_ms"] / 2_000 + ROUNDED_M
    return far


def _follows(heads: Heads, before: Int64s, here: Int64s) -> Bools:
    """Of some heads, that their first position lies within reach of the last one of the hour before: first as if one went along a
    meridian and then along the equator, and exactly where that does not tell."""
    elapsed_s = (heads["first_ms"][here].astype(np.int64) + HOUR_MS - heads["last_ms"][before]) / 1_000
    reach = MAX_MPS * np.maximum(elapsed_s, 1.0) + heads["last_radius_m"][before] + heads["first_radius_m"][here]
    reach = reach * SLACK - ROUNDED_M
    lat_a, lon_a = heads["last_lat"][before].astype(np.float64), heads["last_lon"][before].astype(np.float64)
    lat_b, lon_b = heads["first_lat"][here].astype(np.float64), heads["first_lon"][here].astype(np.float64)
    found: Bools = (np.abs(lat_b - lat_a) + np.abs(lon_b - lon_a)) * LONGEST_DEGREE_M <= reach
    left = np.flatnonzero(~found)
    found[left] = distances_m(lon_a[left], lat_a[left], lon_b[left], lat_b[left]) <= reach[left]
    return found
