"""What officers write down by hand: a case note for whom they choose, and what came of a contact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import Author, Draft, Entry, SomebodyWasFaster, enter, following, take_turn, versions_of_item
from emtrack.iom.grading import OURS
from emtrack.iom.notes import NOTE, Note, Visibility

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

LONGEST_NOTE: Final = 10_000
MOST_NAMED: Final = 20
DECIDED: Final = frozenset(Outcome) - {Outcome.NOT_RECORDED}


class UnfitNote(MendableError, ValueError):
    """A note, or what is said of a contact, that cannot be kept so."""

    exit_code = 2


class NewNote(NamedTuple):
    """`named`: accounts and agencies, of a note for them only. `occurred_ms`: when it was that the note tells of."""

    text: str
    occurred_ms: int
    visibility: Visibility = Visibility.ALL
    named: tuple[str, ...] = ()
    kind: str | None = None
    lawful_basis: str | None = None


async def write_note(connection: Connection, author: Author, wearer_no: int, new: NewNote, now_ms: int) -> Entry:
    """Inside the caller's transaction. Raises UnfitNote."""
    if not new.text or len(new.text) > LONGEST_NOTE:
        raise UnfitNote(f"write the note, in at most {LONGEST_NOTE:,} characters")
    if (new.visibility is Visibility.NAMED) is not bool(new.named):
        raise UnfitNote("name the agencies or accounts that may read the note, or choose who else may")
    if len(new.named) > MOST_NAMED:
        raise UnfitNote(f"a note is for at most {MOST_NAMED} that are named")
    if new.occurred_ms > now_ms:
        raise UnfitNote("a note is of what was, and not of a time to come")
    note = Note(text=new.text, kind=new.kind, lawful_basis=new.lawful_basis)
    draft = Draft(NOTE, wearer_no, note, occurred_ms=new.occurred_ms, visibility=new.visibility, named=new.named)
    return (await enter(connection, author, [draft], now_ms))[0]


async def decide_contact(
    connection: Connection, author: Author, item_no: int, outcome: Outcome, now_ms: int
) -> Entry:
    """What came of a contact that nobody decided yet: one that the service found, or of the author's agency. Inside the caller's
    transaction. Raises UnfitNote or SomebodyWasFaster."""
    if outcome not in DECIDED:
        raise UnfitNote("choose what came of the contact")
    await take_turn(connection)
    versions = await versions_of_item(connection, item_no)
    entry = versions[-1] if versions else None
    if entry is None or entry.noun is not CONTACT or not isinstance(entry.content, Contact):
        raise UnfitNote(f"there is no contact {item_no}")
    if entry.state != "RECORDED" or entry.content.outcome is not Outcome.NOT_RECORDED:
        raise SomebodyWasFaster("the contact is decided, or withdrawn, by now; nothing was changed")
    if entry.system != OURS and author.agency not in (None, versions[0].agency):
        raise UnfitNote(f"{versions[0].agency or 'the programme'} recorded the contact; it is theirs to decide")
    content = msgspec.structs.replace(entry.content, outcome=outcome)
    return (await enter(connection, author, [following(entry, content=content)], now_ms))[0]
