"""Which positions are evidence (RULES.md section 3): conflicts, then jumps, in the order of `fix_time`.

What is refused, and duplicates, never come here; (0, 0) and positions too far ahead are known by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby

import msgspec

from geofence.facts import Position
from geofence.shapes.margins import farther_than

MAX_SPEED_MPS = 70.0
MAX_JUMPS = 3
"""After so many jumps in a row the next position is accepted whatever its speed: no device is silenced."""


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


def evidence_of(track: Track, positions: Sequence[Position]) -> tuple[list[Position], Track]:
    """The positions that are evidence, and the track after the last of all."""
    chosen = []
    for position, status, after in position_statuses(track, positions):
        track = after
        if status is PositionStatus.EVIDENCE:
            chosen.append(position)
    return chosen, track
