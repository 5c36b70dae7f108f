"""Presence of one wearer with regard to one zone, as decisive verdicts come in (RULES.md section 4).

Theory of operation
===================

A *tracker* holds the step function of presence as *segments* (INSIDE or OUTSIDE; between them it is UNKNOWN) and
the *run* of equal decisive verdicts that is in progress. Verdicts come in the order of their time. Each holds until some
instant: a position for `max_gap`, a sighting of a home unit for as long as the unit speaks. Each is one of

    verdict, compared with the run     its time                              the run becomes
    ---------------------------------  ------------------------------------  -----------------------
    any                                that of the last one                  as it was (only recorded)
    equal                              up to the end of the last one's hold  one verdict longer
    opposite                           up to the end of the last one's hold  this verdict alone
    any                                after the end of the last one's hold  this verdict alone

Before it, if its time is after the end of the hold of the open segment, the segment ends where its hold does (a *lapse*). The hold
of a segment is the latest of what the verdicts hold from the first of its run on. After it, if the run is *complete* (enough
verdicts over enough time, or a sighting in it just now) and says something else than the open segment:

    the open segment ends where the run began; a segment of the run's value begins there, known now.

A *repeated circle* (a cell circle that was counted in the run already) holds and carries the run on; it is not counted and completes
nothing. UNKNOWN verdicts never come here: they neither confirm nor break anything. A home unit in trouble cuts what its sightings
hold. A segment that ended never changes again while facts come in order; the open one lapses by itself when time has passed the end
of its hold, which `stretches` reads without changing the tracker, because a verdict at exactly that instant carries it on.

`kernels_sweep.py` has the same table for sweeps; `tests/test_presence_table.py` holds both to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from geofence.facts import Fact, chained_digest
from geofence.judgement.sightings import HomeUnitState
from geofence.judgement.starts import Start
from geofence.words import ALWAYS_MS, FOREVER_MS, Presence

INSIDE = int(Presence.INSIDE)
OUTSIDE = int(Presence.OUTSIDE)
UNKNOWN = int(Presence.UNKNOWN)

Circle = tuple[float, float]
"""Latitude and longitude of a position by cells."""


def no_zone() -> str | None:
    """Of a requirement with a zone of its own, and of a sighting."""
    return None


class Confirmation(NamedTuple):
    """What completes a run."""

    points: int
    span_ms: int


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A decisive verdict. `holds_to_ms`: until when it holds presence. `is_sighting`: it completes the run it stands in. `circle`: of
    a verdict that counts once in a run. `zone_id_of`: tells the member of a zone set that the fact is about; asking costs much, so it
    is called only if a run begins."""

    value: int
    at_ms: int
    holds_to_ms: int
    fact: Fact
    is_sighting: bool = False
    circle: Circle | None = None
    zone_id_of: Callable[[], str | None] = no_zone


