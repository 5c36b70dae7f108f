"""A task: what an agency is to do for a person, by when, and where it comes from. When it is due is `due_ms`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

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


class Task(Content, frozen=True):
    """`for_agency`: who is to do it; None: whoever leads, or the programme. `origin_no`: number of the alert or item. `reason`: of a
    rejection. `evidence`: of what was done."""

    title: str
    for_agency: str | None = None
    owner: str | None = None
    origin: Origin = Origin.BY_HAND
    origin_no: int | None = None
    reason: str | None = None
    evidence: str | None = None


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
