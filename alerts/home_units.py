"""Home units that do not call in: one alert for each unit, which lists the people who depend on it. In the turn's own transaction.

It is no finding of anybody: what such a silence means for a person follows from the evidence that is missing. The alert lasts until
the unit calls in, and stays until a person closes it; when the unit falls silent again before that, it is one more occurrence of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from alerts.grading import AlertGrade, Severity
from alerts.locks import take_units
from alerts.store import NewAlert, OwnShards, TakeNumbers, note_changes, open_new_alerts, worsen
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from alerts.store import Connection

HOME_UNIT_SILENT = "HOME_UNIT_SILENT"
"""The kind of its alert; it is no kind of finding."""


class UnitSilence(NamedTuple):
    """A home unit from which nothing was received since an instant, and which should have called in by `begin_ms`. `wearer_nos`: who
    depends on it; `is_obliged`: one of them is in an obligation period of the curfew at whose address it stands."""

    home_unit: str
    since_ms: int
    begin_ms: int
    wearer_nos: frozenset[int]
    is_obliged: bool

    @property
    def grade(self) -> AlertGrade:
        return AlertGrade(None, Severity.SERIOUS if self.is_obliged else Severity.WARNING)


class AlertPerson(NamedTuple):
    """Somebody whom an alert lists."""

    wearer_no: int
    wearer_id: str
    name: str | None
    rag: str | None
    mappa_level: int | None
    added_ms: int


LASTING = """
SELECT s.home_unit, s.since, s.begin_at, a.severity,
       ARRAY(SELECT wearer_no FROM alert_people p WHERE p.alert_no = s.alert_no) AS people
