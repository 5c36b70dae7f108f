"""What was refused and is kept: how much of it for which reason, and asking the service to examine it again."""

from __future__ import annotations

from typing import NamedTuple

from emtrack.db.connect import Connection
from emtrack.record.changes import QUARANTINE_EXAMINED, OrderChange, log_change

BY_REASON = """
SELECT q.reason, count(*) AS refused, count(r.fact_id) AS released, count(*) - count(r.fact_id) AS kept
FROM quarantine q LEFT JOIN quarantine_releases r USING (fact_id) GROUP BY q.reason ORDER BY q.reason
"""


class Refused(NamedTuple):
    """Of one reason: all that were ever refused, those that were used later, those that still are not."""

    reason: str
    refused: int
    released: int
    kept: int


async def refused_by_reason(connection: Connection) -> list[Refused]:
    return [Refused(*row) for row in await connection.fetch(BY_REASON)]


async def ask_to_examine(connection: Connection, who: str, now_ms: int) -> int:
    """Everything in quarantine is examined again at the next turn of the service. How many refusals that are."""
    async with connection.transaction():
        kept = sum(line.kept for line in await refused_by_reason(connection))
        await log_change(connection, OrderChange(QUARANTINE_EXAMINED, None, {"kept": kept}), who, now_ms)
    return kept
