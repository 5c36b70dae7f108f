"""Stops: stretches of time in which all that was received fits with somebody staying in one place.

A position says "within this circle", so it speaks against a stay only where its whole circle lies outside of the place: a cell
of 700 m round a house is no departure from it. What is decisive is a position whose circle is about as small as a place.

A candidate is a middle that positions are weighed into by their circles. Each position is one of

    fits, decisive    its whole circle lies about the place: the stay goes on at least until then
    fits, vague       its circle meets the place and reaches beyond: it says nothing against the stay, and nothing for it
    away              no part of its circle meets the place

Two that are away with nothing decisive that fits between them end the stay at the last decisive position that fitted; one alone is a
stray. A candidate that has nothing decisive is a stay in an area, as wide as its circles. Nothing is joined over a time of
`unseen_ms` without any position: who was there before and after may have been elsewhere meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from geofence.facts import Position

M_PER_DEG = 111_195.0
"""Of a sphere: 0.3 % wrong at most, in circles that are 5 % wrong."""


class StopRules(NamedTuple):
    """`reach_m`: how far from its middle a place reaches; `least_ms`: what is shorter is no stop; `unseen_ms`: no longer without any
    position; `gap_ms`: after so long without one nothing is known; `least_radius_m`: no position is more exact, whatever it says."""

    reach_m: float = 60.0
    least_ms: int = 10 * 60_000
    unseen_ms: int = 60 * 60_000
    gap_ms: int = 5 * 60_000
    least_radius_m: float = 5.0


STOP_RULES = StopRules()


class Certainty(StrEnum):
    """How sure a stop is. CERTAIN: many exact positions, most of the time covered. LIKELY: exact positions, and long without any.
    AREA: none is exact: the person was somewhere in a wide circle, and may have moved in it."""

    CERTAIN = "CERTAIN"
    LIKELY = "LIKELY"
    AREA = "AREA"


class Stop(NamedTuple):
    """A stay from its first to its last position that says so. `came_after_ms`, `left_by_ms`: when the person is known to have been
    elsewhere, before and after; None: not known. `radius_m`: how far from the middle the place may lie. `known_ms`: so much of
    the time is covered by positions. `positions`: that fit; `exact`: so many of them are decisive."""

    begin_ms: int
    end_ms: int
    came_after_ms: int | None
    left_by_ms: int | None
    lon_deg: float
    lat_deg: float
    radius_m: float
    positions: int
    exact: int
    known_ms: int

    @property
    def dwell_ms(self) -> int:
        return self.end_ms - self.begin_ms

    @property
    def certainty(self) -> Certainty:
        if self.exact == 0:
            return Certainty.AREA
        is_covered = self.known_ms >= LEAST_COVERED * self.dwell_ms
        return Certainty.CERTAIN if self.exact >= LEAST_EXACT and is_covered else Certainty.LIKELY


LEAST_EXACT = 3
LEAST_COVERED = 0.8
AWAY_TO_LEAVE = 2
DECISIVE_REACHES = 1.5
"""Decisive is a position whose whole circle lies within so many reaches of the middle."""


def stops_of(positions: Sequence[Position], rules: StopRules = STOP_RULES) -> list[Stop]:
    """Of one person's evidence in order of time; the stops in order, apart from each other."""
    found: list[Stop] = []
    candidate: _Candidate | None = None
    gone_ms: int | None = None  # when the person was known to be elsewhere, before the candidate
    at = 0
    away: list[int] = []
    while at < len(positions):
        position = positions[at]
        radius_m = max(position.radius_m, rules.least_radius_m)
        if candidate is None:
            candidate, away = _Candidate(position, radius_m, rules), []
        elif position.fix_ms - candidate.newest_ms > rules.unseen_ms:
            _add(found, candidate.stop(gone_ms, None), rules)
            candidate, away, gone_ms = _Candidate(position, radius_m, rules), [], None
        elif (distance_m := candidate.distance_m(position)) <= candidate.meets_m(radius_m):
            is_decisive = distance_m + radius_m <= DECISIVE_REACHES * rules.reach_m
            if is_decisive:
                away = []
            candidate.take(position, radius_m, is_decisive=is_decisive)
        else:
            away.append(at)
            candidate.newest_ms = position.fix_ms
            if len(away) == AWAY_TO_LEAVE:
                stop = candidate.stop(gone_ms, positions[away[0]].fix_ms)
                _add(found, stop, rules)
                gone_ms, at = stop.end_ms, away[0]
                candidate, away = None, []
                continue
        at += 1
    if candidate is not None:
        _add(found, candidate.stop(gone_ms, positions[away[0]].fix_ms if away else None), rules)
    return found


def _add(found: list[Stop], stop: Stop, rules: StopRules) -> None:
    if stop.dwell_ms >= rules.least_ms:
        found.append(stop)


class _Candidate:
    """A stay that may become a stop. The middle is in degrees; each position weighs as much as its circle is small."""

    def __init__(self, position: Position, radius_m: float, rules: StopRules) -> None:
        self._rules = rules
        self._lon_deg, self._lat_deg = position.lon_deg, position.lat_deg
        self._east_m = M_PER_DEG * math.cos(math.radians(position.lat_deg))
        self._weight = 0.0
        self._times: list[int] = []
        self._exact_ms: list[int] = []
        self.newest_ms = position.fix_ms
        self.take(position, radius_m, is_decisive=radius_m <= rules.reach_m)

    def distance_m(self, position: Position) -> float:
        return math.hypot(
            (position.lon_deg - self._lon_deg) * self._east_m, (position.lat_deg - self._lat_deg) * M_PER_DEG
        )

    def meets_m(self, radius_m: float) -> float:
        """How far away a circle still meets the place. As long as nothing decisive fitted, the place is a circle itself."""
        return self._rules.reach_m + radius_m + self._radius_m()

    def take(self, position: Position, radius_m: float, *, is_decisive: bool) -> None:
        weight = 1 / radius_m**2
        self._weight += weight
        self._lon_deg += (position.lon_deg - self._lon_deg) * weight / self._weight
        self._lat_deg += (position.lat_deg - self._lat_deg) * weight / self._weight
        self._times.append(position.fix_ms)
        if is_decisive:
            self._exact_ms.append(position.fix_ms)
        self.newest_ms = position.fix_ms

    def stop(self, came_after_ms: int | None, left_by_ms: int | None) -> Stop:
        told = self._exact_ms or self._times
        begin_ms, end_ms = told[0], told[-1]
        times = [at_ms for at_ms in self._times if begin_ms <= at_ms <= end_ms]
        steps = (later - earlier for earlier, later in pairwise(times))
        known_ms = sum(step for step in steps if step <= self._rules.gap_ms)
        radius_m = max(self._radius_m(), self._rules.reach_m if self._exact_ms else 0.0)
        return Stop(
            begin_ms, end_ms, came_after_ms, left_by_ms, self._lon_deg, self._lat_deg, radius_m, len(times),
            len(self._exact_ms), known_ms,
        )  # fmt: skip

    def _radius_m(self) -> float:
        return 1 / math.sqrt(self._weight)
