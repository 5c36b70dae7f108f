"""Alerts in the database. Functions take a connection inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from alerts.grading import Grade
from geofence.judgement.findings import Finding
from geofence.words import datetime_of

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Any] | PoolConnectionProxy[Any]


class Occurrence(NamedTuple):
    """A finding that is to be an occurrence of an alert."""

    finding_no: int
    wearer_no: int
    activation_no: int
    finding: Finding
    grade: Grade

    @property
    def key(self) -> AlertKey:
        return (self.wearer_no, str(self.finding.kind), self.finding.requirement_id)


AlertKey = tuple[int, str, str | None]

# The lock keeps a person from closing an alert while an occurrence is added to it.
OPEN_ALERTS = """
SELECT a.alert_no, a.wearer_no, a.kind, a.requirement_id FROM alerts a
JOIN (SELECT DISTINCT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k (wearer_no, kind, requirement_id)) k
  ON a.wearer_no = k.wearer_no AND a.kind = k.kind AND a.requirement_id IS NOT DISTINCT FROM k.requirement_id
WHERE a.closed_at IS NULL FOR UPDATE OF a
"""
LAST_CLOSED = """
SELECT DISTINCT ON (a.wearer_no, a.kind, a.requirement_id) a.alert_no, a.wearer_no, a.kind, a.requirement_id FROM alerts a
JOIN unnest($1::bigint[], $2::text[], $3::text[]) AS k (wearer_no, kind, requirement_id)
  ON a.wearer_no = k.wearer_no AND a.kind = k.kind AND a.requirement_id IS NOT DISTINCT FROM k.requirement_id
ORDER BY a.wearer_no, a.kind, a.requirement_id, a.raised_at DESC, a.alert_no DESC
"""
NEW_ALERTS = """
INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, requirement_id, code, severity, raised_at, known_at, previous_alert_no)
SELECT alert_no, wearer_no, activation_no, kind, requirement_id, code, severity, $9, known_at, previous
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[],
            $10::bigint[])
    AS t (alert_no, wearer_no, activation_no, kind, requirement_id, code, severity, known_at, previous)
"""
NEW_OCCURRENCES = """
INSERT INTO alert_occurrences (finding_no, alert_no, added_at)
SELECT finding_no, alert_no, $3 FROM unnest($1::bigint[], $2::bigint[]) AS t (finding_no, alert_no)
"""
# An alert shows the worst of its occurrences.
RAISE_SEVERITY = """
UPDATE alerts a SET severity = least(a.severity, t.severity), code = CASE WHEN t.severity <= a.severity THEN t.code ELSE a.code END
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS t (alert_no, severity, code) WHERE a.alert_no = t.alert_no
"""
CHANGED = """
INSERT INTO alert_changes (alert_no, what, changed_at)
SELECT alert_no, what, $3 FROM unnest($1::bigint[], $2::text[]) AS t (alert_no, what)
"""
ALERTS_OF_FINDINGS = "SELECT finding_no, alert_no FROM alert_occurrences WHERE finding_no = ANY($1::bigint[])"
SET_TIMERS = """
INSERT INTO alert_timers (finding_no, due_at) SELECT * FROM unnest($1::bigint[], $2::timestamptz[])
ON CONFLICT (finding_no) DO UPDATE SET due_at = excluded.due_at
"""
DROP_TIMERS = "DELETE FROM alert_timers WHERE finding_no = ANY($1::bigint[])"
DUE_TIMERS = "SELECT finding_no FROM alert_timers WHERE due_at <= $1 ORDER BY due_at LIMIT $2"


def _key_columns(keys: Sequence[AlertKey]) -> tuple[list[int], list[str], list[str | None]]:
    return [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]


async def open_alerts(connection: Connection, keys: Sequence[AlertKey]) -> dict[AlertKey, int]:
    """The open alert of each key, where there is one; locked until the end of the transaction."""
    rows = await connection.fetch(OPEN_ALERTS, *_key_columns(keys))
    return {(row["wearer_no"], row["kind"], row["requirement_id"]): row["alert_no"] for row in rows}


async def raise_alerts(
    connection: Connection, occurrences: Sequence[Occurrence], alert_nos: Sequence[int], now_ms: int
) -> int:
    """Add occurrences to open alerts, and open new ones with numbers from `alert_nos` (at least as many as there are
    occurrences). How many alerts were opened."""
    keys = list(dict.fromkeys(occurrence.key for occurrence in occurrences))
    known = await open_alerts(connection, keys)
    previous = {
        (row["wearer_no"], row["kind"], row["requirement_id"]): row["alert_no"]
        for row in await connection.fetch(LAST_CLOSED, *_key_columns([key for key in keys if key not in known]))
    }
    numbers = iter(alert_nos)
    fresh: dict[AlertKey, tuple[int, Occurrence]] = {}
    for occurrence in occurrences:
        if occurrence.key not in known and occurrence.key not in fresh:
            fresh[occurrence.key] = (next(numbers), occurrence)
    await _open(connection, list(fresh.values()), previous, now_ms)
    alert_of = known | {key: number for key, (number, _) in fresh.items()}
    now = datetime_of(now_ms)
    numbers_of = [alert_of[occurrence.key] for occurrence in occurrences]
    await connection.execute(NEW_OCCURRENCES, [o.finding_no for o in occurrences], numbers_of, now)
    firsts = {occurrence.finding_no for _, occurrence in fresh.values()}
    further = [(n, o.grade) for n, o in zip(numbers_of, occurrences, strict=True) if o.finding_no not in firsts]
    if further:  # an alert that was opened just now has the grade of its first occurrence already
        await worsen(connection, further)
    what = ["raised" if o.finding_no in firsts else "occurrence" for o in occurrences]
    await connection.execute(CHANGED, numbers_of, what, now)
    return len(fresh)


async def _open(
    connection: Connection,
    fresh: Sequence[tuple[int, Occurrence]],
    previous: dict[AlertKey, int],
    now_ms: int,
) -> None:
    await connection.execute(
        NEW_ALERTS,
        [number for number, _ in fresh],
        [o.wearer_no for _, o in fresh],
        [o.activation_no for _, o in fresh],
        [str(o.finding.kind) for _, o in fresh],
        [o.finding.requirement_id for _, o in fresh],
        [o.grade.code for _, o in fresh],
        [int(o.grade.severity) for _, o in fresh],
        [datetime_of(o.finding.known_ms) for _, o in fresh],
        datetime_of(now_ms),
        [previous.get(o.key) for _, o in fresh],
    )


async def worsen(connection: Connection, grades: Sequence[tuple[int, Grade]]) -> None:
    """Alerts take on the worst grade of their occurrences."""
    worst: dict[int, Grade] = {}
    for alert_no, grade in grades:
        if alert_no not in worst or grade.severity <= worst[alert_no].severity:
            worst[alert_no] = grade
    columns = [int(grade.severity) for grade in worst.values()], [grade.code for grade in worst.values()]
    await connection.execute(RAISE_SEVERITY, list(worst), *columns)


async def note_changes(connection: Connection, changes: Sequence[tuple[int, str]], now_ms: int) -> None:
    """Tell feeds what changed: alert number, and amended or withdrawn."""
    if changes:
        await connection.execute(
            CHANGED, [number for number, _ in changes], [what for _, what in changes], datetime_of(now_ms)
        )
