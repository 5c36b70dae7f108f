"""Who a person is to those who ring at night: address, phones, responsible officer, the order of a court. Versions with who and when.

No finding asks any of it. It is closed where the IOM record is (decision 25).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from emtrack.forms.orders import WearerForm
from emtrack.forms.person import ContactForm, CourtOrderForm, OfficerForm

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection
    from emtrack.record.entering import OrderWriter

COLUMNS = """
    wearer_no, date_of_birth, sex, ethnicity, address, phones, officer_name, officer_agency, officer_phone, offence,
    order_kind, order_court, order_begins, order_ends, contacts
"""
DETAILS = f"SELECT {COLUMNS} FROM wearer_details WHERE wearer_no = ANY($1::bigint[]) AND upper_inf(recorded)"  # noqa: S608
CLOSE = """
UPDATE wearer_details SET recorded = tstzrange(lower(recorded), $2) WHERE wearer_no = $1 AND upper_inf(recorded)
"""
NEW = f"""
INSERT INTO wearer_details ({COLUMNS}, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, tstzrange($16, NULL), $17)
"""  # noqa: S608
WEARERS = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_id = ANY($1::text[]) ORDER BY wearer_id"


class Details(msgspec.Struct, frozen=True):
    """What is entered of a person; fields as in orders.json. Ethnicity and sex are for measures of fairness and for nothing else: no
    page of an alert shows them."""

    date_of_birth: date | None = None
    sex: str | None = None
    ethnicity: str | None = None
    address: str | None = None
    phones: list[str] = []
    responsible_officer: OfficerForm | None = None
    offence: str | None = None
    order: CourtOrderForm | None = None
    contacts: list[ContactForm] = []


NOTHING = Details()


def details_in(form: WearerForm) -> Details:
    return Details(*(getattr(form, name) for name in Details.__struct_fields__))


async def load_details(connection: Connection, wearer_nos: Sequence[int]) -> dict[int, Details]:
    """Of those of whom anything is entered, and whose record is open to who asks."""
    return {row["wearer_no"]: _details(row) for row in await connection.fetch(DETAILS, list(wearer_nos))}


def _details(row: asyncpg.Record) -> Details:
    officer = None
    if row["officer_name"] is not None:
        officer = OfficerForm(row["officer_name"], row["officer_agency"], row["officer_phone"])
    order = None
    if row["order_kind"] is not None:
        order = CourtOrderForm(row["order_kind"], row["order_court"], row["order_begins"], row["order_ends"])
    return Details(
        row["date_of_birth"], row["sex"], row["ethnicity"], row["address"], list(row["phones"]), officer, row["offence"], order,
        msgspec.convert(row["contacts"], list[ContactForm]),
    )  # fmt: skip


async def enter_details(writer: OrderWriter, wearers: Mapping[str, int], forms: Mapping[str, WearerForm]) -> None:
    """Of each wearer of whom the orders say anything, all that they say: a new version where it is not what was there."""
    known = await load_details(writer.connection, [wearers[wearer_id] for wearer_id in forms])
    for wearer_id, form in forms.items():
        details, number = details_in(form), wearers[wearer_id]
        if details in (NOTHING, known.get(number)):
            continue
        await writer.connection.execute(CLOSE, number, writer.now)
        await writer.connection.execute(NEW, number, *_columns(details), writer.now, writer.who)
        writer.changed("details entered", None, wearer_id=wearer_id)  # nobody is judged again for it


def _columns(details: Details) -> tuple[Any, ...]:
    officer, order = details.responsible_officer, details.order
    return (
        details.date_of_birth, details.sex, details.ethnicity, details.address, details.phones,
        officer and officer.name, officer and officer.agency, officer and officer.phone, details.offence,
        order and order.kind, order and order.court, order and order.begins, order and order.ends,
        msgspec.to_builtins(details.contacts),
    )  # fmt: skip


async def forms_of(connection: Connection, wearer_ids: Sequence[str]) -> list[WearerForm]:
    """Names and details as orders.json carries them, of those of whom there are any."""
    rows = await connection.fetch(WEARERS, list(wearer_ids))
    details = await load_details(connection, [row["wearer_no"] for row in rows])
    forms = []
    for row in rows:
        entered = details.get(row["wearer_no"], NOTHING)
        if row["name"] is not None or entered != NOTHING:
            fields = {name: getattr(entered, name) for name in Details.__struct_fields__}
            forms.append(WearerForm(row["wearer_id"], row["name"], **fields))
    return forms
