"""The queue of alerts as people see it: what is open, in which order and why, and what was closed.

Order of the queue (RULES.md section 8): severity, then RAG grade, then MAPPA level, then age. Grades order people of one
severity and lift nobody over another. Pages go on after the last row's place, so that nothing is skipped or shown twice when
alerts come and go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from alerts.clocks import WrongClock, wrong_clocks_of
from alerts.deadlines import Target
from alerts.entries import PossibleEntry, possible_entries_of
from alerts.grading import Severity
from alerts.life import AlertState, Move, state_after
from alerts.store import state_of
from geofence import datetime_of, instant_of, instant_or_none
from geofence.judgement import Finding

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection

COLUMNS = """
    a.alert_no, a.wearer_no, w.wearer_id, w.name, a.activation_no, a.kind, a.requirement_id, a.code, a.severity,
    a.raised_at, a.known_at, a.closed_at, a.previous_alert_no, a.network, a.home_unit, a.incident_no, g.grade AS rag,
    i.mappa_level, i.lead_officer, i.lead_agency, i.cohort, a.state, a.owner, a.escalated_at, a.suspended_until,
    a.counts_from, a.acknowledge_by, a.contact_by, a.authority_by, a.contacted_at, a.authority_told_at,
    CASE g.grade WHEN 'RED' THEN 1 WHEN 'AMBER' THEN 2 WHEN 'GREEN' THEN 3 ELSE 4 END::bigint AS rag_rank,
    (4 - coalesce(i.mappa_level, 0))::bigint AS mappa_rank
"""
PEOPLE = """
    alerts a LEFT JOIN people w USING (wearer_no)
    LEFT JOIN iom_versions i ON i.wearer_no = a.wearer_no AND upper_inf(i.recorded)
    LEFT JOIN LATERAL (SELECT grade FROM rag_grades WHERE wearer_no = a.wearer_no ORDER BY since DESC LIMIT 1) g ON true
"""
# An alert of a home unit lists people, and is found by each of them.
FILTERED = """
    ($1::text IS NULL OR w.wearer_id = $1 OR a.alert_no IN (
        SELECT p.alert_no FROM alert_people p JOIN wearers listed USING (wearer_no) WHERE listed.wearer_id = $1))
    AND ($2::bigint IS NULL OR a.severity = $2) AND ($3::text IS NULL OR a.kind = $3)
    AND ($4::text IS NULL OR w.wearer_id ILIKE $4 OR w.name ILIKE $4) AND ($5::text IS NULL OR a.state = $5)
    AND ($6::text IS NULL OR a.owner = $6) AND ($7::text IS NULL OR $7 = i.lead_agency OR $7 = ANY (i.agencies))
    AND ($8::timestamptz IS NULL OR a.closed_at IS NULL AND (
        a.state = 'new' AND a.acknowledge_by <= $8 OR a.contacted_at IS NULL AND a.contact_by <= $8
        OR a.authority_told_at IS NULL AND a.authority_by <= $8))
    AND ($9::text IS NULL OR a.wearer_no IN (
        SELECT d.wearer_no FROM wearer_details d WHERE upper_inf(d.recorded) AND d.address ILIKE $9))
"""
# What is grouped under an incident that is open is looked at there.
NOT_GROUPED = """
    NOT EXISTS (SELECT FROM alerts p WHERE p.alert_no = a.incident_no AND p.closed_at IS NULL)
"""
# People work what nobody has acknowledged first; programs get the order of RULES.md.
OPEN = f"""
SELECT * FROM (
    SELECT {COLUMNS}, CASE WHEN $10 AND a.state <> 'new' THEN 1 ELSE 0 END::bigint AS work_rank
    FROM {PEOPLE} WHERE a.closed_at IS NULL AND {FILTERED} AND {NOT_GROUPED}) q
WHERE $11::bigint IS NULL
      OR (work_rank, severity, rag_rank, mappa_rank, raised_at, alert_no) > ($11, $12, $13, $14, $15::timestamptz, $16)
