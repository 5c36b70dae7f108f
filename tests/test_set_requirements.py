"""Requirements on a shared zone set: the union of its members decides, and a finding says which member it is about."""

from __future__ import annotations

import msgspec
import pytest

from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.judge import ActivationJudge, Checkpoint, Judged, judge_history
from geofence.judgement.places import UnknownSet
from geofence.judgement.presence import Tracker
from geofence.obligations import Activation, Plan, Requirement
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet
from geofence.words import FOREVER_MS, EventType, Kind, Mechanism, ObligationKind
from geofence.zones import Area, SetZone

MINUTE_MS = 60_000
# One degree of latitude is some 111,260 m here, one of longitude 67,100 m.
ELM, OAK = (-2.1825, 53.0), (-2.1775, 53.0)
BETWEEN = (-2.18, 53.0)
PARK = (-2.18, 53.0045)  # 101 m north of both
FAR = (-2.1, 53.0)


def square(lon: float, lat: float, half_lon: float, half_lat: float) -> Area:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    return Area(((tuple((lon + x * half_lon, lat + y * half_lat) for x, y in corners),),))


SCHOOLS = build([Member("elm", square(*ELM, 0.0025, 0.0036)), Member("oak", square(*OAK, 0.0025, 0.0036))])
SETS = {SCHOOLS.content: SCHOOLS}
ZONE = SetZone("schools", "1", SCHOOLS.content)


def requirement(kind: ObligationKind = ObligationKind.EXCLUSION, **other: object) -> Requirement:
    return Requirement("R1/1", "R1", "W1", kind, 0, FOREVER_MS, ZONE, **other)


def plan_of(one: Requirement) -> Plan:
    return Plan(Activation("A1", "D1", "W1", 0, report_interval_ms=10**9), (one,))


def fix(at_min: float, place: tuple[float, float], precision_m: float = 6.0) -> Position:
    at_ms = round(at_min * MINUTE_MS)
    return Position(at_ms, place[1], place[0], precision_m, Mechanism.GPS, at_ms)


def found(one: Requirement, *facts: Fact, now_min: float = 60) -> list[tuple[str, float, str | None]]:
    findings = judge_history(plan_of(one), facts, round(now_min * MINUTE_MS), SETS)
    return sorted((str(f.kind), f.begin_ms / MINUTE_MS, f.zone_id) for f in findings)


def test_the_member_of_the_first_verdict_of_the_run_is_named_wherever_the_person_goes_then():
    walk = [fix(0, FAR), fix(1, FAR), fix(5, OAK), fix(6, ELM), fix(7, ELM)]
    assert found(requirement(), *walk) == [("EXCLUSION", 5, "oak")]
    assert found(requirement(), *walk[::-1]) == [("EXCLUSION", 5, "oak")]


def test_where_two_members_touch_there_is_no_boundary():
    """50 m is far more than the distance to the edge that they share."""
    assert found(requirement(), fix(0, BETWEEN, 50.0), fix(1, BETWEEN, 50.0)) == [("EXCLUSION", 0, "elm")]


def test_each_presence_names_its_own_member():
    walk = [fix(0, ELM), fix(1, ELM), fix(5, FAR), fix(6, FAR), fix(14, OAK), fix(15, OAK)]
    assert found(requirement(), *walk) == [("EXCLUSION", 0, "elm"), ("EXCLUSION", 14, "oak")]


def test_a_zone_can_be_widened_without_an_approach():
    assert found(requirement(), fix(0, PARK), fix(1, PARK)) == []
    assert found(requirement(widen_m=120.0), fix(0, PARK), fix(1, PARK)) == [("EXCLUSION", 0, "elm")]


def test_the_buffer_lies_round_the_widened_zone():
    near = (PARK[0] + 0.001, PARK[1])
    assert found(requirement(widen_m=50.0, buffer_m=70.0), fix(0, near), fix(1, near)) == [("APPROACH", 0, "oak")]


def test_outside_a_set_the_nearest_member_is_named():
    out = requirement(ObligationKind.INCLUSION)
    assert found(out, fix(0, FAR), fix(1, FAR), now_min=5) == [("INCLUSION", 0, "oak")]


def test_what_nobody_could_tell_names_no_member():
    assert found(requirement(ObligationKind.INCLUSION), now_min=60) == [("UNVERIFIED", 0, None)]


def test_a_sighting_says_nothing_of_a_member():
    out = DeviceEvent(0, EventType.RF_OUT, None, 0)
    home = requirement(ObligationKind.CURFEW)
    assert found(home, out, fix(1, FAR), now_min=5) == [("CURFEW", 0, None)]


def test_a_set_that_is_not_at_hand_is_named():
    with pytest.raises(UnknownSet, match="'schools' version '1'"):
        ActivationJudge(plan_of(requirement()))


def test_a_member_is_asked_for_only_when_a_run_begins_on_which_a_finding_can_rest(monkeypatch):
    asked: list[tuple[float, float]] = []
    whole = ZoneSet.member_at
    monkeypatch.setattr(ZoneSet, "member_at", lambda s, *at: asked.append(at) or whole(s, *at))
    found(requirement(), *[fix(n, FAR) for n in range(5)], *[fix(n, ELM) for n in range(6, 12)])
    assert asked == [ELM]


def test_a_run_in_progress_keeps_its_member_over_a_restart():
    judge = ActivationJudge(plan_of(requirement(confirm_points=3)), SETS)
    judged = judge.advance(judge.initial(), [fix(0, OAK), fix(40, OAK), fix(41, ELM)], 41 * MINUTE_MS)
    assert isinstance(judged, Judged)
    stored = msgspec.msgpack.encode(judged.state.head)
    base = msgspec.msgpack.decode(stored, type=Checkpoint)
    state = judge.resumed(base, [], judged.state.silence, 41 * MINUTE_MS)
    again = judge.advance(state, [fix(42, ELM)], 42 * MINUTE_MS)
    assert isinstance(again, Judged)
    assert [f.zone_id for p in again.parts for f in p.findings if f.kind is Kind.EXCLUSION] == ["oak"]


def test_a_checkpoint_of_an_older_form_is_not_read_as_one_of_today():
    segment = [1, 0, 1, None, 3, 4, b"x"]
    of_the_first_rules = [[segment], 5, 1, 0, 2, 3, b"y", None]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(of_the_first_rules, Tracker)
