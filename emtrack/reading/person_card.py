"""Who must be called about a person, what the court ordered and how the tag is: what stands beside a decision.

What is of the person is closed where the IOM record is: then the card says so, and shows the tag alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerts import Skew
from emtrack.record.requirement_names import load_names
from emtrack.record.wearer_details import NOTHING, Details, load_details
from geofence import EventType, datetime_of, instant_of, instant_or_none

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

LOOKED_BACK_MS = 14 * 86_400_000
BATTERY = (EventType.BATTERY_LOW, EventType.BATTERY_CRITICAL, EventType.BATTERY_OK)

# The tag of now, or the last one there was. What came last is asked of the newest facts by their own time: what comes late is among
# them unless it is later than fifty others.
TAG = """
SELECT d.device_id, v.activation_no, lower(v.during) AS from_at, upper(v.during) AS to_at, v.network,
       (SELECT max(received_at) FROM (
           SELECT received_at FROM positions p WHERE p.device_no = v.device_no AND p.fix_time > $2 AND p.fix_time <= $3
               AND v.during @> p.fix_time ORDER BY p.fix_time DESC LIMIT 50) f) AS position_at,
       (SELECT max(received_at) FROM (
           SELECT received_at FROM device_events e WHERE e.device_no = v.device_no AND e.event_time > $2 AND e.event_time <= $3
               AND v.during @> e.event_time ORDER BY e.event_time DESC LIMIT 50) f) AS event_at,
       b.type AS battery, b.event_time AS battery_at, c.least_ms, c.most_ms
FROM activation_versions v JOIN devices d USING (device_no)
LEFT JOIN LATERAL (SELECT type, event_time FROM device_events e
    WHERE e.device_no = v.device_no AND e.type = ANY($4::text[]) AND v.during @> e.event_time AND e.event_time <= $3
    ORDER BY e.event_time DESC LIMIT 1) b ON true
LEFT JOIN LATERAL (SELECT least_ms, most_ms FROM wrong_clocks w
    WHERE w.activation_no = v.activation_no AND w.ended_at IS NULL ORDER BY begin_at DESC LIMIT 1) c ON true
WHERE v.wearer_no = $1 AND upper_inf(v.recorded) AND lower(v.during) <= $3
ORDER BY coalesce(upper(v.during), 'infinity') DESC, lower(v.during) DESC LIMIT 1
"""
CLOSED = "SELECT is_closed FROM people WHERE wearer_no = $1"
# The last day on which anything is asked of the person; null: something without an end, or nothing.
LAST_DAY = """
SELECT CASE WHEN NOT bool_or(upper_inf(valid)) THEN max(upper(valid)) END AS ends_at
FROM requirement_versions WHERE wearer_no = $1 AND upper_inf(recorded) AND valid @> $2::timestamptz
"""


class TagHealth(NamedTuple):
    """`to_ms` None: it is worn. `heard_ms` None: nothing in 14 days. `battery` None: it never said anything of it. `skew` None: its
    clock is right, as far as is known."""

    device_id: str
    activation_no: int
    from_ms: int
    to_ms: int | None
    network: str | None
    heard_ms: int | None
    battery: str | None
    battery_ms: int | None
    skew: Skew | None


class PersonCard(NamedTuple):
    """`tag` None: none was ever fitted. `names`: of zones, by requirement. `ends_ms`: of the last requirement in force that ends."""

    wearer_no: int
    is_closed: bool
    details: Details
    names: dict[str, str]
    ends_ms: int | None
    tag: TagHealth | None


async def person_card(connection: Connection, wearer_no: int, now_ms: int) -> PersonCard:
    """After the look is on record."""
    now = datetime_of(now_ms)
    is_closed = await connection.fetchval(CLOSED, wearer_no)
    details = (await load_details(connection, [wearer_no])).get(wearer_no, NOTHING)
    names = {requirement: name for (_, requirement), name in (await load_names(connection, [wearer_no])).items()}
    since, battery = datetime_of(now_ms - LOOKED_BACK_MS), list(map(str, BATTERY))
    row = await connection.fetchrow(TAG, wearer_no, since, now, battery)
    ends = await connection.fetchval(LAST_DAY, wearer_no, now)
    return PersonCard(
        wearer_no,
        bool(is_closed),
        details,
        names,
        None if ends is None else instant_of(ends),
        None if row is None else _tag(row, now_ms),
    )


def _tag(row: asyncpg.Record, now_ms: int) -> TagHealth:
    heard = [instant_of(at) for at in (row["position_at"], row["event_at"]) if at is not None]
    to_ms = instant_or_none(row["to_at"])
    is_worn = to_ms is None or to_ms > now_ms
    return TagHealth(
        row["device_id"], row["activation_no"], instant_of(row["from_at"]), None if is_worn else to_ms, row["network"],
        max(heard, default=None), row["battery"], instant_or_none(row["battery_at"]),
        None if row["least_ms"] is None else Skew(row["least_ms"], row["most_ms"]),
    )  # fmt: skip
