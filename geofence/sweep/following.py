"""The positions of very many wearers are followed in one sweep.

The same verdicts and the same presence as the judgement (`judge.py`), which stays what decides: a sweep knows positions only, in
each wearer's order of time and evidence all of them, and no sightings of home units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofence.shapes import kernels_sweep as ks
from geofence.shapes.arrays import Float64s, Int32s, Int64s
from geofence.shapes.kernels_sweep import FoundViolations, SweepState
from geofence.shapes.kernels_zones import Masks
from geofence.shapes.margins import masks_of
from geofence.sweep.duties import MOST_ZONES, Duties
from geofence.words import FOREVER_MS

BATCH = 1 << 15
"""Positions that are classified before they are followed: their masks stay in the cache."""
COLUMNS = 8


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


class Sweep:
    """Feed positions in any number of batches, then `finish`; each gives the violations that ended by it, int64 (m, 8) as
    `Violation` names them."""

    def __init__(self, duties: Duties, *, buffer_rows: int = 1 << 14) -> None:
        self._duties = duties
        zones, wearers, ends = len(duties.zones.boxes), len(duties.first) - 1, duties.rules.ends
        self._state = SweepState(np.zeros((wearers, 4), np.int64), duties.first, np.zeros((zones, 8), np.int64))
        self._state.people[:, ks.LAST] = ks.NEVER
        self._state.zones[:, ks.STATE_LAST] = ks.NEVER
        most = int((ends[duties.first[1:]] - ends[duties.first[:-1]]).max(initial=0)) + MOST_ZONES + 1
        self._found = FoundViolations(
            np.empty((max(buffer_rows, 2 * most), COLUMNS), np.int64), np.zeros(2, np.int64)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the states of all wearers."""
        return self._state.people.nbytes + self._state.zones.nbytes

    def feed(self, positions: Positions) -> Int64s:
        """Raises ValueError for a position that comes before the last one of its wearer."""
        taken = []
        for begin in range(0, len(positions.wearer), BATCH):
            taken += self._feed_batch(positions.part(begin, begin + BATCH))
        return np.concatenate([*taken, np.empty((0, COLUMNS), np.int64)])

    def _feed_batch(self, positions: Positions) -> list[Int64s]:
        duties, wearer = self._duties, positions.wearer
        masks = Masks(*(words[:, 0] for words in masks_of(duties.zones, duties.first, *positions[:4])))
        taken, done = [], 0
        while True:
            done = ks.follow(self._state, duties.rules, wearer, positions.fix_ms, masks, done, self._found)
            if done <= ks.OUT_OF_ORDER:
                who = wearer[ks.OUT_OF_ORDER - done]
                raise ValueError(f"a position of wearer {who} comes before the last one; sort by time first")
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
