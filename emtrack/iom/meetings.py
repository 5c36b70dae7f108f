"""A meeting: huddle, case conference or selection panel. Its agenda is frozen as known at an instant; each line ends in a decision.

A meeting is of nobody in particular. Who is on its agenda, and why, is a line of that person's own record: who may not see the
person does not learn that they are talked about.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.errors import MendableError
from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class MeetingKind(StrEnum):
    HUDDLE = "HUDDLE"
    CASE_CONFERENCE = "CASE_CONFERENCE"
    SELECTION_PANEL = "SELECTION_PANEL"


class Decision(StrEnum):
    GRADE = "GRADE"
    TASK = "TASK"
    PLAN = "PLAN"
    NOMINATION = "NOMINATION"
    REMOVAL = "REMOVAL"
    DISCLOSURE = "DISCLOSURE"
    NONE = "NONE"


class Line(Content, frozen=True):
    """A person on the agenda. `meeting`: its item. `because`, `since_ms`: why they are listed, since when; from what everybody may
    read with whom the person is shared. `items`: of what was decided: the grade, the task, the membership and so on."""

    meeting: int
    because: str = ""
    since_ms: int | None = None
    decision: Decision | None = None
    note: str = ""
    items: list[int] = []


class Meeting(Content, frozen=True):
    """`agenda_ms`: the agenda is as known then. `attended`: agency to who came. `absent`: agencies that were asked and did not
    come."""

    kind: MeetingKind
    chair: str | None = None
    agenda_ms: int | None = None
    attended: dict[str, list[str]] = {}
    absent: list[str] = []


STATES: Final = states(
    "PLANNED", {"PLANNED": "AGENDA_FROZEN CANCELLED", "AGENDA_FROZEN": "HELD CANCELLED", "HELD": "", "CANCELLED": ""}
)
MEETING: Final = Noun("meeting", Meeting, STATES, happens=True, of_nobody=True)
LINE: Final = Noun("line", Line, states("LISTED", {"LISTED": "DECIDED", "DECIDED": ""}))


class AgendaChanged(MendableError, ValueError):
    """Somebody was put on, or taken off, an agenda that is frozen."""

    exit_code = 2


FROZEN: Final = "the agenda is frozen as it was known; decisions and notes may be added to its lines"


def check_agenda(before: Meeting, before_state: str, then: Meeting) -> None:
    """Raises AgendaChanged."""
    if before_state != "PLANNED" and before.agenda_ms != then.agenda_ms:
        raise AgendaChanged(FROZEN)


def check_line(before: Line, then: Line) -> None:
    """Raises AgendaChanged."""
    if (before.meeting, before.because, before.since_ms) != (then.meeting, then.because, then.since_ms):
        raise AgendaChanged(FROZEN)
