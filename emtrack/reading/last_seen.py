"""How far from the edge of a zone somebody was at their newest position, and how old that is: for the queue, which shows no place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.record.plans import load_requirement
from geofence import EntryId, Requirement, SetZone, datetime_of, instant_of
from geofence.shapes import margins_m, packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from emtrack.db.connect import Connection

LOOKED_BACK_MS = 3 * 86_400_000
"""An older position says nothing of now."""

# The newest position of each activation, which a place of noughts is not, and the newest entry of the requirement that its alert
# is on.
NEWEST = """
SELECT a.ordinality AS row, p.fix_time, p.lat_deg, p.lon_deg, p.precision_m, p.mechanism, e.entry_no
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) WITH ORDINALITY AS a (activation_no, wearer_no, requirement_id, ordinality)
JOIN activation_versions v ON v.activation_no = a.activation_no AND upper_inf(v.recorded)
CROSS JOIN LATERAL (
    SELECT * FROM positions WHERE device_no = v.device_no AND fix_time > $4 AND fix_time <= $5
        AND fix_time >= lower(v.during) AND (upper_inf(v.during) OR fix_time < upper(v.during)) AND (lat_deg, lon_deg) <> (0, 0)
    ORDER BY fix_time DESC LIMIT 1) p
LEFT JOIN LATERAL (
    SELECT entry_no FROM requirement_versions WHERE wearer_no = a.wearer_no AND requirement_id = a.requirement_id
        AND upper_inf(recorded) AND valid @> p.fix_time ORDER BY entry_no DESC LIMIT 1) e ON true
"""


class Asked(NamedTuple):
    """An alert of a person, and the requirement that it is on."""

    activation_no: int
    wearer_no: int
    requirement_id: str | None


class LastSeen(NamedTuple):
    """A newest position without its place. `margin_m` > 0: so far inside the zone of the requirement; None: there is none to
    measure."""

    fix_ms: int
    radius_m: float | None
    mechanism: str
    margin_m: float | None


async def last_seen(connection: Connection, asked: Sequence[Asked], now_ms: int) -> list[LastSeen | None]:
    """Of each, in order. After a look is on record."""
    columns = list(zip(*asked, strict=True)) if asked else [(), (), ()]
    since, until = datetime_of(now_ms - LOOKED_BACK_MS), datetime_of(now_ms)
    rows = await connection.fetch(NEWEST, *map(list, columns), since, until)
    entries = {row["entry_no"] for row in rows if row["entry_no"] is not None}
    zones = {number: await load_requirement(connection, EntryId(str(number)), now_ms) for number in entries}
    found: list[LastSeen | None] = [None] * len(asked)
    for row in rows:
        found[row["row"] - 1] = _seen(row, zones)
    return found


def _seen(row: asyncpg.Record, zones: Mapping[int, Requirement | None]) -> LastSeen:
    requirement = None if row["entry_no"] is None else zones[row["entry_no"]]
    radius = row["precision_m"] if row["precision_m"] and row["precision_m"] > 0 else None
    return LastSeen(instant_of(row["fix_time"]), radius, row["mechanism"], _margin(row, requirement))


def _margin(row: asyncpg.Record, requirement: Requirement | None) -> float | None:
    """To the edge of the requirement's own zone; a shared set has many edges, and is left to the alert's page."""
    if requirement is None or isinstance(requirement.zone, SetZone):
        return None
    return float(margins_m(packed([requirement.zone]), [row["lon_deg"]], [row["lat_deg"]])[0, 0])
