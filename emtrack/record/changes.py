"""The log of changes to orders: what was entered, by whom and when. Who waits for changes goes by their numbers, which follow
commits because orders change under one lock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from emtrack.db.connect import Connection
from emtrack.db.locks import ORDERS_LOCK, take_lock
from geofence import datetime_of, instant_of

SETTINGS_ENTERED = "settings entered"
OUTAGE_ENTERED = "outage entered"
JUDGE_AGAIN = "judged again"
CLOCK_PUT_BACK = "clock put back"
FACTS_DELETED = "facts deleted by retention"
QUARANTINE_EXAMINED = "quarantine examined"
ACTIVATION_ENTERED = "activation entered"
HOME_UNIT_ENTERED = "home unit entered"
CONCERN_UNITS = frozenset({ACTIVATION_ENTERED, HOME_UNIT_ENTERED})
"""Changes after which a home unit is there to hear a tag that it was not there to hear before."""
CONCERN_EVERYBODY = frozenset({SETTINGS_ENTERED, OUTAGE_ENTERED})
"""Changes after which everybody is judged again."""


class OrderChange(msgspec.Struct, frozen=True):
    """One thing that was entered. `wearer_no`: who is judged again for it."""

    what: str
    wearer_no: int | None
    detail: dict[str, Any]


class LoggedChange(NamedTuple):
    """A line of the log."""

    change_no: int
    wearer_no: int | None
    what: str
    changed_ms: int


LOG_CHANGES = """
INSERT INTO order_changes (changed_at, changed_by, what, wearer_no, detail)
SELECT $1, $2, what, wearer_no, detail FROM unnest($3::text[], $4::bigint[], $5::jsonb[]) AS t (what, wearer_no, detail)
"""
CHANGES_AFTER = """
SELECT change_no, wearer_no, what, changed_at FROM order_changes WHERE change_no > $1 ORDER BY change_no
"""
DEVICES_CHANGED = """
SELECT DISTINCT d.device_no FROM order_changes c JOIN devices d ON d.device_id = c.detail ->> 'device_id' WHERE c.change_no > $1
"""
LAST_CHANGE = "SELECT change_no, changed_at FROM last_order_change()"
# Whether the service has taken in all changes that there are.
CHANGES_SEEN = "SELECT min(changes_seen) FROM shards_alive WHERE shard = ANY($1::bigint[])"
NOTICED = """
SELECT min(changes_seen) >= (SELECT coalesce(max(change_no), 0) FROM order_changes) FROM shards_alive
"""


async def lock_orders(connection: Connection) -> None:
    """Nobody else changes orders until the end of the transaction."""
    await take_lock(connection, ORDERS_LOCK)


async def log_changes(connection: Connection, changes: Sequence[OrderChange], who: str, now_ms: int) -> None:
    """Inside the caller's transaction, under the lock of orders."""
    await connection.execute(
        LOG_CHANGES,
        datetime_of(now_ms),
        who,
        [change.what for change in changes],
        [change.wearer_no for change in changes],
        [change.detail for change in changes],
    )


async def log_change(connection: Connection, change: OrderChange, who: str, now_ms: int) -> None:
    """Log one change that was made outside of an import, under the same lock."""
    await lock_orders(connection)
    await log_changes(connection, [change], who, now_ms)


async def order_changes_after(connection: Connection, change_no: int) -> list[LoggedChange]:
    """In order."""
    return [
        LoggedChange(row["change_no"], row["wearer_no"], row["what"], instant_of(row["changed_at"]))
        for row in await connection.fetch(CHANGES_AFTER, change_no)
    ]


async def devices_changed_after(connection: Connection, change_no: int) -> list[int]:
    """The numbers of devices that changes name: their keys and identifiers may have changed."""
    return [row["device_no"] for row in await connection.fetch(DEVICES_CHANGED, change_no)]


async def changes_seen(connection: Connection, shards: Collection[int]) -> int:
    """Up to which change orders had been taken in for all of some shards when they were last served; 0 before they first were."""
    return await connection.fetchval(CHANGES_SEEN, sorted(shards)) or 0


async def last_change(connection: Connection) -> tuple[int, int | None]:
    """The number of the last change (0: there is none), and when it was made."""
    row = await connection.fetchrow(LAST_CHANGE)
    assert row is not None, "an aggregate is one row"
    return row["change_no"], None if row["changed_at"] is None else instant_of(row["changed_at"])


async def are_noticed(connection: Connection) -> bool | None:
    """Whether the service has taken in all changes; None before it was first ready."""
    noticed: bool | None = await connection.fetchval(NOTICED)
    return noticed
