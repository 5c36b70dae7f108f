"""Which shards a worker holds: taken and given back on the very connection that it writes with.

Whoever loses that connection loses its shards with it, so that a worker that was cut off, or that stood still and wakes, writes
nothing. There is no leader and no list of members: each worker sees in the locks of the server how many workers there are and which
shards nobody has. It holds its fair share, gives back what it has above that, and takes what is free. Sessions of roles that are none
of emtrack's (a gateway's login that was taken over) count for nothing, and are ended if they hold a lock here and the owner may.

A worker whose process stands still (a machine that is suspended, SIGSTOP) keeps its connection. It is found by its shards, which
commit once a second when all is well: whoever sees that one has not for `STANDS_STILL_S`, while the server waits for its worker and
not the other way round, ends that session.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import structlog

from emtrack.db.connect import Connection
from emtrack.db.locks import WORKER_LOCK
from emtrack.record.shards import Shards

SHARDS = 0x656D_7368
"""The first half of the locks of shards; the second is the shard ("emsh" as bytes)."""
MOST_TAKEN = 4
"""So many shards are taken at a time: those that are held already wait while they are read."""
STANDS_STILL_S, LOADS_S = 5.0, 60.0

TRY_SHARED = "SELECT pg_try_advisory_lock_shared($1)"
TRY_SHARD = "SELECT pg_try_advisory_lock($1, $2)"
GIVE_BACK = "SELECT pg_advisory_unlock($1, $2)"
# Who holds what. Workers hold the worker's lock together; `serve` holds it alone.
HOLDERS = """
SELECT l.objsubid = 1 AND l.mode = 'ShareLock' AND (l.classid::bigint << 32) + l.objid::bigint = $1 AS is_worker,
       CASE WHEN l.objsubid = 2 AND l.classid::bigint = $2 THEN l.objid::bigint END AS shard,
       coalesce(is_of_emtrack(a.usesysid), true) AS is_ours
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Those of our login, and those of the owner's, where the role is had by SET ROLE.
END_FOREIGN_HOLDERS = "SELECT end_foreign_holders() + end_foreign_holders_as_owner()"
END_STANDING_STILL = "SELECT end_standing_still($1, $2, $3, $4) + end_standing_still_as_owner($1, $2, $3, $4)"

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()


class Moved(NamedTuple):
    """Shards that were taken, and given back."""

    taken: frozenset[int]
    given: frozenset[int]


class ShardHolding:
    """Of one worker. `count`: how many shards there are."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.owned: frozenset[int] = frozenset()
        self._foreign = (0, 0)
        """Locks that sessions of others held when we looked last, and how many of these were ended."""

    @property
    def shards(self) -> Shards:
        return Shards(self.count, self.owned)

    async def join(self, connection: Connection) -> bool:
        """A new connection: nothing is held on it yet. False while one process alone has the record."""
        self.owned = frozenset()
        await self._end_foreign(connection, await self._holders(connection))
        joined: bool = await connection.fetchval(TRY_SHARED, WORKER_LOCK)
        return joined

    async def look(self, connection: Connection) -> Moved:
        """Take what is free and due to us, or give back what is due to others. Between turns, outside a transaction."""
        await self._end_who_stand_still(connection)
        holders = await self._holders(connection)
        await self._end_foreign(connection, holders)
        workers = sum(row["is_worker"] for row in holders if row["is_ours"])
        share = -(-self.count // max(1, workers))
        given = frozenset(sorted(self.owned)[share:])
        for shard in sorted(given):
            await connection.execute(GIVE_BACK, SHARDS, shard)
        self.owned -= given
        held = {row["shard"] for row in holders if row["is_ours"]}
        taken = frozenset() if given else await self._take(connection, held, share - len(self.owned))
        self.owned |= taken
        return Moved(taken, given)

    async def _take(self, connection: Connection, held: Collection[int], most: int) -> frozenset[int]:
        taken: set[int] = set()
        for shard in range(self.count):
            if len(taken) >= min(most, MOST_TAKEN):
                break
            if shard not in held and await connection.fetchval(TRY_SHARD, SHARDS, shard):
                taken.add(shard)
        return frozenset(taken)

    async def _holders(self, connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(HOLDERS, WORKER_LOCK, SHARDS)

    async def _end_foreign(self, connection: Connection, holders: Sequence[asyncpg.Record]) -> None:
        foreign = sum(not row["is_ours"] for row in holders)
        ended = await connection.fetchval(END_FOREIGN_HOLDERS) if foreign else 0
        if (foreign, ended) != self._foreign:  # said when it changes, and not once a second
            self._foreign = (foreign, ended)
            if foreign:
                log.error(
                    "sessions of a role that is none of emtrack's hold locks", locks=foreign, sessions_ended=ended
                )

    async def _end_who_stand_still(self, connection: Connection) -> None:
        ended = await connection.fetchval(END_STANDING_STILL, WORKER_LOCK, SHARDS, STANDS_STILL_S, LOADS_S)
        if ended:
            log.error("workers stand still: their sessions are ended, and their shards are free", workers=ended)
