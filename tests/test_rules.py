"""RULES.md, rule by rule. The number in a test's name is the section. Times are minutes since the activation began,
at 2026-03-02T18:00Z, a Monday in winter, so that London is on UTC."""

from __future__ import annotations

from itertools import pairwise

import pytest

from geofence.facts import DeviceEvent, Fact, Position
from geofence.intervals import Interval
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, HomeUnit, JudgementSettings, Plan, Requirement, TimetableRow
from geofence.words import FOREVER_MS, EventType, EvidenceKind, Mechanism, ObligationKind, parse_instant
from geofence.zones import Disc
from tests.oracle import findings_by_the_rules

START_MS = parse_instant("2026-03-02T18:00:00Z")
MINUTE_MS = 60_000
HOME, NEAR, TOWN, CITY = (-2.18, 53.0), (-2.18, 53.0036), (-2.15, 53.0), (-2.18, 53.5)
"""In the middle, 400 m off (outside, within a buffer of 150 m), 2 km off, 56 km off a zone of 300 m round HOME."""

Minute = float


def ms(minute: Minute) -> int:
    return START_MS + round(minute * MINUTE_MS)


def always(kind: str, **other: object) -> Requirement:
    fields = {"from_ms": START_MS, "to_ms": FOREVER_MS, "requirement_id": "R1", "entry_id": "R1/1"} | other
    return Requirement(wearer_id="W1", kind=ObligationKind(kind), zone=Disc(HOME, 300.0), **fields)


def during(kind: str, begin: Minute, end: Minute, **other: object) -> Requirement:
    """A timetable of one row; minutes as everywhere here."""
    start_min, end_min = (int(18 * 60 + minute) % 1440 for minute in (begin, end))
    return always(kind, timetable=(TimetableRow(0, start_min, end_min),), **other)


def fix(at: Minute, place: tuple[float, float] = HOME, *, mechanism: str = "GPS", precision_m: float | None = 6.0,
        received: Minute | None = None) -> Position:  # fmt: skip
    received_ms = ms(at if received is None else received)
    return Position(ms(at), place[1], place[0], precision_m, Mechanism(mechanism), received_ms)


def fixes(first: Minute, last: Minute, place: tuple[float, float] = HOME, every: Minute = 5) -> list[Fact]:
    count = round((last - first) / every) + 1
    return [fix(first + i * every, place) for i in range(count)]


def event(at: Minute, kind: str, unit: str | None = None, *, received: Minute | None = None,
          sent_by: str | None = None) -> DeviceEvent:  # fmt: skip
    received_ms = ms(at if received is None else received)
    return DeviceEvent(ms(at), EventType(kind), unit, received_ms, sent_by=sent_by)


def minutes(instant_ms: int) -> str:
    return f"{(instant_ms - START_MS) / MINUTE_MS:.5f}".rstrip("0").rstrip(".")


def judged(*facts: Fact | list[Fact], now: Minute, by: Requirement | tuple[Requirement, ...] = (), quiet: bool = False,
           active_to: Minute | None = None, entered: Minute | None = None, absent: tuple = (), outages: tuple = (),
           evidence: tuple[EvidenceKind, ...] = tuple(EvidenceKind), units: tuple[HomeUnit, ...] = (),
           ) -> list[str]:  # fmt: skip
    """Findings as `kind [reason] begin-end [known t] [grace]`, an end that is not yet as `…`, known if not at begin.
    Silence is left out unless `quiet` asks for it. The oracle must agree each time."""
    requirements = by if isinstance(by, tuple) else (by,)
    activation = Activation(
        "A1", "D1", "W1", START_MS, FOREVER_MS if active_to is None else ms(active_to),
        entered_ms=None if entered is None else ms(entered), evidence=evidence,
    )  # fmt: skip
    absences, ours = (tuple(Interval(ms(b), ms(e)) for b, e in spans) for spans in (absent, outages))
    plan = Plan(
        activation, requirements, settings=JudgementSettings(), absences=absences, outages=ours, home_units=units
    )
    history = [f for some in facts for f in (some if isinstance(some, list) else [some])]
    found = judge_history(plan, history, ms(now))
    said = {(f.begin_ms, f.end_ms, f.kind, f.reason, f.known_ms, f.within_grace, f.entry_id) for f in found}
    oracle = findings_by_the_rules(plan, history, ms(now))
    assert said == {(f.begin_ms, f.end_ms, f.kind, f.reason, f.known_ms, f.within_grace, f.entry_id) for f in oracle}
    lines = []
    for f in sorted(found, key=lambda f: (f.begin_ms, f.kind, str(f.reason), str(f.entry_id))):
        if f.kind != "NO_COMMUNICATION" or quiet:
            words = [f.kind, f.reason, f"{minutes(f.begin_ms)}-{'…' if f.end_ms is None else minutes(f.end_ms)}"]
            words += [f"known {minutes(f.known_ms)}" if f.known_ms != f.begin_ms else None, "grace" * f.within_grace]
            lines.append(" ".join(str(word) for word in words if word))
    return lines


