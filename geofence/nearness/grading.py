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
from geofence.nearness.probability import distances_m, probability_within
from geofence.shapes import Bools, Float64s, Int64s
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
_SLACK = 0.99
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
    owner = np.repeat(np.arange(many), np.diff(first))
    distance = distances_m(spot.lon_deg, spot.lat_deg, trail.lon_deg, trail.lat_deg)
    seen = _seen(spot, window, owner, trail, distance, rules)
    between = _between(spot, window, first, owner, trail, distance, rules)
    return [
        by_sight if by_sight.grade in NAMED else _without_sight(by_sight, between.get(number))
        for number, by_sight in enumerate(_by_person(seen, many))
    ]


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


def _seen(spot: Spot, window: Interval, owner: Int64s, trail: Trail, distance: Float64s, rules: NearRules) -> _Seen:
    at = np.flatnonzero((trail.fix_ms >= window.begin_ms) & (trail.fix_ms < window.end_ms))
    away, radius = distance[at], trail.radius_m[at]
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
    spot: Spot, window: Interval, first: Int64s, owner: Int64s, trail: Trail, distance: Float64s, rules: NearRules
) -> dict[int, Between]:
    """Who had time to go there between positions, before the first or after the last: by person, the longest of them; of those in a
    short gap, if there is one."""
    many = len(first) - 1
    way_m = way_to_m(distance, trail.radius_m, spot.radius_m, rules)
    speed = _speeds_mps(owner, trail, rules)
    # A gap before each position, and one after the last of each person.
    who = np.concatenate((owner, np.arange(many)))
    left, next_, earliest, latest = (np.empty(len(who), np.int64) for _ in range(4))
    size = len(owner)
    starts = np.ones(size, bool)
    starts[1:] = owner[1:] != owner[:-1]
    left[:size] = np.where(starts, FIRST_MS, np.roll(trail.fix_ms, 1))
    next_[:size] = trail.fix_ms
    after_ms, before_ms = way_m / np.roll(speed, -1) * 1000, way_m / speed * 1000
    earliest[:size] = np.where(starts, FIRST_MS, np.roll(trail.fix_ms + after_ms, 1))
    latest[:size] = trail.fix_ms - before_ms
    last, has = first[1:] - 1, np.diff(first) > 0
    left[size:], earliest[size:] = FIRST_MS, FIRST_MS
    if size:
        left[size:] = np.where(has, trail.fix_ms[last], FIRST_MS)
        earliest[size:] = np.where(has, trail.fix_ms[last] + way_m[last] / MAX_MPS * 1000, FIRST_MS)
    next_[size:], latest[size:] = LAST_MS, LAST_MS
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


def way_to_m(distance_m: Float64s, radius_m: Float64s, place_m: float, rules: NearRules) -> Float64s:
    """How far it is at least from each position to the place."""
    way_m: Float64s = np.maximum(0.0, distance_m * _SLACK - rules.doubled * radius_m - place_m)
    return way_m


def _speeds_mps(owner: Int64s, trail: Trail, rules: NearRules) -> Float64s:
    """How fast somebody can have gone to each position from the one before; to the first of a person, and from the last, as fast as
    evidence may be. Who was faster than the limit between two positions was so: then it is the limit of evidence, or, where a jump
    was accepted, as fast as that."""
    if not len(owner):
        return np.empty(0, np.float64)
    apart = distances_m(trail.lon_deg[:-1], trail.lat_deg[:-1], trail.lon_deg[1:], trail.lat_deg[1:])
    went_m = np.maximum(0.0, apart - rules.doubled * (trail.radius_m[1:] + trail.radius_m[:-1]))
    went_mps = went_m / np.maximum(np.diff(trail.fix_ms) / 1000, 0.001)
    between = np.where(went_mps <= rules.speed_mps, rules.speed_mps, np.maximum(went_mps, MAX_MPS))
    return np.concatenate(([MAX_MPS], np.where(owner[1:] == owner[:-1], between, MAX_MPS)))


def evident(device: Int64s, trail: Trail) -> Bools:
    """Devices (by their place among the sorted ones) of whose positions it can be told at once that each is evidence: one at an
    instant, none at (0, 0), each within reach of the one before. The others are looked at one by one (`trail_of`). Sorted by device
    and time."""
    names, place = np.unique(device, return_inverse=True)
    fine = np.ones(len(names), bool)
    fine[place[(trail.lon_deg == 0) & (trail.lat_deg == 0)]] = False
    if len(device) > 1:
        same = device[1:] == device[:-1]
        elapsed_ms = np.diff(trail.fix_ms)
        apart = distances_m(trail.lon_deg[:-1], trail.lat_deg[:-1], trail.lon_deg[1:], trail.lat_deg[1:])
        reach = MAX_MPS * np.maximum(elapsed_ms / 1000, 1.0) + trail.radius_m[1:] + trail.radius_m[:-1]
        fine[place[1:][same & ((elapsed_ms <= 0) | (apart > reach * _SLACK))]] = False
    return fine
