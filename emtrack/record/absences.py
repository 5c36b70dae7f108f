"""Authorised absences in the record."""

from __future__ import annotations

from emtrack.record.entering import OrdersConflict, OrderWriter, overlapped, span, until_words

SAME_ABSENCE = """
SELECT count(*) FROM absences WHERE wearer_no = $1 AND during = $2 AND reason = $3 AND upper_inf(recorded)
"""
OVERLAPPING_ABSENCE = """
SELECT reason, lower(during) AS begin_at, upper(during) AS end_at FROM absences
WHERE wearer_no = $1 AND during && $2 AND upper_inf(recorded) ORDER BY 2 LIMIT 1
"""
NEW_ABSENCE = """
INSERT INTO absences (wearer_no, during, reason, recorded, entered_by) VALUES ($1, $2, $3, $4, $5)
"""


async def enter_absence(writer: OrderWriter, wearer_no: int, from_ms: int, to_ms: int, reason: str) -> None:
    """Raises OrdersConflict for one that overlaps another."""
    during = span(from_ms, to_ms)
    if await writer.connection.fetchval(SAME_ABSENCE, wearer_no, during, reason):
        return
    row = await writer.connection.fetchrow(OVERLAPPING_ABSENCE, wearer_no, during)
    if row is not None:
        raise OrdersConflict(
            f"The orders were not entered, because an absence overlaps the absence ({row['reason'] or 'no reason given'}) from "
            f"{row['begin_at']:%Y-%m-%dT%H:%M:%SZ} {until_words(row)}. Two absences of one person must not overlap.",
            overlapped(row, reason=row["reason"]),
        )
    await writer.connection.execute(NEW_ABSENCE, wearer_no, during, reason, writer.since, writer.who)
    writer.changed("absence entered", wearer_no)
