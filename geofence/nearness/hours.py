"""An hour of a device, packed: its positions in the order of time, and a head that says in bounds where they lie.

Of a device whose heads say that it was far away, nothing else need be read: `away_devices`. The bounds only ever err towards reading
more, so that nobody is told to have been elsewhere whose positions would not say so:

    gap_ms     twice the time from the hour's beginning to its first position and from its last to the hour's end, or the longest time
               between two: at each instant a position is at most half of it away
    south …    the box that all positions lie in, rounded outwards
    first, last   so that the step from one hour into the next is looked at too: who was faster than evidence is, is read
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
from geofence.shapes import Bools, Int64s

HOUR_MS = 3_600_000
FORM = 1
"""Of heads and bodies. Another number makes them all anew."""
ROUNDED_M = 10.0
"""First and last places are kept as float32: within two metres."""
_NORTH_M, _EAST_M = 110_574.0, 111_319.0
"""No degree is shorter: of latitude, and of longitude on the equator."""
_LONGEST_M = 111_700.0
"""No degree is longer."""

HEAD = np.dtype(
    [
        ("device", "<i8"), ("hour", "<i4"), ("count", "<i4"), ("is_evident", "<i4"), ("gap_ms", "<i4"),
        ("south", "<f4"), ("north", "<f4"), ("west", "<f4"), ("east", "<f4"), ("radius_m", "<f4"),
        ("first_ms", "<i4"), ("first_lon", "<f4"), ("first_lat", "<f4"), ("first_radius_m", "<f4"),
        ("last_ms", "<i4"), ("last_lon", "<f4"), ("last_lat", "<f4"), ("last_radius_m", "<f4"),
    ]
)  # fmt: skip
"""`hour`: hours since 1970; times in ms of the hour."""
POSITION = np.dtype([("at_ms", "<u4"), ("lon_deg", "<f8"), ("lat_deg", "<f8"), ("radius_m", "<f8")])
Heads = np.ndarray[Any, np.dtype[np.void]]


class PackedHour(NamedTuple):
    """Of one device: bytes of HEAD and of POSITIONs."""

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
    body = np.empty(len(device), POSITION)
    body["at_ms"] = trail.fix_ms - hour_ms
    body["lon_deg"], body["lat_deg"], body["radius_m"] = trail.lon_deg, trail.lat_deg, trail.radius_m
    for place, (begin, end) in enumerate(zip(first.tolist(), after.tolist(), strict=True)):
        yield PackedHour(int(device[begin]), heads[place].tobytes(), body[begin:end].tobytes())


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
    lon_deg: np.ndarray[Any, np.dtype[np.float64]]
    lat_deg: np.ndarray[Any, np.dtype[np.float64]]
    radius_m: np.ndarray[Any, np.dtype[np.float64]]

    def taken(self, which: Any) -> Unpacked:
        """A part of it: a mask, or indices."""
        return Unpacked(*(column[which] for column in self))


def unpacked(device: Int64s, hour_ms: Int64s, sizes: Int64s, bodies: bytes) -> Unpacked:
    """Bodies one after the other, in their order: of which device, of which hour, and how many bytes."""
    table = np.frombuffer(bodies, POSITION)
    counts = sizes // POSITION.itemsize
    return Unpacked(
        np.repeat(device, counts), np.repeat(hour_ms, counts) + table["at_ms"], table["lon_deg"], table["lat_deg"],
        table["radius_m"],
    )  # fmt: skip


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
    found: Bools = (np.abs(lat_b - lat_a) + np.abs(lon_b - lon_a)) * _LONGEST_M <= reach
    left = np.flatnonzero(~found)
    found[left] = distances_m(lon_a[left], lat_a[left], lon_b[left], lat_b[left]) <= reach[left]
    return found
