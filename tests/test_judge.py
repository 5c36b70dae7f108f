"""The judgement step by step: what a service sees while facts come late, in batches, and with restarts between."""

from __future__ import annotations

import msgspec

from geofence.facts import DeviceEvent, Fact, Position
from geofence.intervals import Interval
from geofence.judgement.findings import Finding
from geofence.judgement.judge import TAIL_MS, ActivationJudge, Checkpoint, Judged, Late, judge_history
from geofence.obligations import Activation, Plan, Requirement, TimetableRow
from geofence.words import FOREVER_MS, EventType, Kind, Mechanism, ObligationKind
from geofence.zones import Disc

MINUTE_MS = 60_000
HOME, TOWN = (-2.18, 53.0), (-2.15, 53.0)


def requirement(kind: ObligationKind = ObligationKind.EXCLUSION, **other: object) -> Requirement:
    return Requirement("R1/1", "R1", "W1", kind, 0, FOREVER_MS, Disc(HOME, 300.0), **other)


def plan_of(*requirements: Requirement) -> Plan:
    return Plan(Activation("A1", "D1", "W1", 0), requirements or (requirement(),))


def fix(at_min: float, place: tuple[float, float] = HOME, received_min: float | None = None) -> Position:
    received_ms = round((at_min if received_min is None else received_min) * MINUTE_MS)
    return Position(round(at_min * MINUTE_MS), place[1], place[0], 6.0, Mechanism.GPS, received_ms)


