"""Who a person is on record: somebody new, found by identifiers; merged and unmerged; and the status that holds from now on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from emtrack.errors import MendableError
from emtrack.forms.names import unfit_id
from emtrack.iom.entries import Author, Draft, Entry, Span, enter, following, load, take_turn
from emtrack.iom.identifiers import Identifier
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.people import MERGE, PERSON, Merge, Person
from emtrack.iom.statuses import STATUS, Status
from emtrack.iom.summary import NOTHING, of_person, write_summaries

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

ADD = "SELECT new_person($1, $2)"
NUMBER = "SELECT wearer_no FROM wearers WHERE wearer_id = $1"
SAME_IDENTIFIER = """
SELECT DISTINCT wearer_no FROM iom_now WHERE noun = 'person' AND content @> ANY($1::jsonb[])
"""


class UnfitPerson(MendableError, ValueError):
    """A person who cannot be entered, or found, or merged."""

    exit_code = 2


async def people_with(connection: Connection, identifiers: Iterable[Identifier]) -> list[int]:
    """Numbers of people who have one of some valid identifiers."""
    sought = [
        {"identifiers": [{"scheme": str(one.scheme), "canonical": one.canonical}]}
        for one in identifiers
        if one.is_valid
    ]
    return [row["wearer_no"] for row in await connection.fetch(SAME_IDENTIFIER, sought)] if sought else []


async def add_person(connection: Connection, author: Author, reference: str, person: Person, now_ms: int) -> Entry:
    """Somebody new, or the programme's record of somebody who is known by orders, inside the caller's transaction. Who is of an
    agency shares whom they enter with it. Raises UnfitPerson."""
    if (trouble := unfit_id(reference)) is not None:
        raise UnfitPerson(f"the reference {reference[:60]!r} cannot be taken: {trouble}")
    if author.agency is not None and author.agency not in person.agencies:
        raise UnfitPerson(f"the record is entered by {author.agency!r}: name it among the agencies that share it")
    await take_turn(connection)
    wearer_no = await connection.fetchval(NUMBER, reference)
    if wearer_no is None:
        wearer_no = await _new_person(connection, author, reference, person, now_ms)
    elif await load(connection, [wearer_no], [PERSON]):
        raise UnfitPerson(f"{reference!r} is on record already")
    (entry,) = await enter(connection, author, [Draft(PERSON, wearer_no, person)], now_ms)
    return entry


async def _new_person(connection: Connection, author: Author, reference: str, person: Person, now_ms: int) -> int:
    """The number. What sharing goes by is entered first: only then do rows of an agency's own let it see the person."""
    wearer_no: int | None = await connection.fetchval(ADD, reference, person.name)
    if wearer_no is None:
        raise UnfitPerson(f"{reference!r} is on record, and not shared with {author.agency or 'you'}")
    summary = NOTHING | of_person(msgspec.to_builtins(person))
    await write_summaries(connection, {wearer_no: summary}, author.name, now_ms)
    return wearer_no


async def merge(connection: Connection, author: Author, wearer_no: int, into: int, reason: str, now_ms: int) -> Entry:
    """The record of `wearer_no` is read under `into`, too, from now on, inside the caller's transaction. Raises UnfitPerson."""
    await take_turn(connection)
    if wearer_no == into:
        raise UnfitPerson("a record is merged into another, not into itself")
    theirs = await load(connection, [wearer_no, into], [MERGE])
    if any(entry.state == "MERGED" and _takes_part(entry, wearer_no, into) for entry in theirs):
        raise UnfitPerson("one of the two records is merged into another already; unmerge that first")
    members = [e for e in await load(connection, [wearer_no, into], [MEMBERSHIP]) if e.state == "OPEN"]
    if len(members) > 1:
        raise UnfitPerson(
            "both records are of an open membership; a panel ends one of them first, as entered in error"
        )
    former = next((entry for entry in theirs if entry.wearer_no == wearer_no), None)
    content = Merge(into=into, reason=reason)
    draft = (
        Draft(MERGE, wearer_no, content, "MERGED")
        if former is None
        else following(former, content=content, state="MERGED")
    )
    return (await enter(connection, author, [draft], now_ms))[0]


def _takes_part(entry: Entry, wearer_no: int, into: int) -> bool:
    """Whether a merge that stands forbids another: of the record itself, or of what it would be merged into."""
    return entry.wearer_no in (wearer_no, into)


async def unmerge(connection: Connection, author: Author, wearer_no: int, reason: str, now_ms: int) -> Entry:
    """The record stands by itself again. Raises UnfitPerson."""
    await take_turn(connection)
    former = next((e for e in await load(connection, [wearer_no], [MERGE]) if e.state == "MERGED"), None)
    if former is None or not isinstance(former.content, Merge):
        raise UnfitPerson("the record is not merged into another")
    content = Merge(into=former.content.into, reason=reason)
    return (await enter(connection, author, [following(former, content=content, state="UNMERGED")], now_ms))[0]


def status_drafts(there: Iterable[Entry], wearer_no: int, status: Status, begin_ms: int) -> list[Draft]:
    """A status that holds from an instant on; the one that lasted ends there. Nothing where it is that one already."""
    drafts = []
    for entry in there:
        if (
            entry.noun is STATUS
            and entry.state == "STATED"
            and entry.valid is not None
            and entry.valid.end_ms is None
        ):
            if entry.content == status and entry.valid.begin_ms <= begin_ms:
                return []
            if entry.valid.begin_ms < begin_ms:
                drafts.append(following(entry, valid=Span(entry.valid.begin_ms, begin_ms)))
    return [*drafts, Draft(STATUS, wearer_no, status, "STATED", Span(begin_ms))]


def status_at(there: Iterable[Entry], at_ms: int) -> Entry | None:
    """The status that holds at an instant, of entries as known at one."""
    for entry in there:
        if entry.noun is STATUS and entry.state == "STATED" and entry.valid is not None:
            begin_ms, end_ms = entry.valid
            if begin_ms <= at_ms and (end_ms is None or at_ms < end_ms):
                return entry
    return None