# ------------------------------------------------------------------------------------------- 2 obligations


def test_2_no_timetable_obliges_always():
    assert judged(fixes(0, 10), now=10, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]


def test_2_absences_are_subtracted_from_curfew_and_inclusion_and_an_exclusion_holds():
    away = [(10, 20)]
    assert judged(fixes(0, 30), now=30, by=always("EXCLUSION"), absent=away) == ["EXCLUSION 0-… known 5"]
    for kind, reasons in (("INCLUSION", ["", ""]), ("CURFEW", ["OUT_ENTIRE_PERIOD ", "OUT_AT_START "])):
        found = judged(fixes(0, 30, TOWN), now=30, by=always(kind), absent=away)
        assert found == [f"{kind} {reasons[0]}0-10 known 5", f"{kind} {reasons[1]}20-…"]


def test_2_each_entry_is_judged_by_itself_and_findings_do_not_join_across_entries():
    first = always("EXCLUSION", to_ms=ms(10))
    second = always("EXCLUSION", from_ms=ms(10), entry_id="R1/2")
    assert judged(fixes(0, 20), now=20, by=(first, second)) == ["EXCLUSION 0-10 known 5", "EXCLUSION 10-…"]


# ------------------------------------------------------------------------------------------- 3 evidence


def test_3_a_duplicate_counts_once():
    assert judged(fix(0), fix(0), fix(0, received=3), now=3, by=always("EXCLUSION")) == []


def test_3_a_duplicate_keeps_the_smallest_received_time_and_repeats_are_no_communication():
    found = judged(fix(0, received=2), fix(0, received=11), now=13, quiet=True)
    assert found == ["NO_COMMUNICATION 12-…"]


def test_3_of_conflicting_positions_the_smallest_known_precision_is_evidence():
    conflict = [fix(5, TOWN, precision_m=7), fix(5, HOME, precision_m=6), fix(5, TOWN, precision_m=None)]
    assert judged(fix(0), conflict, now=6, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]


def test_3_of_conflicting_positions_alike_in_precision_the_smallest_latitude_then_longitude_is_evidence():
    by = always("EXCLUSION")
    assert judged(fix(0), fix(5, NEAR), fix(5, HOME), now=6, by=by) == ["EXCLUSION 0-… known 5"]
    assert judged(fix(0), fix(5, TOWN), fix(5, HOME), now=6, by=by) == ["EXCLUSION 0-… known 5"]


def test_3_what_is_implausible_by_itself_takes_no_part_in_a_conflict():
    nowhere = fix(5, (0.0, 0.0), precision_m=1)
    assert judged(fix(0), nowhere, fix(5), now=6, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]


def test_3_a_fix_more_than_300_s_after_its_receipt_is_implausible_and_exactly_300_s_is_not():
    by = always("EXCLUSION")
    assert judged(fix(0), fix(6, received=1), now=7, by=by) == ["EXCLUSION 0-… known 6"]
    assert judged(fix(0), fix(6, received=1 - 1 / MINUTE_MS), now=7, by=by) == []


def test_3_implausible_and_conflicting_positions_are_communication():
    for heard in (fix(5, (0.0, 0.0)), fix(15, received=5)):
        assert judged(heard, now=16, quiet=True) == ["NO_COMMUNICATION 15-…"]


def test_3_a_jump_is_faster_than_70_m_per_s_from_the_last_evidence():
    at_the_limit_min = (55_650 - 12) / 70 / 60  # 56 km less both radii takes some 13.25 minutes
    by = always("EXCLUSION")
    jumped = judged(fix(0, CITY), fix(at_the_limit_min - 0.2), fix(at_the_limit_min + 1), now=15, by=by)
    arrived = judged(fix(0, CITY), fix(at_the_limit_min + 0.2), fix(at_the_limit_min + 1), now=15, by=by)
    assert jumped == []
    assert len(arrived) == 1


