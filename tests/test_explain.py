"""Why positions count as they do: the explanation and the judgement go by the same rules."""

from __future__ import annotations

from hypothesis import given

from geofence.facts import DeviceEvent, Fact, Position, without_duplicates
from geofence.judgement.evidence import PositionStatus
from geofence.judgement.explain import weighed
from geofence.judgement.judge import ActivationJudge
from geofence.judgement.presence import UNKNOWN, Confirmation, Tracker, Verdict, cut_holds, feed
from geofence.judgement.sightings import concerns, is_trouble
from geofence.obligations import Activation, Plan, Requirement
from geofence.words import (
    FOREVER_MS,
    ActivationId,
    DeviceId,
    EntryId,
    EventType,
    Mechanism,
    ObligationKind,
    Presence,
    RequirementId,
    WearerId,
)
from geofence.zones import Disc
from tests.service_world import AWAY, HOME, ms
from tests.test_oracle import ORDINARY, SETS, World, worlds

CURFEW = Requirement(
    EntryId("1"), RequirementId("C1"), WearerId("W1"), ObligationKind.CURFEW, 0, FOREVER_MS, Disc(HOME, 60.0)
)
PLAN = Plan(Activation(ActivationId("A1"), DeviceId("D1"), WearerId("W1"), 0), (CURFEW,))


def fix(at: str, place: tuple[float, float], precision_m: float = 6.0, number: int = 0) -> Position:
    return Position(ms(at), place[1], place[0], precision_m, Mechanism.GPS, ms(at), number)


def event(at: str, what: EventType, requirement_id: str | None = None) -> DeviceEvent:
    return DeviceEvent(ms(at), what, requirement_id, ms(at))


def told(*facts: Fact) -> list[tuple[str, str, bool]]:
    found = weighed(PLAN, CURFEW, without_duplicates(list(facts))).positions
    return [(w.status.name, w.verdict.name, w.overruled) for w in found]


def test_a_margin_is_signed_and_a_circle_that_meets_the_edge_decides_nothing() -> None:
    facts = [fix("19:00", HOME), fix("19:10", AWAY), fix("19:20", HOME, 70.0)]
    inside, outside, near = weighed(PLAN, CURFEW, facts).positions
    assert (round(inside.margin_m), inside.verdict) == (60, Presence.INSIDE)
    assert (round(outside.margin_m), outside.verdict) == (-1053, Presence.OUTSIDE)
    assert near.verdict is Presence.UNKNOWN


def test_while_the_home_unit_sees_the_tag_positions_are_overruled() -> None:
    facts = [event("19:00", EventType.RF_IN), fix("19:01", AWAY), fix("19:15", AWAY), fix("19:16", AWAY)]
    assert [overruled for *_, overruled in told(*facts)] == [True, False, False]
    moved = [event("19:00", EventType.RF_IN), event("19:00:30", EventType.HMU_MOVED), fix("19:01", AWAY)]
    assert told(*moved) == [("EVIDENCE", "OUTSIDE", False)]
    other = [event("19:00", EventType.RF_IN, "C2"), fix("19:01", AWAY)]
    assert told(*other) == [("EVIDENCE", "OUTSIDE", False)]


def test_a_jump_and_a_conflict_are_named() -> None:
    far = (HOME[0], HOME[1] + 1)
    facts = [fix("19:00", HOME), fix("19:01", far), fix("19:02", HOME), fix("19:02", AWAY, 9.0)]
    assert [status for status, *_ in told(*facts)] == ["EVIDENCE", "JUMP", "EVIDENCE", "CONFLICT"]


def presence_from_explanations(plan: Plan, requirement: Requirement, facts: list[Fact]) -> Tracker:
    """The presence that follows if what is explained as used is used, and nothing else."""
    confirmation = Confirmation(requirement.confirm_points, requirement.confirm_ms)
    weights = weighed(plan, requirement, facts, SETS)
    used = [w for w in weights.positions if w.status is PositionStatus.EVIDENCE and not w.overruled]
    said: dict[int, tuple[int, bool]] = {id(w.position): (int(w.verdict), w.is_repeat) for w in used}
    said |= {id(sighting.event): (int(sighting.verdict), False) for sighting in weights.sightings}
    tracker = Tracker()
    for fact in facts:
        is_event = isinstance(fact, DeviceEvent)
        if is_event and is_trouble(fact) and concerns(fact, requirement):
            cut_holds(tracker, fact.own_ms + plan.settings.max_gap_ms)
        value, is_repeat = said.get(id(fact), (UNKNOWN, False))
        if value == UNKNOWN:
            continue
        hold_ms = plan.rf_gap_ms(requirement, fact.own_ms) if is_event else plan.settings.max_gap_ms
        circle = (fact.lat_deg, fact.lon_deg) if is_repeat and isinstance(fact, Position) else None
        if circle is not None:
            tracker.run.circles.append(circle)
        feed(tracker, Verdict(value, fact.own_ms, fact.own_ms + hold_ms, fact, is_event, circle), confirmation)
    return tracker


@given(worlds())
@ORDINARY
def test_the_explanation_leads_to_the_presence_that_was_judged(world: World) -> None:
    plan = world.plan
    judge = ActivationJudge(plan, SETS)
    facts = [f for f in without_duplicates(list(world.facts)) if max(f.own_ms, f.received_ms) <= world.now_ms]
    judged = judge.advance(judge.initial(), facts, world.now_ms)
    for requirement in plan.judged:
        explained = presence_from_explanations(plan, requirement, facts)
        was = judged.state.head.entries[requirement.entry_id].zone
        kept = [(s.value, s.begin_ms, s.end_ms) for s in was.segments]  # the judgement forgets what is over
        assert [(s.value, s.begin_ms, s.end_ms) for s in explained.segments][-len(kept) or 99999 :] == kept
