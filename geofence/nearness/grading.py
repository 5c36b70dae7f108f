"""Was somebody at a place in a time? Five answers, out of the positions that are evidence.

    INSIDE        a position in the time lies with its whole circle in the place, and P(within) is 0.99 or more
    PROBABLY      the likeliest position in the time has P(within) of 0.5 or more
    NOT_EXCLUDED  the circle of a position in the time, doubled, meets the place; or between two positions that are no further apart
                  than positions hold (`max_gap_ms`) there was time to go there and on
    NO_DATA       there was time to, but only while nothing was heard for longer: the gap says when
    ELSEWHERE     there was no time to: the position before and the one after lie too far away for the speed that is possible

The first that holds is the answer. P is that of one position, the likeliest: errors of positions that follow one another are not
independent, so they are not multiplied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from geofence.facts import Position
from geofence.intervals import Interval
from geofence.judgement import PositionStatus, Track, position_statuses
from geofence.nearness.probability import FAR_SIGMAS, SIGMAS_OF_RADIUS, distances_m, probability_within
from geofence.shapes import Bools, Float64s, Int64s
from geofence.shapes.kernels_near import Screened, ScreenedFor, follow_all, nothing_screened, screen
from geofence.words import FIRST_MS, LAST_MS


class Grade(StrEnum):
    INSIDE = "INSIDE"
    PROBABLY = "PROBABLY"
    NOT_EXCLUDED = "NOT_EXCLUDED"
    NO_DATA = "NO_DATA"
    ELSEWHERE = "ELSEWHERE"


NAMED = frozenset({Grade.INSIDE, Grade.PROBABLY, Grade.NOT_EXCLUDED})
"""Who of a question is named; the others are counted."""


class NearRules(NamedTuple):
    """What grades rest on; `version` goes up when a number or a rule changes."""

    version: int = 1
    certain: float = 0.99
    probable: float = 0.5
    speed_mps: float = 40.0
    """Nobody goes faster than this (144 km/h) from one position to a place and on to the next."""
    max_gap_ms: int = 900_000
    doubled: float = 2.0
    """A true place lies outside of a circle so many times as large 6 times in a million, if errors are Gaussian."""


RULES = NearRules()
MAX_MPS = 70.0
"""As positions are evidence (RULES.md section 3)."""
SLACK = 0.99
"""Distances of far positions are known within a hundredth."""


class Spot(NamedTuple):
    """A place that is asked about: a circle."""

    lon_deg: float
    lat_deg: float
    radius_m: float


class Trail(NamedTuple):
    """Evidence of one person, in the order of time: arrays of one length. `fact_id` and `fix_ms` int64, the others float64."""

    fix_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s
    fact_id: Int64s

    def taken(self, which: Any) -> Trail:
        """A part of it: a slice, or a mask."""
        return Trail(*(column[which] for column in self))


def joined(trails: Iterable[Trail]) -> Trail:
    """One after the other."""
    return Trail(*(np.concatenate(columns) for columns in zip(*trails, strict=True)))


class Nearness(NamedTuple):
    """The answer for one person. `at`: index of the position it rests on, in the time, if there is one; `distance_m`: of it from the
    middle. `possible`: when the person can have been there between positions. `gap`: of NO_DATA, while nothing was heard."""

    grade: Grade
    probability: float = 0.0
    at: int | None = None
    distance_m: float | None = None
    possible: Interval | None = None
    gap: Interval | None = None


def trail_of(devices: Iterable[Sequence[Position]]) -> Trail:
    """What is evidence of the positions of each device that one person wore, taken together. Positions of a device come in the order
    of evidence, without duplicates."""
    kept = [
        position
        for positions in devices
        for position, status, _ in position_statuses(Track(), positions)
        if status is PositionStatus.EVIDENCE
    ]
    kept.sort(key=lambda position: position.key)
    return Trail(
        np.array([position.fix_ms for position in kept], np.int64),
        np.array([position.lon_deg for position in kept], np.float64),
        np.array([position.lat_deg for position in kept], np.float64),
        np.array([position.radius_m for position in kept], np.float64),
        np.array([position.fact_id for position in kept], np.int64),
    )


def graded(spot: Spot, window: Interval, trail: Trail, rules: NearRules = RULES) -> Nearness:
    """The grade of one person. The trail reaches beyond the window on both sides as far as anything was heard lately."""
    return graded_all(spot, window, np.array([0, len(trail.fix_ms)]), trail, rules)[0]


def graded_all(spot: Spot, window: Interval, first: Int64s, trail: Trail, rules: NearRules = RULES) -> list[Nearness]:
    """The same of very many people in one go: person p has the positions `first[p]:first[p + 1]` of the trail. `at` of an answer
    counts in the whole trail."""
    many = len(first) - 1
    kept = _screened(spot, window, first, trail, rules)
    owner = np.repeat(np.arange(many), np.diff(first))
    seen = _seen(spot, np.flatnonzero(kept.weighed), owner, trail, rules)
    between = _between(spot, window, first, np.flatnonzero(kept.open_gaps), owner, trail, rules)
    return [
        by_sight if by_sight.grade in NAMED else _without_sight(by_sight, between.get(number))
        for number, by_sight in enumerate(_by_person(seen, many))
    ]


def _screened(spot: Spot, window: Interval, first: Int64s, trail: Trail, rules: NearRules) -> Screened:
    """What of so many positions can count; all others are not looked at again."""
    asked = ScreenedFor(
        float(spot.lon_deg), float(spot.lat_deg), float(spot.radius_m), window.begin_ms, window.end_ms, rules.certain,
        rules.probable, rules.doubled,
        rules.speed_mps, MAX_MPS, SLACK, SIGMAS_OF_RADIUS, FAR_SIGMAS,
    )  # fmt: skip
    columns = [np.ascontiguousarray(column) for column in trail[:4]]
    found = nothing_screened(len(trail.fix_ms))
    screen(asked, np.asarray(first, np.int64), *columns, np.empty(len(trail.fix_ms)), found)
    return found


def _without_sight(seen: Nearness, time: Between | None) -> Nearness:
    if time is None:
        return seen
    if time.is_short:
        return seen._replace(grade=Grade.NOT_EXCLUDED, possible=time.possible)
    return Nearness(Grade.NO_DATA, possible=time.possible, gap=time.gap)


class Between(NamedTuple):
    """Time to go to the place between two positions. `is_short`: they are no further apart than positions hold."""

    is_short: bool
    possible: Interval
    gap: Interval


_GRADES = (Grade.INSIDE, Grade.PROBABLY, Grade.NOT_EXCLUDED, Grade.ELSEWHERE)


class _Seen(NamedTuple):
    """Of each position in the time: whose it is, what it says (index of `_GRADES`), and how likely it is."""

    owner: Int64s
    at: Int64s
    rank: Int64s
    chance: Float64s
    distance: Float64s


def _seen(spot: Spot, at: Int64s, owner: Int64s, trail: Trail, rules: NearRules) -> _Seen:
    """`at`: of which positions, in the time."""
    radius = trail.radius_m[at]
    away = distances_m(spot.lon_deg, spot.lat_deg, trail.lon_deg[at], trail.lat_deg[at])
    chance = probability_within(away, radius, spot.radius_m)
    whole = (away + radius <= spot.radius_m) & (chance >= rules.certain)
    meets = away - rules.doubled * radius <= spot.radius_m
    rank = np.where(whole, 0, np.where(chance >= rules.probable, 1, np.where(meets, 2, 3)))
    return _Seen(owner[at], at, rank, chance, away)


def _by_person(seen: _Seen, many: int) -> list[Nearness]:
    """By the position of each that says most: of those that say the same the likeliest, then the nearest."""
    answers = [Nearness(Grade.ELSEWHERE)] * many
    order = np.lexsort((seen.distance, -seen.chance, seen.rank, seen.owner))
    people, where = np.unique(seen.owner[order], return_index=True)
    for person, best in zip(people.tolist(), order[where].tolist(), strict=True):
        answers[person] = Nearness(
            _GRADES[seen.rank[best]], float(seen.chance[best]), int(seen.at[best]), float(seen.distance[best])
        )
    return answers


def _between(
    spot: Spot, window: Interval, first: Int64s, gaps: Int64s, owner: Int64s, trail: Trail, rules: NearRules
) -> dict[int, Between]:
    """Who had time to go there between positions, before the first or after the last: by person, the longest of them; of those in a
    short gap, if there is one. `gaps`: the positions before which it is looked for; after the last of each it always is."""
    many, count = len(first) - 1, len(gaps)
    starts = gaps == first[owner[gaps]]
    before = np.where(starts, gaps, gaps - 1)
    speed = _speeds_mps(before, gaps, trail, rules)
    who = np.concatenate((owner[gaps], np.arange(many)))
    left, next_, earliest, latest = (np.empty(len(who), np.int64) for _ in range(4))
    left[:count] = np.where(starts, FIRST_MS, trail.fix_ms[before])
    next_[:count] = trail.fix_ms[gaps]
    after_ms = _ways_m(spot, before, trail, rules) / speed * 1000
    earliest[:count] = np.where(starts, FIRST_MS, trail.fix_ms[before] + after_ms)
    latest[:count] = trail.fix_ms[gaps] - _ways_m(spot, gaps, trail, rules) / speed * 1000
    last, has = first[1:] - 1, np.diff(first) > 0
    left[count:], earliest[count:] = FIRST_MS, FIRST_MS
    if len(trail.fix_ms):
        left[count:] = np.where(has, trail.fix_ms[last], FIRST_MS)
        on_ms = _ways_m(spot, last, trail, rules) / MAX_MPS * 1000
        earliest[count:] = np.where(has, trail.fix_ms[last] + on_ms, FIRST_MS)
    next_[count:], latest[count:] = LAST_MS, LAST_MS
    begin, end = np.maximum(earliest, window.begin_ms), np.minimum(latest, window.end_ms - 1)
    possible = np.flatnonzero(begin <= end)
    is_short = next_[possible] - left[possible] <= rules.max_gap_ms
    order = np.lexsort((begin[possible] - end[possible], ~is_short, who[possible]))
    people, where = np.unique(who[possible][order], return_index=True)
    found = {}
    for person, chosen in zip(people.tolist(), order[where].tolist(), strict=True):
        gap = int(possible[chosen])
        when = Interval(int(begin[gap]), int(end[gap]) + 1)
        found[person] = Between(bool(is_short[chosen]), when, Interval(int(left[gap]), int(next_[gap])))
    return found


def _ways_m(spot: Spot, at: Int64s, trail: Trail, rules: NearRules) -> Float64s:
    """How far it is at least from each of some positions to the place."""
    distance = distances_m(spot.lon_deg, spot.lat_deg, trail.lon_deg[at], trail.lat_deg[at])
    return way_to_m(distance, trail.radius_m[at], spot.radius_m, rules)


def way_to_m(distance_m: Float64s, radius_m: Float64s, place_m: float, rules: NearRules) -> Float64s:
    """How far it is at least from each position to the place."""
    way_m: Float64s = np.maximum(0.0, distance_m * SLACK - rules.doubled * radius_m - place_m)
    return way_m


def _speeds_mps(before: Int64s, after: Int64s, trail: Trail, rules: NearRules) -> Float64s:
    """How fast somebody can have gone from each of some positions to the one after; where both are the same, it is the first of
    somebody, to which one came as fast as evidence may be. Who was faster than the limit between two positions was so: then it is the
    limit of evidence, or, where a jump was accepted, as fast as that."""
    apart = distances_m(trail.lon_deg[before], trail.lat_deg[before], trail.lon_deg[after], trail.lat_deg[after])
    went_m = np.maximum(0.0, apart - rules.doubled * (trail.radius_m[after] + trail.radius_m[before]))
    went_mps = went_m / np.maximum((trail.fix_ms[after] - trail.fix_ms[before]) / 1000, 0.001)
    between = np.where(went_mps <= rules.speed_mps, rules.speed_mps, np.maximum(went_mps, MAX_MPS))
    speeds: Float64s = np.where(before == after, MAX_MPS, between)
    return speeds


def evident(device: Int64s, trail: Trail) -> Bools:
    """Devices (by their place among the sorted ones) of whose positions it can be told at once that each is evidence: one at an
    instant, none at (0, 0), each within reach of the one before. The others are looked at one by one (`trail_of`). Sorted by device
    and time."""
    starts = np.flatnonzero(np.diff(device, prepend=device[:1] - 1))
    fine = np.empty(len(starts), np.bool_)
    columns = [np.ascontiguousarray(column) for column in trail[:4]]
    follow_all(np.append(starts, len(device)), *columns, MAX_MPS, SLACK, fine)
    return fine
