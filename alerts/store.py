"""Alerts in the database: how they are opened, get occurrences, grow graver, and how readers are told. Functions take a
connection inside the caller's transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from alerts.alert_rows import (
    ALERT_COLUMNS,
    CHANGE_COLUMNS,
    OCCURRENCE_COLUMNS,
    alert_rows,
    change_rows,
    occurrence_rows,
)
from alerts.grading import AlertGrade, Severity
from alerts.life import AlertState
from geofence import datetime_of
from geofence.judgement import Finding

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Any] | PoolConnectionProxy[Any]

TakeNumbers = Callable[["Connection", int], Awaitable[list[int]]]
"""Numbers for so many new alerts, ascending."""

AlertKey = tuple[int, str, str | None]
"""Wearer number, kind, requirement id: of each there is at most one open alert."""


class NewAlert(NamedTuple):
    """An alert that is about to be opened: of a wearer, of a network or of a home unit."""

    alert_no: int
    kind: str
    severity: Severity
    known_ms: int
    wearer_no: int | None = None
    activation_no: int | None = None
    requirement_id: str | None = None
    code: str | None = None
    network: str | None = None
    previous_alert_no: int | None = None
    home_unit: str | None = None


def state_of(row: asyncpg.Record) -> AlertState:
    """Of a stored alert, from its columns `closed_at` and `state`."""
    return AlertState.CLOSED if row["closed_at"] is not None else AlertState(row["state"])


NEW_ALERTS = """
INSERT INTO alerts (alert_no, kind, severity, known_at, wearer_no, activation_no, requirement_id, code, network,
                    previous_alert_no, home_unit, raised_at)
SELECT t.*, $12
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::text[]) AS t
"""


MANY = 20
"""From so many rows on they go by COPY, where it can be."""
CAN_COPY = """
SELECT NOT row_security_active('alerts') AND NOT row_security_active('alert_occurrences')
       AND NOT row_security_active('alert_changes')
"""


async def can_copy_alerts(connection: Connection) -> bool:
    """Where row-level security holds for a role, even if it lets everything through, there is no COPY for it."""
    return bool(await connection.fetchval(CAN_COPY))


async def _copy(connection: Connection, table: str, columns: Sequence[str], rows: bytes) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield rows

    await connection.copy_to_table(table, source=source(), columns=columns, format="binary")


async def open_new_alerts(connection: Connection, fresh: Sequence[NewAlert], now_ms: int) -> None:
    """Open them. The feed is told by `note_changes`."""
    if fresh:
        columns = [list(column) for column in zip(*map(_columns_of, fresh), strict=True)]
        await connection.execute(NEW_ALERTS, *columns, datetime_of(now_ms))


def _columns_of(alert: NewAlert) -> NewAlert:
    return alert._replace(severity=int(alert.severity), known_ms=datetime_of(alert.known_ms))  # type: ignore[arg-type]


class NewOccurrence(NamedTuple):
    """A finding that is to be an occurrence of an alert."""

    finding_no: int
    wearer_no: int
    activation_no: int
    finding: Finding
    grade: AlertGrade

    @property
    def key(self) -> AlertKey:
        return (self.wearer_no, str(self.finding.kind), self.finding.requirement_id)


# Of some keys the alert that is open, and the newest of all. The lock keeps a person from closing an alert while an occurrence is
# added to it.
ALERTS_OF_KEYS = """
WITH keys AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k (wearer_no, kind, requirement_id)),
open AS (
    SELECT a.alert_no, a.wearer_no, a.kind, a.requirement_id FROM alerts a
    JOIN keys k ON a.wearer_no = k.wearer_no AND a.kind = k.kind AND a.requirement_id IS NOT DISTINCT FROM k.requirement_id
    WHERE a.closed_at IS NULL FOR UPDATE OF a),
newest AS (
    SELECT DISTINCT ON (a.wearer_no, a.kind, a.requirement_id) a.alert_no, a.wearer_no, a.kind, a.requirement_id FROM alerts a
    JOIN keys k ON a.wearer_no = k.wearer_no AND a.kind = k.kind AND a.requirement_id IS NOT DISTINCT FROM k.requirement_id
    ORDER BY a.wearer_no, a.kind, a.requirement_id, a.raised_at DESC, a.alert_no DESC)
