"""Of which time anything is known of somebody, and what was where: for a report that says what was not seen, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from emtrack.reading.band import always_in_force, parts_of
from geofence import FOREVER_MS, Interval, Plan, Presence, merged, subtracted
from geofence.judgement import NO_SETS, PositionStatus
from geofence.sweep import Received, judge_columns

if TYPE_CHECKING:
    from emtrack.reading.casefile import WeighedFix
    from emtrack.record.plans import Assignment
    from geofence import DeviceEvent, Requirement
    from geofence.shapes import ZoneSet


class Coverage(NamedTuple):
    """`worn`: when a tag was on the person. Of that, `known`: when a position says something, because it holds so long; `gaps`: the
    rest."""

    worn: list[Interval]
    known: list[Interval]
    gaps: list[Interval]


class Told(NamedTuple):
    """What the tag of one activation sent."""

    received: Received
    events: Sequence[DeviceEvent]


class Times(NamedTuple):
    """How long somebody was in a zone, out of it, and nobody can tell; of the time in which both tag and zone were in force."""

    inside_ms: int
    outside_ms: int
    unknown_ms: int


def coverage_of(
    assignments: Iterable[Assignment], seen: Sequence[WeighedFix], window: Interval, max_gap_ms: int
) -> Coverage:
    """By positions that are evidence."""
    worn = merged(
        (max(window.begin_ms, a.from_ms), min(window.end_ms, a.to_ms))
        for a in (assignment.plan.activation for assignment in assignments)
    )
    holds = merged(
        (one.fix.position.fix_ms, one.fix.position.fix_ms + max_gap_ms)
        for one in seen
        if one.status is PositionStatus.EVIDENCE
    )
    gaps = [gap for part in worn for gap in subtracted([part], holds)]
    return Coverage(worn, [known for part in worn for known in subtracted([part], gaps)], gaps)


def times_at(
    plan: Plan,
    requirement: Requirement,
    told: Told,
    window: Interval,
    known_ms: int,
    sets: Mapping[str, ZoneSet] = NO_SETS,
) -> Times | None:
    """By the same judge as findings. None: tag and zone were not in force together in that time."""
    activation = plan.activation
    begin_ms = max(window.begin_ms, requirement.from_ms, activation.from_ms)
    end_ms = min(window.end_ms, requirement.to_ms, activation.to_ms, known_ms, FOREVER_MS)
    if begin_ms >= end_ms:
        return None
    span = Interval(begin_ms, end_ms)
    findings = judge_columns(always_in_force(plan, requirement, span), told.received, told.events, known_ms, sets)
    total = dict.fromkeys(Presence, 0)
    for part in parts_of(findings, span):
        total[part.presence] += part.end_ms - part.begin_ms
    return Times(total[Presence.INSIDE], total[Presence.OUTSIDE], total[Presence.UNKNOWN])
