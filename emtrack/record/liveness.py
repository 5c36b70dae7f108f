"""Until when we were alive and everything is judged. What lies between that and being ready again is an outage of ours.

One process that has all shards writes one row for all of them (`liveness`); a worker that owns some writes theirs (`shard_liveness`).
Of a shard the later of the two counts, so that a deployment may go from one to the other and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from emtrack.db.connect import Connection
from emtrack.record.outages import Outages, load_outages, record_outage, record_shard_outage
from emtrack.record.shards import Shards
from geofence import ALWAYS_MS, Interval, datetime_of, instant_of, merged, subtracted

LIVENESS = "SELECT min(alive_at) FROM shards_alive"
OF_SHARDS = "SELECT shard, alive_at, coalesce(changes_seen, 0) AS changes_seen FROM shards_alive"
WORKERS_WERE_LAST = (
    "SELECT EXISTS (SELECT FROM shard_liveness s CROSS JOIN liveness l WHERE s.alive_at >= l.alive_at)"
)
FIRST_READY = "INSERT INTO liveness (first_ready_at, alive_at) SELECT $1, $1 WHERE NOT EXISTS (SELECT FROM liveness) RETURNING true"
ALIVE = "UPDATE liveness SET alive_at = $1, changes_seen = $2"
SHARDS_ALIVE = """
INSERT INTO shard_liveness AS l (shard, alive_at, changes_seen, committed_at, is_loading, heard_at)
SELECT shard, $2, $3, clock_timestamp(), false, clock_timestamp() - make_interval(secs => unheard_s)
FROM unnest($1::bigint[], $4::float8[]) AS s (shard, unheard_s)
ON CONFLICT (shard) DO UPDATE SET alive_at = greatest(l.alive_at, excluded.alive_at), changes_seen = excluded.changes_seen,
    committed_at = excluded.committed_at, is_loading = false, heard_at = excluded.heard_at
"""
SHARDS_LOADING = """
INSERT INTO shard_liveness (shard, alive_at, changes_seen, committed_at, is_loading)
SELECT shard, alive_at, changes_seen, clock_timestamp(), true FROM shards_alive
WHERE shard = ANY($1::bigint[]) AND alive_at IS NOT NULL
ON CONFLICT (shard) DO UPDATE SET committed_at = excluded.committed_at, is_loading = true
"""


async def alive_ms(connection: Connection) -> int | None:
    """Until when everything is judged and we were alive; None before the deployment was first ready."""
    alive_at = await connection.fetchval(LIVENESS)
    return None if alive_at is None else instant_of(alive_at)


class ShardAlive(NamedTuple):
    """Of one shard: until when everything is judged (None: it never was), and up to which change under which orders."""

    alive_ms: int | None
    changes_seen: int


async def shards_alive(connection: Connection) -> dict[int, ShardAlive]:
    """Of each shard."""
    return {
        row["shard"]: ShardAlive(
            None if row["alive_at"] is None else instant_of(row["alive_at"]), row["changes_seen"]
        )
        for row in await connection.fetch(OF_SHARDS)
    }  # fmt: skip


async def were_workers_last(connection: Connection) -> bool:
    """Whether workers that shared the shards were alive since one process alone had all of them."""
    were: bool = await connection.fetchval(WORKERS_WERE_LAST)
    return were


async def load_outages_to(connection: Connection, now_ms: int, shards: Shards) -> Outages:
    """All outages, and of shards that are not these the time since each was last alive: of what nobody serves none is recorded."""
    known, alive = await load_outages(connection), await shards_alive(connection)
    since_ms = {shard: one.alive_ms for shard, one in alive.items() if shard not in shards.owned}
    of_shards = {
        shard: tuple(merged([*known.of_shard(shard), Interval(from_ms, now_ms)]))
        for shard, from_ms in since_ms.items()
        if from_ms is not None and from_ms < now_ms
    }
    return known._replace(of_shards={**known.of_shards, **of_shards})


async def record_ready(connection: Connection, now_ms: int, shards: Shards) -> tuple[Outages, int]:
    """We are ready with some shards: the time since each was last alive was an outage of it. All outages, and how many were recorded
    just now. Inside a transaction."""
    if await connection.fetchval(FIRST_READY, datetime_of(now_ms)):
        return await record_outage_since(connection, ALWAYS_MS, now_ms, "before the first start")
    alive = await shards_alive(connection)
    since_ms = {shard: alive[shard].alive_ms or now_ms for shard in shards.owned}
    cause = "not running, or no commit was possible"
    if shards.are_all and len(set(since_ms.values())) == 1:
        return await record_outage_since(connection, next(iter(since_ms.values())), now_ms, cause)
    return await record_shard_outages_since(connection, since_ms, now_ms, cause)


async def record_outage_since(connection: Connection, since_ms: int, now_ms: int, cause: str) -> tuple[Outages, int]:
    """Record the part of [since, now) that is not recorded yet, of all. All outages, and how many were recorded just now."""
    known = await load_outages(connection)
    fresh = subtracted([Interval(since_ms, now_ms)] if since_ms < now_ms else [], known.common)
    for outage in fresh:
        await record_outage(connection, outage, cause, datetime_of(now_ms))
    return await load_outages(connection), len(fresh)


async def record_shard_outages_since(
    connection: Connection, since_ms: Mapping[int, int], now_ms: int, cause: str
) -> tuple[Outages, int]:
    """The same of some shards, each since an instant of its own."""
    known, recorded = await load_outages(connection), 0
    for shard, from_ms in sorted(since_ms.items()):
        times = [Interval(from_ms, now_ms)] if from_ms < now_ms else []
        for outage in subtracted(times, known.of_shard(shard)):
            await record_shard_outage(connection, shard, outage, cause, datetime_of(now_ms))
            recorded += 1
    return await load_outages(connection), recorded


async def record_alive(connection: Connection, now_ms: int, changes_seen: int) -> None:
    """Everything is judged to `now_ms`, under the orders up to this change."""
    await connection.execute(ALIVE, datetime_of(now_ms), changes_seen)


async def record_shards_alive(
    connection: Connection, shards: Shards, now_ms: int, changes_seen: int, unheard_s: Mapping[int, float]
) -> None:
    """The same of some shards. `unheard_s`: how long ago each had its last sign of life; not in it: it waits for none."""
    owned = sorted(shards.owned)
    silent_s = [unheard_s.get(shard) for shard in owned]
    await connection.execute(SHARDS_ALIVE, owned, datetime_of(now_ms), changes_seen, silent_s)


async def record_loading(connection: Connection, shards: Shards) -> None:
    """Some shards are read, which may take longer than a turn: whoever reads them does not stand still."""
    await connection.execute(SHARDS_LOADING, sorted(shards.owned))
