"""Home units as people see them: which is whose, and when each was heard last."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection


class UnitOfWearer(NamedTuple):
    """A home unit at an address of a person. `to_ms` None: without an end; `heard_ms` None: it never called in; `call_in_ms` None:
    nobody said how often it calls in."""

    hmu_id: str
    requirement_id: str
    from_ms: int
    to_ms: int | None
    call_in_ms: int | None
    heard_ms: int | None


OF_WEARER = """
SELECT h.hmu_id, h.requirement_id, epoch_ms(lower(h.during)) AS from_ms, epoch_ms(upper(h.during)) AS to_ms, h.call_in_ms,
       epoch_ms(c.heard_at) AS heard_ms
FROM home_units h LEFT JOIN devices d ON d.device_id = h.hmu_id LEFT JOIN unit_calls c USING (device_no)
WHERE h.wearer_no = $1 AND h.recorded @> $2::timestamptz ORDER BY h.during, h.hmu_id
"""
HEARD = """
SELECT epoch_ms(c.heard_at) FROM devices d JOIN unit_calls c USING (device_no) WHERE d.device_id = $1
"""


async def units_of_wearer(connection: Connection, wearer_no: int, known_ms: int) -> list[UnitOfWearer]:
    """Entries as they were known at an instant; when a unit was heard is of now."""
    rows = await connection.fetch(OF_WEARER, wearer_no, datetime_of(known_ms))
    return [UnitOfWearer(**dict(row)) for row in rows]


async def heard_last_ms(connection: Connection, hmu_id: str) -> int | None:
    """When a home unit was heard last; None: never."""
    heard_ms: int | None = await connection.fetchval(HEARD, hmu_id)
    return heard_ms
