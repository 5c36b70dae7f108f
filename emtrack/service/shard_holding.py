"""Which shards a worker holds: taken and given back on the very connection that it writes with.

Whoever loses that connection loses its shards with it, so that a worker that was cut off, or that stood still and wakes, writes
nothing. There is no leader and no list of members: each worker sees in the locks of the server how many workers there are and which
shards nobody has. It holds its fair share, gives back what it has above that, and takes what is free.

A worker whose process stands still (a machine that is suspended, SIGSTOP) keeps its connection. It is found by its shards, which
commit once a second when all is well: whoever sees that one has not for `STANDS_STILL_S`, while the server waits for its worker and
not the other way round, ends that session.
"""

from __future__ import annotations

from typing import NamedTuple

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
# Workers hold the worker's lock together; `serve` holds it alone.
WORKERS = """
SELECT l.pid FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ShareLock' AND l.objsubid = 1
  AND (l.classid::bigint << 32) + l.objid::bigint = $1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
HELD = """
SELECT l.objid::bigint AS shard FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::bigint = $1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Those of our login, and those of the owner's, where the role is had by SET ROLE.
END_STANDING_STILL = "SELECT end_standing_still($1, $2, $3, $4) + end_standing_still_as_owner($1, $2, $3, $4)"

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

    @property
    def shards(self) -> Shards:
        return Shards(self.count, self.owned)

    async def join(self, connection: Connection) -> bool:
        """A new connection: nothing is held on it yet. False while one process alone has the record."""
        self.owned = frozenset()
        joined: bool = await connection.fetchval(TRY_SHARED, WORKER_LOCK)
        return joined

    async def look(self, connection: Connection) -> Moved:
        """Take what is free and due to us, or give back what is due to others. Between turns, outside a transaction."""
        await self._end_who_stand_still(connection)
        workers = len(await connection.fetch(WORKERS, WORKER_LOCK))
        share = -(-self.count // max(1, workers))
        given = frozenset(sorted(self.owned)[share:])
        for shard in sorted(given):
            await connection.execute(GIVE_BACK, SHARDS, shard)
        self.owned -= given
        taken = frozenset() if given else await self._take(connection, share - len(self.owned))
        self.owned |= taken
        return Moved(taken, given)

    async def _take(self, connection: Connection, most: int) -> frozenset[int]:
        if most <= 0:
            return frozenset()
        held = {row["shard"] for row in await connection.fetch(HELD, SHARDS)}
        taken: set[int] = set()
        for shard in range(self.count):
            if len(taken) == min(most, MOST_TAKEN):
                break
            if shard not in held and await connection.fetchval(TRY_SHARD, SHARDS, shard):
                taken.add(shard)
        return frozenset(taken)

    async def _end_who_stand_still(self, connection: Connection) -> None:
        ended = await connection.fetchval(END_STANDING_STILL, WORKER_LOCK, SHARDS, STANDS_STILL_S, LOADS_S)
        if ended:
            log.error("workers stand still: their sessions are ended, and their shards are free", workers=ended)