def test_3_after_three_jumps_in_a_row_the_next_position_is_accepted():
    track = [fix(0, CITY), *fixes(1, 3, every=1)]
    by = always("EXCLUSION", confirm_points=1)
    assert judged(track, now=4, by=by) == []
    assert judged(track, fix(4), now=4, by=by) == ["EXCLUSION 4-…"]


def test_3_any_accepted_position_starts_the_count_of_jumps_anew():
    by = always("EXCLUSION", confirm_points=1)
    track = [fix(0, CITY), fix(1), fix(2), fix(3, CITY), fix(4), fix(5), fix(6)]
    assert judged(track, now=6, by=by) == []
    assert judged(track, fix(7), now=7, by=by) == ["EXCLUSION 7-…"]


def test_3_within_a_second_a_jump_is_judged_as_over_one_second():
    by = always("EXCLUSION", confirm_points=1)
    assert judged(fix(0, NEAR, precision_m=190), fix(0.005, HOME, precision_m=190), now=1, by=by) == [
        "EXCLUSION 0.005-…"
    ]
    assert judged(fix(0, NEAR, precision_m=160), fix(0.005, HOME, precision_m=160), now=1, by=by) == []


@pytest.mark.parametrize("precision_m", [None, 0.0, -1.0])
@pytest.mark.parametrize(("mechanism", "decides"), [("GPS", True), ("WIFI", True), ("RF", True), ("LBS", False)])
def test_3_an_unknown_zero_or_negative_precision_means_by_mechanism(mechanism, decides, precision_m):
    found = judged(
        fix(0, mechanism=mechanism, precision_m=precision_m), now=1, by=always("EXCLUSION", confirm_points=1)
    )
    assert found == (["EXCLUSION 0-…"] if decides else [])


def test_3_inside_is_a_margin_of_at_least_the_radius():
    by = always("EXCLUSION", confirm_points=1)  # HOME is the centre, so its margin is 300
    assert judged(fix(0, precision_m=300.0), now=1, by=by) == ["EXCLUSION 0-…"]
    assert judged(fix(0, precision_m=300.001), now=1, by=by) == []


def test_3_unknown_is_never_read_as_outside():
    assert judged(fixes(0, 10, NEAR), now=10, by=always("INCLUSION")) == ["INCLUSION 0-… known 5"]
    vague = [fix(minute, NEAR, precision_m=110) for minute in (0, 5, 10)]
    assert judged(vague, now=10, by=always("INCLUSION")) == []


def test_3_a_sighting_completes_the_run_it_stands_in_whatever_its_count_and_span():
    by = always("CURFEW", confirm_points=3, confirm_ms=20 * MINUTE_MS)
    assert judged(fix(0, TOWN), event(5, "RF_OUT"), now=6, by=by) == ["CURFEW OUT_AT_START 0-… known 5"]
    assert judged(event(5, "RF_OUT"), now=6, by=by) == ["CURFEW SEEN_OUT 5-…"]


def test_3_sightings_are_evidence_on_a_curfew_only():
    assert judged(event(5, "RF_OUT"), event(6, "RF_OUT"), now=7, by=always("INCLUSION")) == []


def test_3_while_in_range_younger_than_max_gap_positions_are_not_used():
    drift = [fix(14.9, TOWN), fix(14.95, TOWN)]
    assert judged(event(0, "RF_IN"), drift, now=14.95, by=always("CURFEW")) == []
    beyond = [fix(15, TOWN), fix(16, TOWN)]  # exactly max_gap is no longer younger
    assert judged(event(0, "RF_IN"), beyond, now=16, by=always("CURFEW")) == ["CURFEW LEFT_DURING 15-… known 16"]


@pytest.mark.parametrize("lost", ["HMU_MOVED", "HMU_POWER_LOST"])
def test_3_a_home_unit_moved_or_without_power_ends_the_precedence_and_presence_holds(lost):
    track = [event(0, "RF_IN"), event(2, lost)]
    by = always("CURFEW")
    assert not any("CURFEW" in line for line in judged(track, now=5, by=by))
    assert "CURFEW LEFT_DURING 5-… known 6" in judged(track, fix(5, TOWN), fix(6, TOWN), now=7, by=by)


