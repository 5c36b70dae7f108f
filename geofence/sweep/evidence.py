"""Which positions of very many wearers are evidence, in columns: RULES.md section 3, as `facts.py` and `evidence.py` of the judgement
have it for one.

Nearly every position is the only one of its wearer, instant and mechanism, and in reach of the one before it, which a bound on the
distance shows. Where that is not so, the few positions concerned are looked at one by one, by the judgement's own functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from geofence.facts import DEFAULT_RADIUS_M, FUTURE_LIMIT_MS
from geofence.judgement.evidence import MAX_JUMPS, MAX_SPEED_MPS
from geofence.shapes.arrays import Bools, Float64s, Int8s, Int32s, Int64s
from geofence.shapes.margins import farther_than
from geofence.sweep.following import Positions
from geofence.words import Mechanism

MECHANISMS = (Mechanism.RF, Mechanism.GPS, Mechanism.WIFI, Mechanism.LBS)
"""In the order of evidence at one instant."""
_DEFAULT_RADIUS_M = np.array([DEFAULT_RADIUS_M[mechanism] for mechanism in MECHANISMS])
_MOST_M_PER_DEG = 111_700.0
"""A degree is nowhere longer: a way along a meridian and then a parallel is at least as long as the geodesic."""


class Received(NamedTuple):
    """n positions as they were received, in any order, with repetitions. wearer: int32; mechanism: int8, its place in MECHANISMS;
    precision_m: NaN where it is not known."""

    wearer: Int32s
    mechanism: Int8s
    fix_ms: Int64s
    received_ms: Int64s
    lat_deg: Float64s
    lon_deg: Float64s
    precision_m: Float64s

    def taken(self, chosen: Int64s | Bools | slice) -> Received:
        return Received._make(column[chosen] for column in self)


def evidence_of(received: Received, now_ms: int) -> Positions:
    """Those that are evidence at *now*, each wearer's in order of time."""
    return positions_of(received.taken(evidence_rows(received, now_ms)))


def positions_of(chosen: Received) -> Positions:
    is_cell = chosen.mechanism == MECHANISMS.index(Mechanism.LBS)
    return Positions(chosen.wearer, chosen.lon_deg, chosen.lat_deg, radius_m(chosen), chosen.fix_ms, is_cell)


def evidence_rows(received: Received, now_ms: int) -> Int64s:
    """The rows of those that are evidence at *now*, each wearer's in order of time."""
    order = in_order(received)
    order = order[np.maximum(received.fix_ms, received.received_ms)[order] <= now_ms]
    rows: Int64s = order[is_claim(received.taken(order))]
    return rows[~is_jump(received.taken(rows))]


def first_rows(received: Received) -> Int64s:
    """The rows of what is no repetition: each content once, by its first receipt; each wearer's in the order of evidence."""
    order = in_order(received)
    ordered = received.taken(order)
    is_rival = _rivals(ordered)
    if not is_rival.any():
        return order
    rows: Int64s = order[~is_rival | _is_first(ordered, is_rival)]
    return rows


def is_jump(claims: Received, already: int = 0) -> Bools:
    """Which of those that are left after conflicts, each wearer's in order of time, are jumps. `already`: so many lie between the
    first and the second."""
    found = np.zeros(len(claims.wearer), np.bool_)
    for jump in _jumps(positions_of(claims), already):
        found[jump] = True
    return found


def in_order(received: Received) -> Int64s:
    """All rows, each wearer's in the order of evidence."""
    # As stored they mostly are: a tenth of what sorting takes.
    if not (
        (np.diff(received.wearer) < 0) | ((np.diff(received.wearer) == 0) & (np.diff(received.fix_ms) <= 0))
    ).any():
        return np.arange(len(received.wearer))
    order: Int64s = np.lexsort((received.mechanism, received.fix_ms, received.wearer))
    return order


def radius_m(received: Received) -> Float64s:
    """The reported precision; where it is unknown, zero or negative, by mechanism."""
    radius: Float64s = np.where(received.precision_m > 0, received.precision_m, _DEFAULT_RADIUS_M[received.mechanism])
    return radius


def receipts_ms(received: Received) -> Int64s:
    """When each content was received first, in any order: repetitions are no communication."""
    ordered = received.taken(in_order(received))
    is_rival = _rivals(ordered)
    found: Int64s = ordered.received_ms[~is_rival | _is_first(ordered, is_rival)]
    return found


def _is_first(ordered: Received, is_rival: Bools) -> Bools:
    """Which rivals are the first receipt of their content."""
    rows = np.flatnonzero(is_rival)
    rivals = ordered.taken(rows)
    content = (_said_m(rivals), rivals.lon_deg, rivals.lat_deg, rivals.mechanism, rivals.fix_ms, rivals.wearer)
    order = np.lexsort((rivals.received_ms, *content))
    is_first = np.append(True, _differs(*(column[order] for column in content)))[: len(order)]
    found = np.zeros(len(ordered.wearer), np.bool_)
    found[rows[order[is_first]]] = True
    return found


