"""Orders for a time that is past: entering a zone for yesterday is a way to ask where somebody was yesterday.

So whoever enters one says why, it is marked, and it is a look at the person that is on record with the order itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from emtrack.errors import MendableError
from emtrack.people.looks import ORDER, Looker, What, enter_look
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emtrack.db.connect import Connection
    from emtrack.record.entering import PastEntry

ENTRY_MS = 15 * 60_000
"""Activation and requirements of somebody new may come one after the other: so long nothing is asked."""

# Of entries for the past: those whose wearer was known to be on a tag then, a while before the entry was made. The first
# orders of a person ask nothing: nobody knew anything of them.
WATCHED_ALREADY = """
SELECT p.ordinality FROM unnest($1::bigint[], $2::tstzrange[]) WITH ORDINALITY AS p (wearer_no, during, ordinality)
WHERE EXISTS (SELECT FROM activation_versions v WHERE v.wearer_no = p.wearer_no AND v.during && p.during AND lower(v.recorded) < $3)
ORDER BY p.ordinality
"""
ENTERED = """
SELECT requirement_id, lower(valid) AS from_at, lower(recorded) AS entered_at, entered_by, reason FROM requirement_versions
WHERE wearer_no = $1 AND reason IS NOT NULL AND lower(valid) < lower(recorded) ORDER BY lower(recorded) DESC, version_no DESC LIMIT 50
"""


class NoReason(MendableError):
    """An order for the past for which nobody said why. The message says how to."""

    exit_code = 2


class EnteredForThePast(NamedTuple):
    """A requirement that was entered afterwards."""

    requirement_id: str
    from_ms: int
    entered_ms: int
    entered_by: str
    reason: str


async def watched_already(connection: Connection, past: Sequence[PastEntry], now_ms: int) -> list[PastEntry]:
    """Those entries that tell who enters them where somebody was."""
    spans = [asyncpg.Range(datetime_of(entry.from_ms), datetime_of(entry.to_ms)) for entry in past]
    numbers = [entry.wearer_no for entry in past]
    rows = await connection.fetch(WATCHED_ALREADY, numbers, spans, datetime_of(now_ms - ENTRY_MS))
    return [past[row["ordinality"] - 1] for row in rows]


async def look_by_past_orders(connection: Connection, past: Sequence[PastEntry], looker: Looker, now_ms: int) -> None:
    """Of entries for the past: those that tell who enters them where somebody was, each on record as a look in the transaction of the
    orders. Raises NoReason."""
    telling = await watched_already(connection, past, now_ms)
    for entry in telling:
        if entry.reason is None:
            raise NoReason(
                f"The orders were not entered: requirement {entry.requirement_id!r} begins in a time in which its wearer was "
                'monitored already, so that it tells where somebody was. Say why it is entered now, in its field "reason".'
            )
    for entry in telling:
        as_order = looker._replace(purpose=ORDER, reference=entry.reason)
        during = (entry.from_ms, entry.to_ms)
        await enter_look(connection, as_order, What.PAST_ORDER, entry.wearer_no, during, now_ms=now_ms)


async def entered_for_the_past(connection: Connection, wearer_no: int) -> list[EnteredForThePast]:
    """The newest first, at most 50."""
    return [
        EnteredForThePast(
            row["requirement_id"], instant_of(row["from_at"]), instant_of(row["entered_at"]), row["entered_by"],
            row["reason"],
        )
        for row in await connection.fetch(ENTERED, wearer_no)
    ]  # fmt: skip
