"""Where something can happen in a long row of verdicts: the rest only carries presence on, and need not be fed one by one.

A history is a few thousand positions at home or at work, and a few in which somebody comes or goes. Verdicts of one requirement are
cut into *stretches* within which all say the same, each lies within the hold of the one before, and neither an event nor the start of
an obligation period comes between. Once presence says what the stretch says, nothing of it changes anything but its last verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from geofence.shapes.arrays import Bools, Int64s
from geofence.shapes.margins import Verdicts
from geofence.words import Presence


def stretches_of(
    verdicts: Verdicts, at_ms: Int64s, max_gap_ms: int, event_rows: Sequence[int], starts_ms: Sequence[int]
) -> Iterator[list[int]]:
    """Rows of decisive verdicts, stretch by stretch. verdicts, at_ms: (n,), in order. event_rows: each event comes before the
    position of that row. starts_ms: ascending."""
    rows = np.flatnonzero(verdicts != Presence.UNKNOWN)
    if not len(rows):
        return
    values, times = verdicts[rows], at_ms[rows]
    steps = np.diff(times)
    breaks: Bools = (np.diff(values) != 0) | (steps > max_gap_ms) | (steps <= 0)
    breaks |= _between(np.asarray(event_rows, np.int64), rows)
    breaks |= _between(np.asarray(starts_ms, np.int64), times)
    for stretch in np.split(rows, np.flatnonzero(breaks) + 1):
        yield stretch.tolist()


def _between(marks: Int64s, places: Int64s) -> Bools:
    """For each two neighbours of `places`: whether a mark lies after the first and not after the second."""
    if not len(marks):
        return np.zeros(len(places) - 1, np.bool_)
    return np.diff(np.searchsorted(marks, places, side="right")) > 0
