"""All nouns of the record, and what is checked of each version of an item before it is entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emtrack.errors import MendableError
from emtrack.iom import breaches as breach
from emtrack.iom import memberships, nominations, offences, tasks
from emtrack.iom.assessments import ASSESSMENT
from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.circumstances import CIRCUMSTANCE
from emtrack.iom.contacts import CONTACT
from emtrack.iom.grades import GRADE
from emtrack.iom.meetings import LINE, MEETING, Line, Meeting, check_agenda, check_line
from emtrack.iom.memberships import MEMBERSHIP, Membership
from emtrack.iom.nominations import NOMINATION, Nomination
from emtrack.iom.notes import NOTE, Visibility
from emtrack.iom.noun import Noun
from emtrack.iom.offences import OFFENCE, Offence
from emtrack.iom.people import MERGE, PERSON
from emtrack.iom.plans import PLAN, Plan, check_steps
from emtrack.iom.proposals import PROPOSAL
from emtrack.iom.shares import SHARE
from emtrack.iom.signals import SIGNAL
from emtrack.iom.statuses import STATUS
from emtrack.iom.tasks import TASK, Task
from emtrack.iom.transitions import TRANSITION

if TYPE_CHECKING:
    from emtrack.iom.entries import Draft

NOUNS: Final = {
    noun.name: noun
    for noun in (
        PERSON, MERGE, NOMINATION, MEMBERSHIP, STATUS, SIGNAL, PROPOSAL, GRADE, ASSESSMENT, PLAN, TASK, MEETING,
        LINE, NOTE, TRANSITION,
        CONTACT, CIRCUMSTANCE, BREACH, OFFENCE, SHARE,
    )
}  # fmt: skip


class UnfitEntry(MendableError, ValueError):
    """What does not fit its noun. The message says what was expected."""

    exit_code = 2


def check(draft: Draft) -> None:
    """Raises UnfitEntry, NoTransition or AgendaChanged."""
    noun, former = draft.noun, draft.former
    if noun.states is None:
        if draft.state is not None:
            raise UnfitEntry(f"a {noun.name} has no states")
    elif former is None and draft.record is not None:
        noun.states.check_known(noun.name, draft.state)
    else:
        noun.states.check(noun.name, None if former is None else former.state, draft.state)
    _check_columns(noun, draft)
    if (trouble := _trouble_with(draft)) is not None:
        raise UnfitEntry(trouble)
    if isinstance(draft.content, Plan):
        check_steps(
            former.content if former is not None and isinstance(former.content, Plan) else None, draft.content
        )
    if isinstance(draft.content, Meeting) and former is not None and isinstance(former.content, Meeting):
        check_agenda(former.content, former.state or "", draft.content)
    if isinstance(draft.content, Line) and former is not None and isinstance(former.content, Line):
        check_line(former.content, draft.content)


def _check_columns(noun: Noun, draft: Draft) -> None:
    if not isinstance(draft.content, noun.form):
        raise UnfitEntry(f"a {noun.name} has not the content of a {type(draft.content).__name__}")
    if noun.holds != (draft.valid is not None):
        raise UnfitEntry(
            f"a {noun.name} {'says from when it holds' if noun.holds else 'holds at no time in particular'}"
        )
    if draft.valid is not None and draft.valid.end_ms is not None and draft.valid.end_ms <= draft.valid.begin_ms:
        raise UnfitEntry(f"a {noun.name} ends after it begins")
    if draft.occurred_ms is not None and not noun.happens:
        raise UnfitEntry(f"a {noun.name} happens at no time in particular")
    if draft.due_ms is not None and not noun.is_due:
        raise UnfitEntry(f"a {noun.name} is not due")
    if (draft.wearer_no is None) != noun.of_nobody:
        raise UnfitEntry(f"a {noun.name} is of {'nobody in particular' if noun.of_nobody else 'a person'}")
    if draft.visibility != Visibility.ALL and not noun.may_be_narrow:
        raise UnfitEntry(f"a {noun.name} is for everybody with whom the person is shared")
    if (draft.visibility == Visibility.NAMED) != bool(draft.named):
        raise UnfitEntry("visibility NAMED names accounts or agencies, and nothing else does")


def _trouble_with(draft: Draft) -> str | None:
    content, state = draft.content, draft.state or ""
    match content:
        case Nomination():
            return nominations.trouble_with(content, state)
        case Membership():
            return memberships.trouble_with(
                content, state, draft.valid is not None and draft.valid.end_ms is not None
            )
        case Task():
            return tasks.trouble_with(content, state)
        case Breach():
            return breach.trouble_with(content, state)
        case Offence():
            return offences.trouble_with(content)
        case _:
            return None
