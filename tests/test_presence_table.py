"""Presence is coded twice: `presence.feed` for the judgement, `kernels_sweep.transit` for sweeps. Both are held to one table, on
every short sequence of verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pytest

from geofence.facts import Position
from geofence.judgement.presence import Confirmation, Tracker, Verdict, feed, stretches
from geofence.shapes.kernels_sweep import WHOEVER_SAW, Rules
from geofence.shapes.packing import packed
from geofence.sweep.duties import Duties
from geofence.sweep.following import Positions, Sweep
from geofence.words import FOREVER_MS, Mechanism
from geofence.zones import Disc

INSIDE, UNKNOWN, OUTSIDE = 1, 0, -1
SHORT_MS, MAX_GAP_MS = 60_000, 900_000
GAPS_MS = (0, SHORT_MS, MAX_GAP_MS, MAX_GAP_MS + 1)
CONFIRMATIONS = [Confirmation(points, span_ms) for points in (1, 2, 3) for span_ms in (0, 2 * SHORT_MS)]
NAMES = [f"{points}-points-{span_ms}-ms" for points, span_ms in CONFIRMATIONS]
NOW_MS = 10**9


class Row(NamedTuple):
    """A row of the table at the top of `presence.py`."""

    verdict: str
    """Compared with the run."""
    time: str
    run: str


TABLE = [
    Row("any", "that of the last one", run="as it was"),
    Row("equal", "within the hold", run="one verdict longer"),
    Row("opposite", "within the hold", run="this verdict alone"),
    Row("any", "after the hold", run="this verdict alone"),
]
"""The hold is that of the last verdict. Before each, the open segment ends where its hold does if that is over. After each but the
first: if the run is complete and says something else than the open segment, that one ends where the run began, and a segment of the
run's value begins there, known now, held by what the verdicts of the run hold."""


class Step(NamedTuple):
    verdict: int
    gap_ms: int
    is_sighting: bool = False

    @property
    def holds_ms(self) -> int:
        return 2 * MAX_GAP_MS if self.is_sighting else MAX_GAP_MS


@dataclass
class Told:
    """What the table makes of the verdicts so far. segments: value, begin, end (None while open), known."""

    segments: list[tuple[int, int, int | None, int]] = field(default_factory=list)
    run: tuple[int, int, int] = (UNKNOWN, 0, 0)
    """Value, first instant, how many."""
    last_ms: int | None = None
    last_holds_to_ms: int = 0
    run_holds_to_ms: int = 0
    holds_to_ms: int = 0

    def copy(self) -> Told:
        return replace(self, segments=list(self.segments))

    @property
    def value(self) -> int:
        return self.segments[-1][0] if self.segments and self.segments[-1][2] is None else UNKNOWN

    def end_segment(self, end_ms: int) -> None:
        if self.value != UNKNOWN:
            value, begin_ms, _, known_ms = self.segments[-1]
            self.segments[-1] = (value, begin_ms, end_ms, known_ms)

    def seen_at(self, now_ms: int) -> list[tuple[int, int, int, int]]:
        """All segments, when time has passed to *now*."""
        twin = self.copy()
        twin.end_segment(twin.holds_to_ms if twin.holds_to_ms <= now_ms else FOREVER_MS)
        return twin.segments


def row_for(told: Told, verdict: int, at_ms: int) -> Row:
    if told.last_ms is None or at_ms > told.last_holds_to_ms:
        time = "after the hold"
    else:
        time = "that of the last one" if at_ms == told.last_ms else "within the hold"
    compared = "equal" if verdict == told.run[0] else "opposite"
    (row,) = (row for row in TABLE if row.time == time and row.verdict in ("any", compared))
    return row


def interpret(told: Told, step: Step, at_ms: int, confirmation: Confirmation) -> None:
    """One decisive verdict, by the table."""
    row, holds_to_ms = row_for(told, step.verdict, at_ms), at_ms + step.holds_ms
    if row.run == "as it was":
        return
    if at_ms > told.holds_to_ms:
        told.end_segment(told.holds_to_ms)
    _, first_ms, count = told.run
    longer = row.run == "one verdict longer"
    told.run = (step.verdict, first_ms, count + 1) if longer else (step.verdict, at_ms, 1)
    told.run_holds_to_ms = max(told.run_holds_to_ms if longer else 0, holds_to_ms)
    told.holds_to_ms = max(told.holds_to_ms, holds_to_ms)
    told.last_ms, told.last_holds_to_ms = at_ms, holds_to_ms
    _, first_ms, count = told.run
    is_complete = step.is_sighting or (count >= confirmation.points and at_ms - first_ms >= confirmation.span_ms)
    if is_complete and told.value != step.verdict:
        told.end_segment(first_ms)
        told.segments.append((step.verdict, first_ms, None, at_ms))
        told.holds_to_ms = told.run_holds_to_ms


def fed(tracker: Tracker, step: Step, at_ms: int, confirmation: Confirmation) -> bool:
    fact = Position(at_ms, 0.0, 0.0, 1.0, Mechanism.GPS, at_ms)
    verdict = Verdict(step.verdict, at_ms, at_ms + step.holds_ms, fact, step.is_sighting)
    return feed(tracker, verdict, confirmation)


