"""Which positions are evidence (RULES.md section 3): conflicts, then jumps, in the order of `fix_time`.

What is refused, and duplicates, never come here; (0, 0) and positions too far ahead are known by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec
import numpy as np

from geofence.facts import FUTURE_LIMIT_MS, Position
from geofence.shapes.arrays import Float64s, Int64s
from geofence.shapes.margins import at_most_apart_m, farther_than

MAX_SPEED_MPS = 70.0
MANY = 16
"""From so many positions on they are looked at together first."""
MAX_JUMPS = 3
"""After so many jumps in a row the next position is accepted whatever its speed: no device is silenced."""


_LONGEST_DEGREE_M = 111_700.0
"""No degree of latitude or longitude on WGS 84 is longer: at the poles one of latitude is 111,694 m."""


# Through `np.fromiter` a column takes half of the time that `np.array` of a list does.
_FIX_MS, _RECEIVED_MS, _LON_DEG, _LAT_DEG = map(attrgetter, ("fix_ms", "received_ms", "lon_deg", "lat_deg"))


class PositionStatus(StrEnum):
    """What became of a position that was received."""

    EVIDENCE = "EVIDENCE"
    IMPLAUSIBLE = "IMPLAUSIBLE"
    CONFLICT = "CONFLICT"
    JUMP = "JUMP"


class Track(msgspec.Struct, frozen=True, array_like=True):
    """What the next position is compared with: the last one that is evidence, and the jumps since."""

    last: Position | None = None
    jumps: int = 0


def position_statuses(
    track: Track, positions: Sequence[Position]
) -> Iterator[tuple[Position, PositionStatus, Track]]:
    """Each position with its standing and the track after it. `positions` are in the order of evidence, once each,
    and lie after the track's last one."""
    for _, same in groupby(positions, key=lambda position: position.key):
        claims = []
        for position in same:
            if position.implausible_by_itself:
                yield position, PositionStatus.IMPLAUSIBLE, track
            else:
                claims.append(position)
        claims.sort(key=lambda position: position.precedence)
        for rank, position in enumerate(claims):
            if rank > 0:
                yield position, PositionStatus.CONFLICT, track
                continue
            jumped = _jumped(track, position)
            track = Track(track.last, track.jumps + 1) if jumped else Track(position)
            yield position, PositionStatus.JUMP if jumped else PositionStatus.EVIDENCE, track


def _jumped(track: Track, position: Position) -> bool:
    last = track.last
    if last is None or track.jumps >= MAX_JUMPS:
        return False
    elapsed_s = max((position.fix_ms - last.fix_ms) / 1000, 1.0)
    reach_m = MAX_SPEED_MPS * elapsed_s + position.radius_m + last.radius_m
    return farther_than(last.lon_deg, last.lat_deg, position.lon_deg, position.lat_deg, reach_m)


class Columns(NamedTuple):
    """Of n positions: their times (int64), places and radii (float64), each (n,)."""

    at_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s


def columns_of(positions: Sequence[Position]) -> Columns:
    count = len(positions)
    return Columns(
        np.fromiter(map(_FIX_MS, positions), np.int64, count),
        np.fromiter(map(_LON_DEG, positions), np.float64, count),
        np.fromiter(map(_LAT_DEG, positions), np.float64, count),
        _radii_m(positions),
    )


def _radii_m(positions: Sequence[Position]) -> Float64s:
    """`Position.radius_m` of each."""
    stated_m = [position.precision_m or 0.0 for position in positions]
    radius_m = np.fromiter(stated_m, np.float64, len(stated_m))
    for place in np.flatnonzero(~(radius_m > 0)).tolist():
        radius_m[place] = positions[place].radius_m
    return radius_m


def _all_are(track: Track, positions: Sequence[Position], columns: Columns) -> bool:
    """Whether it can be told of all at once that each is evidence: one at an instant, none implausible by itself, and each within
    reach of the one before by the sphere alone. What cannot be told so is looked at one by one."""
    received_ms = np.fromiter(map(_RECEIVED_MS, positions), np.int64, len(positions))
    is_nowhere = (columns.lon_deg == 0) & (columns.lat_deg == 0)
    if (is_nowhere | (columns.at_ms > received_ms + FUTURE_LIMIT_MS)).any():
        return False
    if track.last is not None:
        before = columns_of([track.last])
        columns = Columns(*(np.concatenate(parts) for parts in zip(before, columns, strict=True)))
    elapsed_ms = np.diff(columns.at_ms)
    if not (elapsed_ms > 0).all():
        return False
    reach_m = MAX_SPEED_MPS * np.maximum(elapsed_ms / 1000, 1.0) + columns.radius_m[1:] + columns.radius_m[:-1]
    return bool((at_most_apart_m(columns.lon_deg, columns.lat_deg) <= reach_m).all())


def _all_follow(track: Track, positions: Sequence[Position]) -> bool:
    """The same of a few: each lies within reach of the one before even if one went along a meridian and then along the equator."""
    last = track.last
    for position in positions:
        if position.implausible_by_itself:
            return False
        if last is not None:
            elapsed_ms = position.fix_ms - last.fix_ms
            way_m = _LONGEST_DEGREE_M * (abs(position.lat_deg - last.lat_deg) + abs(position.lon_deg - last.lon_deg))
            if elapsed_ms <= 0 or way_m > MAX_SPEED_MPS * max(elapsed_ms / 1000, 1.0):
                return False
        last = position
    return True


def evidence_of(track: Track, positions: Sequence[Position]) -> tuple[list[Position], Track]:
    """The positions that are evidence, and the track after the last of all."""
    if len(positions) >= MANY:
        chosen, track, _ = evidence_in_columns(track, positions)
        return chosen, track
    if positions and _all_follow(track, positions):
        return list(positions), Track(positions[-1])
    return _one_by_one(track, positions)


def evidence_in_columns(track: Track, positions: Sequence[Position]) -> tuple[list[Position], Track, Columns]:
    """The same of many, with the columns of those that are evidence."""
    columns = columns_of(positions)
    if positions and _all_are(track, positions, columns):
        return list(positions), Track(positions[-1]), columns
    chosen, track = _one_by_one(track, positions)
    return chosen, track, columns_of(chosen)


def _one_by_one(track: Track, positions: Sequence[Position]) -> tuple[list[Position], Track]:
    chosen = []
    for position, status, after in position_statuses(track, positions):
        track = after
        if status is PositionStatus.EVIDENCE:
            chosen.append(position)
    return chosen, track
