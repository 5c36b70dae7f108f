"""Until when we were alive and everything is judged. What lies between that and being ready again is an outage of ours."""

from __future__ import annotations

from emtrack.db.connect import Connection
from emtrack.record.outages import load_outages, record_outage
from geofence import ALWAYS_MS, Interval, datetime_of, instant_of, subtracted

LIVENESS = "SELECT alive_at FROM liveness"
FIRST_READY = "INSERT INTO liveness (first_ready_at, alive_at) VALUES ($1, $1)"
ALIVE = "UPDATE liveness SET alive_at = $1, changes_seen = $2"


async def alive_ms(connection: Connection) -> int | None:
    """Until when everything is judged and we were alive; None before the deployment was first ready."""
    alive_at = await connection.fetchval(LIVENESS)
    return None if alive_at is None else instant_of(alive_at)


async def record_ready(connection: Connection, now_ms: int) -> tuple[list[Interval], int]:
    """We are ready: the time since we were last alive was an outage. All outages, and how many were recorded just now.
    Inside a transaction."""
    before_ms = await alive_ms(connection)
    if before_ms is None:
        await connection.execute(FIRST_READY, datetime_of(now_ms))
        return await record_outage_since(connection, ALWAYS_MS, now_ms, "before the first start")
    return await record_outage_since(connection, before_ms, now_ms, "not running, or no commit was possible")


async def record_outage_since(
    connection: Connection, since_ms: int, now_ms: int, cause: str
) -> tuple[list[Interval], int]:
    """Record the part of [since, now) that is not recorded yet. All outages, and how many were recorded just now."""
    known = await load_outages(connection)
    fresh = subtracted([Interval(since_ms, now_ms)] if since_ms < now_ms else [], known)
    for outage in fresh:
        await record_outage(connection, outage, cause, datetime_of(now_ms))
    return await load_outages(connection), len(fresh)


async def record_alive(connection: Connection, now_ms: int, changes_seen: int) -> None:
    """Everything is judged to `now_ms`, under the orders up to this change."""
    await connection.execute(ALIVE, datetime_of(now_ms), changes_seen)
