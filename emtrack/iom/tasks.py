"""A task: what an agency is to do for a person, by when, and where it comes from. When it is due is `due_ms`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Origin(StrEnum):
    ALERT = "ALERT"
    MEETING = "MEETING"
    PLAN = "PLAN"
    SIGNAL = "SIGNAL"
    TRANSITION = "TRANSITION"
    PROPOSAL = "PROPOSAL"
    BY_HAND = "BY_HAND"


class Told(StrEnum):
    """Who is told of a task that is not done: the single point of contact of its agency when it is due, the chair a working day
    later."""

    CONTACT = "CONTACT"
    CHAIR = "CHAIR"


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`due_ms`: of which deadline. `channels`: to how many a message went; 0: there was nobody to tell."""

    told: Told
    at_ms: int
    due_ms: int
    channels: int


class Task(Content, frozen=True):
    """`for_agency`: who is to do it; None: whoever leads, or the programme. `origin_no`: number of the alert or item. `reason`: of a
    rejection or cancellation. `evidence`: of what was done."""

    title: str
    for_agency: str | None = None
    owner: str | None = None
    origin: Origin = Origin.BY_HAND
    origin_no: int | None = None
    reason: str | None = None
    evidence: str | None = None
    escalations: list[Escalation] = []


OPEN: Final = frozenset({"NEW", "ACCEPTED"})
STATES: Final = states(
    "NEW",
    {
        "NEW": "ACCEPTED REJECTED CANCELLED",
        "ACCEPTED": "DONE REJECTED CANCELLED",
        "DONE": "",
        "REJECTED": "",
        "CANCELLED": "",
    },
)
TASK: Final = Noun("task", Task, STATES, is_due=True, may_be_narrow=True)


def trouble_with(content: Task, state: str) -> str | None:
    if state == "REJECTED" and not content.reason:
        return "a task is rejected with a reason"
    return None
