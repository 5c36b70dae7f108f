"""A meeting: huddle, case conference or selection panel. Its agenda is frozen as known at an instant; each line ends in a
decision."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

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


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A person on the agenda. `item_no`: of what was decided: the grade, the task and so on."""

    wearer_no: int
    because: str = ""
    decision: Decision | None = None
    note: str = ""
    item_no: int | None = None


class Meeting(Content, frozen=True):
    """`agenda_ms`: the agenda is as known then. `attended`: agency to who came. `absent`: agencies that were asked and did not
    come."""

    kind: MeetingKind
    chair: str | None = None
    agenda_ms: int | None = None
    attended: dict[str, list[str]] = {}
    absent: list[str] = []
    lines: list[Line] = []


STATES: Final = states(
    "PLANNED", {"PLANNED": "AGENDA_FROZEN CANCELLED", "AGENDA_FROZEN": "HELD CANCELLED", "HELD": "", "CANCELLED": ""}
)
MEETING: Final = Noun("meeting", Meeting, STATES, happens=True, of_nobody=True)


class AgendaChanged(MendableError, ValueError):
    """Somebody was put on, or taken off, an agenda that is frozen."""

    exit_code = 2


def check_agenda(before: Meeting, before_state: str, then: Meeting) -> None:
    """Raises AgendaChanged."""
    if before_state == "PLANNED":
        return
    if before.agenda_ms != then.agenda_ms or [(a.wearer_no, a.because) for a in before.lines] != [
        (b.wearer_no, b.because) for b in then.lines
    ]:
        raise AgendaChanged("the agenda is frozen as it was known; decisions and notes may be added to its lines")
