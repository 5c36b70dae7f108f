"""By which rules of judgement findings are made, and since when. What ended before new rules came into force stays as people were
told it, until a late or corrected fact reaches it."""

from __future__ import annotations

from emtrack.db.connect import Connection
from emtrack.record.changes import JUDGE_AGAIN, OrderChange, log_change
from emtrack.record.shards import Shards
from geofence import ALWAYS_MS, RULES_VERSION, datetime_of, format_instant, instant_of

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


ASK = "INSERT INTO rejudgements (since, asked_at, asked_by) VALUES ($1, $2, $3)"
ASKED = "SELECT min(since) FROM rejudgements WHERE done_at IS NULL"
DONE = "UPDATE rejudgements SET done_at = $1 WHERE done_at IS NULL"
LAST_ASKED = "SELECT coalesce(max(rejudgement_no), 0) FROM rejudgements"
DONE_IN_SHARDS = "UPDATE shard_liveness SET judged_again = $2 WHERE shard = ANY ($1::bigint[])"
# Whoever is the last says so of all.
DONE_IN_ALL = """
UPDATE rejudgements SET done_at = $1
WHERE done_at IS NULL AND rejudgement_no <= (
    SELECT min(coalesce(l.judged_again, 0)) FROM shards_alive s LEFT JOIN shard_liveness l USING (shard))
"""


async def ask_to_judge_again(connection: Connection, since_ms: int, who: str, now_ms: int) -> None:
    """Everybody is judged again at the next turn of the service, and it says when that is done."""
    async with connection.transaction():
        await connection.execute(ASK, datetime_of(since_ms), datetime_of(now_ms), who)
        change = OrderChange(JUDGE_AGAIN, None, {"since": format_instant(since_ms)})
        await log_change(connection, change, who, now_ms)


async def asked_since_ms(connection: Connection) -> int | None:
    """From which instant on findings are to follow the rules of today; None: nobody asks."""
    since = await connection.fetchval(ASKED)
    return None if since is None else instant_of(since)


async def judged_again(connection: Connection, now_ms: int, shards: Shards) -> None:
    """What was asked for is done in some shards."""
    if shards.are_all:
        await connection.execute(DONE, datetime_of(now_ms))
        return
    await connection.execute(DONE_IN_SHARDS, sorted(shards.owned), await connection.fetchval(LAST_ASKED))
    await connection.execute(DONE_IN_ALL, datetime_of(now_ms))
