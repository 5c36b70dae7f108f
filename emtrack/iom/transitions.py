"""A transition: into custody, release or transfer, with what must be ready on the day. The day is `occurred_ms`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class TransitionKind(StrEnum):
    INTO_CUSTODY = "INTO_CUSTODY"
    RELEASE = "RELEASE"
    TRANSFER = "TRANSFER"


class Transition(Content, frozen=True):
    """`tag_fitting_ms`: when and whether one is fitted. `address`: of the night of release; None: nobody knows of one."""

    kind: TransitionKind
    prison: str | None = None
    address: str | None = None
    conditions: list[str] = []
    tag_fitting_ms: int | None = None
    why: str | None = None


STATES: Final = states(
    "PLANNED DONE", {"PLANNED": "DONE CANCELLED", "DONE": "WITHDRAWN", "CANCELLED": "", "WITHDRAWN": ""}
)
"""WITHDRAWN: it was entered in error."""
TRANSITION: Final = Noun("transition", Transition, STATES, happens=True)
RELEASE_TASKS: Final = (-84, -42, -28, -7, -1, 0, 1, 7, 28)
"""Days before and after a release at which it opens tasks by agency (ours)."""
