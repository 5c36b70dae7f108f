"""Home units in the record: which stands at the address of which curfew requirement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emtrack.db.all_or_some import AllOrSome
from emtrack.db.connect import Connection
from emtrack.forms.orders import HomeUnitForm
from emtrack.forms.to_core import home_unit_of
from emtrack.record.changes import HOME_UNIT_ENTERED
from emtrack.record.entering import OrdersConflict, OrderWriter, span
from geofence import FOREVER_MS, datetime_of

HOME_UNITS = """
SELECT version_no, hmu_id, wearer_no, requirement_id, during, rf_gap_ms, call_in_ms FROM home_units
WHERE hmu_id = ANY($1::text[]) AND upper_inf(recorded)
"""
CLOSE_HOME_UNIT = "UPDATE home_units SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
NEW_HOME_UNIT = """
INSERT INTO home_units (hmu_id, wearer_no, requirement_id, during, rf_gap_ms, call_in_ms, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# A unit reports under a key of its own, so that it has a row among the devices. `told_ms`: since when we know that it stands there.
UNIT_ENTRIES = AllOrSome.of(
    """
SELECT d.device_no, h.hmu_id, h.wearer_no, h.requirement_id, epoch_ms(lower(h.during)) AS from_ms, epoch_ms(upper(h.during)) AS to_ms,
       h.call_in_ms, (SELECT epoch_ms(min(lower(o.recorded))) FROM home_units o
                      WHERE o.wearer_no = h.wearer_no AND o.hmu_id = h.hmu_id) AS told_ms
FROM home_units h JOIN devices d ON d.device_id = h.hmu_id
WHERE upper_inf(h.recorded) {some}
ORDER BY h.hmu_id, h.wearer_no, h.during
""",
    "AND h.wearer_no = ANY ($1::bigint[])",
)
UNIT_CALLS = "SELECT device_no, epoch_ms(heard_at) AS heard_ms FROM unit_calls"
STORE_UNIT_CALLS = """
INSERT INTO unit_calls (device_no, heard_at) SELECT * FROM unnest($1::bigint[], $2::timestamptz[])
ON CONFLICT (device_no) DO UPDATE SET heard_at = greatest(unit_calls.heard_at, excluded.heard_at)
"""
# Of some ids those that are a tag on somebody and a home unit.
TAGS_AND_UNITS = """
SELECT d.device_id FROM devices d WHERE d.device_id = ANY($1::text[])
  AND EXISTS (SELECT FROM activation_versions v WHERE v.device_no = d.device_no AND upper_inf(v.recorded))
  AND EXISTS (SELECT FROM home_units h WHERE h.hmu_id = d.device_id AND upper_inf(h.recorded))
ORDER BY d.device_id LIMIT 1
"""


class UnitEntry(NamedTuple):
    """A home unit at the address of a wearer's curfew requirement, from when to when."""

    device_no: int
    hmu_id: str
    wearer_no: int
    requirement_id: str
    from_ms: int
    to_ms: int
    call_in_ms: int | None
    told_ms: int
    """Since when we know that it stands with this wearer."""


async def load_unit_entries(connection: Connection, wearer_nos: Sequence[int] | None = None) -> list[UnitEntry]:
    """The entries of some wearers (None: all) as they are entered now."""
    return [
        UnitEntry(**(dict(row) | {"to_ms": FOREVER_MS if row["to_ms"] is None else row["to_ms"]}))
        for row in await UNIT_ENTRIES.fetch(connection, wearer_nos)
    ]


async def load_unit_calls(connection: Connection) -> dict[int, int]:
    """When each home unit was heard last, by the number of its device."""
    return {row["device_no"]: row["heard_ms"] for row in await connection.fetch(UNIT_CALLS)}


async def store_unit_calls(connection: Connection, heard_ms: Mapping[int, int]) -> None:
    """Of two notes, by whichever worker, the later instant counts."""
    if heard_ms:
        numbers = sorted(heard_ms)
        await connection.execute(STORE_UNIT_CALLS, numbers, [datetime_of(heard_ms[number]) for number in numbers])


async def refuse_tags_that_are_units(connection: Connection, device_ids: Sequence[str]) -> None:
    """Raises OrdersConflict where one id would be a tag on somebody and a home unit: its key would be good for both."""
    both = await connection.fetchval(TAGS_AND_UNITS, device_ids)
    if both is not None:
        raise OrdersConflict(
            f"The orders were not entered, because {both!r} would be a tag on somebody and a home unit. A home unit "
            "is a device of its own: give one of them another id."
        )


class _Content(NamedTuple):
    """What an entry says, named as its columns are."""

    hmu_id: str
    wearer_no: int
    requirement_id: str
    during: Any
    rf_gap_ms: int | None
    call_in_ms: int | None


def _content_of(form: HomeUnitForm, wearers: Mapping[str, int]) -> _Content:
    unit = home_unit_of(form)
    during = span(unit.from_ms, unit.to_ms)
    return _Content(
        unit.hmu_id, wearers[form.wearer_id], unit.requirement_id, during, unit.rf_gap_ms, unit.call_in_ms
    )


async def enter_home_units(writer: OrderWriter, forms: Sequence[HomeUnitForm], wearers: Mapping[str, int]) -> None:
    """All entries of the units that the forms name replace those that were entered before."""
    rows = await writer.connection.fetch(HOME_UNITS, sorted({form.hmu_id for form in forms}))
    known = {tuple(row[name] for name in _Content._fields): row for row in rows}
    wanted = dict.fromkeys(_content_of(form, wearers) for form in forms)
    for key, row in known.items():
        if key not in wanted:
            await writer.connection.execute(CLOSE_HOME_UNIT, row["version_no"], writer.now)
            writer.changed("home unit moved", row["wearer_no"], hmu_id=row["hmu_id"])
    for key in wanted:
        if key not in known:
            await writer.connection.execute(NEW_HOME_UNIT, *key, writer.since, writer.who)
            writer.changed(HOME_UNIT_ENTERED, key.wearer_no, hmu_id=key.hmu_id, requirement_id=key.requirement_id)
