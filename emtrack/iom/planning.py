"""A plan as people change it: a goal with its first step more, a step further. Each change is a version of the whole plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.iom.entries import Author, Draft, Entry, enter, following, load, records_of_person, take_turn
from emtrack.iom.grades import DAY_MS
from emtrack.iom.plans import PLAN, Goal, Plan, Step, Strand

if TYPE_CHECKING:
    from datetime import date

    from emtrack.db.connect import Connection
    from emtrack.forms.iom import Pathway

MOST_GOALS: Final = 100
REVIEW_DAYS: Final = 28
"""After which a plan is reviewed, if nobody said otherwise (ours)."""


class UnfitPlan(MendableError, ValueError):
    """A change that a plan cannot take."""

    exit_code = 2


class NewGoal(NamedTuple):
    """`step`: the first that is done for it; None: none is known yet."""

    what: str
    strand: Strand
    pathway: Pathway | None = None
    step: str | None = None
    agency: str | None = None
    due: date | None = None


async def standing_plan(connection: Connection, wearer_no: int) -> Entry | None:
    """The newest of all records of a person."""
    there = await load(connection, await records_of_person(connection, wearer_no), [PLAN])
    return max(there, key=lambda entry: entry.recorded_ms, default=None)


async def add_goal(connection: Connection, author: Author, wearer_no: int, new: NewGoal, now_ms: int) -> Entry:
    """Inside the caller's transaction. Raises UnfitPlan."""
    if not new.what:
        raise UnfitPlan("say what the goal is")
    await take_turn(connection)
    entry = await standing_plan(connection, wearer_no)
    plan = _content(entry)
    if len(plan.goals) >= MOST_GOALS:
        raise UnfitPlan(f"a plan has at most {MOST_GOALS} goals; review it first")
    steps = [] if new.step is None else [Step(step=_free_name(plan), what=new.step, agency=new.agency, due=new.due)]
    goal = Goal(what=new.what, strand=new.strand, pathway=new.pathway, steps=steps)
    content = msgspec.structs.replace(plan, goals=[*plan.goals, goal])
    return await _enter(connection, author, wearer_no, entry, content, now_ms)


async def move_step(
    connection: Connection, author: Author, wearer_no: int, name: str, state: str, evidence: str | None, now_ms: int
) -> Entry:
    """A step of the plan as it then stands. Inside the caller's transaction. Raises UnfitPlan or NoTransition."""
    await take_turn(connection)
    entry = await standing_plan(connection, wearer_no)
    plan = _content(entry)
    if all(step.step != name for goal in plan.goals for step in goal.steps):
        raise UnfitPlan("the plan has no such step any more")
    if state == "COMPLETED" and not evidence:
        raise UnfitPlan("say what shows that the step is completed")
    goals = [
        msgspec.structs.replace(goal, steps=[_moved(step, name, state, evidence) for step in goal.steps])
        for goal in plan.goals
    ]
    return await _enter(connection, author, wearer_no, entry, msgspec.structs.replace(plan, goals=goals), now_ms)


def _moved(step: Step, name: str, state: str, evidence: str | None) -> Step:
    if step.step != name:
        return step
    return msgspec.structs.replace(step, state=state, evidence=evidence or step.evidence)


async def _enter(
    connection: Connection, author: Author, wearer_no: int, entry: Entry | None, content: Plan, now_ms: int
) -> Entry:
    if entry is None:
        draft = Draft(PLAN, wearer_no, content, due_ms=now_ms + REVIEW_DAYS * DAY_MS)
    else:
        draft = following(entry, content=content)
    return (await enter(connection, author, [draft], now_ms))[0]


def _content(entry: Entry | None) -> Plan:
    if entry is None:
        return Plan()
    assert isinstance(entry.content, Plan), "only plans are found"
    return entry.content


def _free_name(plan: Plan) -> str:
    """Names of steps stay, so a number that was used is used no more."""
    used = {step.step for goal in plan.goals for step in goal.steps}
    number = len(used) + 1
    while f"step {number}" in used:
        number += 1
    return f"step {number}"
