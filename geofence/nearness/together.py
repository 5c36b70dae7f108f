"""Were two people near each other in a time? Graded as one person at a place is, by pairs of positions.

Positions of two people are hardly ever of one instant. Each of one is set beside that of the other nearest to it in time, at most
`PAIR_MS` away; the circle of what is between them is the root of both squares and of the way that somebody walks meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofence.intervals import Interval
from geofence.nearness.grading import RULES, Grade, NearRules, Trail
from geofence.nearness.probability import distances_m, probability_within
from geofence.shapes import Bools, Float64s, Int64s

PAIR_MS = 90_000
WALK_MPS = 1.5


class Togetherness(NamedTuple):
    """The answer for two people. `ours`, `theirs`: indices of the two positions it rests on. `distance_m`: between them; `radius_m`:
    of the circle of their difference. `pairs`: how many pairs came under this grade, from `first_ms` to `last_ms`."""

    grade: Grade
    probability: float = 0.0
    ours: int | None = None
    theirs: int | None = None
    distance_m: float | None = None
    radius_m: float | None = None
    pairs: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


def graded_together(
    ours: Trail, theirs: Trail, window: Interval, near_m: float, rules: NearRules = RULES
) -> Togetherness:
    """Whether two people were within `near_m` of each other. ELSEWHERE: apart for certain at each pair, and no gap between pairs was
    long enough to meet in; NO_DATA: only a longer gap than positions hold was."""
    in_time = np.flatnonzero((ours.fix_ms >= window.begin_ms) & (ours.fix_ms < window.end_ms))
    other = _nearest(ours.fix_ms[in_time], theirs.fix_ms)
    if not len(other):
        return Togetherness(Grade.NO_DATA)
    elapsed_ms = np.abs(ours.fix_ms[in_time] - theirs.fix_ms[other])
    kept = elapsed_ms <= PAIR_MS
    a, b, elapsed_ms = in_time[kept], other[kept], elapsed_ms[kept]
    if not len(a):
        return Togetherness(Grade.NO_DATA)
    apart = distances_m(ours.lon_deg[a], ours.lat_deg[a], theirs.lon_deg[b], theirs.lat_deg[b])
    radius = np.sqrt(ours.radius_m[a] ** 2 + theirs.radius_m[b] ** 2 + (WALK_MPS * elapsed_ms / 1000) ** 2)
    chance = probability_within(apart, radius, near_m)
    whole = (apart + radius <= near_m) & (chance >= rules.certain)
    maybe = apart - rules.doubled * radius <= near_m
    for grade, held in (
        (Grade.INSIDE, whole),
        (Grade.PROBABLY, chance >= rules.probable),
        (Grade.NOT_EXCLUDED, maybe),
    ):
        if held.any():
            return _found(grade, held, ours, a, b, apart, radius, chance)
    return Togetherness(_between(ours.fix_ms[a], apart, radius, window, near_m, rules))


def _found(
    grade: Grade, held: Bools, ours: Trail, a: Int64s, b: Int64s, apart: Float64s, radius: Float64s, chance: Float64s
) -> Togetherness:
    among = np.flatnonzero(held)
    best = int(among[np.lexsort((apart[among], -chance[among]))[0]])
    times = ours.fix_ms[a[among]]
    return Togetherness(
        grade, float(chance[best]), int(a[best]), int(b[best]), float(apart[best]), float(radius[best]), len(among),
        int(times.min()), int(times.max()),
    )  # fmt: skip


def _between(
    at_ms: Int64s, apart: Float64s, radius: Float64s, window: Interval, near_m: float, rules: NearRules
) -> Grade:
    """Both may go towards each other."""
    way_m = np.maximum(0.0, apart * 0.99 - rules.doubled * radius - near_m)
    way_ms = way_m / (2 * rules.speed_mps) * 1000
    earliest = np.maximum(np.concatenate(([window.begin_ms], at_ms + way_ms)), window.begin_ms)
    latest = np.minimum(np.concatenate((at_ms - way_ms, [window.end_ms - 1])), window.end_ms - 1)
    possible = earliest <= latest
    if not possible.any():
        return Grade.ELSEWHERE
    gap_ms = np.diff(np.concatenate(([window.begin_ms], at_ms, [window.end_ms])))
    return Grade.NOT_EXCLUDED if (gap_ms[possible] <= rules.max_gap_ms).any() else Grade.NO_DATA


def _nearest(at_ms: Int64s, others_ms: Int64s) -> Int64s:
    """Index of the one nearest in time, for each."""
    if not len(others_ms):
        return np.empty(0, np.int64)
    after = np.clip(np.searchsorted(others_ms, at_ms), 0, len(others_ms) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(others_ms[before] - at_ms) <= np.abs(others_ms[after] - at_ms)
    found: Int64s = np.where(closer, before, after)
    return found