SELECT true AS is_open, * FROM open UNION ALL SELECT false, * FROM newest
"""
NEW_OCCURRENCES = """
INSERT INTO alert_occurrences (finding_no, alert_no, added_at)
SELECT finding_no, alert_no, $3 FROM unnest($1::bigint[], $2::bigint[]) AS t (finding_no, alert_no)
"""


class _Known(NamedTuple):
    """By key: the alert that is open, and the newest of all."""

    open: dict[AlertKey, int]
    newest: dict[AlertKey, int]


async def _alerts_of(connection: Connection, keys: Sequence[AlertKey]) -> _Known:
    """Of keys, each once."""
    columns = [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]
    known = _Known({}, {})
    for row in await connection.fetch(ALERTS_OF_KEYS, *columns):
        of_key = known.open if row["is_open"] else known.newest
        of_key[row["wearer_no"], row["kind"], row["requirement_id"]] = row["alert_no"]
    return known


async def add_occurrences(
    connection: Connection,
    occurrences: Sequence[NewOccurrence],
    alert_nos: Sequence[int],
    now_ms: int,
    *,
    copies: bool,
) -> int:
    """Add occurrences to open alerts, and open new ones with numbers from `alert_nos` (at least as many as there are
    occurrences). `copies`: very many may go by COPY. How many alerts were opened."""
    keys = [occurrence.key for occurrence in occurrences]
    alert_of, previous = await _alerts_of(connection, list(dict.fromkeys(keys)))
    numbers = iter(alert_nos)
    opened: list[NewAlert] = []
    changes: list[tuple[int, str]] = []
    further: list[tuple[int, AlertGrade]] = []
    for key, occurrence in zip(keys, occurrences, strict=True):
        alert_no = alert_of.get(key)
        if alert_no is None:
            alert_of[key] = alert_no = next(numbers)
            opened.append(_alert_of(alert_no, occurrence, previous.get(key)))
            changes.append((alert_no, "raised"))
        else:
            further.append((alert_no, occurrence.grade))
            changes.append((alert_no, "occurrence"))
    finding_nos, numbers_of = (
        [occurrence.finding_no for occurrence in occurrences],
        [alert_no for alert_no, _ in changes],
    )
    by_copy = copies and len(occurrences) >= MANY
    if by_copy and opened:
        await _copy(connection, "alerts", ALERT_COLUMNS, alert_rows(opened, now_ms))
    else:
        await open_new_alerts(connection, opened, now_ms)
    if by_copy:
        rows = occurrence_rows(finding_nos, numbers_of, now_ms)
        await _copy(connection, "alert_occurrences", OCCURRENCE_COLUMNS, rows)
    else:
        await connection.execute(NEW_OCCURRENCES, finding_nos, numbers_of, datetime_of(now_ms))
    if further:  # an alert that was opened just now has the grade of its first occurrence already
        await worsen(connection, further, now_ms)
    if by_copy:
        await _copy(connection, "alert_changes", CHANGE_COLUMNS, change_rows(changes, now_ms))
    else:
        await note_changes(connection, changes, now_ms)
    return len(opened)


async def open_or_join(
    connection: Connection, alert: NewAlert, take_numbers: TakeNumbers, now_ms: int
) -> tuple[int, bool]:
    """The alert that is open for a wearer, kind and requirement, or `alert` (its number counts for nothing), opened and linked to the
    last that was closed; and whether it is new. For what raises an alert and is no finding. `note_changes` tells the feed."""
    assert alert.wearer_no is not None, "an alert of a person"
    key = alert.wearer_no, alert.kind, alert.requirement_id
    known = await _alerts_of(connection, [key])
    if key in known.open:
        return known.open[key], False
    (number,) = await take_numbers(connection, 1)
    previous = known.newest.get(key)
    await open_new_alerts(connection, [alert._replace(alert_no=number, previous_alert_no=previous)], now_ms)
    return number, True


def _alert_of(alert_no: int, first: NewOccurrence, previous_alert_no: int | None) -> NewAlert:
    finding, grade = first.finding, first.grade
    return NewAlert(
        alert_no=alert_no, kind=str(finding.kind), severity=grade.severity, known_ms=finding.known_ms,
        wearer_no=first.wearer_no, activation_no=first.activation_no, requirement_id=finding.requirement_id,
        code=grade.code, previous_alert_no=previous_alert_no,
    )  # fmt: skip


# An alert shows the worst of its occurrences.
RAISE_SEVERITY = """
UPDATE alerts a SET severity = least(a.severity, t.severity),
    counts_from = CASE WHEN t.severity < a.severity THEN $4 ELSE a.counts_from END,
    code = CASE WHEN t.severity <= a.severity THEN t.code ELSE a.code END
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS t (alert_no, severity, code)
WHERE a.alert_no = t.alert_no AND (t.severity < a.severity OR (t.severity = a.severity AND t.code IS DISTINCT FROM a.code))
RETURNING a.alert_no
"""


async def worsen(connection: Connection, grades: Sequence[tuple[int, AlertGrade]], now_ms: int) -> list[int]:
    """Alerts take on the worst grade of their occurrences; the deadlines of one that grew graver count anew. The numbers of
    those that changed."""
    worst: dict[int, AlertGrade] = {}
    for alert_no, grade in grades:
        if alert_no not in worst or grade.severity <= worst[alert_no].severity:
            worst[alert_no] = grade
    columns = [int(grade.severity) for grade in worst.values()], [grade.code for grade in worst.values()]
    return [
        row["alert_no"] for row in await connection.fetch(RAISE_SEVERITY, list(worst), *columns, datetime_of(now_ms))
    ]


CHANGED = """
INSERT INTO alert_changes (alert_no, what, changed_at)
SELECT alert_no, what, $3 FROM unnest($1::bigint[], $2::text[]) AS t (alert_no, what)
"""


async def note_changes(connection: Connection, changes: Sequence[tuple[int, str]], now_ms: int) -> None:
    """Tell feeds what changed: alert number, and what happened to it (raised, amended, closed, …)."""
    if changes:
        await connection.execute(
            CHANGED, [number for number, _ in changes], [what for _, what in changes], datetime_of(now_ms)
        )


ALERTS_OF_FINDINGS = "SELECT finding_no, alert_no FROM alert_occurrences WHERE finding_no = ANY($1::bigint[])"


async def alerts_of_findings(connection: Connection, finding_nos: Sequence[int]) -> dict[int, int]:
    """Of each finding that is an occurrence the number of its alert."""
    rows = await connection.fetch(ALERTS_OF_FINDINGS, list(finding_nos))
    return {row["finding_no"]: row["alert_no"] for row in rows}


RAISED_FOR = """
SELECT o.finding_no, a.alert_no, epoch_ms(a.raised_at) AS raised_ms, epoch_ms(o.added_at) AS added_ms
FROM alert_occurrences o JOIN alerts a USING (alert_no) WHERE o.finding_no = ANY($1::bigint[]) AND o.added_at <= $2
"""


class RaisedFor(NamedTuple):
    """The alert of which a finding is an occurrence, and since when it is."""

    alert_no: int
    raised_ms: int
    added_ms: int


async def raised_for(connection: Connection, finding_nos: Sequence[int], known_ms: int) -> dict[int, RaisedFor]:
    """Of findings that had an alert at an instant: which."""
    rows = await connection.fetch(RAISED_FOR, list(finding_nos), datetime_of(known_ms))
    return {row["finding_no"]: RaisedFor(row["alert_no"], row["raised_ms"], row["added_ms"]) for row in rows}


# ---------------------------------------------------------------------------------------------- timers

SET_TIMERS = """
INSERT INTO alert_timers (finding_no, due_at) SELECT * FROM unnest($1::bigint[], $2::timestamptz[])
ON CONFLICT (finding_no) DO UPDATE SET due_at = excluded.due_at
"""
DROP_TIMERS = "DELETE FROM alert_timers WHERE finding_no = ANY($1::bigint[])"
DUE_TIMERS = "SELECT finding_no FROM alert_timers WHERE due_at <= $1 ORDER BY due_at LIMIT $2"
# But for those of people whom others look after, however many. One that is nobody's is everybody's.
OWN_DUE_TIMERS = """
SELECT t.finding_no FROM alert_timers t JOIN findings f USING (finding_no)
WHERE t.due_at <= $1 AND NOT EXISTS (
    SELECT FROM activation_versions v
    WHERE v.activation_no = f.activation_no AND upper_inf(v.recorded) AND NOT v.wearer_no % $3 = ANY ($4::bigint[]))
