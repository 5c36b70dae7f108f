"""The plan of a person by strand, and their needs by pathway with what the plan says to each, as known at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from emtrack.forms.iom import Pathway
from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.entries import load, records_of_person
from emtrack.iom.plans import PLAN, Goal, Plan, Strand

if TYPE_CHECKING:
    from emtrack.db.connect import Connection


class Need(msgspec.Struct, frozen=True):
    """`goals`: what the plan has for it; none: nothing."""

    pathway: Pathway
    goals: list[Goal]


class PlanOfPerson(msgspec.Struct, frozen=True):
    """`plan` None: there is none. `assessed_ms`, `source`: of the assessment that said needs last; `needs` of it."""

    plan: Plan | None
    review_ms: int | None
    strands: dict[Strand, list[Goal]]
    needs: list[Need]
    assessed_ms: int | None
    source: str | None


async def plan_of(connection: Connection, wearer_no: int, known_ms: int | None) -> PlanOfPerson:
    entries = await load(connection, await records_of_person(connection, wearer_no), [PLAN, ASSESSMENT], known_ms)
    plans = [entry for entry in entries if isinstance(entry.content, Plan)]
    last = max(plans, key=lambda entry: entry.recorded_ms, default=None)
    plan = last.content if last is not None and isinstance(last.content, Plan) else None
    goals = [] if plan is None else plan.goals
    told: list[Any] = [entry for entry in entries if isinstance(entry.content, Assessment) and entry.content.needs]
    newest = max(told, key=lambda entry: (entry.occurred_ms or 0, entry.item_no), default=None)
    return PlanOfPerson(
        plan,
        None if last is None else last.due_ms,
        {strand: [goal for goal in goals if goal.strand is strand] for strand in Strand},
        [] if newest is None else [Need(p, [g for g in goals if g.pathway == p]) for p in newest.content.needs],
        None if newest is None else newest.occurred_ms,
        None if newest is None else newest.content.source,
    )