class Watch:
    """Advances a judge minute by minute and keeps what is shown, as the docstring of Part says."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.judge = ActivationJudge(plan_of() if plan is None else plan)
        self.state = self.judge.initial()
        self.shown: dict[str, list[Finding]] = {}

    def at(self, now_min: float, *facts: Fact) -> None:
        judged = self.judge.advance(self.state, facts, round(now_min * MINUTE_MS))
        assert isinstance(judged, Judged), f"late: {judged}"
        self.state = judged.state
        for part in judged.parts:
            final = [f for f in self.shown.get(part.scope, []) if f.end_ms is not None and f.end_ms <= part.since_ms]
            self.shown[part.scope] = final + part.findings

    def of(self, kind: Kind) -> list[tuple[float, float | None]]:
        """Shown intervals of a kind, in minutes."""
        found = [finding for findings in self.shown.values() for finding in findings if finding.kind is kind]
        return [(f.begin_ms / MINUTE_MS, None if f.end_ms is None else f.end_ms / MINUTE_MS) for f in found]


def test_a_fix_in_order_that_comes_after_presence_lapsed_lengthens_what_is_shown():
    watch = Watch()
    watch.at(60, fix(0, received_min=60))
    watch.at(62, fix(2, received_min=62))
    assert watch.of(Kind.EXCLUSION) == [(0, 17)]
    watch.at(64, fix(4, received_min=64))
    assert watch.of(Kind.EXCLUSION) == [(0, 19)]


def test_a_fix_in_order_that_comes_after_presence_lapsed_shortens_the_unverified_stretch():
    watch = Watch(plan_of(requirement(ObligationKind.INCLUSION)))
    watch.at(60, fix(0, received_min=60), fix(2, received_min=60))
    assert watch.of(Kind.UNVERIFIED) == [(17, None)]
    watch.at(60, fix(4, received_min=60))
    assert watch.of(Kind.UNVERIFIED) == [(19, None)]


def test_a_sighting_in_order_that_comes_after_presence_lapsed_lengthens_what_is_shown():
    def out(at_min: float, received_min: float) -> DeviceEvent:
        return DeviceEvent(round(at_min * MINUTE_MS), EventType.RF_OUT, None, round(received_min * MINUTE_MS))

    watch = Watch(plan_of(requirement(ObligationKind.CURFEW)))
    watch.at(60, out(0, 60))
    assert watch.of(Kind.CURFEW) == [(0, 15)]
    watch.at(61, out(5, 61))
    assert watch.of(Kind.CURFEW) == [(0, 20)]


def test_a_lone_opposite_verdict_that_comes_after_presence_lapsed_lengthens_what_is_shown():
    """Presence holds until the latest decisive verdict of either value, and max_gap."""
    watch = Watch()
    watch.at(60, fix(0, received_min=60), fix(2, received_min=60))
    watch.at(64, fix(4, TOWN, received_min=64))
    assert watch.of(Kind.EXCLUSION) == [(0, 19)]


def test_the_clock_alone_ends_presence():
    watch = Watch()
    watch.at(2, fix(0), fix(2))
    assert watch.of(Kind.EXCLUSION) == [(0, None)]
    watch.at(16.9)
    assert watch.of(Kind.EXCLUSION) == [(0, None)]
    watch.at(17)
    assert watch.of(Kind.EXCLUSION) == [(0, 17)]


def test_an_instant_at_which_something_can_change_is_never_after_the_change():
    watch = Watch()
    watch.at(2, fix(0), fix(2))
    due_min = []
    while watch.state.next_due_ms < FOREVER_MS:
        due_min.append(watch.state.next_due_ms / MINUTE_MS)
        watch.at(due_min[-1])
    assert due_min == sorted(due_min)
    assert 17 in due_min, "presence lapses"
    assert any(12 < due <= 12.001 for due in due_min), "silence is found"
    assert watch.of(Kind.NO_COMMUNICATION) == [(12, None)]


def test_a_fact_whose_own_time_is_still_to_come_waits():
    watch = Watch()
    watch.at(1, fix(0), fix(4, received_min=1))
    assert watch.of(Kind.EXCLUSION) == []
    assert watch.state.next_due_ms <= 4 * MINUTE_MS
    watch.at(4)
    assert watch.of(Kind.EXCLUSION) == [(0, None)]


def test_a_fact_that_is_late_by_less_than_the_tail_is_judged_at_its_own_time():
    watch = Watch()
    watch.at(0, fix(0))
    watch.at(6, fix(6, TOWN))
    watch.at(8, fix(8, TOWN), fix(2, received_min=8))
    assert watch.of(Kind.EXCLUSION) == [(0, 6)]


def test_the_base_moves_up_behind_the_newest_evidence_and_what_is_older_is_late():
    watch, plan = Watch(), plan_of()
    for minute in range(0, 120, 2):
        watch.at(minute, fix(minute))
    fed_to_min = watch.state.base.fed_to[0] / MINUTE_MS
    assert 118 - 2 * TAIL_MS / MINUTE_MS - 2 <= fed_to_min <= 118 - TAIL_MS / MINUTE_MS + 2
    assert isinstance(watch.judge.advance(watch.state, [fix(1, TOWN, received_min=120)], 120 * MINUTE_MS), Late)
    everything = [*(fix(minute) for minute in range(0, 120, 2)), fix(1, TOWN, received_min=120)]
    again = judge_history(plan, everything, 120 * MINUTE_MS)
    assert [(f.kind, f.begin_ms, f.end_ms) for f in again] == [(Kind.EXCLUSION, 2 * MINUTE_MS, None)]


def test_a_receipt_inside_a_silence_that_was_found_is_late():
    watch = Watch()
    watch.at(0, fix(0))
    watch.at(30, fix(30))
    assert watch.of(Kind.NO_COMMUNICATION) == [(10, 30)]
    heartbeat = DeviceEvent(15 * MINUTE_MS, EventType.HEARTBEAT, None, 15 * MINUTE_MS)
    assert isinstance(watch.judge.advance(watch.state, [heartbeat], 31 * MINUTE_MS), Late)


def test_a_restart_from_a_stored_checkpoint_changes_nothing():
    without, restarted, facts = Watch(), Watch(), []
    for minute in range(0, 120, 2):
        facts.append(fix(minute, TOWN if 50 <= minute < 70 else HOME))
        for watch in (without, restarted):
            watch.at(minute, facts[-1])
        stored = msgspec.msgpack.encode(restarted.state.base)
        base = msgspec.msgpack.decode(stored, type=Checkpoint)
        silence, now_ms = restarted.state.silence, minute * MINUTE_MS
        restarted.state = restarted.judge.resumed(base, facts, silence, now_ms)
    for watch in (without, restarted):
        watch.at(200)
    assert restarted.shown == without.shown
    assert restarted.of(Kind.EXCLUSION) == [(0, 50), (70, 133)]


def test_an_advance_leaves_the_state_that_it_was_given_as_it_was():
    watch = Watch()
    watch.at(2, fix(0), fix(2))
    before = msgspec.msgpack.encode(watch.state)
    watch.judge.advance(watch.state, [fix(4, TOWN), fix(6, TOWN)], 90 * MINUTE_MS)
    assert msgspec.msgpack.encode(watch.state) == before


def test_an_outage_that_is_known_later_counts_for_silences_still_to_be_found():
    watch = Watch()
    watch.at(0, fix(0))
    watch.judge.with_outages((Interval(5 * MINUTE_MS, 8 * MINUTE_MS),))
    watch.at(12)
    assert watch.of(Kind.NO_COMMUNICATION) == []
    watch.at(14)
    assert watch.of(Kind.NO_COMMUNICATION) == [(13, None)]


def test_each_finding_names_the_facts_it_rests_on_and_a_hash_that_follows_them():
    facts = [msgspec.structs.replace(fix(minute, place), fact_id=number)
             for number, (minute, place) in enumerate([(0, HOME), (2, HOME), (4, TOWN), (6, TOWN)], start=1)]  # fmt: skip
    (found,) = judge_history(plan_of(), facts, 7 * MINUTE_MS)
    assert found.evidence == (1, 2, 3, 4)
    moved = [msgspec.structs.replace(facts[0], lat_deg=53.0001), *facts[1:]]
    (other,) = judge_history(plan_of(), moved, 7 * MINUTE_MS)
    assert found.facts_hash != other.facts_hash
    (same,) = judge_history(plan_of(), facts[::-1], 7 * MINUTE_MS)
    assert found.facts_hash == same.facts_hash


def test_where_nothing_comes_what_is_looked_at_does_not_grow_with_time():
    """A curfew every night for a hundred years, and nobody was ever heard."""
    nights = tuple(TimetableRow(day, 19 * 60, 7 * 60) for day in range(7))
    plan = plan_of(requirement(ObligationKind.CURFEW, timetable=nights))
    judge = ActivationJudge(plan)
    now_ms = 36_500 * 24 * 60 * MINUTE_MS
    first = judge.advance(judge.initial(), [], now_ms)
    assert isinstance(first, Judged)
    later = judge.advance(first.state, [], now_ms + 24 * 60 * MINUTE_MS)
    assert isinstance(later, Judged)
    counts = [sum(len(p.findings) for p in judged.parts if p.scope == "R1/1") for judged in (first, later)]
    assert counts[0] > 36_000
    assert counts[1] <= 3


def test_a_fact_that_comes_after_days_in_which_nothing_came_is_judged_at_its_own_time():
    judge = ActivationJudge(plan_of())
    day = 24 * 60
    first = judge.advance(judge.initial(), [fix(0), fix(1)], 2 * MINUTE_MS)
    assert isinstance(first, Judged)
    rested = judge.advance(first.state, [], 5 * day * MINUTE_MS)
    assert isinstance(rested, Judged)
    assert rested.state.base.fed_to[0] == 4 * day * MINUTE_MS
    assert isinstance(judge.advance(rested.state, [fix(3 * day, received_min=5 * day)], 5 * day * MINUTE_MS), Late)
    in_order = judge.advance(rested.state, [fix(4.5 * day, received_min=5 * day)], 5 * day * MINUTE_MS)
    assert isinstance(in_order, Judged)