def segments_of(tracker: Tracker, now_ms: int) -> list[tuple[int, int, int, int]]:
    known = [one for one in stretches(tracker, now_ms) if one.value != UNKNOWN]
    return [(s.value, s.begin_ms, FOREVER_MS if s.end_ms is None else s.end_ms, s.known_ms) for s in known]


def first_and_further(verdicts: tuple[int, ...], sightings: tuple[bool, ...]) -> tuple[list[Step], list[Step]]:
    """All first steps, before which there is no gap, and all further ones."""
    further = [Step(verdict, gap_ms, sighted) for verdict in verdicts for gap_ms in GAPS_MS for sighted in sightings]
    return [step for step in further if step.gap_ms == SHORT_MS], further


@pytest.mark.parametrize("confirmation", CONFIRMATIONS, ids=NAMES)
@pytest.mark.parametrize(
    ("sightings", "longest"), [((False, True), 4), ((False,), 5)], ids=["sightings", "positions"]
)
def test_the_judgements_presence_is_that_of_the_table(confirmation, sightings, longest):
    first, further = first_and_further((INSIDE, OUTSIDE), sightings)
    todo = [(Tracker(), Told(), 0, 0)]
    walked = 0
    while todo:
        tracker, told, at_ms, length = todo.pop()
        for step in further if length else first:
            twin, twin_told, step_ms = tracker.copy(), told.copy(), at_ms + step.gap_ms
            changed = fed(twin, step, step_ms, confirmation)
            interpret(twin_told, step, step_ms, confirmation)
            assert changed == (twin_told.segments != told.segments)
            for now_ms in (step_ms, step_ms + MAX_GAP_MS, step_ms + 2 * MAX_GAP_MS):
                assert segments_of(twin, now_ms) == twin_told.seen_at(now_ms)
            walked += 1
            if length + 1 < longest:
                todo.append((twin, twin_told, step_ms, length + 1))
    assert walked == sum(len(first) * len(further) ** more for more in range(longest))


class Walk(NamedTuple):
    """A whole sequence, with what the table makes of it."""

    steps: tuple[tuple[int, int], ...]
    """Verdict, instant."""
    told: Told


def walks(confirmation: Confirmation, longest: int) -> Iterator[Walk]:
    """All sequences, UNKNOWN verdicts too: the table never hears of those."""
    first, further = first_and_further((INSIDE, OUTSIDE, UNKNOWN), (False,))
    todo = [Walk((), Told())]
    while todo:
        walk = todo.pop()
        for step in further if walk.steps else first:
            at_ms, told = (walk.steps[-1][1] if walk.steps else 0) + step.gap_ms, walk.told.copy()
            if step.verdict != UNKNOWN:
                interpret(told, step, at_ms, confirmation)
            longer = Walk((*walk.steps, (step.verdict, at_ms)), told)
            yield longer
            if len(longer.steps) < longest:
                todo.append(longer)


def swept(all_walks: list[Walk], confirmation: Confirmation) -> list[list[tuple[int, int, int, int]]]:
    """The segments that a sweep makes of each walk. Each wearer has one circle twice, always: violations of an exclusion tell of
    presence INSIDE, those of an inclusion of presence OUTSIDE."""
    count = 2 * len(all_walks)
    conditions = np.empty((count, 4), np.int64)
    conditions[::2, 0], conditions[1::2, 0] = INSIDE, OUTSIDE
    conditions[:, 1:] = confirmation.points, confirmation.span_ms, WHOEVER_SAW
    always = np.tile(np.array([(-FOREVER_MS, FOREVER_MS)], np.int64), (count, 1))
    rules = Rules(conditions, always, np.arange(count + 1), MAX_GAP_MS)
    sweep = Sweep(Duties(packed([Disc((0.0, 0.0), 500.0)] * count), np.arange(0, count + 1, 2), rules))
    found = np.concatenate([sweep.feed(positions_of(all_walks)), sweep.finish(NOW_MS)])
    segments: list[list[tuple[int, int, int, int]]] = [[] for _ in all_walks]
    for zone, begin_ms, end_ms, known_ms in found[:, :4].tolist():
        segments[zone // 2].append((OUTSIDE if zone % 2 else INSIDE, begin_ms, end_ms, known_ms))
    return [sorted(some, key=lambda one: one[1]) for some in segments]


def positions_of(all_walks: list[Walk]) -> Positions:
    """In the middle of the circle, 11 km from it, or so wide that it could be either."""
    rows = [(who, *step) for who, walk in enumerate(all_walks) for step in walk.steps]
    wearer, verdict, at_ms = np.array(rows, np.int64).T.copy()
    lon_deg = np.where(verdict == OUTSIDE, 0.1, 0.0)
    radius_m = np.where(verdict == UNKNOWN, 2_000.0, 10.0)
    return Positions(
        wearer.astype(np.int32), lon_deg, np.zeros(len(rows)), radius_m, at_ms, np.zeros(len(rows), np.bool_)
    )


@pytest.mark.parametrize("confirmation", CONFIRMATIONS, ids=NAMES)
def test_a_sweeps_presence_is_that_of_the_table(confirmation):
    all_walks = list(walks(confirmation, 5))
    assert len(all_walks) == 3 * (1 + 12 + 12**2 + 12**3 + 12**4)
    for walk, segments in zip(all_walks, swept(all_walks, confirmation), strict=True):
        assert segments == walk.told.seen_at(NOW_MS), walk.steps
