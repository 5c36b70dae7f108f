"""Violations of very many wearers in one sweep over their positions: replay, what-if and audit of months in minutes.

The same verdicts and the same presence as the judgement (`judge.py`), which stays what decides: a sweep knows positions only, in
each wearer's order of time and evidence all of them, and no sightings of home units. Its findings are EXCLUSION, INCLUSION
and CURFEW with begin, end and known; `tests/test_sweep.py` holds them to those of the judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geofence.judgement.timetable import Schedule
from geofence.obligations import Plan
from geofence.shapes import kernels_sweep as ks
from geofence.shapes.arrays import Float64s, Int32s, Int64s
from geofence.shapes.kernels_sweep import Found, Rules, State, Wearers
from geofence.shapes.kernels_zones import Masks, PackedZones
from geofence.shapes.margins import masks_of
from geofence.shapes.packing import packed
from geofence.words import FOREVER_MS, ObligationKind, Presence
from geofence.zones import SetZone

BATCH = 1 << 15
"""Positions that are classified before they are followed: their masks stay in the cache."""
MOST_ZONES = 64


class Positions(NamedTuple):
    """n positions that are evidence, each wearer's in order of time. wearer: int32; radius_m more than 0; fix_ms: int64."""

    wearer: Int32s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s
    fix_ms: Int64s

    def part(self, begin: int, end: int) -> Positions:
        """Those from begin up to end."""
        at = slice(begin, end)
        return Positions(self.wearer[at], self.lon_deg[at], self.lat_deg[at], self.radius_m[at], self.fix_ms[at])


class Duties(NamedTuple):
    """What is asked of the zones of all wearers. first: int64 (wearers + 1,), the first zone of each."""

    zones: PackedZones
    first: Int64s
    rules: Rules


def duties_of(plans: Sequence[Plan], now_ms: int) -> Duties:
    """The duties of plans, one wearer each, up to *now*. Raises ValueError for what a sweep does not know: shared sets, more
    than 64 zones of one wearer, or plans with different settings."""
    requirements = [requirement for plan in plans for requirement in plan.requirements]
    zones = [requirement.zone for requirement in requirements if not isinstance(requirement.zone, SetZone)]
    if len(zones) < len(requirements):
        raise ValueError("a sweep knows no shared zone sets; leave requirements on them out")
    if any(len(plan.requirements) > MOST_ZONES for plan in plans):
        raise ValueError(f"a sweep knows at most {MOST_ZONES} zones of one wearer")
    gaps_ms = {plan.settings.max_gap_ms for plan in plans}
    if len(gaps_ms) != 1:
        raise ValueError("the plans of one sweep have one max_gap")
    periods = [
        Schedule(plan, r).periods(plan.activation.from_ms, now_ms) for plan in plans for r in plan.requirements
    ]
    due = [[period for period in some if period.begin_ms <= now_ms] for some in periods]
    violates = [Presence.INSIDE if r.kind is ObligationKind.EXCLUSION else Presence.OUTSIDE for r in requirements]
    conditions = [(v, r.confirm_points, r.confirm_ms) for v, r in zip(violates, requirements, strict=True)]
    rules = Rules(
        np.array(conditions, np.int64).reshape(-1, 3),
        np.array([period for some in due for period in some], np.int64).reshape(-1, 2),
        np.cumsum([0, *map(len, due)], dtype=np.int64),
        gaps_ms.pop(),
    )
    first = np.cumsum([0, *(len(plan.requirements) for plan in plans)], dtype=np.int64)
    return Duties(packed(zones, [requirement.widen_m for requirement in requirements]), first, rules)


class Violation(NamedTuple):
    """`zone`: its number among all zones of the duties. `end_ms` FOREVER_MS while it lasts. `period_ms`: the S of its period."""

    zone: int
    begin_ms: int
    end_ms: int
    known_ms: int
    period_ms: int


class Sweep:
    """Feed positions in any number of batches, then `finish`; each gives the violations that ended by it, int64 (m, 5) as
    `Violation` names them."""

    def __init__(self, duties: Duties, *, buffer_rows: int = 1 << 14) -> None:
        self._duties = duties
        zones, wearers, ends = len(duties.zones.boxes), len(duties.first) - 1, duties.rules.ends
        self._wearers = Wearers(np.zeros((wearers, 4), np.int64), duties.first)
        self._wearers.people[:, ks.LAST] = ks.NEVER
        self._state = State(np.zeros((zones, 6), np.int64), np.zeros(zones, np.int64))
        self._state.zones[:, ks.STATE_LAST] = ks.NEVER
        most = int((ends[duties.first[1:]] - ends[duties.first[:-1]]).max(initial=0)) + MOST_ZONES + 1
        self._found = Found(np.empty((max(buffer_rows, 2 * most), 5), np.int64), np.zeros(2, np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the states of all wearers."""
        return self._wearers.people.nbytes + sum(array.nbytes for array in self._state)

    def feed(self, positions: Positions) -> Int64s:
        """Raises ValueError for a position that comes before the last one of its wearer."""
        taken = []
        for begin in range(0, len(positions.wearer), BATCH):
            taken += self._feed_batch(positions.part(begin, begin + BATCH))
        return np.concatenate([*taken, np.empty((0, 5), np.int64)])

    def _feed_batch(self, positions: Positions) -> list[Int64s]:
        duties, wearer = self._duties, positions.wearer
        masks = Masks(*(words[:, 0] for words in masks_of(duties.zones, duties.first, *positions[:4])))
        taken, done = [], 0
        while True:
            done = ks.follow(
                self._wearers, self._state, duties.rules, wearer, positions.fix_ms, masks, done, self._found
            )
            if done <= ks.OUT_OF_ORDER:
                who = wearer[ks.OUT_OF_ORDER - done]
                raise ValueError(f"a position of wearer {who} comes before the last one; sort by time first")
            taken.append(self._drained())
            if done == len(wearer):
                return taken

    def finish(self, now_ms: int) -> Int64s:
        """What lasts at *now*, and what had lapsed by then. The sweep is over."""
        taken, done = [], 0
        while done < len(self._wearers.people):
            done = ks.finish(self._wearers, self._state, self._duties.rules, now_ms, done, self._found)
            taken.append(self._drained())
        return np.concatenate([*taken, np.empty((0, 5), np.int64)])

    def _drained(self) -> Int64s:
        rows = self._found.rows[: self._found.counts[0]].copy()
        self._found.counts[0] = 0
        return rows


assert ks.FOREVER == FOREVER_MS
