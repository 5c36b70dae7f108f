"""Home units in the record: which stands at the address of which curfew requirement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emtrack.forms.moment import end_of
from emtrack.forms.orders import HomeUnitForm
from emtrack.record.entering import OrderWriter, span

HOME_UNITS = """
SELECT version_no, hmu_id, wearer_no, requirement_id, during FROM home_units
WHERE hmu_id = ANY($1::text[]) AND upper_inf(recorded)
"""
CLOSE_HOME_UNIT = "UPDATE home_units SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
NEW_HOME_UNIT = """
INSERT INTO home_units (hmu_id, wearer_no, requirement_id, during, recorded, entered_by) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def enter_home_units(writer: OrderWriter, forms: Sequence[HomeUnitForm], wearers: Mapping[str, int]) -> None:
    """All entries of the units that the forms name replace those that were entered before."""
    rows = await writer.connection.fetch(HOME_UNITS, sorted({form.hmu_id for form in forms}))
    known = {(r["hmu_id"], r["wearer_no"], r["requirement_id"], r["during"]): r for r in rows}
    wanted = dict.fromkeys(
        (f.hmu_id, wearers[f.wearer_id], f.requirement_id, span(f.from_.ms, end_of(f.to))) for f in forms
    )
    for key, row in known.items():
        if key not in wanted:
            await writer.connection.execute(CLOSE_HOME_UNIT, row["version_no"], writer.now)
            writer.changed("home unit moved", row["wearer_no"], hmu_id=row["hmu_id"])
    for key in wanted:
        if key not in known:
            await writer.connection.execute(NEW_HOME_UNIT, *key, writer.since, writer.who)
            writer.changed("home unit entered", key[1], hmu_id=key[0], requirement_id=key[2])
