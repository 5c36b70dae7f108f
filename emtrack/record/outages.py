"""Times in which we ourselves could not receive: silence does not count then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from emtrack.db.connect import Connection
from emtrack.record.changes import OUTAGE_ENTERED
from emtrack.record.entering import OrderWriter
from geofence import ALWAYS_MS, Interval, datetime_of, subtracted

OUTAGES = """
SELECT epoch_ms(lower(during)) AS begin_ms, epoch_ms(upper(during)) AS end_ms
FROM outages ORDER BY during
"""
NEW_OUTAGE = "INSERT INTO outages (during, cause, recorded_at) VALUES ($1, $2, $3)"


async def load_outages(connection: Connection) -> list[Interval]:
    """Our own outages, sorted and apart. The one before we were first ready has no beginning."""
    rows = await connection.fetch(OUTAGES)
    return [Interval(ALWAYS_MS if row["begin_ms"] is None else row["begin_ms"], row["end_ms"]) for row in rows]


async def record_outage(connection: Connection, outage: Interval, cause: str, now: Any) -> None:
    """Record an outage; it must not overlap one that is recorded."""
    begin = None if outage.begin_ms <= ALWAYS_MS else datetime_of(outage.begin_ms)
    await connection.execute(NEW_OUTAGE, asyncpg.Range(begin, datetime_of(outage.end_ms)), cause, now)


async def enter_outages(writer: OrderWriter, outages: Sequence[Interval]) -> None:
    """Outages that orders tell of: the parts that are not recorded yet."""
    if not outages:
        return
    known = await load_outages(writer.connection)
    for outage in subtracted(outages, known):
        await record_outage(writer.connection, outage, "entered", writer.now)
        writer.changed(OUTAGE_ENTERED, None)
