"""Whether an acknowledged report survives the loss of the database's machine: what the server says of those who copy it."""

from __future__ import annotations

import re
from typing import NamedTuple

from emtrack.db.connect import Connection

WISHED = "SHOW synchronous_standby_names"
IS_STANDBY = "SELECT pg_is_in_recovery()"
MAY_SEE = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
COPIERS = """
SELECT application_name AS name, state = 'streaming' AND sync_state IN ('sync', 'quorum') AS is_waited_for,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS behind_bytes,
       extract(epoch FROM replay_lag)::float8 AS behind_s
FROM pg_stat_replication ORDER BY application_name
"""


class Copier(NamedTuple):
    """A standby that follows. `is_waited_for`: commits wait until it has them on its disk. `behind_*`: of what its readers see; None:
    not known, or nothing is behind."""

    name: str
    is_waited_for: bool
    behind_bytes: int | None
    behind_s: float | None


class Replication(NamedTuple):
    """What a server does for its copies. `wished`: synchronous_standby_names; `may_see`: whether we may see who copies."""

    is_standby: bool
    wished: str
    may_see: bool
    copiers: tuple[Copier, ...]

    @property
    def needed(self) -> int:
        """How many standbys each commit waits for."""
        if not self.wished.strip():
            return 0
        counted = re.match(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\(", self.wished, re.IGNORECASE)
        return int(counted[1]) if counted else 1

    @property
    def waited_for(self) -> tuple[Copier, ...]:
        return tuple(copier for copier in self.copiers if copier.is_waited_for)


async def replication_of(connection: Connection) -> Replication:
    """Changes nothing."""
    is_standby = await connection.fetchval(IS_STANDBY)
    rows = [] if is_standby else await connection.fetch(COPIERS)
    return Replication(
        is_standby,
        await connection.fetchval(WISHED),
        await connection.fetchval(MAY_SEE),
        tuple(Copier(row["name"], bool(row["is_waited_for"]), row["behind_bytes"], row["behind_s"]) for row in rows),
    )