FROM unit_silences s JOIN alerts a USING (alert_no) WHERE s.end_at IS NULL
"""
KNOWN = """
SELECT s.home_unit, s.alert_no, a.closed_at FROM unit_silences s JOIN alerts a USING (alert_no)
WHERE s.home_unit = ANY($1::text[]) AND s.end_at IS NULL
"""
LOCK_OPEN = """
SELECT home_unit, alert_no FROM alerts WHERE home_unit = ANY($1::text[]) AND closed_at IS NULL FOR UPDATE
"""
LAST_CLOSED = """
SELECT home_unit, max(alert_no) AS alert_no FROM alerts WHERE home_unit = ANY($1::text[]) GROUP BY home_unit
"""
NEW_SILENCES = """
INSERT INTO unit_silences (home_unit, since, alert_no, begin_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::timestamptz[])
"""
END_SILENCES = """
UPDATE unit_silences SET end_at = $2 WHERE home_unit = ANY($1::text[]) AND end_at IS NULL RETURNING alert_no
"""
LIST_PEOPLE = """
INSERT INTO alert_people (alert_no, wearer_no, added_at)
SELECT alert_no, wearer_no, $3 FROM unnest($1::bigint[], $2::bigint[]) AS t (alert_no, wearer_no) ON CONFLICT DO NOTHING
"""
LISTED = """
SELECT p.wearer_no, w.wearer_id, w.name, g.grade AS rag, i.mappa_level, p.added_at
FROM alert_people p JOIN people w USING (wearer_no)
LEFT JOIN iom_versions i ON i.wearer_no = p.wearer_no AND upper_inf(i.recorded)
LEFT JOIN LATERAL (SELECT grade FROM rag_grades WHERE wearer_no = p.wearer_no ORDER BY since DESC LIMIT 1) g ON true
WHERE p.alert_no = $1
ORDER BY CASE g.grade WHEN 'RED' THEN 1 WHEN 'AMBER' THEN 2 WHEN 'GREEN' THEN 3 ELSE 4 END, i.mappa_level DESC NULLS LAST, w.wearer_id
LIMIT $2
"""
OPEN_OF_UNITS = """
SELECT home_unit, alert_no FROM alerts WHERE home_unit = ANY($1::text[]) AND closed_at IS NULL
"""


async def lasting_unit_silences(connection: Connection) -> list[UnitSilence]:
    """Those that last, as they were noted."""
    return [
        UnitSilence(
            row["home_unit"], instant_of(row["since"]), instant_of(row["begin_at"]), frozenset(row["people"]),
            row["severity"] <= Severity.SERIOUS,
        )
        for row in await connection.fetch(LASTING)
    ]  # fmt: skip


async def note_unit_silences(
    connection: Connection,
    silent: Sequence[UnitSilence],
    ended: Sequence[str],
    take_numbers: TakeNumbers,
    now_ms: int,
    own: OwnShards | None = None,
) -> tuple[int, int]:
    """Keep what is known of silences and raise their alerts. `silent`: those that are new, and those that list more people or are
    graver than when they were noted; `ended`: units whose silence is over. How many alerts were opened, and how many changed.
    `own`: the shards of the worker; None: it has all."""
    if not silent and not ended:
        return 0, 0
    await take_units(connection, own, [*(s.home_unit for s in silent), *ended])
    over = await _end(connection, ended, now_ms)
    known = {row["home_unit"]: row for row in await connection.fetch(KNOWN, [s.home_unit for s in silent])}
    fresh = [s for s in silent if s.home_unit not in known]
    alert_of, opened = await _begin(connection, fresh, take_numbers, now_ms)
    alert_of |= {unit: row["alert_no"] for unit, row in known.items()}
    await _list(
        connection, [(alert_of[s.home_unit], wearer_no) for s in silent for wearer_no in s.wearer_nos], now_ms
    )
    closed = {unit for unit, row in known.items() if row["closed_at"] is not None}
    standing = [s for s in silent if s.home_unit not in closed]
    await worsen(connection, [(alert_of[s.home_unit], s.grade) for s in standing], now_ms)
    amended = [(alert_of[s.home_unit], "amended") for s in standing if s.home_unit in known]
    await note_changes(connection, amended, now_ms)
    return opened, len(over) + len(fresh) + len(amended)


async def _end(connection: Connection, units: Sequence[str], now_ms: int) -> list[int]:
    rows = await connection.fetch(END_SILENCES, list(units), datetime_of(now_ms)) if units else []
    alert_nos: list[int] = [row["alert_no"] for row in rows]
    await note_changes(connection, [(alert_no, "amended") for alert_no in alert_nos], now_ms)
    return alert_nos


async def _begin(
    connection: Connection, fresh: Sequence[UnitSilence], take_numbers: TakeNumbers, now_ms: int
) -> tuple[dict[str, int], int]:
    """Silences that are new become an occurrence of the alert of their unit that is open, or open one. The alert of each unit, and
    how many were opened."""
    if not fresh:
        return {}, 0
    units = [s.home_unit for s in fresh]
    standing = await _by_unit(connection, LOCK_OPEN, units)
    before = await _by_unit(connection, LAST_CLOSED, [unit for unit in units if unit not in standing])
    numbers = iter(await take_numbers(connection, len(fresh)))
    alerts = [
        NewAlert(
            next(numbers), HOME_UNIT_SILENT, s.grade.severity, s.begin_ms,
            home_unit=s.home_unit, previous_alert_no=before.get(s.home_unit),
        )
        for s in fresh
        if s.home_unit not in standing
    ]  # fmt: skip
    await open_new_alerts(connection, alerts, now_ms)
    alert_of = standing | {alert.home_unit: alert.alert_no for alert in alerts if alert.home_unit is not None}
    await connection.execute(
        NEW_SILENCES,
        units,
        [datetime_of(s.since_ms) for s in fresh],
        [alert_of[unit] for unit in units],
        [datetime_of(s.begin_ms) for s in fresh],
    )
    changes = [(alert_of[unit], "occurrence" if unit in standing else "raised") for unit in units]
    await note_changes(connection, changes, now_ms)
    return alert_of, len(alerts)


async def _by_unit(connection: Connection, statement: str, units: Sequence[str]) -> dict[str, int]:
    return {row["home_unit"]: row["alert_no"] for row in await connection.fetch(statement, list(units))}


async def _list(connection: Connection, people: Sequence[tuple[int, int]], now_ms: int) -> None:
    if people:
        columns = [alert_no for alert_no, _ in people], [wearer_no for _, wearer_no in people]
        await connection.execute(LIST_PEOPLE, *columns, datetime_of(now_ms))


async def people_listed(connection: Connection, alert_no: int, limit: int) -> list[AlertPerson]:
    """Whom an alert of a home unit lists: who must be looked at first comes first."""
    return [
        AlertPerson(
            row["wearer_no"],
            row["wearer_id"],
            row["name"],
            row["rag"],
            row["mappa_level"],
            instant_of(row["added_at"]),
        )
        for row in await connection.fetch(LISTED, alert_no, limit)
    ]


async def open_alerts_of_units(connection: Connection, units: Sequence[str]) -> dict[str, int]:
    """Of each home unit that has an alert open the number of it."""
    return await _by_unit(connection, OPEN_OF_UNITS, units)
