"""What pages know of the workers, where these are other processes: whether all shards are served, and that alerts changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from emtrack.db.session import Limits, Session
from emtrack.service.beside import keep_working, wait_for_stop
from emtrack.service.watching import who_is_not

LOOK_EVERY_S = 0.5
KNOWN_FOR_S = 10.0
"""What was seen counts for so long: then nobody knows whether it still holds."""
NOT_KNOWN = "The database does not answer, or was not asked yet: whether anybody is watched is not known."
LIMITS = Limits(statement_s=10.0, lock_s=2.0, answer_s=11.0)
# By the server's own clock.
UNSERVED = """
SELECT n.shards - count(l.shard) AS unserved, count(*) FILTER (WHERE l.heard_at < clock_timestamp() - interval '10 s') AS unheard,
       n.shards FROM shard_count n
LEFT JOIN shard_liveness l ON l.shard < n.shards AND l.committed_at > clock_timestamp() - interval '10 s'
GROUP BY n.shards
"""
NEWEST = "SELECT max(change_no) FROM alert_changes"


class RecordWatch:
    """`changed` is told of changes of alerts. As `Watched` has it."""

    def __init__(self, dsn: str, changed: asyncio.Condition, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._dsn = dsn
        self._changed = changed
        self._newest: int | None = None
        self._stopwatch = stopwatch
        self._looked_s = float("-inf")
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """Why not everybody is watched, in a sentence; None: all are."""
        return NOT_KNOWN if self._stopwatch() - self._looked_s > KNOWN_FOR_S else self._trouble

    def late(self) -> str | None:
        """Workers say so themselves, to people on call and at their own /readyz."""
        return None

    async def run(self, stop: asyncio.Event) -> None:
        await keep_working(self._dsn, "emtrack watch of the record", LIMITS, self._look, self._pause, stop)

    async def _look(self, connection: Session) -> bool:
        began_s = self._stopwatch()
        row = await connection.fetchrow(UNSERVED)
        assert row is not None, "there is one row"
        unserved, unheard, shards = row["unserved"], row["unheard"], row["shards"]
        self._looked_s, self._trouble = began_s, None
        if unserved:
            self._trouble = f"No worker committed anything of them for 10 s: {who_is_not(unserved, shards)} watched."
        elif unheard:
            self._trouble = f"Their workers heard no gateway for 10 s: {who_is_not(unheard, shards)} watched."
        newest = await connection.fetchval(NEWEST)
        if newest != self._newest:
            self._newest = newest
            async with self._changed:
                self._changed.notify_all()
        return False

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait_for_stop(stop, LOOK_EVERY_S)
