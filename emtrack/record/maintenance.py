"""Planned maintenance: announced beforehand, with from, to and reason, so that people who watch know what is going on.

It excuses no silence by itself. Only a time in which we really could not receive is an outage (RULES.md section 8, `outages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.errors import MendableError
from emtrack.record.entering import span
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

LONGEST_MS = 3 * 86_400_000
FARTHEST_MS = 90 * 86_400_000
SHOWN_AHEAD_MS = 12 * 3_600_000
"""So long before it begins it is shown on queue and wall."""
MOST = 100

STANDING = """
SELECT m.maintenance_no, lower(m.during) AS begin_at, upper(m.during) AS end_at, m.what, m.entered_by, m.entered_at
FROM planned_maintenance m WHERE m.withdraws IS NULL AND upper(m.during) > $1
    AND NOT EXISTS (SELECT FROM planned_maintenance w WHERE w.withdraws = m.maintenance_no) ORDER BY m.during LIMIT $2
"""
ONE = "SELECT during FROM planned_maintenance WHERE maintenance_no = $1 AND withdraws IS NULL"
ENTER = """
INSERT INTO planned_maintenance (during, what, withdraws, entered_at, entered_by) VALUES ($1, $2, $3, $4, $5)
"""


class Maintenance(NamedTuple):
    """What is planned, and stands."""

    maintenance_no: int
    begin_ms: int
    end_ms: int
    what: str
    entered_by: str
    entered_ms: int

    def holds_at(self, now_ms: int) -> bool:
        return self.begin_ms <= now_ms < self.end_ms


class UnfitMaintenance(MendableError):
    """What cannot be announced. The message says what to change."""


async def planned(connection: Connection, now_ms: int) -> list[Maintenance]:
    """What goes on or is to come, in order."""
    return [_maintenance(row) for row in await connection.fetch(STANDING, datetime_of(now_ms), MOST)]


async def shown(connection: Connection, now_ms: int) -> list[Maintenance]:
    """What those who watch are told: what goes on, or begins soon."""
    return [one for one in await planned(connection, now_ms) if one.begin_ms - SHOWN_AHEAD_MS <= now_ms]


def _maintenance(row: asyncpg.Record) -> Maintenance:
    return Maintenance(
        row["maintenance_no"], instant_of(row["begin_at"]), instant_of(row["end_at"]), row["what"], row["entered_by"],
        instant_of(row["entered_at"]),
    )  # fmt: skip


async def announce(connection: Connection, begin_ms: int, end_ms: int, what: str, *, who: str, now_ms: int) -> None:
    """Beforehand: what has ended is no plan. Raises UnfitMaintenance."""
    what = what.strip()
    if not 0 < len(what) <= 500:
        raise UnfitMaintenance("Enter what is done and why, in at most 500 characters.")
    if begin_ms >= end_ms:
        raise UnfitMaintenance("The end is not after the beginning. Choose a later end.")
    if end_ms <= now_ms:
        raise UnfitMaintenance("The end has passed. Maintenance is entered beforehand.")
    if end_ms - begin_ms > LONGEST_MS:
        raise UnfitMaintenance("Maintenance lasts at most 3 days. Enter it in parts.")
    if begin_ms > now_ms + FARTHEST_MS:
        raise UnfitMaintenance("It begins more than 90 days ahead. Enter it later.")
    await connection.execute(ENTER, span(begin_ms, end_ms), what, None, datetime_of(now_ms), who)


async def withdraw(connection: Connection, maintenance_no: int, *, who: str, now_ms: int) -> None:
    """It does not take place, or is over already. Of one that stands no longer nothing happens."""
    standing = {one.maintenance_no for one in await planned(connection, now_ms)}
    if maintenance_no in standing:
        during = await connection.fetchval(ONE, maintenance_no)
        await connection.execute(ENTER, during, "withdrawn", maintenance_no, datetime_of(now_ms), who)
