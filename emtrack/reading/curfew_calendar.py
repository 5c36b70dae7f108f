"""How somebody kept to curfews, day by day: at home, not at home, or not known, of the hours that were obliged. Days are those
of the orders' time zone, so that one in spring has 23 hours and one in autumn 25."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from emtrack.forms.wall_time import zone_named
from emtrack.reading.band import BandPart, bands_of
from emtrack.record.plans import Assignment, load_assignments
from geofence import Interval, ObligationKind, Presence, Requirement, clipped, datetime_of, instant_of, merged
from geofence.judgement import Schedule

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.reading.history import View
    from emtrack.record.zone_sets import ZoneSetCache


class CurfewDay(NamedTuple):
    """A day from midnight to midnight, as far as it lies in the view and is over. `parts`: of the time that was obliged, in
    order. `is_whole`: all of the day is in it."""

    day: Interval
    parts: list[BandPart]
    is_whole: bool

    def spent_ms(self, presence: Presence) -> int:
        return sum(part.end_ms - part.begin_ms for part in self.parts if part.presence is presence)

    @property
    def obliged_ms(self) -> int:
        return sum(part.end_ms - part.begin_ms for part in self.parts)


class CurfewCalendar(NamedTuple):
    """Of one curfew as it was in force; of a varied one there are several."""

    requirement: Requirement
    days: list[CurfewDay]


async def curfew_calendars(
    connection: Connection, view: View, known_ms: int, zone_sets: ZoneSetCache
) -> list[CurfewCalendar]:
    """As known at an instant. After the look."""
    assignments = list((await load_assignments(connection, known_ms, [view.wearer_no])).values())
    bands = await bands_of(connection, view, known_ms, zone_sets)
    span = Interval(view.begin_ms, min(view.end_ms, known_ms))
    if not assignments or span.begin_ms >= span.end_ms:
        return []
    days = days_of(span, zone_named(assignments[0].plan.timezone))
    presence: dict[str, list[BandPart]] = {}
    for band in bands:
        presence.setdefault(band.requirement_id, []).extend(band.parts)
    curfews = {
        r.entry_id: r
        for assignment in assignments
        for r in assignment.plan.requirements
        if r.kind is ObligationKind.CURFEW
    }
    found = [
        _calendar(
            requirement,
            periods_of(assignments, requirement, span),
            presence.get(requirement.requirement_id, []),
            days,
            span,
        )
        for requirement in sorted(curfews.values(), key=lambda r: (r.requirement_id, r.from_ms))
    ]
    return [calendar for calendar in found if any(day.parts for day in calendar.days)]


def periods_of(assignments: Sequence[Assignment], requirement: Requirement, span: Interval) -> list[Interval]:
    """When a requirement obliges somebody with a tag, within a span: with absences taken out."""
    periods: list[Interval] = []
    for assignment in assignments:
        if any(held.entry_id == requirement.entry_id for held in assignment.plan.requirements):
            periods += clipped(Schedule(assignment.plan, requirement).periods(*span), *span)
    return merged(periods)


def days_of(span: Interval, zone: ZoneInfo) -> list[Interval]:
    """Whole days that a span touches, from midnight to midnight there."""
    day = datetime_of(span.begin_ms).astimezone(zone).date()
    found: list[Interval] = []
    while True:
        begin_ms, end_ms = (
            instant_of(datetime.combine(each, datetime.min.time(), zone)) for each in (day, day + timedelta(days=1))
        )
        if begin_ms >= span.end_ms:
            return found
        found.append(Interval(begin_ms, end_ms))
        day += timedelta(days=1)


def _calendar(
    requirement: Requirement,
    periods: Sequence[Interval],
    presence: Sequence[BandPart],
    days: Sequence[Interval],
    span: Interval,
) -> CurfewCalendar:
    return CurfewCalendar(
        requirement,
        [
            CurfewDay(
                day,
                _parts(clipped(periods, *day), presence),
                span.begin_ms <= day.begin_ms and day.end_ms <= span.end_ms,
            )
            for day in days
        ],
    )


def _parts(obliged: Sequence[Interval], presence: Sequence[BandPart]) -> list[BandPart]:
    """What is known of obliged times; where nothing says anything, that it is not known."""
    parts: list[BandPart] = []
    for period in obliged:
        at_ms = period.begin_ms
        for part in sorted(presence):
            begin_ms, end_ms = max(part.begin_ms, at_ms), min(part.end_ms, period.end_ms)
            if begin_ms >= end_ms:
                continue
            if begin_ms > at_ms:
                parts.append(BandPart(at_ms, begin_ms, Presence.UNKNOWN))
            parts.append(BandPart(begin_ms, end_ms, part.presence))
            at_ms = end_ms
        if at_ms < period.end_ms:
            parts.append(BandPart(at_ms, period.end_ms, Presence.UNKNOWN))
    return parts
