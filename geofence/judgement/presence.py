"""Presence of one wearer with regard to one zone, as decisive verdicts come in (RULES.md section 4).

Theory of operation
===================

A *tracker* holds the step function of presence as *segments* (INSIDE or OUTSIDE; between them it is UNKNOWN) and
the *run* of equal decisive verdicts that is in progress. Verdicts come in the order of their time. Each is one of

    verdict, compared with the run     gap since the last one   the run becomes          the open segment
    ---------------------------------  -----------------------  -----------------------  -----------------------
    at the same instant as the last    none                     as it was                as it was (only recorded)
    equal                              at most max_gap          one verdict longer       as it was
    opposite                           at most max_gap          this verdict alone       as it was
    any                                more than max_gap        this verdict alone       ends at last + max_gap

and after it, if the run is *complete* (enough verdicts over enough time, or an RF sighting in it just now) and says
something else than the open segment:

    the open segment ends where the run began; a segment of the run's value begins there, known now.

UNKNOWN verdicts never come here: they neither confirm nor break anything. A segment that ended never changes again
while facts come in order; the open one ends by itself at last + max_gap when time has passed that (a *lapse*),
which `stretches` reads without changing the tracker, because a verdict at exactly that instant is no gap.

`kernels_sweep.py` has the same table for sweeps; `tests/test_presence_table.py` holds both to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from geofence.facts import Fact, chained_digest
from geofence.words import ALWAYS_MS, FOREVER_MS, Presence

INSIDE = int(Presence.INSIDE)
OUTSIDE = int(Presence.OUTSIDE)
UNKNOWN = int(Presence.UNKNOWN)


class Confirmation(NamedTuple):
    """What completes a run, and what breaks it."""

    points: int
    span_ms: int
    max_gap_ms: int


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


class Tracker(msgspec.Struct, array_like=True):
    """State of one presence. `segments` in order of time; only the last can be open."""

    segments: list[Segment] = []
    last_ms: int | None = None
    run_value: int = UNKNOWN
    run_first_ms: int = 0
    run_count: int = 0
    run_first_id: int = 0
    run_digest: bytes = b""
    rf_in_ms: int | None = None
    """Time of the RF sighting that takes precedence over positions, if one does."""
    run_zone_id: str | None = None
    """The member of a zone set that the first verdict of the run is about. Last, and optional: what was stored before there
    were sets is without it."""

    def copy(self) -> Tracker:
        """A tracker that can be fed without changing this one."""
        twin = msgspec.structs.replace(self)
        twin.segments = list(self.segments)
        return twin

    @property
    def value(self) -> int:
        """Presence as the last verdict left it (a lapse since then not counted)."""
        return self.segments[-1].value if self.segments and self.segments[-1].end_ms is None else UNKNOWN


def feed(
    tracker: Tracker,
    verdict: int,
    at_ms: int,
    fact: Fact,
    confirmation: Confirmation,
    *,
    sighting: bool,
    zone_id_of: Callable[[], str | None] | None = None,
) -> bool:
    """One decisive verdict, in order of time. True if a segment began or ended.

    `sighting`: an RF sighting completes the run it stands in by itself. `zone_id_of`: tells the member of a zone set that the
    fact is about; asking costs much, so it is called only if a run begins. Raises ValueError for a verdict that is not decisive
    or comes before the last one.
    """
    if verdict == UNKNOWN:
        raise ValueError("an UNKNOWN verdict is not decisive")
    if tracker.last_ms is None:
        _begin_run(tracker, verdict, at_ms, fact, zone_id_of)
        changed = False
    else:
        since_ms = at_ms - tracker.last_ms
        if since_ms < 0:
            raise ValueError(f"a verdict at {at_ms} after one at {tracker.last_ms}")
        if since_ms == 0:
            return False
        changed = since_ms > confirmation.max_gap_ms and _lapse(tracker, confirmation.max_gap_ms)
        if since_ms > confirmation.max_gap_ms or verdict != tracker.run_value:
            _begin_run(tracker, verdict, at_ms, fact, zone_id_of)
        else:
            _lengthen_run(tracker, fact)
    tracker.last_ms = at_ms
    long_enough = tracker.run_count >= confirmation.points and at_ms - tracker.run_first_ms >= confirmation.span_ms
    if (sighting or long_enough) and tracker.value != verdict:
        _change(tracker, at_ms, fact)
        changed = True
    return changed


def _begin_run(
    tracker: Tracker, verdict: int, at_ms: int, fact: Fact, zone_id_of: Callable[[], str | None] | None
) -> None:
    tracker.run_value, tracker.run_first_ms, tracker.run_count = verdict, at_ms, 1
    tracker.run_first_id, tracker.run_digest = fact.fact_id, chained_digest(b"", fact)
    tracker.run_zone_id = None if zone_id_of is None else zone_id_of()


def _lengthen_run(tracker: Tracker, fact: Fact) -> None:
    tracker.run_count += 1
    if tracker.value != tracker.run_value:  # once presence follows the run, nothing more rests on its facts
        tracker.run_digest = chained_digest(tracker.run_digest, fact)


def _lapse(tracker: Tracker, max_gap_ms: int) -> bool:
    assert tracker.last_ms is not None
    if tracker.value == UNKNOWN:
        return False
    _close(tracker, tracker.last_ms + max_gap_ms)
    return True


def _change(tracker: Tracker, known_ms: int, fact: Fact) -> None:
    if tracker.value != UNKNOWN:
        _close(tracker, tracker.run_first_ms)
    tracker.segments.append(
        Segment(
            tracker.run_value,
            tracker.run_first_ms,
            known_ms,
            None,
            tracker.run_first_id,
            fact.fact_id,
            tracker.run_digest,
            tracker.run_zone_id,
        )
    )


def _close(tracker: Tracker, end_ms: int) -> None:
    tracker.segments[-1] = msgspec.structs.replace(tracker.segments[-1], end_ms=end_ms)


class Stretch(NamedTuple):
    """A stretch of presence as seen at one *now*, UNKNOWN ones too. `end_ms` None: it lasts at *now*."""

    value: int
    begin_ms: int
    end_ms: int | None
    known_ms: int
    segment: Segment | None


def stretches(tracker: Tracker, max_gap_ms: int, now_ms: int) -> list[Stretch]:
    """The whole step function that the tracker holds, from ALWAYS_MS, without holes, up to *now*."""
    found: list[Stretch] = []
    reached_ms = ALWAYS_MS
    for segment in tracker.segments:
        if segment.begin_ms > reached_ms:
            found.append(Stretch(UNKNOWN, reached_ms, segment.begin_ms, reached_ms, None))
        end_ms = segment.end_ms
        if end_ms is None:
            lapse_ms = lapses_ms(tracker, max_gap_ms)
            end_ms = lapse_ms if lapse_ms <= now_ms else None
        found.append(Stretch(segment.value, segment.begin_ms, end_ms, segment.known_ms, segment))
        reached_ms = FOREVER_MS if end_ms is None else end_ms
    if reached_ms < FOREVER_MS:
        found.append(Stretch(UNKNOWN, reached_ms, None, reached_ms, None))
    return found


def lapses_ms(tracker: Tracker, max_gap_ms: int) -> int:
    """When presence becomes UNKNOWN if nothing decisive comes; FOREVER_MS if it is UNKNOWN."""
    if tracker.last_ms is None or tracker.value == UNKNOWN:
        return FOREVER_MS
    return tracker.last_ms + max_gap_ms


def frontier_ms(tracker: Tracker, fed_to_ms: int, max_gap_ms: int) -> int:
    """Before this instant no fact that comes in order (at or after `fed_to_ms`) can change presence."""
    if tracker.last_ms is None:
        return fed_to_ms
    alive = fed_to_ms - tracker.last_ms <= max_gap_ms
    pending = alive and tracker.run_value != tracker.value
    return min(fed_to_ms, tracker.run_first_ms) if pending else fed_to_ms


def forget(tracker: Tracker, before_ms: int) -> None:
    """Drop segments that ended at or before `before_ms`, but for the last of them: a reason may rest on it."""
    past = sum(1 for segment in tracker.segments if segment.end_ms is not None and segment.end_ms <= before_ms)
    if past > 1:
        del tracker.segments[: past - 1]
