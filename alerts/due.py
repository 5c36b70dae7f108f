"""What the clock has for a turn: one question to the database, as most turns have nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerts.store import OwnShards, columns_of
from geofence import datetime_of

if TYPE_CHECKING:
    from alerts.store import Connection

# But for what others look after. A timer that is nobody's is everybody's.
IS_DUE = """
SELECT EXISTS (
           SELECT FROM alert_timers t JOIN findings f USING (finding_no)
           WHERE t.due_at <= $1 AND NOT EXISTS (
               SELECT FROM activation_versions v
               WHERE v.activation_no = f.activation_no AND upper_inf(v.recorded) AND NOT v.wearer_no % $2 = ANY ($3::bigint[])))
           AS timers,
       EXISTS (SELECT FROM atv_timers WHERE due_at <= $1 AND wearer_no % $2 = ANY ($3::bigint[])) AS orders,
       EXISTS (SELECT FROM possible_entries WHERE settled_at IS NULL) AS entries,
       EXISTS (SELECT FROM alerts WHERE reopen_at <= $1 AND wearer_no % $2 = ANY ($3::bigint[])) AS closed
"""


class DueInTurn(NamedTuple):
    """Whether there are: findings whose time to be alerts has come, orders that may be over their threshold, possible entries that
    are not settled, alerts that were closed while they lasted and are to be looked at again."""

    timers: bool
    orders: bool
    entries: bool
    closed: bool


async def due_in_turn(connection: Connection, now_ms: int, own: OwnShards | None) -> DueInTurn:
    """`own`: of these shards; None: of all."""
    row = await connection.fetchrow(IS_DUE, datetime_of(now_ms), *columns_of(own))
    assert row is not None, "a row of what there is"
    return DueInTurn(*row)