def _said_m(received: Received) -> Float64s:
    """Precisions as they can be compared: nothing equals NaN, but no precision is no precision."""
    said_m: Float64s = np.where(np.isnan(received.precision_m), -np.inf, received.precision_m)
    return said_m


def _rivals(ordered: Received) -> Bools:
    """Positions of a wearer, instant and mechanism of which there are more."""
    same = np.zeros(len(ordered.wearer) + 1, np.bool_)
    same[1:-1] = ~_differs(ordered.wearer, ordered.fix_ms, ordered.mechanism)
    is_rival: Bools = same[:-1] | same[1:]
    return is_rival


def is_claim(ordered: Received) -> Bools:
    """Of each wearer, instant and mechanism the one that is left after duplicates, what is implausible by itself, and conflicts.
    `ordered`: each wearer's in the order of evidence."""
    is_rival = _rivals(ordered)
    chosen: Bools = ~is_rival & ~_implausible(ordered)
    rivals = np.flatnonzero(is_rival)
    if len(rivals):
        chosen[rivals[_best(ordered.taken(rivals))]] = True
    return chosen


def _differs(*columns: Int32s | Int64s | Int8s | Float64s) -> Bools:
    """Whether each row but the first is another than the one before it."""
    differs = np.zeros(max(0, len(columns[0]) - 1), np.bool_)
    for column in columns:
        differs |= column[1:] != column[:-1]
    return differs


def _implausible(received: Received) -> Bools:
    """(0, 0), or too far ahead of its receipt."""
    nowhere: Bools = (received.lat_deg == 0) & (received.lon_deg == 0)
    return np.logical_or(nowhere, received.fix_ms > received.received_ms + FUTURE_LIMIT_MS)


def _best(rivals: Received) -> Int64s:
    """Of positions of one wearer, instant and mechanism the one that is evidence, if any is: of repetitions the first receipt counts,
    then what is implausible drops out, then the smallest known precision comes first, latitude, longitude."""
    said_m = _said_m(rivals)
    precedence_m = np.where(said_m > 0, said_m, np.inf)
    order: Int64s = np.lexsort(
        (
            rivals.received_ms, said_m, rivals.lon_deg, rivals.lat_deg, precedence_m,
            rivals.mechanism, rivals.fix_ms, rivals.wearer,
        )
    )  # fmt: skip
    group = (rivals.wearer[order], rivals.fix_ms[order], rivals.mechanism[order])
    is_first = np.append(True, _differs(*group, rivals.lat_deg[order], rivals.lon_deg[order], said_m[order]))
    order = order[is_first]
    order = order[~_implausible(rivals.taken(order))]
    if not len(order):
        return order
    group = (rivals.wearer[order], rivals.fix_ms[order], rivals.mechanism[order])
    best: Int64s = order[np.append(True, _differs(*group))]
    return best


def _jumps(positions: Positions, already: int) -> Iterator[int]:
    """The positions that are jumps. Each is compared with the one before it, but after a jump with the one before that, until one is
    accepted."""
    passed = -1
    for index in np.flatnonzero(_may_be_jumps(positions)).tolist():
        if index <= passed or not _is_jump(positions, index - 1, index):
            continue
        last, at = index - 1, index
        most = MAX_JUMPS - (already if last == 0 else 0)
        while _is_of(positions, last, at) and at - index < most and _is_jump(positions, last, at):
            yield at
            at += 1
        passed = at


def _is_of(positions: Positions, last: int, at: int) -> bool:
    return at < len(positions.wearer) and bool(positions.wearer[at] == positions.wearer[last])


def _may_be_jumps(positions: Positions) -> Bools:
    """Whether a position may be out of reach of the one before it: false only if it surely is not."""
    elapsed_s = np.maximum(np.diff(positions.fix_ms) / 1000, 1.0)
    reach_m = MAX_SPEED_MPS * elapsed_s + positions.radius_m[1:] + positions.radius_m[:-1]
    turn_deg = np.abs(np.diff(positions.lon_deg))
    apart_deg = np.abs(np.diff(positions.lat_deg)) + np.minimum(turn_deg, 360.0 - turn_deg)
    maybe = np.zeros(len(positions.wearer), np.bool_)
    maybe[1:] = (positions.wearer[1:] == positions.wearer[:-1]) & (apart_deg * _MOST_M_PER_DEG > reach_m)
    return maybe


def _is_jump(positions: Positions, last: int, at: int) -> bool:
    """Whether a position is out of reach of the last one that is evidence."""
    elapsed_s = max((int(positions.fix_ms[at]) - int(positions.fix_ms[last])) / 1000, 1.0)
    reach_m = MAX_SPEED_MPS * elapsed_s + float(positions.radius_m[at]) + float(positions.radius_m[last])
    a, b = ((float(positions.lon_deg[i]), float(positions.lat_deg[i])) for i in (last, at))
    return farther_than(*a, *b, reach_m)
