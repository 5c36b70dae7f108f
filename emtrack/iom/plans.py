"""A plan: goals by strand and pathway, steps by agency, and whether the person agreed. A version for each review."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

import msgspec

from emtrack.forms.iom import Pathway
from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import NoTransition, states


class Strand(StrEnum):
    CONTROL = "CONTROL"
    CHANGE = "CHANGE"
    DIVERT = "DIVERT"


STEP_STATES: Final = states(
    "NOT_STARTED IN_PROGRESS COMPLETED CANNOT_BE_DONE_YET NO_LONGER_NEEDED",
    {
        "NOT_STARTED": "IN_PROGRESS COMPLETED CANNOT_BE_DONE_YET NO_LONGER_NEEDED",
        "IN_PROGRESS": "COMPLETED CANNOT_BE_DONE_YET NO_LONGER_NEEDED",
        "CANNOT_BE_DONE_YET": "NOT_STARTED IN_PROGRESS COMPLETED NO_LONGER_NEEDED",
        "COMPLETED": "IN_PROGRESS",
        "NO_LONGER_NEEDED": "NOT_STARTED",
    },
)
"""A step may come in from another system in any state; done too early, it is taken up again."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`step`: its name within the plan, which stays."""

    step: str
    what: str
    agency: str | None = None
    due: date | None = None
    state: str = "NOT_STARTED"
    evidence: str | None = None


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    what: str
    strand: Strand
    pathway: Pathway | None = None
    steps: list[Step] = []


class Plan(Content, frozen=True):
    """`agreed`: whether the person agreed; None: nobody said."""

    goals: list[Goal] = []
    agreed: bool | None = None
    reviewed_on: date | None = None


PLAN: Final = Noun("plan", Plan, is_due=True)


def check_steps(before: Plan | None, then: Plan) -> None:
    """Every step follows from itself in the version before. Raises NoTransition."""
    known = {} if before is None else {step.step: step for goal in before.goals for step in goal.steps}
    seen = set()
    for goal in then.goals:
        for step in goal.steps:
            if step.step in seen:
                raise NoTransition(f"two steps of a plan are called {step.step!r}; each has a name of its own")
            seen.add(step.step)
            former = known.get(step.step)
            STEP_STATES.check("step", None if former is None else former.state, step.state)
    for lost in known.keys() - seen:
        if known[lost].state != "NO_LONGER_NEEDED":
            raise NoTransition(
                f"step {lost!r} is not in the plan any more; one that is not needed is NO_LONGER_NEEDED"
            )
