"""The positions of very many wearers are followed in one sweep.

The same verdicts and the same presence as the judgement (`judge.py`), which stays what decides: a sweep knows positions only, in
each wearer's order of time and evidence all of them, and no sightings of home units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofence.shapes import kernels_sweep as ks
from geofence.shapes.arrays import Bools, Float64s, Int32s, Int64s
from geofence.shapes.kernels_sweep import FoundViolations, SweepState, SweptPositions
from geofence.shapes.kernels_zones import Masks
from geofence.shapes.margins import masks_of
from geofence.sweep.duties import MOST_ZONES, Duties
from geofence.words import FOREVER_MS

BATCH = 1 << 15
"""Positions that are classified before they are followed: their masks stay in the cache."""
COLUMNS = 8


class Positions(NamedTuple):
    """n positions that are evidence, each wearer's in order of time. wearer: int32; radius_m more than 0; fix_ms: int64; is_cell:
    bool, the position is the circle of a cell."""

    wearer: Int32s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s
    fix_ms: Int64s
    is_cell: Bools

    def part(self, begin: int, end: int) -> Positions:
        """Those from begin up to end."""
        at = slice(begin, end)
        return Positions._make(column[at] for column in self)


class Sweep:
    """Feed positions in any number of batches, then `finish`; each gives the violations that ended by it, int64 (m, 8) as
    `Violation` names them."""

    def __init__(self, duties: Duties, *, buffer_rows: int = 1 << 14) -> None:
        self._duties = duties
        zones, wearers, ends = len(duties.zones.boxes), len(duties.first) - 1, duties.rules.ends
        self._state = SweepState(
            np.zeros((wearers, 4), np.int64), duties.first, np.zeros((zones, 8), np.int64), np.zeros((zones, 3), np.int64),
            np.zeros(len(duties.rules.periods), np.int64), np.zeros((zones, ks.MOST_CIRCLES, 2)),
        )  # fmt: skip
        self._state.seen[:, ks.LAST_OUT], self._state.seen[:, ks.PASSED] = ks.NEVER, ends[:-1]
        self._state.people[:, ks.LAST] = ks.NEVER
        self._state.zones[:, ks.STATE_LAST] = ks.NEVER
        most = int((ends[duties.first[1:]] - ends[duties.first[:-1]]).max(initial=0)) + MOST_ZONES + 1
        self._found = FoundViolations(
            np.empty((max(buffer_rows, 2 * most), COLUMNS), np.int64), np.zeros(3, np.int64)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the states of all wearers; circles are of no weight until there are some."""
        state = self._state
        return state.people.nbytes + state.zones.nbytes + state.seen.nbytes + state.from_ms.nbytes

    def feed(self, positions: Positions) -> Int64s:
        """Raises ValueError for a position that comes before the last one of its wearer."""
        taken = []
        for begin in range(0, len(positions.wearer), BATCH):
            taken += self._feed_batch(positions.part(begin, begin + BATCH))
        return np.concatenate([*taken, np.empty((0, COLUMNS), np.int64)])

    def _feed_batch(self, positions: Positions) -> list[Int64s]:
        duties, wearer = self._duties, positions.wearer
        followed = SweptPositions(wearer, positions.fix_ms, positions.lon_deg, positions.lat_deg, positions.is_cell)
        masks = Masks(*(words[:, 0] for words in masks_of(duties.zones, duties.first, *positions[:4])))
        taken, done = [], 0
        while True:
            done = ks.follow(self._state, duties.rules, followed, masks, done, self._found)
            if done <= ks.OUT_OF_ORDER:
                who = wearer[ks.OUT_OF_ORDER - done]
                raise ValueError(f"a position of wearer {who} comes before the last one; sort by time first")
            if self._found.counts[2]:
                raise ValueError(
                    f"more than {ks.MOST_CIRCLES} cell circles in one run; judge it with `emtrack evaluate`"
                )
            taken.append(self._drained())
            if done == len(wearer):
                return taken

    def finish(self, now_ms: int) -> Int64s:
        """What lasts at *now*, and what had lapsed by then. The sweep is over."""
        taken, done = [], 0
        while done < len(self._state.people):
            done = ks.finish(self._state, self._duties.rules, now_ms, done, self._found)
            taken.append(self._drained())
        return np.concatenate([*taken, np.empty((0, COLUMNS), np.int64)])

    def _drained(self) -> Int64s:
        rows = self._found.rows[: self._found.counts[0]].copy()
        self._found.counts[0] = 0
        return rows


assert ks.FOREVER == FOREVER_MS