ORDER BY t.due_at LIMIT $2
"""


class OwnShards(NamedTuple):
    """Of so many shards of the wearers (by the remainder of their number) these are looked after here."""

    total: int
    owned: frozenset[int]


def columns_of(own: OwnShards | None) -> tuple[int, list[int]]:
    """For statements that compare remainders; None: all are in the one shard."""
    return (1, [0]) if own is None else (own.total, sorted(own.owned))


async def set_timers(connection: Connection, due_ms: Sequence[tuple[int, int]]) -> None:
    """Look at findings again at an instant."""
    if due_ms:
        await connection.execute(SET_TIMERS, [n for n, _ in due_ms], [datetime_of(at_ms) for _, at_ms in due_ms])


async def drop_timers(connection: Connection, finding_nos: Sequence[int]) -> None:
    if finding_nos:
        await connection.execute(DROP_TIMERS, list(finding_nos))


async def due_timers(connection: Connection, now_ms: int, most: int, own: OwnShards | None = None) -> list[int]:
    """Findings whose time has come, the first due first. `own`: None: of everybody."""
    at = datetime_of(now_ms)
    if own is None:
        rows = await connection.fetch(DUE_TIMERS, at, most)
    else:
        rows = await connection.fetch(OWN_DUE_TIMERS, at, most, own.total, sorted(own.owned))
    return [row["finding_no"] for row in rows]
