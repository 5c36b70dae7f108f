"""The record as rows that `importing` reads: items as they stand, and what of them probation systems know by codes of their own.

What is ours leaves under the name of this deployment, so that it is known when it comes back and is nobody's double. A row of a
code (a registration, a contact) follows from an item and changes nothing when it comes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from emtrack.iom.assessments import Assessment
from emtrack.iom.codes import CODE_OF_SIGNAL, CONTACTS, DOMESTIC_ABUSE, IOM, MAPPA, ROSH_OF
from emtrack.iom.entries import Entry, load
from emtrack.iom.grades import Grade
from emtrack.iom.grading import OURS
from emtrack.iom.identifiers import Scheme
from emtrack.iom.importing import this_deployment
from emtrack.iom.memberships import Membership
from emtrack.iom.nominations import Nomination
from emtrack.iom.people import Person
from emtrack.iom.rows import IMPORTED, REGISTRATION, SCHEMES
from emtrack.iom.signals import Signal
from geofence import format_instant

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

AT_ONCE: Final = 100
MOST_PEOPLE: Final = 500
"""Of so many people at most rows are handed out at once, however few they have."""
FEW: Final = 20
"""People who are looked up at once where rows are handed out a few people at a time."""
COLUMN_OF: Final = {scheme: column for column, scheme in SCHEMES.items()}

PEOPLE = """
SELECT DISTINCT w.wearer_no, w.wearer_id FROM iom_now e JOIN wearers w USING (wearer_no)
WHERE $1::text IS NULL OR w.wearer_id = $1 ORDER BY wearer_id
"""
# The next people after a reference, of whom something is on record that the caller may see.
PEOPLE_AFTER = """
SELECT w.wearer_no, w.wearer_id FROM wearers w
WHERE w.wearer_id > $1 AND EXISTS (SELECT FROM iom_entries e WHERE e.wearer_no = w.wearer_no) ORDER BY w.wearer_id LIMIT $2
"""


class RowsOfPeople(NamedTuple):
    """Rows of some people. `last`: the reference of the last of them; None: nobody is left."""

    rows: list[dict[str, Any]]
    last: str | None


async def exported_rows(connection: Connection, reference: str | None) -> AsyncIterator[dict[str, Any]]:
    """Of everybody, or of one person, in the order of references; people first, so that a file can be read in one go."""
    people = await connection.fetch(PEOPLE, reference)
    ours = await this_deployment(connection)
    for first in range(0, len(people), AT_ONCE):
        for row in await _rows_of_people(connection, people[first : first + AT_ONCE], ours):
            yield row


async def rows_after(connection: Connection, after: str | None, enough: int) -> RowsOfPeople:
    """Of whole people, in the order of references, after one of them (None: from the first), until there are `enough` rows. Only what
    the caller may see."""
    ours = await this_deployment(connection)
    rows: list[dict[str, Any]] = []
    last, seen = after or "", 0
    while len(rows) < enough and seen < MOST_PEOPLE:
        people = await connection.fetch(PEOPLE_AFTER, last, FEW)
        rows += await _rows_of_people(connection, people, ours)
        if len(people) < FEW:
            return RowsOfPeople(rows, None)
        last, seen = people[-1]["wearer_id"], seen + FEW
    return RowsOfPeople(rows, last)


async def _rows_of_people(
    connection: Connection, people: Sequence[asyncpg.Record], ours: str
) -> list[dict[str, Any]]:
    """`people`: their numbers and references, in the order that is wanted."""
    references = {row["wearer_no"]: row["wearer_id"] for row in people}
    order = {number: place for place, number in enumerate(references)}
    entries = [
        (order[entry.wearer_no], entry.noun.name != "person", entry.item_no, entry)
        for entry in await load(connection, list(references))
        if entry.wearer_no is not None and entry.noun.name in IMPORTED
    ]
    return [
        row
        for *_, entry in sorted(entries, key=lambda one: one[:3])
        for row in rows_of(entry, references[entry.wearer_no or 0], ours)
    ]


def rows_of(entry: Entry, reference: str, ours: str) -> Iterator[dict[str, Any]]:
    """An item, and what follows from it in codes of others."""
    yield row_of(entry, reference, ours)
    yield from _codes(entry, reference, ours)


def row_of(entry: Entry, reference: str, ours: str) -> dict[str, Any]:
    is_ours = entry.system is None or entry.system == OURS
    content = msgspec.to_builtins(entry.content)
    content |= {name: value for name, value in content.pop("not_understood", {}).items() if name not in content}
    if isinstance(entry.content, Person):
        content.pop("identifiers", None)
        for one in reversed(entry.content.identifiers):
            content[COLUMN_OF[Scheme(one.scheme)]] = one.given
    for name in [name for name in content if name.endswith("_ms") and isinstance(content[name], int)]:
        content[name.removesuffix("_ms")] = format_instant(content.pop(name))
    valid = entry.valid
    about = {
        "noun": entry.noun.name,
        "person": reference,
        "system": ours if is_ours else entry.system,
        "record": f"{entry.noun.name} {entry.item_no}" if entry.record is None else entry.record,
        "state": entry.state,
        "from": None if valid is None else format_instant(valid.begin_ms),
        "to": None if valid is None or valid.end_ms is None else format_instant(valid.end_ms),
        "occurred": None if entry.occurred_ms is None else format_instant(entry.occurred_ms),
        "due": None if entry.due_ms is None else format_instant(entry.due_ms),
        "visibility": None if entry.visibility == "ALL" else str(entry.visibility),
        "named": list(entry.named) or None,
    }
    return {name: value for name, value in {**about, **content}.items() if value is not None}


def _codes(entry: Entry, reference: str, ours: str) -> Iterator[dict[str, Any]]:
    about = {"person": reference, "system": ours}
    since = entry.occurred_ms if entry.valid is None else entry.valid.begin_ms
    told = None if since is None else format_instant(since)
    register = {"noun": REGISTRATION, **about, "from": told}
    contact = {"noun": "contact", **about, "occurred": told}
    match entry.content:
        case Membership() if entry.state == "OPEN":
            yield register | {"code": IOM, "record": f"{IOM} {entry.item_no}", "cohort": str(entry.content.cohort)}
        case Assessment():
            yield from _registrations(entry, entry.content, register)
        case Signal() if entry.content.kind in CODE_OF_SIGNAL and entry.system == OURS and entry.state == "LIVE":
            yield _contact(contact, CODE_OF_SIGNAL[entry.content.kind], entry)
        case Grade() if entry.content.at_review:
            yield _contact(contact, "CAIR", entry)
        case Nomination():
            yield _contact(contact, "ERFI", entry)


def _registrations(entry: Entry, content: Assessment, register: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if content.mappa_level is not None or content.mappa_category is not None:
        level = None if content.mappa_level is None else f"M{content.mappa_level}"
        category = None if content.mappa_category is None else f"M{content.mappa_category}"
        said = {"level": level, "category": category}
        yield register | {"code": MAPPA, "record": f"{MAPPA} {entry.item_no}"} | {k: v for k, v in said.items() if v}
    for code, rosh in ROSH_OF.items():
        if content.rosh == rosh:
            yield register | {"code": code, "record": f"{code} {entry.item_no}"}
    if content.domestic_abuse:
        yield register | {"code": DOMESTIC_ABUSE, "record": f"{DOMESTIC_ABUSE} {entry.item_no}"}


def _contact(contact: dict[str, Any], code: str, entry: Entry) -> dict[str, Any]:
    return contact | {"code": code, "kind": CONTACTS[code], "record": f"{code} {entry.item_no}"}