ORDER BY work_rank, severity, rag_rank, mappa_rank, raised_at, alert_no LIMIT $17
"""  # noqa: S608  a constant made of constants
CLOSED = f"""
SELECT * FROM (SELECT {COLUMNS} FROM {PEOPLE} WHERE a.closed_at IS NOT NULL AND {FILTERED}) q
WHERE $10::timestamptz IS NULL OR (closed_at, alert_no) < ($10, $11::bigint)
ORDER BY closed_at DESC, alert_no DESC LIMIT $12
"""  # noqa: S608
# The same of all that are closed: by the index, before anybody is joined to them.
LAST_CLOSED = """
SELECT alert_no FROM alerts WHERE closed_at IS NOT NULL AND ($1::timestamptz IS NULL OR (closed_at, alert_no) < ($1, $2::bigint))
ORDER BY closed_at DESC, alert_no DESC LIMIT $3
"""
ONE = f"SELECT {COLUMNS} FROM {PEOPLE} WHERE a.alert_no = $1"  # noqa: S608
NUMBERED = f"SELECT {COLUMNS} FROM {PEOPLE} WHERE a.alert_no = ANY($1::bigint[])"  # noqa: S608
OF_WEARER = f"""
SELECT {COLUMNS} FROM {PEOPLE}
WHERE a.wearer_no = $1 OR a.alert_no IN (SELECT alert_no FROM alert_people WHERE wearer_no = $1)
ORDER BY a.raised_at DESC, a.alert_no DESC LIMIT $2
"""  # noqa: S608
WEARER_OF = "SELECT wearer_no FROM alerts WHERE alert_no = $1"
COUNTS = (
    f"SELECT severity, count(*) AS open FROM alerts a WHERE closed_at IS NULL AND {NOT_GROUPED} GROUP BY severity"  # noqa: S608
)
MEMBERS = f"""
SELECT {COLUMNS} FROM {PEOPLE} WHERE a.incident_no = $1 OR a.alert_no IN (
    SELECT o.alert_no FROM network_silences s JOIN alert_occurrences o USING (finding_no) WHERE s.incident_no = $1)
ORDER BY rag_rank, mappa_rank, a.alert_no LIMIT $2
"""  # noqa: S608
PEOPLE_OF = """
SELECT s.incident_no, count(DISTINCT a.wearer_no) AS people,
       count(DISTINCT a.wearer_no) FILTER (WHERE v.change <> 'withdrawn' AND v.end_at IS NULL) AS silent
FROM network_silences s JOIN alert_occurrences o USING (finding_no) JOIN alerts a USING (alert_no)
CROSS JOIN LATERAL newest_version(s.finding_no) v
WHERE s.incident_no = ANY($1::bigint[]) GROUP BY s.incident_no
"""
SILENCES_OF = """
SELECT s.alert_no, count(*) AS occurrences, bool_or(s.end_at IS NULL) AS lasts,
       min(s.begin_at) AS begin_at, max(s.begin_at) AS latest_at,
       (SELECT count(*) FROM alert_people p WHERE p.alert_no = s.alert_no) AS people
FROM unit_silences s WHERE s.alert_no = ANY($1::bigint[]) GROUP BY s.alert_no
"""
DETAILS = """
SELECT o.alert_no, count(DISTINCT o.finding_no) AS occurrences, bool_and(v.change = 'withdrawn') AS withdrawn,
       bool_or(v.change <> 'withdrawn' AND v.end_at IS NULL) AS lasts, min(v.begin_at) AS begin_at,
       CASE WHEN bool_and(n.since IS NOT NULL) FILTER (WHERE v.change <> 'withdrawn' AND v.end_at IS NULL)
            THEN max(n.since) END AS unknown_since,
       (array_agg(v.reason ORDER BY v.begin_at DESC))[1] AS reason, max(v.begin_at) AS latest_at,
       array_agg(v.reason ORDER BY v.begin_at DESC) FILTER (WHERE v.change <> 'withdrawn') AS reasons,
       coalesce(array_agg(DISTINCT e) FILTER (WHERE e IS NOT NULL), '{}') AS evidence
