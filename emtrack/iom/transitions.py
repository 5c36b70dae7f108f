"""A transition: into custody, release or transfer, with what must be ready on the day. The day is `occurred_ms`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class TransitionKind(StrEnum):
    INTO_CUSTODY = "INTO_CUSTODY"
    RELEASE = "RELEASE"
    TRANSFER = "TRANSFER"


class Transition(Content, frozen=True):
    """`tag_fitting_ms`: when and whether one is fitted. `address`: of the night of release; None: nobody knows of one. `appointment`:
    the first. `medicine`: of the first days."""

    kind: TransitionKind
    prison: str | None = None
    address: str | None = None
    conditions: list[str] = []
    tag_fitting_ms: int | None = None
    appointment: str | None = None
    medicine: str | None = None
    why: str | None = None


STATES: Final = states(
    "PLANNED DONE", {"PLANNED": "DONE CANCELLED", "DONE": "WITHDRAWN", "CANCELLED": "", "WITHDRAWN": ""}
)
"""WITHDRAWN: it was entered in error."""
TRANSITION: Final = Noun("transition", Transition, STATES, happens=True)


class ReleaseTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task that a release opens `days` after it; negative: before. `agency` None, or not shared with: whoever leads."""

    days: Annotated[int, Meta(ge=-365, le=365)]
    what: Annotated[str, Meta(min_length=1, max_length=300)]
    agency: str | None = None


RELEASE_TASKS: Final = (
    ReleaseTask(-84, "Find out where they will live after release, and apply for housing"),
    ReleaseTask(-42, "Agree the conditions of the licence, exclusion zones and curfew with probation"),
    ReleaseTask(-28, "Book treatment and health care for the week of the release"),
    ReleaseTask(-7, "Confirm the address and the time at which the tag is fitted"),
    ReleaseTask(-1, "Confirm transport, medicine for the first days and the first appointment"),
    ReleaseTask(0, "See them today: bed, tag, appointment, medicine"),
    ReleaseTask(1, "Find out how the first night went"),
    ReleaseTask(7, "Check that appointments were kept and benefit is claimed"),
    ReleaseTask(28, "Review the plan after four weeks"),
)
"""Weeks 12, 6, 4 and 1 and a day before, the day, and 1, 7 and 28 days after (ours)."""