def test_3_power_that_comes_back_brings_no_precedence_back_until_the_next_sighting():
    track = [event(0, "RF_IN"), event(2, "HMU_POWER_LOST"), event(3, "HMU_POWER_RESTORED")]
    assert "CURFEW LEFT_DURING 5-… known 6" in judged(track, fix(5, TOWN), fix(6, TOWN), now=7, by=always("CURFEW"))
    track += [event(4, "RF_IN")]
    assert judged(track, fix(5, TOWN), fix(6, TOWN), now=7, by=always("CURFEW")) == ["HMU HMU_POWER_LOST 2-3"]


def test_3_out_of_range_gives_no_precedence():
    found = judged(event(0, "RF_OUT"), fix(5), fix(6), now=7, by=always("CURFEW"))
    assert found == ["CURFEW RETURNED_LATE 0-5"]


def test_3_a_sighting_speaks_for_the_requirement_it_names_and_one_that_names_none_for_every_curfew():
    by = (always("CURFEW"), always("CURFEW", requirement_id="R2", entry_id="R2/1"))
    assert judged(event(0, "RF_OUT", "R2"), now=1, by=by) == ["CURFEW OUT_AT_START 0-…"]
    assert judged(event(0, "RF_OUT"), now=1, by=by) == ["CURFEW OUT_AT_START 0-…"] * 2
    assert judged(event(0, "RF_OUT", "R3"), now=1, by=by) == []


def test_3_at_one_instant_in_range_comes_before_out_of_range_and_the_first_decisive_verdict_counts():
    by = always("CURFEW")
    assert judged(event(0, "RF_OUT"), event(0, "RF_IN"), now=1, by=by) == []
    later = [fix(5, TOWN), fix(6, TOWN)]
    assert judged(event(0, "RF_OUT"), event(0, "RF_IN"), later, now=7, by=by) == [], "the precedence stands"


def test_3_at_one_instant_a_home_unit_moved_comes_after_the_sighting_and_before_positions():
    track = [event(0, "RF_IN"), event(5, "HMU_MOVED"), fix(5, TOWN), fix(6, TOWN)]
    assert "CURFEW LEFT_DURING 5-… known 6" in judged(track, now=7, by=always("CURFEW"))
    moved_and_seen = [event(5, "RF_IN"), event(5, "HMU_MOVED"), fix(6, TOWN), fix(7, TOWN)]
    assert "CURFEW LEFT_DURING 6-… known 7" in judged(moved_and_seen, now=8, by=always("CURFEW"))


def test_3_at_one_instant_positions_come_as_rf_gps_wifi_lbs_and_the_first_decisive_one_counts():
    order = ["RF", "GPS", "WIFI", "LBS"]
    by = always("EXCLUSION", confirm_points=1)
    for first, second in pairwise(order):
        both = [fix(0, HOME, mechanism=first, precision_m=200), fix(0, NEAR, mechanism=second, precision_m=200)]
        assert judged(both[::-1], now=1, by=always("EXCLUSION", confirm_points=1)) == ["EXCLUSION 0-…"]
    unknown_first = [fix(0, HOME, mechanism="RF", precision_m=301), fix(0, HOME, mechanism="GPS")]
    assert judged(unknown_first, now=1, by=by) == ["EXCLUSION 0-…"]


def test_3_evidence_from_before_the_validity_counts_and_findings_are_clipped():
    by = always("EXCLUSION", from_ms=ms(12))
    assert judged(fix(0), fix(5), now=13, by=by) == ["EXCLUSION 12-…"]


# ------------------------------------------------------------------------------------------- 4 presence


def test_4_presence_changes_with_confirm_points_and_is_backdated_and_known_at_the_last_of_them():
    by = always("EXCLUSION", confirm_points=3)
    assert judged(fixes(0, 5), now=6, by=by) == []
    assert judged(fixes(0, 10), now=10, by=by) == ["EXCLUSION 0-… known 10"]


def test_4_a_run_spans_at_least_confirm_seconds():
    by = always("EXCLUSION", confirm_ms=10 * MINUTE_MS)
    assert judged(fix(0), fix(9.999), now=10, by=by) == []
    assert judged(fix(0), fix(10), now=10, by=by) == ["EXCLUSION 0-… known 10"]


