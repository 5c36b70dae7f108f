"""Disclosures as people make them: what of a record was given to whom, released by a person with a name, on record before it goes.

What the person is handed about themselves leaves out what is of others or could show intelligence (Data Protection Act 2018,
section 45(4)): notes, because only their authors know whom they name; intelligence, safeguarding and relationships; places of
zones; and whatever is for some of the staff only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emtrack.errors import MendableError
from emtrack.iom.entries import Author, Draft, Entry, enter
from emtrack.iom.shares import SHARE, Share
from emtrack.iom.signals import SignalKind

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

TO_THE_PERSON: Final = "the person"
HANDED: Final = (
    "membership and who leads", "grade and what counted", "signals", "plan", "scores", "what the order asks", "contacts",
    "how the order of people comes about",
)  # fmt: skip
"""Parts of the page that a person is handed."""
HANDED_BASIS: Final = "Data Protection Act 2018, section 45"
OF_OTHERS: Final = frozenset({SignalKind.INTELLIGENCE, SignalKind.SAFEGUARDING, SignalKind.RELATIONSHIP_BREAKDOWN})
"""Kinds of signal that are not on that page."""


class UnfitShare(MendableError, ValueError):
    """A disclosure that cannot be recorded so."""

    exit_code = 2


class NewShare(NamedTuple):
    """`released_by`: the name of whoever answers for it."""

    recipient: str
    purpose: str
    basis: str
    fields: tuple[str, ...]
    released_by: str


async def record_share(connection: Connection, author: Author, wearer_no: int, new: NewShare, now_ms: int) -> Entry:
    """Inside the caller's transaction, before anything is given. Raises UnfitShare."""
    missing = {
        "to whom": new.recipient, "for which purpose": new.purpose, "on which legal basis": new.basis,
        "which parts of the record": new.fields, "who releases it, by name": new.released_by,
    }  # fmt: skip
    if lacks := [words for words, said in missing.items() if not said]:
        raise UnfitShare(f"say {', '.join(lacks)}")
    content = Share(
        purpose=new.purpose, basis=new.basis, recipient=new.recipient, fields=list(new.fields),
        released_by=new.released_by,
    )  # fmt: skip
    return (await enter(connection, author, [Draft(SHARE, wearer_no, content, occurred_ms=now_ms)], now_ms))[0]
