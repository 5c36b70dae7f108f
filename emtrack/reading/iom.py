"""The programme as people read it: the cohort in order, each row with its reason, and one person's chronology.

Order of the cohort (IOM.md): open alert severity; grade; how bad; band; oldest review first. It is a tuple and no sum: what is
compared first decides. Three panels stand beside each other and are never added up: how likely in general, what changed, how bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from alerts import literal_pattern
from emtrack.forms.iom import RagGrade
from emtrack.forms.wall_time import zone_named
from emtrack.iom.assessments import BANDS, Rosh
from emtrack.iom.entries import Entry, load, records_of_person
from emtrack.iom.grades import DAY_MS
from emtrack.reading.iom_seldom import LAST, ROSH_WORDS, HowBad, HowLikely, SeldomCache, SeldomKnown, together
from emtrack.record.deployment_settings import load_settings
from geofence import datetime_of, format_instant

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from emtrack.db.connect import Connection

SEVERITIES: Final = {1: "critical", 2: "serious", 3: "warning", 4: "information"}
GRADES: Final = {RagGrade.RED: 1, RagGrade.AMBER: 2, RagGrade.GREEN: 3}

# Names are asked for apart: the planner takes members to be few, and would go through all people for each.
MEMBERS = """
SELECT m.wearer_no, m.content ->> 'cohort' AS cohort, m.content ->> 'lead_agency' AS lead_agency,
       m.content ->> 'lead_officer' AS lead_officer, coalesce(g.group_no, m.wearer_no) AS main_no
FROM iom_now m LEFT JOIN merged_people() g ON g.wearer_no = m.wearer_no
WHERE m.noun = 'membership' AND m.state = 'OPEN'
"""
NAMES = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_no = ANY($1::bigint[])"
# Those who live in a part of an address, of whose record is open.
IN_AREA = """
SELECT d.wearer_no FROM wearer_details d
WHERE upper_inf(d.recorded) AND d.wearer_no = ANY($1::bigint[]) AND d.address ILIKE $2
"""
# Every record of some people, each with the one under which they are read.
RECORDS = """
SELECT p.wearer_no AS main_no, coalesce(g.wearer_no, p.wearer_no) AS wearer_no
FROM unnest($1::bigint[]) AS p (wearer_no)
LEFT JOIN merged_people() mine ON mine.wearer_no = p.wearer_no LEFT JOIN merged_people() g ON g.group_no = mine.group_no
"""
HELD = """
SELECT p.wearer_no, g.grade, CASE WHEN isfinite(g.since) THEN epoch_ms(g.since) END AS since_ms, epoch_ms(e.due_at) AS review_ms
FROM unnest($1::bigint[]) AS p (wearer_no)
CROSS JOIN LATERAL (SELECT grade, since FROM rag_grades WHERE wearer_no = p.wearer_no ORDER BY since DESC LIMIT 1) g
LEFT JOIN LATERAL (
    SELECT due_at FROM iom_entries WHERE wearer_no = p.wearer_no AND noun = 'grade' ORDER BY entry_no DESC LIMIT 1) e ON true
"""
OPEN_ALERTS = """
SELECT wearer_no, min(severity) AS severity, count(*) AS open FROM alerts
WHERE closed_at IS NULL AND wearer_no = ANY($1::bigint[]) GROUP BY wearer_no
"""
# Those that expire are found by when, which are few; those that tell of what lasts by an index of their own.
SIGNALS = """
SELECT wearer_no, item_no, content ->> 'kind' AS kind, content ->> 'direction' AS direction, content ->> 'because' AS because,
       epoch_ms(occurred_at) AS occurred_ms, epoch_ms(due_at) AS expires_ms
FROM (SELECT * FROM iom_now WHERE noun = 'signal' AND due_at > $1
      UNION ALL SELECT * FROM iom_now WHERE noun = 'signal' AND due_at IS NULL) s
WHERE state = 'LIVE' AND occurred_at <= $1 ORDER BY occurred_at DESC, item_no
"""
SIGNALS_OF = """
SELECT wearer_no, item_no, content ->> 'kind' AS kind, content ->> 'direction' AS direction, content ->> 'because' AS because,
       epoch_ms(occurred_at) AS occurred_ms, epoch_ms(due_at) AS expires_ms
FROM iom_now WHERE noun = 'signal' AND wearer_no = ANY($2::bigint[]) AND state = 'LIVE' AND occurred_at <= $1
      AND (due_at > $1 OR due_at IS NULL)
