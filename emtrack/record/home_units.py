"""Home units in the record: which stands at the address of which curfew requirement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emtrack.forms.orders import HomeUnitForm
from emtrack.forms.to_core import home_unit_of
from emtrack.record.entering import OrderWriter, span

HOME_UNITS = """
SELECT version_no, hmu_id, wearer_no, requirement_id, during, rf_gap_ms, call_in_ms FROM home_units
WHERE hmu_id = ANY($1::text[]) AND upper_inf(recorded)
"""
CLOSE_HOME_UNIT = "UPDATE home_units SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
NEW_HOME_UNIT = """
INSERT INTO home_units (hmu_id, wearer_no, requirement_id, during, rf_gap_ms, call_in_ms, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


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
            writer.changed("home unit entered", key.wearer_no, hmu_id=key.hmu_id, requirement_id=key.requirement_id)
