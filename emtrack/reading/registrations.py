"""What a person is registered as, in the codes that probation systems speak: what is exported in them, and what came in by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.codes import DOMESTIC_ABUSE, IOM, MAPPA, ROSH_OF
from emtrack.iom.entries import Entry, load, records_of_person
from emtrack.iom.memberships import MEMBERSHIP

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

CODE_OF_ROSH = {rosh: code for code, rosh in ROSH_OF.items()}


class Registration(msgspec.Struct, frozen=True):
    """`level`, `category`: of MAPPA. `since_ms` None: nobody said."""

    code: str
    since_ms: int | None
    level: int | None = None
    category: int | None = None


async def registrations_of(connection: Connection, wearer_no: int, known_ms: int | None) -> list[Registration]:
    """As known at an instant; None: now."""
    there = await load(connection, await records_of_person(connection, wearer_no), [MEMBERSHIP, ASSESSMENT], known_ms)
    return list(_registrations(there))


def _registrations(there: Sequence[Entry]) -> Iterator[Registration]:
    """Of assessments the newest that says something counts for each of its parts."""
    member = next((e for e in there if e.noun is MEMBERSHIP and e.state == "OPEN" and e.valid is not None), None)
    if member is not None and member.valid is not None:
        yield Registration(IOM, member.valid.begin_ms)
    said = sorted(
        ((e.occurred_ms or 0, e.item_no, e.content) for e in there if isinstance(e.content, Assessment)), reverse=True
    )
    mappa = next((one for one in said if one[2].mappa_level is not None or one[2].mappa_category is not None), None)
    if mappa is not None:
        yield Registration(MAPPA, mappa[0] or None, mappa[2].mappa_level, mappa[2].mappa_category)
    harm = next(((since, one.rosh) for since, _, one in said if one.rosh is not None), None)
    if harm is not None:
        yield Registration(CODE_OF_ROSH[harm[1]], harm[0] or None)
    abuse = next((since for since, _, one in said if one.domestic_abuse), None)
    if abuse is not None:
        yield Registration(DOMESTIC_ABUSE, abuse or None)
