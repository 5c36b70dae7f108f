"""When the canary sang, and when it was heard last (written by the canary itself)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from emtrack.db.connect import Connection

LAST = "SELECT sent_at, arrived_at, trouble FROM canary_beats ORDER BY beat_no DESC LIMIT 1"
LAST_ARRIVED = "SELECT max(sent_at) FROM canary_beats WHERE arrived_at IS NOT NULL"


class Beat(NamedTuple):
    """The newest. `heard_at`: when the last one was sent that arrived; None: none did."""

    sent_at: datetime
    arrived_at: datetime | None
    trouble: str | None
    heard_at: datetime | None


async def last_beat(connection: Connection) -> Beat | None:
    """None: no canary has sung."""
    row = await connection.fetchrow(LAST)
    if row is None:
        return None
    heard_at = await connection.fetchval(LAST_ARRIVED)
    return Beat(row["sent_at"], row["arrived_at"], row["trouble"], heard_at)
