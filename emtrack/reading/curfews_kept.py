"""How people kept to curfews, by month, from obligations and findings as they were known: no fact is judged again.

Times for which nobody could tell are those that findings say so of (UNVERIFIED, NO_COMMUNICATION); shorter ones are no finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from emtrack.forms.wall_time import zone_named
from emtrack.record.plans import Assignment, load_assignments
from emtrack.worth.facts import Month
from geofence import Interval, Kind, ObligationKind, Requirement, clipped, datetime_of, instant_of, merged, subtracted
from geofence.judgement import DAY_MS, Schedule

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

HOUR_MS: Final = 3_600_000
WEEK_MS: Final = 7 * DAY_MS
DAYS: Final = 366
NOON_MS: Final = DAY_MS // 2
"""From a noon on: a timetable that is asked from a midnight, within a night, is worked out from its very beginning (4.7 s for 730
people with tags; 1.9 s so)."""
UNTOLD: Final = frozenset({Kind.UNVERIFIED, Kind.NO_COMMUNICATION})
FINDINGS = """
SELECT f.activation_no, f.entry_no, f.kind, epoch_ms(v.begin_at) AS begin_ms, epoch_ms(v.end_at) AS end_ms
FROM findings f CROSS JOIN LATERAL version_known_at(f.finding_no, $2) v
WHERE f.activation_no = ANY($1::bigint[]) AND v.change <> 'withdrawn' AND (v.end_at IS NULL OR v.end_at > $3) AND v.begin_at < $2
"""


class FoundOf(NamedTuple):
    """Findings of an activation. `out`: by entry of a requirement. `untold`: those of the tag itself under None. `kinds`: of each, as
    `begins`."""

    begins: list[int]
    kinds: list[str]
    out: dict[int | None, list[Interval]]
    untold: dict[int | None, list[Interval]]


class Kept(NamedTuple):
    """A curfew over a time, sorted and apart: when it was in force, when the wearer was out by then, and when nobody could tell."""

    periods: list[Interval]
    outs: list[Interval]
    untolds: list[Interval]


async def months_under_tags(
    connection: Connection, tagged: Mapping[int, int], cohorts: Mapping[int, str], known_ms: int
) -> list[Month]:
    """`tagged`: number of a record to that of the person; `cohorts`: by person. Of the last 12 months."""
    begin_ms = known_ms - DAYS * DAY_MS - NOON_MS
    assignments = await load_assignments(connection, known_ms, sorted(tagged))
    found = await findings_of(connection, list(assignments), begin_ms, known_ms)
    months: list[Month] = []
    span = Interval(begin_ms, known_ms)
    for number, assignment in assignments.items():
        person = tagged[assignment.wearer_no]
        calendar = _calendar(span, zone_named(assignment.plan.timezone))
        months += _months(assignment, found[number], person, cohorts[person], span, calendar)
    return months


async def findings_of(
    connection: Connection, activations: Sequence[int], begin_ms: int, known_ms: int
) -> dict[int, FoundOf]:
    """Those that stood at `known_ms` and had not ended by `begin_ms`, by activation."""
    found: dict[int, FoundOf] = defaultdict(lambda: FoundOf([], [], defaultdict(list), defaultdict(list)))
    rows = await connection.fetch(FINDINGS, activations, datetime_of(known_ms), datetime_of(begin_ms))
    for row in rows:
        there = found[row["activation_no"]]
        span = Interval(row["begin_ms"], known_ms if row["end_ms"] is None else row["end_ms"])
        there.begins.append(row["begin_ms"])
        there.kinds.append(row["kind"])
        if row["kind"] == Kind.CURFEW:
            there.out[row["entry_no"]].append(span)
        elif row["kind"] in UNTOLD:
            there.untold[row["entry_no"]].append(span)
    return found


class _Calendar(NamedTuple):
    """Months that a span touches: names, and where each begins; one more: where the last one ends."""

    names: list[str]
    edges: NDArray[np.int64]


def _calendar(span: Interval, zone: ZoneInfo) -> _Calendar:
    first, last = (datetime_of(at).astimezone(zone).date() for at in span)
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    days = [date(no // 12, no % 12 + 1, 1) for no in (*months, months[-1] + 1)]
    edges = [instant_of(datetime.combine(day, datetime.min.time(), zone)) for day in days]
    return _Calendar([f"{day:%Y-%m}" for day in days[:-1]], np.array(edges, np.int64))


def _months(
    assignment: Assignment, found: FoundOf, person: int, cohort: str, span: Interval, calendar: _Calendar
) -> list[Month]:
    """Arrays by month: people have some hundred nights a year, and are many."""
    activation = assignment.plan.activation
    worn = clipped([(activation.from_ms, activation.to_ms)], span.begin_ms, span.end_ms)
    if not worn:
        return []
    weeks = lengths_within(worn, calendar.edges) / WEEK_MS
    begins = np.array(found.begins, np.int64)
    during = begins[(begins >= worn[0].begin_ms) & (begins < worn[0].end_ms)]
    findings = np.histogram(during, calendar.edges)[0]
    sums = np.zeros((5, len(calendar.names)))
    for requirement in assignment.plan.judged:
        if requirement.kind is ObligationKind.CURFEW:
            sums += _curfew(assignment, requirement, found, worn[0], calendar)
    return [
        Month(person, cohort, name, float(weeks[no]), int(findings[no]), obliged, out, untold, int(nights), int(bad))
        for no, name in enumerate(calendar.names)
        if weeks[no] > 0
        for obliged, out, untold, nights, bad in [sums[:, no].tolist()]
    ]


def _curfew(
    assignment: Assignment, requirement: Requirement, found: FoundOf, span: Interval, calendar: _Calendar
) -> NDArray[np.float64]:
    """By month: hours obliged, out and untold; nights that are known at all, and those with a violation. A night belongs to the month
    in which it begins."""
    periods, outs, untolds = kept(assignment, requirement, found, span)
    if not periods:
        return np.zeros((5, len(calendar.names)))
    begins, ends = np.array(periods, np.int64).T
    out, untold = (_before(spans, ends) - _before(spans, begins) for spans in (outs, untolds))
    obliged = ends - begins
    month = np.clip(np.searchsorted(calendar.edges, begins, "right") - 1, 0, len(calendar.names) - 1)
    each = (obliged / HOUR_MS, out / HOUR_MS, untold / HOUR_MS, untold < obliged, out > 0)
    return np.stack([np.bincount(month, values, len(calendar.names)) for values in each])


def kept(assignment: Assignment, requirement: Requirement, found: FoundOf, span: Interval) -> Kept:
    """How a curfew was kept to, by what was found."""
    entry_no = int(requirement.entry_id)
    periods = clipped(Schedule(assignment.plan, requirement).periods(*span), *span)
    outs = merged(found.out[entry_no])
    return Kept(periods, outs, subtracted(merged([*found.untold[entry_no], *found.untold[None]]), outs))


def lengths_within(spans: Sequence[Interval], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many milliseconds of the spans lie between each edge and the next."""
    return np.diff(_before(spans, edges))


def _before(spans: Sequence[Interval], instants: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many milliseconds of the spans, which are sorted and apart, lie before each instant."""
    if not spans:
        return np.zeros(len(instants))
    begins, ends = np.array(spans, np.float64).T
    lengths = np.cumsum(ends - begins)
    points = np.stack([begins, ends], 1).ravel()
    before: NDArray[np.float64] = np.interp(
        instants, points, np.stack([lengths - (ends - begins), lengths], 1).ravel()
    )
    return before
