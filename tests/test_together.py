"""Many facts looked at together: the cases in which something lies in the middle of what only carries presence on."""

from __future__ import annotations

import msgspec
import pytest

from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.judge import ActivationJudge, judge_history
from geofence.obligations import Plan, Requirement, TimetableRow
from geofence.sweep import judge_columns
from geofence.words import EventType, ObligationKind
from tests.test_judge import HOME, MINUTE_MS, fix, plan_of, requirement
from tests.test_oracle import received_of

AWAY = (HOME[0], HOME[1] + 0.01)
NIGHT = (TimetableRow(3, 80, 140),)
"""Thursday 1 January 1970 from 01:20 in London, which was on summer time all that year: from minute 20 of UTC."""


def fixes(first: int, last: int, place: tuple[float, float] = HOME) -> list[Position]:
    return [fix(minute, place) for minute in range(first, last + 1)]


def event(kind: EventType, at_min: float) -> DeviceEvent:
    at_ms = round(at_min * MINUTE_MS)
    return DeviceEvent(at_ms, kind, None, at_ms)


STORIES: dict[str, list[Fact]] = {
    "the unit says out for once": [*fixes(1, 9), event(EventType.RF_OUT, 9.5), *fixes(10, 20)],
    "the unit says in, and overrules what follows": [*fixes(1, 9), event(EventType.RF_IN, 9.5), *fixes(10, 40, AWAY)],
    "a unit in trouble": [
        event(EventType.RF_IN, 0),
        *fixes(1, 9),
        event(EventType.HMU_MOVED, 9.5),
        *fixes(10, 20, AWAY),
    ],
    "a gap": [*fixes(1, 9), *fixes(60, 70)],
    "a gap of what is held for exactly": [*fixes(1, 9), *fixes(24, 30)],
    "two at one instant": [*fixes(1, 9), fix(9, AWAY), *fixes(9, 20)],
    "a jump": [*fixes(1, 9), fix(10, (HOME[0] + 2, HOME[1])), *fixes(11, 20)],
    "what says nothing": [*fixes(1, 9), msgspec.structs.replace(fix(10), precision_m=5_000.0), *fixes(11, 20)],
    "out from before a period on": fixes(0, 40, AWAY),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("kind", [ObligationKind.CURFEW, ObligationKind.EXCLUSION, ObligationKind.INCLUSION])
def test_facts_looked_at_together_leave_what_they_leave_one_by_one(story: str, kind: ObligationKind) -> None:
    plan = plan_of(_obliging(kind))
    judge = ActivationJudge(plan)
    facts = sorted(STORIES[story], key=lambda fact: fact.key)
    together, some, one_by_one = (judge.initial().base.copy() for _ in range(3))
    assert judge._feed_many(together, facts) == judge._feed_some(some, facts) == judge._feed_few(one_by_one, facts)
    assert together == some == one_by_one
    assert _in_columns(plan, facts, 90) == _one_by_one(plan, facts, 90)


def test_a_repetition_is_no_communication_in_columns_either() -> None:
    facts: list[Fact] = [fix(0), fix(0, received_min=5)]
    found = _in_columns(plan_of(), facts, 12)
    assert [finding.begin_ms for finding in found if finding.kind == "NO_COMMUNICATION"] == [10 * MINUTE_MS]
    assert found == _one_by_one(plan_of(), facts, 12)


def _obliging(kind: ObligationKind) -> Requirement:
    if kind is ObligationKind.EXCLUSION:
        return requirement(kind, buffer_m=100.0)
    return requirement(kind, timetable=NIGHT)


def _in_columns(plan: Plan, facts: list[Fact], now_min: int) -> list[object]:
    events = [fact for fact in facts if isinstance(fact, DeviceEvent)]
    found = judge_columns(plan, received_of(facts), events, now_min * MINUTE_MS)
    return [msgspec.structs.replace(finding, evidence=()) for finding in found]


def _one_by_one(plan: Plan, facts: list[Fact], now_min: int) -> list[object]:
    found = judge_history(plan, facts, now_min * MINUTE_MS)
    return [msgspec.structs.replace(finding, evidence=()) for finding in found]