ORDER BY occurred_at DESC, item_no
"""
PROPOSED = """
SELECT wearer_no, item_no, content ->> 'grade' AS grade, content ->> 'because' AS because, epoch_ms(recorded_at) AS since_ms
FROM iom_now WHERE noun = 'proposal' AND state = 'OPEN' AND due_at IS NOT NULL AND wearer_no = ANY($1::bigint[])
"""
STATUSES = """
SELECT wearer_no, content ->> 'status' AS status, epoch_ms(lower(valid)) AS since_ms FROM iom_now
WHERE noun = 'status' AND state = 'STATED' AND wearer_no = ANY($1::bigint[]) AND valid @> $2::timestamptz
"""
# What was entered of them since an instant, by noun and state.
CHANGED = """
SELECT wearer_no, noun, state, count(*) AS entries FROM iom_entries
WHERE recorded_at > $2 AND wearer_no = ANY($1::bigint[]) GROUP BY 1, 2, 3 ORDER BY 2, 3
"""


class LiveSignal(msgspec.Struct, frozen=True):
    """A signal as a row shows it; times in milliseconds. `expires_ms` None: what it tells of lasts."""

    item_no: int
    kind: str
    direction: str
    because: str
    occurred_ms: int | None
    expires_ms: int | None


class OpenProposal(msgspec.Struct, frozen=True):
    item_no: int
    grade: str
    because: str
    since_ms: int


class CohortRow(msgspec.Struct, frozen=True):
    """Somebody in the programme. `because`: why the row stands where it does. `changed`: what was entered in the last day, by
    noun."""

    wearer_no: int
    reference: str
    name: str | None
    cohort: str
    lead_agency: str | None
    lead_officer: str | None
    severity: int | None
    open_alerts: int
    grade: str | None
    grade_since_ms: int | None
    review_ms: int | None
    status: str | None
    how_likely: HowLikely | None
    how_bad: HowBad
    signals: list[LiveSignal]
    proposal: OpenProposal | None
    changed: dict[str, int]
    because: list[str]

    @property
    def place(self) -> tuple[Any, ...]:
        """The order of the cohort."""
        band = LAST if self.how_likely is None else len(BANDS) - BANDS.index(self.how_likely.band)
        return (
            self.severity or LAST,
            LAST if self.grade is None else GRADES[RagGrade(self.grade)],
            self.how_bad.place,
            band,
            float("inf") if self.review_ms is None else self.review_ms,
            self.reference,
        )


class Wanted(NamedTuple):
    """Filters; None: whatever it is. `area`: a part of an address."""

    cohort: str | None = None
    grade: str | None = None
    agency: str | None = None
    officer: str | None = None
    status: str | None = None
    area: str | None = None

    def fits(self, row: CohortRow) -> bool:
        pairs = (
            (self.cohort, row.cohort), (self.grade, row.grade), (self.agency, row.lead_agency), (self.officer, row.lead_officer),
            (self.status, row.status),
        )  # fmt: skip
        return all(wanted is None or wanted == there for wanted, there in pairs)


async def records_by_person(connection: Connection, mains: Sequence[int]) -> dict[int, int]:
    """Every record of some people, with the one under which they are read."""
    return {row["wearer_no"]: row["main_no"] for row in await connection.fetch(RECORDS, list(mains))}


async def cohort(
    connection: Connection, seldom: SeldomCache, now_ms: int, wanted: Wanted | None = None, only: int | None = None
) -> list[CohortRow]:
    """Everybody in the programme whom the session may see and who fits, in order. `only`: a person whose row is wanted."""
    members = {row["main_no"]: row for row in await connection.fetch(MEMBERS) if only in (None, row["main_no"])}
    records = await records_by_person(connection, list(members))
    names = {row["wearer_no"]: row for row in await connection.fetch(NAMES, list(members))}
    numbers, now = list(records), datetime_of(now_ms)
    held = _newest_of(records, await connection.fetch(HELD, numbers), "since_ms")
    alerts = _by_main(records, await connection.fetch(OPEN_ALERTS, numbers))
    lasting: dict[int, list[SeldomKnown]] = {}
    for number, known in (await seldom.known(connection, numbers, now_ms)).items():
        lasting.setdefault(records[number], []).append(known)
    found = connection.fetch(SIGNALS, now) if only is None else connection.fetch(SIGNALS_OF, now, numbers)
    signals = _by_main(records, await found)
    proposed = _by_main(records, await connection.fetch(PROPOSED, numbers))
    zone = zone_named((await load_settings(connection, now_ms))[0])
    statuses = _newest_of(records, await connection.fetch(STATUSES, numbers, now), "since_ms")
    changed = _by_main(records, await connection.fetch(CHANGED, numbers, datetime_of(now_ms - DAY_MS)))
    rows = [
        _row(member, names[no], held.get(no), alerts.get(no, []), lasting[no], signals.get(no, []), proposed.get(no, []),
             statuses.get(no), changed.get(no, []), now_ms, zone)
        for no, member in members.items()
        if no in names
    ]  # fmt: skip
    fitting = [row for row in rows if wanted is None or wanted.fits(row)]
    if wanted is not None and wanted.area is not None:
        there = await connection.fetch(IN_AREA, numbers, literal_pattern(wanted.area))
        live_there = {records[row["wearer_no"]] for row in there}
        fitting = [row for row in fitting if row.wearer_no in live_there]
    return sorted(fitting, key=lambda row: row.place)


def _by_main(records: Mapping[int, int], rows: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        if row["wearer_no"] in records:
            found.setdefault(records[row["wearer_no"]], []).append(row)
    return found


def _newest_of(records: Mapping[int, int], rows: Sequence[Any], column: str) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for row in rows:
        main_no = records[row["wearer_no"]]
        if main_no not in found or (row[column] or 0) > (found[main_no][column] or 0):
            found[main_no] = row
    return found


def _row(
    member: Any,
    person: Any,
    held: Any,
    alerts: Sequence[Any],
    lasting: Sequence[SeldomKnown],
    signals: Sequence[Any],
    proposed: Sequence[Any],
    status: Any,
    changed: Sequence[Any],
    now_ms: int,
    zone: ZoneInfo,
) -> CohortRow:
    row = CohortRow(
        wearer_no=member["main_no"],
        reference=person["wearer_id"],
        name=person["name"],
        cohort=member["cohort"],
        lead_agency=member["lead_agency"],
        lead_officer=member["lead_officer"],
        severity=min((one["severity"] for one in alerts), default=None),
        open_alerts=sum(one["open"] for one in alerts),
        grade=None if held is None else held["grade"],
        grade_since_ms=None if held is None else held["since_ms"],
        review_ms=None if held is None else held["review_ms"],
        status=None if status is None else status["status"],
        how_likely=_likeliest(lasting),
        how_bad=together([one.how_bad for one in lasting]),
        signals=[
            LiveSignal(s["item_no"], s["kind"], s["direction"], s["because"], s["occurred_ms"], s["expires_ms"])
            for s in signals
        ],
        proposal=next((OpenProposal(p["item_no"], p["grade"], p["because"], p["since_ms"]) for p in proposed), None),
        changed=_changes(changed),
        because=[],
    )
    return msgspec.structs.replace(row, because=reasons(row, now_ms, zone))


def _changes(changed: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in changed:
        name = f"{one['noun']} withdrawn" if one["state"] == "WITHDRAWN" else one["noun"]
        found[name] = found.get(name, 0) + one["entries"]
    return found


def _likeliest(known: Sequence[SeldomKnown]) -> HowLikely | None:
    """Of all records of a person the one that was assessed last."""
    said = [one.how_likely for one in known if one.how_likely is not None]
    return max(said, key=lambda one: one.assessed_ms or 0, default=None)


def reasons(row: CohortRow, now_ms: int, zone: ZoneInfo) -> list[str]:
    """Why a row stands where it does, in the order in which rows are compared. `zone`: of the days that it names."""
    told = []
    if row.severity is not None:
        more = f" and {row.open_alerts - 1} more" if row.open_alerts > 1 else ""
        told.append(f"{SEVERITIES[row.severity]} alert open{more}")
    told.append("no grade yet" if row.grade is None else f"{row.grade.lower()}{_since(row.grade_since_ms, zone)}")
    if row.how_bad.rosh is not None:
        told.append(f"risk of serious harm {ROSH_WORDS[Rosh(row.how_bad.rosh)]}")
    if row.how_bad.mappa_level is not None:
        told.append(f"MAPPA level {row.how_bad.mappa_level}")
    if row.how_bad.harm_days:
        told.append(f"{row.how_bad.harm_days:g} harm days in 24 months")
    if row.how_likely is not None:
        told.append(f"reoffending predictor {row.how_likely.band.lower().replace('_', ' ')}")
    if row.review_ms is not None and row.review_ms <= now_ms:
        days = (now_ms - row.review_ms) // DAY_MS
        told.append("review due today" if days == 0 else f"review overdue by {days} day{'' if days == 1 else 's'}")
    return told


def _since(since_ms: int | None, zone: ZoneInfo) -> str:
    if since_ms is None:
        return ""
    day = datetime_of(since_ms).astimezone(zone)
    return f" since {day.day} {day:%B %Y}"


# ------------------------------------------------------------------ one person

FINDINGS = """
SELECT f.finding_no, f.kind, v.change, v.reason, epoch_ms(v.begin_at) AS begin_ms, epoch_ms(v.end_at) AS end_ms, v.why
FROM activation_versions a JOIN findings f USING (activation_no)
CROSS JOIN LATERAL version_known_at(f.finding_no, coalesce($3::timestamptz, 'infinity')) v
WHERE a.wearer_no = ANY($1::bigint[]) AND upper_inf(a.recorded) AND v.begin_at < $2
ORDER BY v.begin_at DESC, f.finding_no DESC LIMIT $4
"""
MOST_LINES: Final = 500


class Line(msgspec.Struct, frozen=True):
    """A line of a chronology. `at_ms`: when it happened, or was entered where it happens at no time. `what`: a noun, or finding."""

    at_ms: int
    what: str
    number: int
    state: str | None
    by: str | None
    agency: str | None
    content: dict[str, Any]


class Chronology(msgspec.Struct, frozen=True):
    """Newest first. `before_ms`: ask again with it for what lies before; None: that is all."""

    lines: list[Line]
    before_ms: int | None


async def chronology(
    connection: Connection, wearer_no: int, before_ms: int, known_ms: int | None, nouns: frozenset[str] | None
) -> Chronology:
    """Notes, signals, findings, grades, tasks, transitions and the rest of a person, of all their records, as known at an instant."""
    records = await records_of_person(connection, wearer_no)
    entries = await load(connection, records, None, known_ms)
    lines = [_line(entry) for entry in entries if nouns is None or entry.noun.name in nouns]
    if nouns is None or "finding" in nouns:
        known = None if known_ms is None else datetime_of(known_ms)
        rows = await connection.fetch(FINDINGS, records, datetime_of(before_ms), known, MOST_LINES + 1)
        lines += [_finding_line(row) for row in rows]
    found = sorted(
        (line for line in lines if line.at_ms < before_ms), key=lambda line: (-line.at_ms, line.what, -line.number)
    )
    more = found[MOST_LINES].at_ms + 1 if len(found) > MOST_LINES else None
    return Chronology(found[:MOST_LINES], more)


def _line(entry: Entry) -> Line:
    at_ms = entry.occurred_ms
    if at_ms is None:
        at_ms = entry.recorded_ms if entry.valid is None else entry.valid.begin_ms
    content = msgspec.to_builtins(entry.content)
    if entry.valid is not None:
        content |= {"from": format_instant(entry.valid.begin_ms)}
        content |= {} if entry.valid.end_ms is None else {"to": format_instant(entry.valid.end_ms)}
    if entry.due_ms is not None:
        content |= {"due": format_instant(entry.due_ms)}
    return Line(at_ms, entry.noun.name, entry.item_no, entry.state, entry.recorded_by, entry.agency, content)


def _finding_line(row: Any) -> Line:
    end = {} if row["end_ms"] is None else {"end": format_instant(row["end_ms"])}
    content = {"kind": row["kind"], "reason": row["reason"], "why": row["why"], **end}
    state = "WITHDRAWN" if row["change"] == "withdrawn" else None
    return Line(row["begin_ms"], "finding", row["finding_no"], state, None, None, content)


async def likely_scores(connection: Connection, wearer_no: int, now_ms: int) -> dict[str, float]:
    """What the newest assessments of a person say, by names of predictors."""
    records = await records_of_person(connection, wearer_no)
    known = list((await SeldomCache().known(connection, records, now_ms)).values())
    likely, bad = _likeliest(known), together([one.how_bad for one in known])
    scores = {"reoffending": None if likely is None else likely.percent, "serious_harm": bad.serious_harm}
    return {name: value for name, value in scores.items() if value is not None}
