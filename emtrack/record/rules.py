"""By which rules of judgement findings are made, and since when. What ended before new rules came into force stays as people were
told it, until a late or corrected fact reaches it."""

from __future__ import annotations

from emtrack.db.connect import Connection
from geofence import ALWAYS_MS, RULES_VERSION, datetime_of, instant_of

RULES = "SELECT rules, since FROM rules_in_force WHERE rules = $1"
IN_FORCE = """
INSERT INTO rules_in_force (rules, since)
SELECT $1, CASE WHEN EXISTS (SELECT FROM rules_in_force) THEN $2::timestamptz END ON CONFLICT DO NOTHING
"""


async def rules_in_force_ms(connection: Connection, now_ms: int) -> int:
    """Since when the program's rules are in force here: noted at the first start with them. ALWAYS_MS in a record that never knew
    others."""
    await connection.execute(IN_FORCE, RULES_VERSION, datetime_of(now_ms))
    row = await connection.fetchrow(RULES, RULES_VERSION)
    assert row is not None, "it was noted just now, or before"
    return ALWAYS_MS if row["since"] is None else instant_of(row["since"])