FROM alert_occurrences o
CROSS JOIN LATERAL newest_version(o.finding_no) v
CROSS JOIN LATERAL (SELECT CASE WHEN v.end_at IS NULL THEN unknown_since_at(o.finding_no, 'infinity') END AS since) n
LEFT JOIN LATERAL unnest(v.evidence) AS e ON true
WHERE o.alert_no = ANY($1::bigint[]) GROUP BY o.alert_no
"""
ZONES = """
SELECT a.alert_no, n.name FROM alerts a JOIN requirement_names n USING (wearer_no, requirement_id)
WHERE a.alert_no = ANY($1::bigint[]) AND upper_inf(n.recorded)
"""
ACTIONS = """
SELECT alert_no, done_at, done_by, action, outcome, note, until_at FROM alert_actions
WHERE alert_no = ANY($1::bigint[]) ORDER BY alert_no, action_no
"""


TAKEN = (Move.ACKNOWLEDGE, Move.TAKE_OVER, Move.START)


class BadQueuePlace(ValueError):
    """A text that is no place in the queue."""


class AlertFilter(msgspec.Struct, frozen=True):
    """Which alerts; None: all. `person`: a part of a wearer's id or name, in whatever case. `agency`: that leads or takes part.
    `overdue_at_ms`: a deadline was missed at that instant. `area`: a part of the address of whose record is open."""

    wearer_id: str | None = None
    severity: int | None = None
    kind: str | None = None
    person: str | None = None
    state: str | None = None
    owner: str | None = None
    agency: str | None = None
    overdue_at_ms: int | None = None
    area: str | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        return (
            self.wearer_id, self.severity, self.kind, None if self.person is None else literal_pattern(self.person),
            self.state, self.owner, self.agency, None if self.overdue_at_ms is None else datetime_of(self.overdue_at_ms),
            None if self.area is None else literal_pattern(self.area),
        )  # fmt: skip


ALL = AlertFilter()


def literal_pattern(text: str) -> str:
    """For ILIKE: what has this text in it, which stands for itself; several words may have anything between them."""
    for sign in "\\%_":
        text = text.replace(sign, f"\\{sign}")
    return f"%{'%'.join(text.split())}%"


class AlertAction(msgspec.Struct, frozen=True):
    """What a person did to an alert."""

    done_ms: int
    done_by: str
    action: str
    outcome: str | None
    note: str | None
    until_ms: int | None = None


class Deadline(msgspec.Struct, frozen=True):
    """By when something must have been done, and when it was; `met_ms` None: not yet. `set_ms`: from then it counts."""

    target: Target
    set_ms: int
    due_ms: int
    met_ms: int | None = None

    def is_missed(self, now_ms: int) -> bool:
        return (now_ms if self.met_ms is None else self.met_ms) >= self.due_ms

    def is_near(self, now_ms: int) -> bool:
        """More than half of the time is gone, and it is not met."""
        return self.met_ms is None and now_ms >= (self.set_ms + self.due_ms) // 2


class Alert(msgspec.Struct, frozen=True):
    """An alert as it stands: its occurrences by their newest versions, what people did, and why it stands where it stands."""

    alert_no: int
    wearer_no: int | None
    """None, as `wearer_id` is: a platform incident of a network, or an alert of a home unit."""
    wearer_id: str | None
    name: str | None
    activation_no: int | None
    network: str | None
    home_unit: str | None
    incident_no: int | None
    people: int
    """How many are grouped under it or listed by it; 0 for an alert of one person."""
    kind: str
    requirement_id: str | None
    code: str | None
    severity: Severity
    raised_ms: int
    known_ms: int
    closed_ms: int | None
    previous_alert_no: int | None
    rag: str | None
    mappa_level: int | None
    occurrences: int
    lasts: bool
    withdrawn: bool
    begin_ms: int
    latest_ms: int
    """When the newest occurrence began."""
    reason: str | None
    """Of the newest occurrence."""
    evidence: list[int]
    """Ids of the facts that its findings rest on."""
    actions: list[AlertAction]
    place: str
    possible: PossibleEntry | None = None
    zone_name: str | None = None
    """What people call the zone of its requirement."""
    """What raised it, as long as no finding stands behind it."""
    clock: WrongClock | None = None
    """Of an alert about a clock: how wrong it is."""
    unknown_since_ms: int | None = None
    """Of one that lasts: since when that is not known, while a report in time can still say so."""
    state: AlertState = AlertState.NEW
    owner: str | None = None
    escalated_ms: int | None = None
    suspended_until_ms: int | None = None
    lead_officer: str | None = None
    lead_agency: str | None = None
    cohort: str | None = None

    deadlines: list[Deadline] = []
    """Those that the rules set; empty until the clock has looked at it, within a second."""

    repeats: int = 1
    """How many occurrences are of the kind of the newest: a low battery and then a critical one is not the same twice."""

    @property
    def is_new(self) -> bool:
        return self.state is AlertState.NEW

    @property
    def next_deadline(self) -> Deadline | None:
        """The first that nothing has met yet."""
        return min((d for d in self.deadlines if d.met_ms is None), key=lambda d: d.due_ms, default=None)

    @property
    def late_ms(self) -> int:
        """From the instant at which it was known on the line of the facts to the alert (RULES.md section 8)."""
        return self.raised_ms - self.known_ms

    @property
    def acknowledged(self) -> AlertAction | None:
        """By whom it was taken last, unless it is new again since."""
        if state_after((done.action, done.done_by) for done in self.actions)[0] is AlertState.NEW:
            return None
        return next((done for done in reversed(self.actions) if done.action in TAKEN), None)

    @property
    def closed(self) -> AlertAction | None:
        """How it was closed, if it is."""
        if self.closed_ms is None:
            return None
        return next((done for done in reversed(self.actions) if done.action == Move.CLOSE), None)


async def open_alerts(connection: Connection, wanted: AlertFilter, after: str | None, limit: int) -> list[Alert]:
    """A page of the queue in the order of RULES.md, after a place in it. Raises BadQueuePlace."""
    rows = await connection.fetch(OPEN, *wanted.columns, False, *_open_place(after), limit)
    return await _with_details(connection, rows)


async def alerts_to_work(connection: Connection, wanted: AlertFilter, after: str | None, limit: int) -> list[Alert]:
    """The same for who works them: what nobody has acknowledged comes first. Raises BadQueuePlace."""
    rows = await connection.fetch(OPEN, *wanted.columns, True, *_open_place(after), limit)
    return await _with_details(connection, rows)


async def closed_alerts(connection: Connection, wanted: AlertFilter, after: str | None, limit: int) -> list[Alert]:
    """A page of closed alerts, the last closed first. Raises BadQueuePlace."""
    if wanted == ALL:
        last = await connection.fetch(LAST_CLOSED, *_closed_place(after), limit)
        return await alerts_numbered(connection, [row["alert_no"] for row in last])
    rows = await connection.fetch(CLOSED, *wanted.columns, *_closed_place(after), limit)
    return await _with_details(connection, rows)


async def one_alert(connection: Connection, alert_no: int) -> Alert | None:
    found = await _with_details(connection, await connection.fetch(ONE, alert_no))
    return found[0] if found else None


async def alerts_numbered(connection: Connection, numbers: Sequence[int]) -> list[Alert]:
    """Those of these numbers that the asker sees, in this order."""
    found = {
        alert.alert_no: alert
        for alert in await _with_details(connection, await connection.fetch(NUMBERED, list(numbers)))
    }
    return [found[number] for number in numbers if number in found]


async def alerts_of_wearer(connection: Connection, wearer_no: int, limit: int) -> list[Alert]:
    """The newest first."""
    return await _with_details(connection, await connection.fetch(OF_WEARER, wearer_no, limit))


async def wearer_of_alert(connection: Connection, alert_no: int) -> int | None:
    """Whom an alert is about, without what was found; None for one of nobody in particular, or that does not exist."""
    number: int | None = await connection.fetchval(WEARER_OF, alert_no)
    return number


async def alerts_under(connection: Connection, incident_no: int, limit: int) -> list[Alert]:
    """The alerts that are grouped under an incident: who must be looked at first comes first."""
    return await _with_details(connection, await connection.fetch(MEMBERS, incident_no, limit))


async def open_counts(connection: Connection) -> dict[Severity, int]:
    """How many alerts of each severity are open."""
    counts = {row["severity"]: row["open"] for row in await connection.fetch(COUNTS)}
    return {severity: counts.get(int(severity), 0) for severity in Severity}


async def _with_details(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Alert]:
    numbers = [row["alert_no"] for row in rows]
    details = {row["alert_no"]: row for row in await connection.fetch(DETAILS, numbers)}
    incidents = [row["alert_no"] for row in rows if row["network"] is not None]
    bare = [number for number in numbers if number not in details]
    possible = await possible_entries_of(connection, bare) if bare else {}
    clocks = await wrong_clocks_of(connection, bare) if bare else {}
    people = {row["incident_no"]: row for row in await connection.fetch(PEOPLE_OF, incidents)} if incidents else {}
    silences = await _of_units(connection, rows)
    zones = {row["alert_no"]: row["name"] for row in await connection.fetch(ZONES, numbers)}
    actions: dict[int, list[AlertAction]] = {number: [] for number in numbers}
    for row in await connection.fetch(ACTIONS, numbers):
        done_ms = instant_of(row["done_at"])
        actions[row["alert_no"]].append(
            AlertAction(
                done_ms, row["done_by"], row["action"], row["outcome"], row["note"], instant_or_none(row["until_at"])
            )
        )
    return [
        msgspec.structs.replace(
            _alert(
                row,
                details.get(row["alert_no"]) or silences.get(row["alert_no"]) or _of_incident(row, people),
                actions[row["alert_no"]],
            ),
            possible=possible.get(row["alert_no"]),
            clock=clocks.get(row["alert_no"]),
            zone_name=zones.get(row["alert_no"]),
        )
        for row in rows
    ]


async def _of_units(connection: Connection, rows: Sequence[asyncpg.Record]) -> dict[int, dict[str, Any]]:
    """An alert of a home unit has no findings: its occurrences are the silences of the unit."""
    numbers = [row["alert_no"] for row in rows if row["home_unit"] is not None]
    found = await connection.fetch(SILENCES_OF, numbers) if numbers else []
    return {row["alert_no"]: {"withdrawn": False, "reason": None, "evidence": [], **row} for row in found}


def _of_incident(row: asyncpg.Record, people: Mapping[int, asyncpg.Record]) -> dict[str, Any]:
    """An incident has no findings of its own: it lasts while one of its people is silent."""
    counts = people.get(row["alert_no"])
    return {
        "occurrences": 0 if counts is None else counts["people"],
        "people": 0 if counts is None else counts["people"],
        "lasts": counts is not None and counts["silent"] > 0,
        "withdrawn": False,
        "begin_at": row["known_at"],
        "latest_at": row["known_at"],
        "reason": None,
        "evidence": [],
    }


def alert_as_known(alert: Alert, findings: Sequence[Finding | None], known_ms: int) -> Alert:
    """The alert as it stood at an instant: its findings as they were known then (None: withdrawn), and what people had done by
    then."""
    actions = [done for done in alert.actions if done.done_ms <= known_ms]
    state, owner = state_after((done.action, done.done_by) for done in actions)
    closed = [done.done_ms for done in actions if done.action == Move.CLOSE]
    return msgspec.structs.replace(
        alert,
        actions=actions,
        state=state,
        owner=owner,
        closed_ms=closed[-1] if state is AlertState.CLOSED and closed else None,
        lasts=any(finding is not None and finding.end_ms is None for finding in findings),
        unknown_since_ms=_unknown_since_ms([f for f in findings if f is not None and f.end_ms is None]),
        withdrawn=bool(findings) and all(finding is None for finding in findings),
        occurrences=len(findings),
    )


def _unknown_since_ms(lasting: Sequence[Finding]) -> int | None:
    """Since when it is known of none of them that it lasts."""
    since_ms = [finding.unknown_since_ms for finding in lasting if finding.unknown_since_ms is not None]
    return max(since_ms, default=None) if len(since_ms) == len(lasting) else None


def _alert(row: asyncpg.Record, details: asyncpg.Record | dict[str, Any], actions: list[AlertAction]) -> Alert:
    return Alert(
        alert_no=row["alert_no"], wearer_no=row["wearer_no"], wearer_id=row["wearer_id"], name=row["name"],
        activation_no=row["activation_no"], network=row["network"], home_unit=row["home_unit"],
        incident_no=row["incident_no"], people=details["people"] if row["wearer_no"] is None else 0,
        kind=row["kind"], requirement_id=row["requirement_id"], code=row["code"],
        severity=Severity(row["severity"]), raised_ms=instant_of(row["raised_at"]), known_ms=instant_of(row["known_at"]),
        closed_ms=None if row["closed_at"] is None else instant_of(row["closed_at"]),
        previous_alert_no=row["previous_alert_no"], rag=row["rag"], mappa_level=row["mappa_level"],
        occurrences=details["occurrences"], lasts=bool(details["lasts"]), withdrawn=details["withdrawn"],
        begin_ms=instant_of(details["begin_at"]), latest_ms=instant_of(details["latest_at"]), reason=details["reason"],
        evidence=list(details["evidence"]), actions=actions, place=_place(row),
        unknown_since_ms=instant_or_none(details.get("unknown_since")),
        state=state_of(row), owner=row["owner"],
        escalated_ms=instant_or_none(row["escalated_at"]), suspended_until_ms=instant_or_none(row["suspended_until"]),
        lead_officer=row["lead_officer"], lead_agency=row["lead_agency"], cohort=row["cohort"],
        deadlines=_deadlines(row, actions), repeats=_repeats(details.get("reasons")),
    )  # fmt: skip


def _deadlines(row: asyncpg.Record, actions: Sequence[AlertAction]) -> list[Deadline]:
    set_ms = instant_of(row["counts_from"])
    taken_ms = next((done.done_ms for done in actions if done.action in TAKEN and done.done_ms >= set_ms), None)
    found = (
        (Target.ACKNOWLEDGE, row["acknowledge_by"], taken_ms),
        (Target.CONTACT, row["contact_by"], instant_or_none(row["contacted_at"])),
        (Target.AUTHORITY, row["authority_by"], instant_or_none(row["authority_told_at"])),
    )
    return [Deadline(target, set_ms, instant_of(by), met_ms) for target, by, met_ms in found if by is not None]


def _repeats(reasons: Sequence[str | None] | None) -> int:
    return sum(reason == reasons[0] for reason in reasons) if reasons else 1


# ---------------------------------------------------------------------------------------------- places as texts


def _place(row: asyncpg.Record) -> str:
    if row["closed_at"] is not None:
        return f"{instant_of(row['closed_at'])}-{row['alert_no']}"
    work_rank = row.get("work_rank") or 0
    ranks = f"{work_rank}-{row['severity']}-{row['rag_rank']}-{row['mappa_rank']}"
    return f"{ranks}-{instant_of(row['raised_at'])}-{row['alert_no']}"


def _open_place(text: str | None) -> tuple[Any, ...]:
    if text is None:
        return (None,) * 6
    work, severity, rag, mappa, raised_ms, number = _numbers(text, 6)
    return (work, severity, rag, mappa, datetime_of(raised_ms), number)


def _closed_place(text: str | None) -> tuple[Any, ...]:
    if text is None:
        return (None, None)
    closed_ms, number = _numbers(text, 2)
    return (datetime_of(closed_ms), number)


def _numbers(text: str, count: int) -> list[int]:
    parts = text.split("-")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise BadQueuePlace("after is no place in the queue; send what the page before gave as `next`")
    numbers = [int(part) for part in parts]
    if numbers[-2] > MOST_MS:
        raise BadQueuePlace("after is no place in the queue; send what the page before gave as `next`")
    return numbers


MOST_MS = 253_402_300_799_000
"""The end of the year 9999."""
