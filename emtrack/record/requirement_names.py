"""What people call the zone of a requirement: "Hanley exclusion zone", not X2. Versions with who and when; nobody is judged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emtrack.forms.orders import RequirementForm

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.record.entering import OrderWriter

NAMES = """
SELECT wearer_no, requirement_id, name FROM requirement_names WHERE wearer_no = ANY($1::bigint[]) AND upper_inf(recorded)
"""
CLOSE = """
UPDATE requirement_names SET recorded = tstzrange(lower(recorded), $3)
WHERE wearer_no = $1 AND requirement_id = $2 AND upper_inf(recorded)
"""
NEW = """
INSERT INTO requirement_names (wearer_no, requirement_id, name, recorded, entered_by) VALUES ($1, $2, $3, tstzrange($4, NULL), $5)
"""


async def load_names(connection: Connection, wearer_nos: Sequence[int]) -> dict[tuple[int, str], str]:
    """By wearer and requirement."""
    rows = await connection.fetch(NAMES, list(wearer_nos))
    return {(row["wearer_no"], row["requirement_id"]): row["name"] for row in rows}


async def enter_names(
    writer: OrderWriter, requirements: Sequence[RequirementForm], wearers: Mapping[str, int]
) -> None:
    """Those that the orders give; a requirement without one keeps what it was called."""
    given = {
        (wearers[form.wearer_id], form.requirement_id): form.name for form in requirements if form.name is not None
    }
    known = await load_names(writer.connection, sorted({wearer_no for wearer_no, _ in given}))
    for (wearer_no, requirement_id), name in given.items():
        if known.get((wearer_no, requirement_id)) == name:
            continue
        await writer.connection.execute(CLOSE, wearer_no, requirement_id, writer.now)
        await writer.connection.execute(NEW, wearer_no, requirement_id, name, writer.now, writer.who)
        writer.changed("zone named", None, requirement_id=requirement_id, name=name)
