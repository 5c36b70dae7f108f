"""In, out or not known over a time, of somebody who is heard by home units: what a map is for somebody with positions.

The bands are made by the judgement itself, of a curfew that is always in force: what it finds is when the person was out and when
nobody could tell, and the rest of the time the person was in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from emtrack.record.facts import load_facts
from emtrack.record.plans import Assignment, load_assignments
from emtrack.record.zone_sets import ZoneSetCache
from geofence import Fact, Interval, Kind, ObligationKind, Plan, Presence, Requirement, merged, subtracted
from geofence.judgement import NO_SETS, Finding, judge_history

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.reading.history import View
    from geofence.shapes import ZoneSet

LEAD_MS = 7 * 86_400_000
"""A sighting speaks for no longer than this."""
EVER_MS = 10**12


class BandPart(NamedTuple):
    """A stretch of one presence."""

    begin_ms: int
    end_ms: int
    presence: Presence


class Band(NamedTuple):
    """The presence of one tag at the address of one curfew in the time of a view. Parts in order, apart where no tag was fitted."""

    requirement_id: str
    device_id: str
    parts: list[BandPart]


async def bands_of(
    connection: Connection, view: View, known_ms: int, zone_sets: ZoneSetCache, requirement_id: str | None = None
) -> list[Band]:
    """One for each curfew (None: of all) and tag in the time of the view, as known at an instant."""
    assignments = (await load_assignments(connection, known_ms, [view.wearer_no])).values()
    sets = await zone_sets.sets_of(connection, (r for a in assignments for r in a.plan.requirements))
    wanted = [(a, view.begin_ms - LEAD_MS) for a in assignments if _overlap(a, view) is not None]
    facts = await load_facts(connection, wanted)
    bands = [
        _band(assignment, requirement, facts[assignment.activation_no], view, known_ms, sets)
        for assignment, _ in wanted
        for requirement in assignment.plan.judged
        if requirement.kind is ObligationKind.CURFEW and requirement_id in (None, requirement.requirement_id)
    ]
    return [band for band in bands if band.parts]


def _overlap(assignment: Assignment, view: View) -> Interval | None:
    activation = assignment.plan.activation
    return _within(Interval(activation.from_ms, activation.to_ms), Interval(view.begin_ms, view.end_ms))


def _within(one: Interval, other: Interval) -> Interval | None:
    begin_ms, end_ms = max(one.begin_ms, other.begin_ms), min(one.end_ms, other.end_ms)
    return Interval(begin_ms, end_ms) if begin_ms < end_ms else None


def _band(
    assignment: Assignment,
    requirement: Requirement,
    facts: Sequence[Fact],
    view: View,
    known_ms: int,
    sets: Mapping[str, ZoneSet],
) -> Band:
    shown = _overlap(assignment, view)
    valid = Interval(requirement.from_ms, min(requirement.to_ms, known_ms))
    span = None if shown is None else _within(shown, valid)
    parts = [] if span is None else presence_parts(assignment.plan, requirement, facts, span, known_ms, sets)
    return Band(requirement.requirement_id, assignment.plan.activation.device_id, parts)


def presence_parts(
    plan: Plan,
    requirement: Requirement,
    facts: Sequence[Fact],
    span: Interval,
    known_ms: int,
    sets: Mapping[str, ZoneSet] = NO_SETS,
) -> list[BandPart]:
    """The presence of the wearer at the address of a curfew, or in another zone, over a span, from the facts received by an instant;
    in order."""
    return parts_of(judge_history(always_in_force(plan, requirement, span), facts, known_ms, sets), span)


def always_in_force(plan: Plan, requirement: Requirement, span: Interval) -> Plan:
    """A plan whose findings say where the wearer was over a span. Of another zone than a curfew's it is asked as of an inclusion,
    which finds who is outside and who nobody can tell."""
    kind = requirement.kind if requirement.kind is ObligationKind.CURFEW else ObligationKind.INCLUSION
    always = replace(
        requirement,
        kind=kind,
        buffer_m=0.0,
        from_ms=span.begin_ms,
        to_ms=span.end_ms,
        timetable=None,
        seen_within_ms=EVER_MS,
        grace_ms=0,
    )
    return replace(plan, requirements=(always,), absences=(), settings=replace(plan.settings, unknown_limit_ms=0))


def parts_of(findings: Iterable[Finding], span: Interval) -> list[BandPart]:
    """Of the findings of such a plan; in order."""
    found: dict[Presence, list[Interval]] = {Presence.OUTSIDE: [], Presence.UNKNOWN: []}
    for finding in findings:
        if finding.kind not in _MEANS:
            continue
        end_ms = span.end_ms if finding.end_ms is None else finding.end_ms
        part = _within(Interval(finding.begin_ms, end_ms), span)
        if part is not None:
            found[_MEANS[finding.kind]].append(part)
    return sorted(_parts(found, span))


_MEANS = {Kind.CURFEW: Presence.OUTSIDE, Kind.INCLUSION: Presence.OUTSIDE, Kind.UNVERIFIED: Presence.UNKNOWN}


def _parts(found: Mapping[Presence, Sequence[Interval]], span: Interval) -> Iterator[BandPart]:
    elsewhere = merged([part for parts in found.values() for part in parts])
    for part in subtracted([span], elsewhere):
        yield BandPart(part.begin_ms, part.end_ms, Presence.INSIDE)
    for presence, parts in found.items():
        for part in parts:
            yield BandPart(part.begin_ms, part.end_ms, presence)