def test_4_unknown_verdicts_neither_confirm_nor_break():
    vague = fix(5, NEAR, precision_m=400)
    assert judged(fix(0), vague, now=6, by=always("EXCLUSION")) == []
    assert judged(fix(0), vague, fix(10), now=10, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 10"]


def test_4_the_opposite_verdict_breaks_a_run():
    assert judged(fix(0), fix(5, TOWN), fix(10), now=10, by=always("EXCLUSION")) == []


def test_4_a_gap_of_more_than_max_gap_breaks_a_run_and_exactly_max_gap_is_no_gap():
    by = always("EXCLUSION")
    assert judged(fix(0), fix(15), now=15, by=by) == ["EXCLUSION 0-… known 15"]
    assert judged(fix(0), fix(15.001), now=16, by=by) == []


def test_4_presence_holds_until_the_latest_decisive_verdict_and_max_gap():
    track = fixes(0, 5)
    assert judged(track, now=19.999, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]
    assert judged(track, now=20, by=always("EXCLUSION")) == ["EXCLUSION 0-20 known 5"]


def test_4_a_decisive_verdict_of_the_other_value_lets_presence_hold_as_well():
    assert judged(fixes(0, 5), fix(12, TOWN), now=40, by=always("EXCLUSION")) == ["EXCLUSION 0-27 known 5"]


def test_4_a_verdict_exactly_at_max_gap_leaves_no_hole():
    assert judged(fixes(0, 5), fix(20), now=21, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]


def test_4_after_a_lapse_presence_must_be_confirmed_again():
    by = always("EXCLUSION")
    assert judged(fixes(0, 5), fix(21), now=22, by=by) == ["EXCLUSION 0-20 known 5"]
    assert judged(fixes(0, 5), fix(21), fix(22), now=22, by=by) == [
        "EXCLUSION 0-20 known 5",
        "EXCLUSION 21-… known 22",
    ]


# ------------------------------------------------------------------------------------------- 5 place


def test_5_approach_is_presence_in_the_widened_zone_less_the_exclusion_intervals():
    track = [*fixes(0, 5, NEAR), *fixes(10, 15), *fixes(20, 25, NEAR), *fixes(30, 35, TOWN)]
    found = judged(track, now=36, by=always("EXCLUSION", buffer_m=150.0))
    assert found == ["APPROACH 0-10 known 5", "EXCLUSION 10-20 known 15", "APPROACH 20-30 known 25"]


def test_5_an_approach_that_begins_where_an_exclusion_lapsed_is_known_there():
    """The zone is no longer decided (UNKNOWN at 296 m), the widened one is."""
    vague = [fix(minute, precision_m=400.0) for minute in (10, 15, 20, 25)]
    found = judged(fixes(0, 5), vague, now=26, by=always("EXCLUSION", buffer_m=150.0))
    assert found == ["EXCLUSION 0-20 known 5", "APPROACH 20-…"]


def test_5_no_buffer_means_no_approach():
    assert judged(fixes(0, 5, NEAR), now=5, by=always("EXCLUSION")) == []


def test_5_inclusion_is_presence_outside_during_an_obligation_period():
    found = judged(fixes(0, 10, TOWN), now=10, by=during("INCLUSION", 5, 60))
    assert found == ["INCLUSION 5-…"]


def test_5_unverified_is_unknown_for_more_than_the_limit_within_one_period():
    by = always("INCLUSION")
    assert judged(now=30, by=by) == []
    assert judged(now=30 + 1 / MINUTE_MS, by=by) == ["UNVERIFIED 0-… known 30"]
    assert judged(fixes(30, 35), now=35, by=by) == []
    assert judged(fixes(31, 36), now=36, by=by) == ["UNVERIFIED 0-31 known 30"]


def test_5_unverified_is_not_of_exclusions():
    assert judged(now=90, by=always("EXCLUSION")) == []


def test_5_unverified_is_clipped_to_its_period_and_a_period_of_exactly_the_limit_is_not_enough():
    assert judged(now=90, by=during("CURFEW", 10, 40)) == []
    assert judged(now=90, by=during("CURFEW", 10, 41)) == ["UNVERIFIED 10-41 known 40"]


def test_5_findings_do_not_join_across_two_obligation_periods():
    by = always("CURFEW", timetable=(TimetableRow(0, 1080, 1090), TimetableRow(0, 1091, 1110)))
    assert judged(fixes(0, 20, TOWN), now=20, by=by) == [
        "CURFEW OUT_ENTIRE_PERIOD 0-10 known 5",
        "CURFEW OUT_AT_START 11-…",
    ]


# ------------------------------------------------------------------------------------------- 5 curfew reasons

OUT_THEN_HOME = [*fixes(0, 25, TOWN), *fixes(30, 60)]


def test_5_at_s_with_presence_outside_a_curfew_finding_begins_although_no_position_arrived():
    by, track = during("CURFEW", 12, 60), fixes(0, 10, TOWN)
    assert judged(track, now=12 - 1 / MINUTE_MS, by=by) == []
    assert judged(track, now=12, by=by) == ["CURFEW OUT_AT_START 12-…"]


def test_5_returned_late_is_out_from_s_until_presence_became_inside():
    assert judged(OUT_THEN_HOME, now=60, by=during("CURFEW", 10, 90)) == ["CURFEW RETURNED_LATE 10-30"]


def test_5_out_at_start_when_contact_was_lost():
    assert judged(fixes(0, 25, TOWN), now=45, by=during("CURFEW", 10, 90)) == ["CURFEW OUT_AT_START 10-40"]


def test_5_out_entire_period_is_from_s_to_e_and_e_is_judged_at_now():
    by = during("CURFEW", 10, 20)
    assert judged(OUT_THEN_HOME, now=19.999, by=by) == ["CURFEW OUT_AT_START 10-…"]
    assert judged(OUT_THEN_HOME, now=20, by=by) == ["CURFEW OUT_ENTIRE_PERIOD 10-20"]


def test_5_a_return_exactly_at_e_is_out_entire_period():
    assert judged(OUT_THEN_HOME, now=60, by=during("CURFEW", 10, 30)) == ["CURFEW OUT_ENTIRE_PERIOD 10-30"]


def test_5_left_during_becomes_out_at_end_as_time_passes():
    track, by = [*fixes(0, 10), *fixes(15, 40, TOWN)], during("CURFEW", 0, 30)
    assert judged(track, now=25, by=by) == ["CURFEW LEFT_DURING 15-… known 20"]
    assert judged(track, now=30, by=by) == ["CURFEW OUT_AT_END 15-30 known 20"]


def test_5_left_during_stays_when_the_wearer_comes_back():
    track = [*fixes(0, 10), *fixes(15, 25, TOWN), *fixes(30, 40)]
    assert judged(track, now=40, by=during("CURFEW", 0, 90)) == ["CURFEW LEFT_DURING 15-30 known 20"]


def test_5_seen_out_when_no_departure_was_seen():
    track = [*fixes(0, 5), *fixes(25, 30, TOWN)]
    assert judged(track, now=30, by=during("CURFEW", 0, 90)) == ["CURFEW SEEN_OUT 25-… known 30"]


def test_5_leaving_exactly_at_s_begins_at_s():
    track = [*fixes(0, 10), *fixes(15, 20, TOWN)]
    assert judged(track, now=20, by=during("CURFEW", 15, 90)) == ["CURFEW OUT_AT_START 15-… known 20"]


def test_5_within_grace_while_it_lasts_until_s_and_grace():
    by = during("CURFEW", 10, 90, grace_ms=20 * MINUTE_MS)
    track = fixes(0, 30, TOWN)
    assert judged(track, now=29.999, by=by) == ["CURFEW OUT_AT_START 10-… grace"]
    assert judged(track, now=30, by=by) == ["CURFEW OUT_AT_START 10-…"]


def test_5_within_grace_when_it_ended_at_or_before_s_and_grace():
    for grace_min, told in ((20, " grace"), (19, "")):
        by = during("CURFEW", 10, 90, grace_ms=grace_min * MINUTE_MS)
        assert judged(OUT_THEN_HOME, now=60, by=by) == [f"CURFEW RETURNED_LATE 10-30{told}"]


def test_5_grace_is_not_for_what_begins_later_than_s():
    by = during("CURFEW", 0, 90, grace_ms=60 * MINUTE_MS)
    assert judged(fixes(0, 10), fixes(15, 20, TOWN), now=20, by=by) == ["CURFEW LEFT_DURING 15-… known 20"]


# ------------------------------------------------------------------------------------------- 5 silence


def test_5_silence_begins_at_the_limit_and_more_than_the_limit_is_strict():
    assert judged(now=10, quiet=True) == []
    assert judged(now=10 + 1 / MINUTE_MS, quiet=True) == ["NO_COMMUNICATION 10-…"]
    assert judged(fix(5), now=16, quiet=True) == ["NO_COMMUNICATION 15-…"]


def test_5_silence_ends_at_the_next_receipt_and_a_receipt_at_the_limit_leaves_none():
    assert judged(fix(12), now=13, quiet=True) == ["NO_COMMUNICATION 10-12"]
    assert judged(fix(10), now=13, quiet=True) == []


def test_5_silence_is_judged_by_receipt_and_not_by_the_time_of_the_fix():
    assert judged(fix(5, received=30), now=31, quiet=True) == ["NO_COMMUNICATION 10-30"]


def test_5_our_own_outages_are_not_counted():
    assert judged(now=20, quiet=True, outages=[(2, 9)]) == ["NO_COMMUNICATION 17-…"]
    assert judged(now=17, quiet=True, outages=[(2, 9)]) == []


def test_5_silence_that_reaches_its_limit_as_an_outage_begins_lasts_only_once_it_is_longer():
    assert judged(now=15, quiet=True, outages=[(10, 15)]) == []
    assert judged(fix(12), now=15, quiet=True, outages=[(10, 15)]) == []
    assert judged(now=15.001, quiet=True, outages=[(10, 15)]) == ["NO_COMMUNICATION 15-…"]


def test_3_what_a_home_unit_sent_is_no_sign_of_life_of_a_tag_with_a_channel_of_its_own():
    heard = [fix(0), event(8, "RF_IN", sent_by="H1")]
    assert judged(heard, now=15, quiet=True) == ["NO_COMMUNICATION 10-…"]


def test_4_in_an_exclusion_zone_a_repeated_circle_confirms():
    circles = [fix(at, mechanism="LBS", precision_m=150.0) for at in (0, 5)]
    assert judged(circles, now=5, by=always("EXCLUSION")) == ["EXCLUSION 0-… known 5"]


def test_4_on_an_exclusion_a_repeated_circle_outside_confirms():
    circles = [fix(at, TOWN, mechanism="LBS", precision_m=150.0) for at in (5, 10)]
    found = judged(fixes(0, 2, every=1), circles, now=12, by=always("EXCLUSION"))
    assert found == ["EXCLUSION 0-5 known 1"]


def test_5_silence_ends_with_the_activation():
    assert judged(now=60, quiet=True, active_to=20) == ["NO_COMMUNICATION 10-20"]
    assert judged(now=60, quiet=True, active_to=10) == []


def test_8_an_activations_silence_starts_no_earlier_than_its_entry():
    assert judged(now=60, quiet=True, entered=30) == ["NO_COMMUNICATION 40-…"]
    assert judged(fix(5), now=60, quiet=True, entered=30) == ["NO_COMMUNICATION 40-…"]


def test_5_a_heartbeat_is_communication():
    assert judged(event(9, "HEARTBEAT"), now=15, quiet=True) == []


# ------------------------------------------------------------------------------------------- 5 device


@pytest.mark.parametrize(
    ("start", "kind", "clear"),
    [
        ("STRAP_TAMPER", "TAMPER", "STRAP_CLEAR"),
        ("CASE_TAMPER", "TAMPER", "CASE_CLEAR"),
        ("BATTERY_LOW", "BATTERY", "BATTERY_OK"),
        ("BATTERY_CRITICAL", "BATTERY", "BATTERY_OK"),
        ("HMU_MOVED", "HMU", "RF_IN"),
        ("HMU_MOVED", "HMU", "RF_OUT"),
        ("HMU_POWER_LOST", "HMU", "HMU_POWER_RESTORED"),
        ("JAMMING", "JAMMING", "JAMMING_CLEAR"),
    ],
)
def test_5_a_device_finding_lasts_from_its_start_to_its_clear(start, kind, clear):
    assert judged(event(1, start), now=1) == [f"{kind} {start} 1-…"]
    assert judged(event(1, start), event(4, clear), now=4) == [f"{kind} {start} 1-4"]
    assert judged(event(1, start), event(3, start), event(4, clear), event(5, clear), now=9) == [
        f"{kind} {start} 1-4"
    ]
    assert judged(event(4, clear), now=9) == [], "a clear without a start changes nothing"
    assert judged(event(1, start), now=9, active_to=6) == [f"{kind} {start} 1-6"]


def test_5_each_start_is_a_finding_of_its_own():
    found = judged(event(1, "BATTERY_LOW"), event(3, "BATTERY_CRITICAL"), event(5, "BATTERY_OK"), now=6)
    assert found == ["BATTERY BATTERY_LOW 1-5", "BATTERY BATTERY_CRITICAL 3-5"]
    assert judged(event(1, "STRAP_TAMPER"), event(5, "CASE_CLEAR"), now=6) == ["TAMPER STRAP_TAMPER 1-…"]


def test_5_at_one_instant_a_start_outlives_a_clear():
    both = [event(4, "STRAP_TAMPER"), event(4, "STRAP_CLEAR")]
    assert judged(both, now=6) == ["TAMPER STRAP_TAMPER 4-…"]
    assert judged(event(1, "STRAP_TAMPER"), both, now=6) == ["TAMPER STRAP_TAMPER 1-…"]


def test_5_home_units_are_apart_and_a_clear_that_names_none_clears_all():
    lost = [event(1, "HMU_POWER_LOST", "R1"), event(2, "HMU_POWER_LOST", "R2")]
    one, two = "HMU HMU_POWER_LOST 1", "HMU HMU_POWER_LOST 2"
    assert judged(lost, event(3, "HMU_POWER_RESTORED", "R1"), now=4) == [f"{one}-3", f"{two}-…"]
    assert judged(lost, event(3, "HMU_POWER_RESTORED", "R3"), now=4) == [f"{one}-…", f"{two}-…"]
    assert judged(lost, event(3, "HMU_POWER_RESTORED"), now=4) == [f"{one}-3", f"{two}-3"]


def test_3_events_more_than_300_s_ahead_are_received_and_not_judged():
    assert judged(event(6, "JAMMING", received=1), now=7) == ["JAMMING JAMMING 6-…"]
    assert judged(event(6.1, "JAMMING", received=1), now=15, quiet=True) == ["NO_COMMUNICATION 11-…"]


# ------------------------------------------------------------------------------------------- 5 now


def test_5_facts_whose_own_time_or_receipt_lies_after_now_take_no_part():
    by = always("EXCLUSION")
    assert judged(fix(0), fix(5, received=4), now=4.9, by=by) == []
    assert judged(fix(0), fix(5, received=9), now=8.9, by=by) == []
    assert judged(fix(0), fix(5, received=9), now=9, by=by) == ["EXCLUSION 0-… known 5"]


def test_5_s_is_judged_at_now_and_so_is_e():
    by, track = during("EXCLUSION", 5, 10), fixes(0, 10)
    assert judged(track, now=5 - 1 / MINUTE_MS, by=by) == []
    assert judged(track, now=5, by=by) == ["EXCLUSION 5-…"]
    assert judged(track, now=10 - 1 / MINUTE_MS, by=by) == ["EXCLUSION 5-…"]
    assert judged(track, now=10, by=by) == ["EXCLUSION 5-10"]


def test_5_known_at_can_lie_after_the_end():
    found = judged(fix(0), fix(6), now=9, by=during("EXCLUSION", 0, 3))
    assert found == ["EXCLUSION 0-3 known 6"]


# ------------------------------------------------------------------------------------------- 6 late facts


def test_6_a_fact_that_arrives_late_is_judged_at_its_own_time():
    assert judged(fixes(10, 15), fix(5, TOWN, received=20), fix(7, TOWN, received=20), now=21, by=always("INCLUSION")) == [
        "INCLUSION 5-10 known 7"
    ]  # fmt: skip


def test_7_the_order_in_which_facts_are_given_changes_nothing():
    by = (during("CURFEW", 10, 90), always("EXCLUSION", entry_id="R2/1", requirement_id="R2", buffer_m=150.0))
    events = [event(12, "JAMMING"), event(14, "JAMMING_CLEAR"), event(33, "RF_IN"), event(40, "HMU_MOVED")]
    facts = [*OUT_THEN_HOME, *events]
    assert judged(facts, now=95, by=by) == judged(facts[::-1], now=95, by=by) == judged(facts, facts, now=95, by=by)
