"""Wearers in the record: their ids and names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from emtrack.db.connect import Connection
from emtrack.forms.orders import Orders, WearerForm
from emtrack.record.entering import OrdersConflict, OrderWriter

WEARERS = "SELECT wearer_id, wearer_no, name FROM people WHERE wearer_id = ANY($1::text[])"
NEW_WEARER = "INSERT INTO wearers (wearer_id, name) VALUES ($1, $2) RETURNING wearer_no"
CANARIES = "SELECT wearer_no FROM canary_wearers() AS wearer_no"
MARK_CANARY = """
INSERT INTO wearers (wearer_id, is_canary) VALUES ($1, true)
ON CONFLICT (wearer_id) DO UPDATE SET is_canary = true WHERE wearers.is_canary RETURNING wearer_no
"""
RENAME_WEARER = "UPDATE wearers SET name = $2 WHERE wearer_no = $1"


def wearer_ids_of(orders: Orders) -> list[str]:
    """Everybody whom the orders name, sorted."""
    named: Iterable[Sequence[object]] = (
        orders.activations, orders.requirements, orders.absences, orders.home_units, orders.wearers,
        [form for form in orders.protocols if form.wearer_id is not None],
    )  # fmt: skip
    of_outages = {wearer_id for outage in orders.outages for wearer_id in outage.wearer_ids or ()}
    return sorted(of_outages | {row.wearer_id for rows in named for row in rows})  # type: ignore[attr-defined]


async def enter_wearers(
    writer: OrderWriter, wearer_ids: Sequence[str], forms: Mapping[str, WearerForm]
) -> dict[str, int]:
    """Their numbers. Who is new is entered; a name that a form gives replaces what was there."""
    rows = await writer.connection.fetch(WEARERS, list(wearer_ids))
    known = {row["wearer_id"]: row for row in rows}
    numbers = {}
    for wearer_id in wearer_ids:
        form, row = forms.get(wearer_id), known.get(wearer_id)
        name = None if form is None else form.name
        if row is None:
            numbers[wearer_id] = await _new(writer, wearer_id, name)
            writer.changed("wearer entered", numbers[wearer_id], wearer_id=wearer_id)
            continue
        numbers[wearer_id] = row["wearer_no"]
        if form is not None and row["name"] != name:
            await writer.connection.execute(RENAME_WEARER, row["wearer_no"], name)
            writer.changed("wearer changed", row["wearer_no"], before=row["name"], after=name)
    return numbers


async def canary_numbers(connection: Connection) -> frozenset[int]:
    """Wearers who are nobody: what is said of everybody is not said of them."""
    return frozenset(row["wearer_no"] for row in await connection.fetch(CANARIES))


async def mark_canary(connection: Connection, wearer_id: str) -> bool:
    """Enter the one who is nobody, or find it there. False: somebody real has this id."""
    number: int | None = await connection.fetchval(MARK_CANARY, wearer_id)
    return number is not None


async def _new(writer: OrderWriter, wearer_id: str, name: str | None) -> int:
    try:
        number: int = await writer.connection.fetchval(NEW_WEARER, wearer_id, name)
    except asyncpg.UniqueViolationError as error:
        raise OrdersConflict(
            f"The orders were not entered: wearer {wearer_id!r} is on record and not shared with your agency. Ask their lead agency."
        ) from error
    return number
