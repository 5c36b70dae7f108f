"""How people kept to curfews, by month, from obligations and findings as they were known: no fact is judged again.

Times for which nobody could tell are those that findings say so of (UNVERIFIED, NO_COMMUNICATION); shorter ones are no finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from emtrack.forms.wall_time import zone_named
from emtrack.record.plans import Assignment, load_assignments
from emtrack.worth.facts import Month
from geofence import Interval, Kind, ObligationKind, Requirement, clipped, datetime_of, merged, subtracted
from geofence.judgement import DAY_MS, Schedule

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

HOUR_MS: Final = 3_600_000
DAYS: Final = 366
UNTOLD: Final = frozenset({Kind.UNVERIFIED, Kind.NO_COMMUNICATION})
FINDINGS = """
SELECT f.activation_no, f.entry_no, f.kind, epoch_ms(v.begin_at) AS begin_ms, epoch_ms(v.end_at) AS end_ms
FROM findings f CROSS JOIN LATERAL version_known_at(f.finding_no, $2) v
WHERE f.activation_no = ANY($1::bigint[]) AND v.change <> 'withdrawn' AND (v.end_at IS NULL OR v.end_at > $3) AND v.begin_at < $2
"""


class _Found(NamedTuple):
    """Findings of an activation. `out`: by entry of a requirement. `untold`: those of the tag itself under None."""

    begins: list[int]
    out: dict[int | None, list[Interval]]
    untold: dict[int | None, list[Interval]]


async def months_under_tags(
    connection: Connection, tagged: Mapping[int, int], cohorts: Mapping[int, str], known_ms: int
) -> list[Month]:
    """`tagged`: number of a record to that of the person; `cohorts`: by person. Of the last 12 months."""
    begin_ms = known_ms - DAYS * DAY_MS
    assignments = await load_assignments(connection, known_ms, sorted(tagged))
    found = await _findings(connection, list(assignments), begin_ms, known_ms)
    months: list[Month] = []
    for number, assignment in assignments.items():
        person = tagged[assignment.wearer_no]
        zone = zone_named(assignment.plan.timezone)
        months += _months(assignment, found[number], person, cohorts[person], Interval(begin_ms, known_ms), zone)
    return months


async def _findings(
    connection: Connection, activations: Sequence[int], begin_ms: int, known_ms: int
) -> dict[int, _Found]:
    found: dict[int, _Found] = defaultdict(lambda: _Found([], defaultdict(list), defaultdict(list)))
    rows = await connection.fetch(FINDINGS, activations, datetime_of(known_ms), datetime_of(begin_ms))
    for row in rows:
        there = found[row["activation_no"]]
        span = Interval(row["begin_ms"], known_ms if row["end_ms"] is None else row["end_ms"])
        there.begins.append(row["begin_ms"])
        if row["kind"] == Kind.CURFEW:
            there.out[row["entry_no"]].append(span)
        elif row["kind"] in UNTOLD:
            there.untold[row["entry_no"]].append(span)
    return found


def _months(
    assignment: Assignment, found: _Found, person: int, cohort: str, span: Interval, zone: ZoneInfo
) -> list[Month]:
    activation = assignment.plan.activation
    worn = clipped([(activation.from_ms, activation.to_ms)], span.begin_ms, span.end_ms)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 7)
    for day_ms in _days(worn):
        sums[_month_of(day_ms, zone)][0] += 1 / 7
    for begin_ms in found.begins:
        if worn and worn[0].begin_ms <= begin_ms < worn[0].end_ms:
            sums[_month_of(begin_ms, zone)][1] += 1
    for requirement in assignment.plan.judged:
        if requirement.kind is ObligationKind.CURFEW and worn:
            _add_curfew(sums, assignment, requirement, found, worn[0], zone)
    return [
        Month(person, cohort, name, weeks, int(findings), obliged, out, untold, int(nights), int(bad))
        for name, (weeks, findings, obliged, out, untold, nights, bad) in sums.items()
    ]


def _days(worn: Iterable[Interval]) -> Iterable[int]:
    for span in worn:
        yield from range(span.begin_ms, span.end_ms, DAY_MS)


def _month_of(instant_ms: int, zone: ZoneInfo) -> str:
    return datetime_of(instant_ms).replace(tzinfo=UTC).astimezone(zone).strftime("%Y-%m")


def _add_curfew(
    sums: dict[str, list[float]],
    assignment: Assignment,
    requirement: Requirement,
    found: _Found,
    span: Interval,
    zone: Any,
) -> None:
    entry_no = int(requirement.entry_id)
    outs = merged(found.out[entry_no])
    untolds = subtracted(merged([*found.untold[entry_no], *found.untold[None]]), outs)
    periods = clipped(
        Schedule(assignment.plan, requirement).periods(span.begin_ms, span.end_ms), span.begin_ms, span.end_ms
    )
    for period in periods:
        obliged = _length(period)
        out, untold = (sum(map(_length, clipped(spans, *period))) for spans in (outs, untolds))
        month = sums[_month_of(period.begin_ms, zone)]
        month[2] += obliged / HOUR_MS
        month[3] += out / HOUR_MS
        month[4] += untold / HOUR_MS
        month[5] += untold < obliged
        month[6] += out > 0


def _length(span: Interval) -> int:
    return span.end_ms - span.begin_ms
