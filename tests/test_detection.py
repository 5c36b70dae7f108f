"""The benchmark of detection: what it counts as missed, false and findable, by hand; and that its page fits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.detection.methods import ALONE, METHODS, naive_findings, sighted_findings
from benchmarks.detection.page import BEGIN, END, written
from benchmarks.detection.requirements import is_exclusion
from benchmarks.detection.runs import START_MS, jobs_of, run_all
from benchmarks.detection.scores import MINUTE_MS, Found, Score, Violation, score
from benchmarks.detection.sent import Sent, sent_by
from benchmarks.detection.tables import EDITIONS, HEAD, causes_table, groups_of, main_table, summed
from benchmarks.detection.truth import Seen, seen
from emtrack.emulator import PRESETS, build_world
from emtrack.emulator.habits import NO_FAULTS
from geofence.facts import DeviceEvent, Position
from geofence.judgement.timetable import DAY_MS
from geofence.obligations import Activation, Plan, Requirement, TimetableRow
from geofence.shapes.margins import margins_m
from geofence.shapes.packing import packed
from geofence.words import (
    ActivationId,
    DeviceId,
    EntryId,
    EventType,
    EvidenceKind,
    Mechanism,
    ObligationKind,
    RequirementId,
    WearerId,
    parse_instant,
)
from geofence.zones import Disc

PAGE = Path(__file__).parent.parent / "docs" / "detection.md"
M_PER_LAT_DEG = 111_300.0


def minutes(*values: float) -> list[int]:
    return [round(value * MINUTE_MS) for value in values]


def found(begin: float, end: float, known: float | None = None, heard: float | None = None) -> Found:
    known = begin if known is None else known
    return Found("R", *minutes(begin, end, known, known if heard is None else heard))


def violation(begin: float, end: float, *, findable: bool = True) -> Violation:
    first, last = minutes(begin, end)
    return Violation(first, last, findable)


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_a_violation_that_no_finding_overlaps_is_missed() -> None:
    counted = score([violation(10, 20), violation(40, 43)], [found(0, 10)])
    assert (counted.violations, counted.violations_missed) == (2, 2)
    assert (counted.findable_missed, counted.target, counted.target_missed) == (2, 1, 1)
    assert counted.onset_ms == []


def test_one_that_is_not_findable_or_too_short_is_not_asked_for() -> None:
    counted = score([violation(10, 20, findable=False), violation(30, 31)], [])
    assert counted == Score(violations=1, violations_missed=1)


def test_any_overlap_is_found_and_touching_is_none() -> None:
    assert score([violation(10, 20)], [found(19.9, 50)]).violations_missed == 0
    touching = score([violation(10, 20)], [found(20, 50), found(5, 10)])
    assert (touching.violations_missed, touching.false) == (1, 2)


def test_a_finding_is_false_only_if_no_part_of_it_is_true_and_its_false_time_is_counted_in_any_case() -> None:
    counted = score([violation(10, 20)], [found(5, 12), found(19, 21), found(30, 31)])
    assert (counted.findings, counted.false) == (3, 1)
    assert counted.false_ms == 7 * MINUTE_MS


def test_delays_are_those_of_the_first_finding_that_overlaps() -> None:
    counted = score([violation(10, 20)], [found(14, 15), found(8, 12, known=13, heard=19), found(0, 1)])
    assert counted.onset_ms == minutes(-2)
    assert counted.known_ms == minutes(3)
    assert counted.heard_ms == minutes(9)


def test_a_finding_without_length_counts_as_an_instant() -> None:
    assert score([violation(10, 20)], [found(10, 10)]).violations_missed == 0
    assert score([violation(10, 20)], [found(20, 20)]).violations_missed == 1


# --- the baseline, and what is findable -------------------------------------------------------------------------------


def plan_of(kind: ObligationKind) -> Plan:
    wearer = WearerId("W")
    zone = Disc((-2.0, 53.0), 100.0)
    rule = Requirement(EntryId("0"), RequirementId("R"), wearer, kind, 0, 60 * MINUTE_MS, zone)
    return Plan(Activation(ActivationId("A"), DeviceId("D"), wearer, 0), (rule,))


def fix(minute: float, north_m: float, precision_m: float = 10.0) -> Position:
    at_ms = round(minute * MINUTE_MS)
    return Position(at_ms, 53.0 + north_m / M_PER_LAT_DEG, -2.0, precision_m, Mechanism.GPS, at_ms + 5_000)


def test_a_finding_of_the_baseline_is_a_run_on_the_wrong_side_until_the_next_fix_that_counts() -> None:
    fixes = [fix(1, 0), fix(2, 150), fix(3, 150), fix(5, 0), fix(8, 150), fix(70, 150)]
    found_there = naive_findings(plan_of(ObligationKind.CURFEW), fixes, DAY_MS)
    assert [one[1:4] for one in found_there] == [tuple(minutes(2, 5, 2)), tuple(minutes(8, 60, 8))]
    twice = naive_findings(plan_of(ObligationKind.CURFEW), fixes, DAY_MS, in_a_row=2)
    assert [one[1:4] for one in twice] == [tuple(minutes(2, 5, 3))]
    inside = naive_findings(plan_of(ObligationKind.EXCLUSION), fixes, DAY_MS)
    assert [one[1:3] for one in inside] == [tuple(minutes(1, 2)), tuple(minutes(5, 8))]


def test_a_violation_is_findable_by_two_consecutive_fixes_within_the_gap_and_twice_the_radius_past() -> None:
    def findable(*fixes: tuple[float, bool]) -> bool:
        positions = [fix(minute, 0) for minute, _ in fixes]
        past = np.array([[is_past] for _, is_past in fixes])
        at_ms = np.array([p.fix_ms for p in positions], np.int64)
        sent = Sent(plan_of(ObligationKind.CURFEW), list(positions), 0)
        return bool(Seen(sent, positions, at_ms, past).findable("R", *minutes(10, 50)).any())

    assert findable((11, True), (26, True))
    assert not findable((11, True), (26.1, True))
    assert not findable((11, True), (12, False), (13, True))
    assert not findable((9, True), (11, True))
    assert not findable((49, True), (50, True))


def sighting(minute: float, kind: EventType) -> DeviceEvent:
    at_ms = round(minute * MINUTE_MS)
    return DeviceEvent(at_ms, kind, "R", at_ms + 1_000, sent_by="H")


def test_who_has_no_positions_is_out_for_the_baseline_from_each_leaving_to_the_next_coming() -> None:
    activation = msgspec.structs.replace(plan_of(ObligationKind.CURFEW).activation, evidence=(EvidenceKind.RF,))
    plan = msgspec.structs.replace(plan_of(ObligationKind.CURFEW), activation=activation)
    out, back = EventType.RF_OUT, EventType.RF_IN
    seen_there = [
        sighting(2, out),
        sighting(3, out),
        sighting(5, back),
        sighting(10, out),
        sighting(30, back),
        sighting(50, out),
    ]
    found_there = sighted_findings(plan, seen_there, DAY_MS)
    assert [one[1:3] for one in found_there] == [tuple(minutes(2, 5)), tuple(minutes(10, 30)), tuple(minutes(50, 60))]
    long = sighted_findings(plan, seen_there, DAY_MS, at_least_ms=5 * MINUTE_MS)
    assert [one[1:4] for one in long] == [tuple(minutes(10, 30, 15)), tuple(minutes(50, 60, 55))]


def test_an_appointment_is_findable_if_positions_show_the_absence_for_as_long_as_it_may_be_missed() -> None:
    def can_show(*past: tuple[float, bool]) -> bool:
        plan = plan_of(ObligationKind.ATTENDANCE)
        row = TimetableRow(3, 0, 60)  # the first of January 1970 is a Thursday
        stay = msgspec.structs.replace(plan.requirements[0], timetable=(row,), stay_ms=20 * MINUTE_MS)
        plan = msgspec.structs.replace(plan, requirements=(stay,), timezone="UTC")
        positions = [fix(minute, 0) for minute, _ in past]
        at_ms = np.array([p.fix_ms for p in positions], np.int64)
        sent = Sent(plan, list(positions), 0)
        return Seen(sent, positions, at_ms, np.array([[is_past] for _, is_past in past])).can_show(
            "R", *minutes(40, 60)
        )

    assert can_show((0, True), (15, True), (30, True), (40, True))
    assert not can_show((0, True), (15, True), (30, True), (39, True))
    assert not can_show((0, True), (15, True), (31, True), (46, True))


# --- a small run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    world = build_world(4, 1, START_MS, preset="lbs_heavy")
    return sent_by(world, START_MS + 2 * DAY_MS)


def test_where_the_wearer_truly_was_is_asked_at_the_true_instant_of_a_tag_whose_clock_is_wrong() -> None:
    """An honest error is three times the radius once in a hundred thousand times: who is twice the radius past the
    boundary is reported past it."""
    late = replace(PRESETS["clean"], faults=replace(PRESETS["clean"].faults, skew_hour_back_share=1.0))
    world = build_world(4, 1, START_MS, mix=late)
    for one in sent_by(world, START_MS + 2 * DAY_MS):
        look = seen(world, one)
        zones = packed([requirement.zone for requirement in one.plan.requirements])
        lon_deg, lat_deg = [p.lon_deg for p in look.positions], [p.lat_deg for p in look.positions]
        inside = margins_m(zones, lon_deg, lat_deg) >= 0
        forbidden = np.array([is_exclusion(requirement) for requirement in one.plan.requirements])
        assert one.skew_ms == -3_600_000
        assert look.past.any()
        assert not (look.past & (inside != forbidden)).any()


def test_what_a_home_unit_says_is_told_of_the_tag_that_it_names_or_of_all_that_it_speaks_for() -> None:
    mix = PRESETS["standard.2"]
    habits = replace(mix.habits, rf_only_share=0.5, alcohol_share=1.0)
    world = build_world(6, 1, START_MS, mix=replace(mix, habits=habits))
    of_activation = {one.plan.activation.activation_id: one for one in sent_by(world, START_MS + DAY_MS)}
    said: Counter[tuple[str, str]] = Counter()
    for upload in world.uploads(START_MS, START_MS + DAY_MS):
        for report in upload.reports:
            said[upload.device_id, "of a tag" if "tag" in report else "of itself"] += 1
    for wearer in world.wearers:
        if wearer.hmu_id is None:
            continue
        tag = of_activation[f"A{wearer.number:04d}"]
        by_unit = [fact for fact in tag.facts if isinstance(fact, DeviceEvent) and fact.sent_by is not None]
        assert {fact.sent_by for fact in by_unit} == {wearer.hmu_id}
        assert {unit.hmu_id for unit in tag.plan.home_units} == {wearer.hmu_id}
        of_curfew = [fact for fact in by_unit if fact.type in (EventType.RF_IN, EventType.HEARTBEAT)]
        assert {fact.requirement_id for fact in of_curfew} == {wearer.curfew.requirement_id}
        assert len(by_unit) > 0.9 * (said[wearer.hmu_id, "of a tag"] + said[wearer.hmu_id, "of itself"])
        assert tag.plan.is_heard_by_units_only == (not tag.positions) == wearer.rf_only
        if wearer.drinks is not None:
            beside = of_activation[f"A{wearer.number:04d}s"]
            by_unit = [fact for fact in beside.facts if isinstance(fact, DeviceEvent) and fact.sent_by is not None]
            assert by_unit == []


def test_who_has_no_positions_is_findable_while_unit_and_tag_have_power() -> None:
    faults = replace(NO_FAULTS, hmu_power_lost=0.9, rf_battery_low=0.5, rf_battery_dies_share=1.0)
    world = build_world(8, 1, START_MS, mix=replace(PRESETS["rf_only"], faults=faults))
    end_ms = START_MS + 3 * DAY_MS
    for wearer in world.wearers:
        listening = world.listening(wearer.wearer_id, START_MS, end_ms)
        assert 0 < sum(end - begin for begin, end in listening) < 3 * DAY_MS
        heard = [r for u in world.uploads(START_MS, end_ms) if u.device_id == wearer.hmu_id for r in u.reports]
        sure = [
            parse_instant(r["event_time"]) for r in heard if r.get("tag") and r["event"] in ("RF_IN", "HEARTBEAT")
        ]
        assert sure
        assert all(any(begin <= at_ms < end for begin, end in listening) for at_ms in sure)
    assert build_world(8, 1, START_MS, preset="clean.2").listening("W0001", START_MS, end_ms) == []


def test_a_run_gives_the_same_figures_however_it_is_shared_and_a_row_for_each_world_and_way() -> None:
    presets = ["clean", "lbs_heavy"]
    jobs = jobs_of(presets, wearers=6, days=2, seed=1)
    outcome = run_all(jobs, 1)
    again = run_all(list(reversed(jobs)), 1)
    text = main_table(outcome, presets, 6, 2)
    assert text == main_table(again, presets, 6, 2)
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in text.splitlines()[2:]]
    assert rows == [(world, way) for world in (*presets, "together") for way in METHODS]
    naive, core = (summed(outcome.scores, presets, way).false for way in ("naive", "core"))
    assert naive > 20 * core


# --- the page ---------------------------------------------------------------------------------------------------------


def test_figures_are_written_between_the_markers_and_nowhere_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert written(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter"
    with pytest.raises(ValueError, match="no place"):
        written("a page without markers", "new")


def rows_of(presets: Sequence[str]) -> list[tuple[str, str]]:
    """World and way of each row; of people without positions nothing is judged by positions only."""
    names = [name for name, _ in groups_of(presets)]
    return [(name, way) for name in names for way in METHODS if not (name.startswith("rf_only") and way == ALONE)]


@pytest.mark.parametrize("title", EDITIONS)
def test_the_published_page_has_the_rows_that_the_command_prints(title: str) -> None:
    page, presets = PAGE.read_text(encoding="utf-8"), EDITIONS[title]
    measured = page.split(BEGIN)[1].split(END)[0].split(f"### {title}")[1]
    head = f"| {' | '.join(HEAD)} |"
    assert head in measured
    body = measured.split(head)[1].split("\n\n")[0].splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in body]
    assert rows == rows_of(presets)


def test_causes_are_added_up_over_the_worlds_of_the_table_only() -> None:
    counted = {
        ("clean", "CURFEW", "a cause"): 2,
        ("jumps", "CURFEW", "a cause"): 1,
        ("rf_only", "CURFEW", "another"): 5,
    }
    rows = causes_table(counted, ["clean", "jumps"], "false because").splitlines()[2:]
    assert rows == ["| CURFEW | a cause | 2 | 1 | 3 |"]
