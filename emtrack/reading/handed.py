"""What a person is handed about themselves, as known at an instant: less what is of others, may show intelligence or is for some.

What is left out by rule stands in `iom/disclosing.py`, and on the page. Texts that staff wrote by hand are not on it at all: nobody
but their authors knows whom they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.contacts import CONTACT, Contact
from emtrack.iom.disclosing import OF_OTHERS
from emtrack.iom.entries import Entry, load, records_of_person
from emtrack.iom.grades import GRADE, Grade
from emtrack.iom.memberships import MEMBERSHIP, Membership
from emtrack.iom.notes import Visibility
from emtrack.iom.plans import PLAN, Plan
from emtrack.iom.signals import SIGNAL, Signal
from emtrack.record.plans import load_assignments

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from geofence import Requirement

CONTACTS = 20
NOUNS = (MEMBERSHIP, GRADE, SIGNAL, PLAN, ASSESSMENT, CONTACT)


class HandedSignal(NamedTuple):
    because: str
    occurred_ms: int | None
    expires_ms: int | None


class HandedContact(NamedTuple):
    kind: str
    with_agency: str | None
    at_ms: int | None
    outcome: str


class HandedScore(NamedTuple):
    percent: float
    source: str | None
    assessed_ms: int | None


class Handed(NamedTuple):
    """`membership` None: not in the programme. `left_out`: how many signals are not on the page."""

    membership: Membership | None
    since_ms: int | None
    grade: Grade | None
    grade_ms: int | None
    graded_by: str | None
    review_ms: int | None
    signals: list[HandedSignal]
    left_out: int
    plan: Plan | None
    score: HandedScore | None
    requirements: list[Requirement]
    contacts: list[HandedContact]


async def handed_of(connection: Connection, wearer_no: int, known_ms: int) -> Handed:
    """After the look is on record."""
    records = await records_of_person(connection, wearer_no)
    entries = [e for e in await load(connection, records, NOUNS, known_ms) if e.visibility is Visibility.ALL]
    member = next((e for e in entries if isinstance(e.content, Membership) and e.state == "OPEN"), None)
    graded = _last([e for e in entries if isinstance(e.content, Grade)])
    planned = _last([e for e in entries if isinstance(e.content, Plan)])
    live = [e for e in entries if isinstance(e.content, Signal) and _is_live(e, known_ms)]
    shown = [e for e in live if isinstance(e.content, Signal) and e.content.kind not in OF_OTHERS]
    requirements = {
        requirement.entry_id: requirement
        for assignment in (await load_assignments(connection, known_ms, records)).values()
        for requirement in assignment.plan.requirements
        if requirement.from_ms <= known_ms < requirement.to_ms
    }
    return Handed(
        member.content if member is not None and isinstance(member.content, Membership) else None,
        None if member is None or member.valid is None else member.valid.begin_ms,
        graded.content if graded is not None and isinstance(graded.content, Grade) else None,
        None if graded is None else graded.occurred_ms,
        None if graded is None else _who(graded),
        None if graded is None else graded.due_ms,
        [_signal(entry) for entry in sorted(shown, key=_newest_first)],
        len(live) - len(shown),
        planned.content if planned is not None and isinstance(planned.content, Plan) else None,
        _score(entries),
        sorted(requirements.values(), key=lambda one: (one.kind, one.from_ms)),
        [_contact(e) for e in sorted(entries, key=_newest_first) if isinstance(e.content, Contact)][:CONTACTS],
    )


def _last(entries: Sequence[Entry]) -> Entry | None:
    """That of no day is the oldest, as it is everywhere."""
    return max(entries, key=lambda entry: (entry.occurred_ms or 0, entry.entry_no), default=None)


def _newest_first(entry: Entry) -> tuple[int, int]:
    return -(entry.occurred_ms or 0), -entry.entry_no


def _is_live(entry: Entry, known_ms: int) -> bool:
    return entry.state == "LIVE" and (entry.due_ms is None or entry.due_ms > known_ms)


def _who(entry: Entry) -> str:
    assert isinstance(entry.content, Grade), "the caller chose it"
    return entry.content.graded_by or entry.recorded_by


def _signal(entry: Entry) -> HandedSignal:
    assert isinstance(entry.content, Signal), "the caller chose them"
    return HandedSignal(entry.content.because, entry.occurred_ms, entry.due_ms)


def _contact(entry: Entry) -> HandedContact:
    assert isinstance(entry.content, Contact), "the caller chose them"
    return HandedContact(entry.content.kind, entry.content.with_agency, entry.occurred_ms, str(entry.content.outcome))


def _score(entries: Sequence[Entry]) -> HandedScore | None:
    told = [e for e in entries if isinstance(e.content, Assessment) and e.content.reoffending is not None]
    newest = _last(told)
    if newest is None or not isinstance(newest.content, Assessment) or newest.content.reoffending is None:
        return None
    return HandedScore(newest.content.reoffending, newest.content.source, newest.occurred_ms)
