"""Compiled kernels: what of very many positions can bear on who was near a place.

Only few positions of a person do: the one that says most of the place, and the two ends of a time in which one could have gone there.
`screen` finds these by bounds, in one pass over the positions, and leaves what they say to be worked out exactly (`grading.py` of
`nearness`). It may keep too many, and never leaves out one that would have counted: each bound errs by more than doubles do.

Bounds of P(within) for a position at a distance `d`, of a place with radius R, with sigma s: the density of the error is highest
where the place is nearest and lowest where it is farthest, and all of the error but exp(-(t / s)² / 2) lies within t of the position.
Where the place is small beside the error, the density is exp(-d² / 2s²) at its middle, times a slope whose mean is known, times
something between exp(-R² / 2s²) and 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece

if TYPE_CHECKING:
    from geofence.shapes.arrays import Bools, Float64s, Int32s, Int64s

WGS84_M, WGS84_E2 = 6_378_137.0, 0.006_694_379_990_141_3
CHANCE_ERROR = 3e-6
"""Three times what the integral is off at most."""
DISTANCE_ERROR = 1e-6
"""As a part of a distance; and as metres at short ones, a thousand times as much."""
LATE_MS = 2.0
"""Instants are compared in whole milliseconds."""
LONGEST_DEGREE_M = 111_700.0
"""No degree is longer, of latitude or of longitude."""
TERMS = 14
LONG = -1
"""With which a long body begins; a short one begins with the time of a position (`hours.py` of `nearness`)."""
FAR, NEAR = 3, 2
"""Ranks: of a position that says nothing of the place, and of one whose doubled circle meets it."""


class ScreenedFor(NamedTuple):
    """A place, a time and the rules, as in `NearRules`: degrees, metres, milliseconds, metres per second."""

    lon_deg: float
    lat_deg: float
    within_m: float
    begin_ms: int
    end_ms: int
    certain: float
    probable: float
    doubled: float
    speed_mps: float
    max_mps: float
    slack: float
    sigmas_of_radius: float
    far_sigmas: float


class Columns(NamedTuple):
    """Positions in columns of one length: milliseconds since 1970, degrees, metres."""

    fix_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s


class Screened(NamedTuple):
    """What is left, as masks of the length of the positions. `weighed`: a position in the time that may be the one that says most.
    `open_gaps`: before a position there was perhaps time to go to the place and on."""

    weighed: Bools
    open_gaps: Bools


@piece
def distance_m(lon_a: float, lat_a: float, lon_b: float, lat_b: float) -> float:
    """As `distances_m` of `nearness`, within a few units in the last place."""
    middle = math.radians((lat_a + lat_b) / 2)
    return float(distance_at(math.cos(middle), lon_a, lat_a, lon_b, lat_b))


@piece
def distance_at(cosine: float, lon_a: float, lat_a: float, lon_b: float, lat_b: float) -> float:
    """The same, with the cosine of the latitude half way."""
    below = 1 - WGS84_E2 * (1 - cosine * cosine)
    root = math.sqrt(below)
    north_m = math.radians(lat_b - lat_a) * (WGS84_M * (1 - WGS84_E2) / (below * root))
    east_m = math.radians(lon_b - lon_a) * cosine * (WGS84_M / root)
    return math.sqrt(north_m * north_m + east_m * east_m)


@piece
def cosine_near(cosine: float, sine: float, lat_a: float, lat_b: float) -> float:
    """Of the latitude half way between two, of which the first one's cosine and sine are known: as `cos`, by which `screen` took half
    as much time again."""
    turn = math.radians(lat_b - lat_a) / 2
    if abs(turn) > 0.01:
        return math.cos(math.radians((lat_a + lat_b) / 2))
    square = turn * turn
    less = square / 2 * (1 - square / 12 * (1 - square / 30))
    return cosine - cosine * less - sine * turn * (1 - square / 6 * (1 - square / 20))


@piece
def slope_over_disc(steepness: float) -> float:
    """The mean of exp(steepness · x) over the unit disc, 2 I1(k) / k, by the first terms of its series, of which all are positive.
    Where what is left out is less than 1e-9 of it; else -1."""
    square = steepness * steepness / 4
    total, term = 1.0, 1.0
    for order in range(1, TERMS):
        term *= square / (order * (order + 1))
        total += term
    return total if 2 * square < TERMS * (TERMS + 1) and term < 1e-10 * total else -1.0


@piece
def at_most(distance: float, sigma: float, within_m: float) -> float:
    """P(within) is not more."""
    nearest = max(0.0, distance - within_m) / sigma
    across, away = within_m / sigma, distance / sigma
    tail = math.exp(-nearest * nearest / 2)
    most = min(1.0, tail, tail * across * across / 2)
    slope = slope_over_disc(across * away)
    if slope > 0:
        most = min(most, math.exp(-away * away / 2) * across * across / 2 * slope * (1 + 1e-8))
    return most + CHANCE_ERROR


@piece
def at_least(distance: float, sigma: float, within_m: float) -> float:
    """P(within) is not less."""
    farthest = (distance + within_m) / sigma
    across, away = within_m / sigma, distance / sigma
    least = math.exp(-farthest * farthest / 2) * across * across / 2
    slope = slope_over_disc(across * away)
    if slope > 0:
        least = max(least, math.exp(-(away * away + across * across) / 2) * across * across / 2 * slope * (1 - 1e-8))
    if distance < within_m:
        left = (within_m - distance) / sigma
        least = max(least, 1 - math.exp(-left * left / 2))
    return least - CHANCE_ERROR


@piece
def error_m(distance: float) -> float:
    return DISTANCE_ERROR * (distance + 1_000.0)


@piece
def is_nowhere_near(asked: ScreenedFor, away: float, radius_m: float) -> bool:
    """P(within) is 0 in doubles."""
    return bool(away - asked.far_sigmas * radius_m / asked.sigmas_of_radius >= asked.within_m + error_m(away))


@piece
def is_surely_within(asked: ScreenedFor, away: float, radius_m: float) -> bool:
    """P(within) is 1 in doubles."""
    return bool(away + asked.far_sigmas * radius_m / asked.sigmas_of_radius <= asked.within_m - error_m(away))


@piece
def says_at_least(asked: ScreenedFor, away: float, radius_m: float) -> tuple[int, float]:
    """A rank and a P(within) than which a position says no less of the place. Ranks as in `grading.py`: the lowest says most."""
    if is_nowhere_near(asked, away, radius_m):
        return FAR, 0.0
    if is_surely_within(asked, away, radius_m):
        return 0, 1.0
    farthest = away + error_m(away)
    least = at_least(farthest, radius_m / asked.sigmas_of_radius, asked.within_m)
    if farthest + radius_m <= asked.within_m and least >= asked.certain:
        return 0, least
    if least >= asked.probable:
        return 1, least
    return NEAR if farthest - asked.doubled * radius_m <= asked.within_m else FAR, least


@piece
def says_at_most(asked: ScreenedFor, away: float, radius_m: float) -> tuple[int, float]:
    """The same: it says no more."""
    if is_nowhere_near(asked, away, radius_m):
        return FAR, 0.0
    if is_surely_within(asked, away, radius_m):
        return 0, 1.0
    nearest = max(0.0, away - error_m(away))
    most = at_most(nearest, radius_m / asked.sigmas_of_radius, asked.within_m)
    if nearest + radius_m <= asked.within_m and most >= asked.certain:
        return 0, most
    if most >= asked.probable:
        return 1, most
    return NEAR if nearest - asked.doubled * radius_m <= asked.within_m else FAR, most


@kernel
def screen(
    asked: ScreenedFor, first: Int64s, fix_ms: Int64s, lon_deg: Float64s, lat_deg: Float64s, radius_m: Float64s, away_m: Float64s,
    found: Screened,
) -> None:  # fmt: skip
    """Person p has the positions `first[p]:first[p + 1]`. Writes `away_m` (from the place) and `found`. Time to go there is looked
    for where no position says for certain that its person is to be named."""
    cosine, sine = math.cos(math.radians(asked.lat_deg)), math.sin(math.radians(asked.lat_deg))
    for person in range(len(first) - 1):
        best_rank, best_chance = FAR + 1, 0.0
        # Of positions that say exactly the same the nearest counts.
        nearest_of_none, nearest_of_sure = math.inf, math.inf
        for at in range(first[person], first[person + 1]):
            half_way = cosine_near(cosine, sine, asked.lat_deg, lat_deg[at])
            away = distance_at(half_way, asked.lon_deg, asked.lat_deg, lon_deg[at], lat_deg[at])
            away_m[at] = away
            if asked.begin_ms <= fix_ms[at] < asked.end_ms:
                rank, least = says_at_least(asked, away, radius_m[at])
                if rank < best_rank or (rank == best_rank and least > best_chance):
                    best_rank, best_chance = rank, least
                if least == 0.0:
                    nearest_of_none = min(nearest_of_none, away)
                elif least == 1.0:
                    nearest_of_sure = min(nearest_of_sure, away)
        for at in range(first[person], first[person + 1]):
            away, weighed = away_m[at], False
            if asked.begin_ms <= fix_ms[at] < asked.end_ms:
                rank, most = says_at_most(asked, away, radius_m[at])
                weighed = rank < best_rank or (rank == best_rank and most >= best_chance)
                if most == 0.0:
                    weighed = weighed and away <= nearest_of_none + 2 * error_m(away)
                elif most == 1.0:
                    weighed = weighed and away <= nearest_of_sure + 2 * error_m(away)
            found.weighed[at] = weighed
            before = max(at - 1, first[person])
            found.open_gaps[at] = best_rank > NEAR and is_open(
                asked, fix_ms[at], away, radius_m[at], lon_deg[at], lat_deg[at], before < at,
                fix_ms[before], away_m[before], radius_m[before], lon_deg[before], lat_deg[before],
            )  # fmt: skip


@piece
def is_open(
    asked: ScreenedFor,
    fix_ms: int,
    distance: float,
    radius_m: float,
    lon_deg: float,
    lat_deg: float,
    has_before: bool,
    before_ms: int,
    before_distance: float,
    before_radius_m: float,
    before_lon_deg: float,
    before_lat_deg: float,
) -> bool:
    """Whether there was perhaps time to go to the place before a position, since the one before it if there is one."""
    way_m = max(0.0, distance * asked.slack - error_m(distance) - asked.doubled * radius_m - asked.within_m)
    if not has_before:
        return bool(fix_ms - way_m / asked.max_mps * 1_000 + LATE_MS >= asked.begin_ms)
    if before_ms >= asked.end_ms or fix_ms < asked.begin_ms:
        return False
    before_way_m = before_distance * asked.slack - error_m(before_distance) - asked.doubled * before_radius_m
    before_way_m = max(0.0, before_way_m - asked.within_m)
    apart = distance_m(before_lon_deg, before_lat_deg, lon_deg, lat_deg)
    went_m = apart + error_m(apart) - asked.doubled * (radius_m + before_radius_m)
    went_mps = max(0.0, went_m) / max((fix_ms - before_ms) / 1_000, 0.001)
    speed = asked.speed_mps if went_mps <= asked.speed_mps else max(went_mps, asked.max_mps)
    earliest = max(before_ms + before_way_m / speed * 1_000, float(asked.begin_ms))
    latest = min(fix_ms - way_m / speed * 1_000, float(asked.end_ms - 1))
    return bool(earliest <= latest + LATE_MS)


@kernel
def follow_all(
    first: Int64s, fix_ms: Int64s, lon_deg: Float64s, lat_deg: Float64s, radius_m: Float64s, max_mps: float, slack: float,
    found: Bools,
) -> None:  # fmt: skip
    """Of devices with the positions `first[k]:first[k + 1]`, in the order of time: whether each position is evidence for certain.
    Writes `found`."""
    for device in range(len(first) - 1):
        fine = True
        for at in range(first[device], first[device + 1]):
            if lon_deg[at] == 0.0 and lat_deg[at] == 0.0:
                fine = False
            if at > first[device]:
                elapsed_ms = fix_ms[at] - fix_ms[at - 1]
                reach = max_mps * max(elapsed_ms / 1_000, 1.0) + radius_m[at] + radius_m[at - 1]
                # First as if one went along a meridian and then along the equator, which is enough for most: half the time.
                apart_deg = abs(lat_deg[at] - lat_deg[at - 1]) + abs(lon_deg[at] - lon_deg[at - 1])
                is_near = apart_deg * LONGEST_DEGREE_M <= reach * slack
                if elapsed_ms <= 0 or not (
                    is_near or distance_m(lon_deg[at - 1], lat_deg[at - 1], lon_deg[at], lat_deg[at]) <= reach * slack
                ):
                    fine = False
                    break
        found[device] = fine


@kernel
def unpack(
    order: Int64s, begins: Int64s, sizes: Int64s, hour_ms: Int64s, words: Int32s, doubles: Float64s, begin_ms: int, end_ms: int,
    counts: Int64s, into: Columns,
) -> int:  # fmt: skip
    """Positions of bodies in a time, body by body in an order. `begins`, `sizes`: of each in bytes, multiples of eight. `words` and
    `doubles` are the same bytes. Writes `into`, and into `counts` how many are of each, in that order; how many in all."""
    size = 0
    for place in range(len(order)):
        body, before = order[place], size
        word = begins[body] // 4
        if words[word] == LONG:
            many, double = words[word + 1], begins[body] // 8 + 1
            for at in range(many):
                fix_ms = hour_ms[body] + words[word + 2 + 6 * many + at]
                if begin_ms <= fix_ms < end_ms:
                    into.fix_ms[size] = fix_ms
                    into.lon_deg[size] = doubles[double + at]
                    into.lat_deg[size] = doubles[double + many + at]
                    into.radius_m[size] = doubles[double + 2 * many + at]
                    size += 1
        else:
            for first in range(word, word + sizes[body] // 4, 4):
                fix_ms = hour_ms[body] + words[first]
                if begin_ms <= fix_ms < end_ms:
                    into.fix_ms[size] = fix_ms
                    into.lon_deg[size] = words[first + 1] / 1e7
                    into.lat_deg[size] = words[first + 2] / 1e7
                    into.radius_m[size] = words[first + 3] / 1e3
                    size += 1
        counts[place] = size - before
    return size


def nothing_screened(size: int) -> Screened:
    return Screened(np.empty(size, np.bool_), np.empty(size, np.bool_))