class Segment(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A stretch of known presence; `end_ms` None while it is open. `first_id`, `last_id`, `digest`: the facts of
    the run that opened it. `zone_id`: the member of a zone set that the first of them is about, where one was asked for."""

    value: int
    begin_ms: int
    known_ms: int
    end_ms: int | None
    first_id: int
    last_id: int
    digest: bytes
    zone_id: str | None = None


class Run(msgspec.Struct, array_like=True):
    """Equal decisive verdicts without a gap. `circles`: those that were counted, until the run is complete."""

    value: int = UNKNOWN
    first_ms: int = 0
    count: int = 0
    first_id: int = 0
    digest: bytes = b""
    zone_id: str | None = None
    circles: list[Circle] = []

    def copy(self) -> Run:
        """A run that can be lengthened without changing this one."""
        return msgspec.structs.replace(self, circles=list(self.circles))


class Tracker(msgspec.Struct, array_like=True):
    """State of one presence. `segments` in order of time; only the last can be open. `last_*`: the last verdict; `position_*`: the
    last one of a position, whose hold is the latest of all positions. `run_sighted_to_ms`, `sighted_to_ms`: until when the sightings
    of the run, and those since the run that opened the last segment began, hold at the latest."""

    segments: list[Segment] = []
    last_ms: int | None = None
    last_id: int = 0
    last_holds_to_ms: int = ALWAYS_MS
    position_ms: int = ALWAYS_MS
    position_holds_to_ms: int = ALWAYS_MS
    run: Run = msgspec.field(default_factory=Run)
    run_sighted_to_ms: int = ALWAYS_MS
    sighted_to_ms: int = ALWAYS_MS
    unit: HomeUnitState = HomeUnitState()
    """What the home unit at the address said last."""
    last_out_ms: int | None = None
    """The last verdict OUTSIDE."""
    starts: dict[int, Start] = {}
    """From where a presence OUTSIDE counts in periods that began meanwhile, by their start (`starts.py`)."""

    def copy(self) -> Tracker:
        """A tracker that can be fed without changing this one."""
        twin = msgspec.structs.replace(self)
        twin.segments, twin.run, twin.starts = list(self.segments), self.run.copy(), dict(self.starts)
        return twin

    @property
    def value(self) -> int:
        """Presence as the last verdict left it (a lapse since then not counted)."""
        return self.segments[-1].value if self.segments and self.segments[-1].end_ms is None else UNKNOWN


def feed(tracker: Tracker, verdict: Verdict, confirmation: Confirmation) -> bool:
    """One decisive verdict, in order of time. True if a segment began or ended.

    Raises ValueError for a verdict that is not decisive or comes before the last one.
    """
    if verdict.value == UNKNOWN:
        raise ValueError("an UNKNOWN verdict is not decisive")
    if not is_used(tracker, verdict.at_ms):
        return False
    in_contact = tracker.last_ms is not None and verdict.at_ms <= tracker.last_holds_to_ms
    changed = not in_contact and _lapse(tracker, verdict.at_ms)
    counts = _take_in(tracker, verdict, in_contact=in_contact)
    _hold(tracker, verdict)
    if tracker.value != verdict.value and counts and _is_complete(tracker.run, verdict, confirmation):
        _change(tracker, verdict)
        changed = True
    return changed


def carry(tracker: Tracker, at_ms: int, fact_id: int, holds_to_ms: int) -> None:
    """The last of some verdicts of positions that all say what presence and its run say, none of them out of contact: whatever was
    between changes nothing (the row "equal" of the table, over and over)."""
    tracker.last_ms, tracker.last_id, tracker.last_holds_to_ms = at_ms, fact_id, holds_to_ms
    tracker.position_ms, tracker.position_holds_to_ms = at_ms, holds_to_ms


def is_used(tracker: Tracker, at_ms: int) -> bool:
    """Whether a decisive verdict at an instant counts; at one instant the first does. Raises ValueError for one out of order."""
    if tracker.last_ms is None:
        return True
    if at_ms < tracker.last_ms:
        raise ValueError(f"a verdict at {at_ms} after one at {tracker.last_ms}")
    return at_ms > tracker.last_ms


def _is_complete(run: Run, verdict: Verdict, confirmation: Confirmation) -> bool:
    long_enough = run.count >= confirmation.points and verdict.at_ms - run.first_ms >= confirmation.span_ms
    return verdict.is_sighting or long_enough


def _take_in(tracker: Tracker, verdict: Verdict, *, in_contact: bool) -> bool:
    """Into the run, or as the first of a new one. False if it repeats a circle that was counted."""
    run = tracker.run
    if not in_contact or verdict.value != run.value:
        _begin_run(tracker, verdict)
        return True
    if tracker.value == run.value:  # once presence follows the run, nothing more rests on its facts
        return True
    if verdict.circle is not None:
        if verdict.circle in run.circles:
            return False
        run.circles.append(verdict.circle)
    run.count += 1
    run.digest = chained_digest(run.digest, verdict.fact)
    return True


def _begin_run(tracker: Tracker, verdict: Verdict) -> None:
    digest = chained_digest(b"", verdict.fact)
    circles = [] if verdict.circle is None else [verdict.circle]
    fact_id, zone_id = verdict.fact.fact_id, verdict.zone_id_of()
    tracker.run = Run(verdict.value, verdict.at_ms, 1, fact_id, digest, zone_id, circles)
    tracker.run_sighted_to_ms = ALWAYS_MS


def _hold(tracker: Tracker, verdict: Verdict) -> None:
    tracker.last_ms, tracker.last_id = verdict.at_ms, verdict.fact.fact_id
    tracker.last_holds_to_ms = verdict.holds_to_ms
    if verdict.is_sighting:
        tracker.run_sighted_to_ms = max(tracker.run_sighted_to_ms, verdict.holds_to_ms)
        tracker.sighted_to_ms = max(tracker.sighted_to_ms, verdict.holds_to_ms)
    else:
        tracker.position_ms, tracker.position_holds_to_ms = verdict.at_ms, verdict.holds_to_ms


def _lapse(tracker: Tracker, at_ms: int) -> bool:
    lapse_ms = lapses_ms(tracker)
    if at_ms <= lapse_ms:
        return False
    _close(tracker, lapse_ms)
    return True


def _change(tracker: Tracker, verdict: Verdict) -> None:
    run = tracker.run
    if tracker.value != UNKNOWN:
        _close(tracker, run.first_ms)
    tracker.segments.append(
        Segment(
            run.value, run.first_ms, verdict.at_ms, None, run.first_id, verdict.fact.fact_id, run.digest, run.zone_id,
        )
    )  # fmt: skip
    run.circles = []
    tracker.sighted_to_ms = tracker.run_sighted_to_ms


def _close(tracker: Tracker, end_ms: int) -> None:
    tracker.segments[-1] = msgspec.structs.replace(tracker.segments[-1], end_ms=end_ms)


def cut_holds(tracker: Tracker, to_ms: int) -> bool:
    """The home unit is in trouble: what its sightings hold ends at an instant, if not before. True if the open segment does."""
    before_ms = lapses_ms(tracker)
    tracker.run_sighted_to_ms = min(tracker.run_sighted_to_ms, to_ms)
    tracker.sighted_to_ms = min(tracker.sighted_to_ms, to_ms)
    if tracker.last_ms != tracker.position_ms:  # the last verdict is a sighting
        tracker.last_holds_to_ms = min(tracker.last_holds_to_ms, to_ms)
    return lapses_ms(tracker) != before_ms


class Stretch(NamedTuple):
    """A stretch of presence as seen at one *now*, UNKNOWN ones too. `end_ms` None: it lasts at *now*."""

    value: int
    begin_ms: int
    end_ms: int | None
    known_ms: int
    segment: Segment | None


def stretches(tracker: Tracker, now_ms: int) -> list[Stretch]:
    """The whole step function that the tracker holds, from ALWAYS_MS, without holes, up to *now*."""
    found: list[Stretch] = []
    reached_ms = ALWAYS_MS
    for segment in tracker.segments:
        if segment.begin_ms > reached_ms:
            found.append(Stretch(UNKNOWN, reached_ms, segment.begin_ms, reached_ms, None))
        end_ms = segment.end_ms
        if end_ms is None:
            lapse_ms = lapses_ms(tracker)
            end_ms = lapse_ms if lapse_ms <= now_ms else None
        found.append(Stretch(segment.value, segment.begin_ms, end_ms, segment.known_ms, segment))
        reached_ms = FOREVER_MS if end_ms is None else end_ms
    if reached_ms < FOREVER_MS:
        found.append(Stretch(UNKNOWN, reached_ms, None, reached_ms, None))
    return found


def lapses_ms(tracker: Tracker) -> int:
    """When presence becomes UNKNOWN if nothing decisive comes; FOREVER_MS if it is UNKNOWN."""
    if tracker.value == UNKNOWN:
        return FOREVER_MS
    by_position = tracker.position_ms >= tracker.segments[-1].begin_ms
    return max(tracker.position_holds_to_ms, tracker.sighted_to_ms) if by_position else tracker.sighted_to_ms


def frontier_ms(tracker: Tracker, fed_to_ms: int) -> int:
    """Before this instant no fact that comes in order (at or after `fed_to_ms`) can change presence."""
    alive = tracker.last_ms is not None and fed_to_ms <= tracker.last_holds_to_ms
    pending = alive and tracker.run.value != tracker.value
    return min(fed_to_ms, tracker.run.first_ms) if pending else fed_to_ms


def forget(tracker: Tracker, before_ms: int) -> None:
    """Drop segments that ended at or before `before_ms`, but for the last of them: a reason may rest on it. And the starts of
    periods before it."""
    past = sum(1 for segment in tracker.segments if segment.end_ms is not None and segment.end_ms <= before_ms)
    if past > 1:
        del tracker.segments[: past - 1]
    for start_ms in [start_ms for start_ms in tracker.starts if start_ms < before_ms]:
        del tracker.starts[start_ms]
