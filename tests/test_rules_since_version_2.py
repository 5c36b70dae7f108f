"""RULES.md, rule by rule: those of version 2 (`RULES_VERSION`). As in tests/test_rules.py, the oracle is in every call."""

from __future__ import annotations

import pytest

from geofence.obligations import HomeUnit, TimetableRow
from geofence.words import FOREVER_MS, EvidenceKind
from tests.test_rules import HOME, MINUTE_MS, START_MS, TOWN, always, during, event, fix, fixes, judged, ms

POSITION, RF = EvidenceKind.POSITION, EvidenceKind.RF
WEST = (-2.21, 53.0)
FOUR_HOURS_MS = 240 * MINUTE_MS
MOMENT = 1 / MINUTE_MS
"""A millisecond."""


def circles(*minutes: float, place: tuple[float, float] = TOWN) -> list:
    return [fix(minute, place, mechanism="LBS") for minute in minutes]


# ------------------------------------------------------------------------------------------- 2 what a device can tell


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        ((POSITION, RF), ["CURFEW", "EXCLUSION", "INCLUSION"]),
        ((POSITION,), ["CURFEW", "EXCLUSION", "INCLUSION"]),
        ((RF,), ["CURFEW"]),
        ((), []),
    ],
)
def test_2_a_device_is_judged_by_what_it_can_tell(evidence, kinds):
    by = tuple(always(kind, requirement_id=kind, entry_id=kind) for kind in ("CURFEW", "INCLUSION", "EXCLUSION"))
    found = judged(fixes(0, 5, TOWN), fixes(10, 15, HOME), now=16, by=by, evidence=evidence)
    assert sorted({line.split()[0] for line in found}) == kinds
    unseen = judged(now=31, by=by, evidence=evidence)
    assert unseen == ["UNVERIFIED 0-… known 30"] * len({"CURFEW", "INCLUSION"} & set(kinds))


def test_2_device_findings_and_silence_are_told_of_a_device_that_tells_nothing_of_places():
    tampered = event(1, "STRAP_TAMPER")
    assert judged(tampered, now=12, evidence=(), quiet=True) == ["TAMPER STRAP_TAMPER 1-…", "NO_COMMUNICATION 11-…"]


# ------------------------------------------------------------------------------------------- 2 periods of attendance


def attends(*rows: tuple[int, int], stay: float = 1, **other: object):
    """Rows from minute to minute, on a Monday evening."""
    timetable = tuple(TimetableRow(0, 18 * 60 + begin, 18 * 60 + end) for begin, end in rows)
    return always("ATTENDANCE", timetable=timetable, stay_ms=round(stay * MINUTE_MS), **other)


def test_2_rows_of_an_attendance_that_overlap_or_touch_are_periods_of_their_own():
    by = attends((10, 40), (30, 60), (60, 90), stay=30)
    found = [f"ATTENDANCE {span}" for span in ("10-40", "30-60", "60-90")]
    assert judged(fixes(0, 95, TOWN), now=95, by=by) == found


def test_2_a_row_given_twice_is_one_period():
    assert judged(fixes(0, 45, TOWN), now=45, by=attends((10, 40), (10, 40), stay=30)) == ["ATTENDANCE 10-40"]


def test_2_an_absence_that_overlaps_an_appointment_takes_all_of_it_away_and_one_that_touches_nothing():
    by, out = attends((10, 40), stay=30), fixes(0, 45, TOWN)
    assert judged(out, now=45, by=by, absent=((39, 50),)) == []
    assert judged(out, now=45, by=by, absent=((0, 10), (40, 50))) == ["ATTENDANCE 10-40"]


def test_2_an_appointment_that_begins_before_the_validity_or_ends_after_the_activation_obliges_nothing():
    out = fixes(0, 30, TOWN)
    assert judged(out, now=45, by=attends((10, 40), from_ms=ms(11))) == []
    assert judged(out, now=45, by=attends((10, 40)), active_to=39) == []
    assert judged(out, now=45, by=attends((10, 40)), active_to=40) == ["ATTENDANCE 39-40"]


# ------------------------------------------------------------------------------------------- 3 sightings and heartbeats


def test_3_a_sighting_speaks_as_long_as_its_requirement_says():
    by = always("CURFEW", rf_gap_ms=FOUR_HOURS_MS)
    assert judged(event(0, "RF_OUT"), now=239, by=by) == ["CURFEW OUT_AT_START 0-…"]
    assert judged(event(0, "RF_OUT"), now=240, by=by) == ["CURFEW OUT_AT_START 0-240"]


def test_3_precedence_over_positions_is_never_longer_than_max_gap():
    by = always("CURFEW", rf_gap_ms=FOUR_HOURS_MS)
    assert judged(event(0, "RF_IN"), fix(13, TOWN), fix(14, TOWN), now=15, by=by) == []
    assert judged(event(0, "RF_IN"), fix(15, TOWN), fix(16, TOWN), now=16, by=by) == [
        "CURFEW LEFT_DURING 15-… known 16"
    ]
    short = always("CURFEW", rf_gap_ms=5 * MINUTE_MS)
    assert judged(event(0, "RF_IN"), fix(5, TOWN), fix(6, TOWN), now=6, by=short) == [
        "CURFEW LEFT_DURING 5-… known 6"
    ]


def test_3_the_gap_of_a_home_unit_that_is_valid_wins_and_of_several_the_shortest():
    by = always("CURFEW", rf_gap_ms=FOUR_HOURS_MS)
    unit = HomeUnit("H1", "R1", START_MS, ms(10), 30 * MINUTE_MS)
    other = HomeUnit("H2", "R1", START_MS, FOREVER_MS, 60 * MINUTE_MS)
    silent = HomeUnit("H3", "R1", START_MS)
    elsewhere = HomeUnit("H4", "R2", START_MS, FOREVER_MS, MINUTE_MS)
    units = (unit, other, silent, elsewhere)
    assert judged(event(0, "RF_OUT"), now=70, by=by, units=units) == [
        "CURFEW OUT_AT_START 0-30",
        "UNVERIFIED 30-… known 60",
    ]
    assert judged(event(10, "RF_OUT"), now=75, by=by, units=units) == ["CURFEW SEEN_OUT 10-70"]
    assert judged(event(10, "RF_OUT"), now=249, by=by, units=(unit, silent)) == ["CURFEW SEEN_OUT 10-…"]


def test_3_a_heartbeat_that_names_a_unit_repeats_its_last_sighting_and_one_that_names_none_does_not():
    seen = [event(0, "RF_OUT", "R1"), event(12, "HEARTBEAT", "R1")]
    by = always("CURFEW")
    assert judged(seen, now=26, by=by) == ["CURFEW OUT_AT_START 0-…"]
    assert judged(seen, event(24, "HEARTBEAT"), now=27, by=by) == ["CURFEW OUT_AT_START 0-27"]
    assert judged(seen, event(24, "HEARTBEAT", "R2"), now=27, by=by) == ["CURFEW OUT_AT_START 0-27"]
    assert judged(seen, event(24, "HEARTBEAT", "R1"), now=38, by=by) == ["CURFEW OUT_AT_START 0-…"]


def test_3_a_heartbeat_repeats_however_long_ago_the_sighting_was_and_nothing_without_one():
    later = event(60, "HEARTBEAT", "R1")
    assert judged(event(0, "RF_OUT"), later, now=61, by=always("CURFEW")) == [
        "CURFEW OUT_AT_START 0-15",
        "UNVERIFIED 15-60 known 45",
        "CURFEW SEEN_OUT 60-…",
    ]
    assert judged(later, event(61, "RF_OUT"), now=62, by=during("CURFEW", 55, 90)) == ["CURFEW SEEN_OUT 61-…"]


def test_3_of_two_sightings_at_one_instant_a_heartbeat_repeats_in_range():
    both = [event(0, "RF_OUT"), event(0, "RF_IN")]
    assert judged(both, event(14, "HEARTBEAT", "R1"), fix(20, TOWN), fix(21, TOWN), now=22, by=always("CURFEW")) == []


def test_3_a_heartbeat_repeats_nothing_that_a_position_has_contradicted():
    by = during("CURFEW", 30, 90)
    gone = [event(0, "RF_OUT", "R1"), event(29, "HEARTBEAT", "R1")]
    assert judged(gone, now=31, by=by) == ["CURFEW OUT_AT_START 30-…"]
    assert judged(gone, fix(10, HOME), now=31, by=by) == []
    assert judged(gone, fix(10, TOWN), now=31, by=by) == ["CURFEW OUT_AT_START 30-…"]


def test_3_a_position_that_was_not_used_contradicts_nothing():
    seen = [event(0, "RF_IN", "R1"), fix(10, TOWN), event(14, "HEARTBEAT", "R1")]
    assert judged(seen, fix(20, TOWN), fix(21, TOWN), now=22, by=always("CURFEW")) == []
    contradicted = [event(0, "RF_IN", "R1"), fix(15, TOWN), event(16, "HEARTBEAT", "R1"), fix(17, TOWN)]
    assert judged(contradicted, now=18, by=always("CURFEW")) == ["CURFEW LEFT_DURING 15-… known 17"]


@pytest.mark.parametrize("lost", ["HMU_MOVED", "HMU_POWER_LOST"])
@pytest.mark.parametrize("when", [0, 5, 10])
def test_3_a_heartbeat_repeats_nothing_that_was_before_trouble(lost, when):
    seen = [event(0, "RF_OUT", "R1"), event(when, lost), event(10, "HEARTBEAT", "R1")]
    found = judged(seen, now=25, by=always("CURFEW"))
    assert [line for line in found if "CURFEW" in line] == ["CURFEW OUT_AT_START 0-15"]


def test_3_trouble_after_a_heartbeat_leaves_what_it_repeated():
    seen = [event(0, "RF_OUT", "R1"), event(10, "HEARTBEAT", "R1"), event(10 + MOMENT, "HMU_POWER_LOST", "R1")]
    assert "CURFEW OUT_AT_START 0-25" in judged(seen, now=26, by=always("CURFEW"))


def test_3_what_a_home_unit_sends_is_communication_only_if_nothing_else_can_tell():
    called = [event(5, "HEARTBEAT", "R1", sent_by="H1"), event(10, "RF_IN", "R1", sent_by="H1")]
    for evidence in ((POSITION, RF), (POSITION,), ()):
        assert judged(called, now=16, evidence=evidence, quiet=True) == ["NO_COMMUNICATION 10-…"]
    assert judged(called, now=20, evidence=(RF,), quiet=True) == []
    assert judged(called, now=21, evidence=(RF,), quiet=True) == ["NO_COMMUNICATION 20-…"]


def test_3_what_a_home_unit_sends_is_evidence_all_the_same():
    assert judged(event(5, "RF_OUT", "R1", sent_by="H1"), now=6, by=always("CURFEW")) == ["CURFEW SEEN_OUT 5-…"]


def test_3_of_an_event_that_tag_and_unit_sent_what_was_received_first_counts_and_at_one_instant_the_tags_own():
    relayed, late = event(5, "RF_IN", "R1", sent_by="H1"), event(5, "RF_IN", "R1", received=6)
    assert judged(relayed, event(5, "RF_IN", "R1"), now=15, quiet=True) == []
    assert judged(relayed, late, now=15, quiet=True) == ["NO_COMMUNICATION 10-…"]


# ------------------------------------------------------------------------------------------- 4 presence


def test_4_a_unit_in_trouble_speaks_for_max_gap_more_at_most():
    by = always("CURFEW", rf_gap_ms=FOUR_HOURS_MS)
    for lost, end in ((0, 15), (100, 115), (230, 240)):
        found = judged(event(0, "RF_OUT"), event(lost, "HMU_POWER_LOST"), now=241, by=by)
        assert f"CURFEW OUT_AT_START 0-{end}" in found


def test_4_after_a_sighting_a_gap_is_more_than_what_the_sighting_holds():
    by = always("CURFEW", rf_gap_ms=60 * MINUTE_MS, confirm_points=2)
    into = [event(0, "RF_IN"), event(20, "RF_OUT")]
    assert judged(into, fix(80, TOWN), now=81, by=by) == ["CURFEW LEFT_DURING 20-…"]
    lapsed = judged(into, fix(80 + MOMENT, TOWN), now=81, by=by)
    assert lapsed == ["CURFEW LEFT_DURING 20-80"]


def test_4_the_hold_of_a_sighting_that_another_presence_followed_holds_nothing_any_more():
    by = always("CURFEW", rf_gap_ms=FOUR_HOURS_MS)
    found = judged(event(0, "RF_OUT"), fix(10, HOME), fix(11, HOME), now=60, by=by)
    assert found == ["CURFEW RETURNED_LATE 0-10", "UNVERIFIED 26-… known 56"]


@pytest.mark.parametrize("kind", ["CURFEW", "INCLUSION"])
def test_4_a_repeated_circle_confirms_nothing_and_another_does(kind):
    by, reason = always(kind), {"CURFEW": "OUT_AT_START "}.get(kind, "")
    assert judged(circles(0, 5, 10, 15), now=16, by=by) == []
    other = circles(15, place=WEST)
    assert judged(circles(0, 5, 10), other, now=16, by=by) == [f"{kind} {reason}0-… known 15"]
    assert judged(circles(0, 5, 10), fix(15, TOWN), now=16, by=by) == [f"{kind} {reason}0-… known 15"]


def test_4_a_circle_that_was_counted_between_others_is_repeated_too():
    track = [*circles(0), *circles(5, place=WEST), *circles(10), *circles(12, place=WEST)]
    assert judged(track, now=13, by=always("CURFEW", confirm_points=3)) == []


def test_4_a_repeated_circle_completes_nothing_not_even_by_its_time():
    by = always("CURFEW", confirm_points=1, confirm_ms=10 * MINUTE_MS)
    assert judged(circles(0, 10), now=11, by=by) == []
    assert judged(circles(0, 10), fix(11, TOWN), now=11, by=by) == ["CURFEW OUT_AT_START 0-… known 11"]


def test_4_a_repeated_circle_carries_the_run_and_holds_presence():
    by = always("CURFEW")
    assert judged(circles(0, 14), fix(28, TOWN), now=28, by=by) == ["CURFEW OUT_AT_START 0-… known 28"]
    assert judged(circles(0), circles(1, place=WEST), circles(14), now=28, by=by) == [
        "CURFEW OUT_AT_START 0-… known 1"
    ]


def test_4_in_a_new_run_a_circle_counts_again():
    track = [*circles(0), fix(5, HOME), *circles(6), *circles(7, place=WEST)]
    assert judged(track, now=8, by=always("CURFEW")) == ["CURFEW SEEN_OUT 6-… known 7"]


def test_4_a_circle_that_is_no_cell_circle_or_inside_confirms():
    by = always("CURFEW")
    assert judged(fix(0, TOWN), fix(5, TOWN), now=6, by=by) == ["CURFEW OUT_AT_START 0-… known 5"]
    at_home = [fix(minute, HOME, mechanism="LBS", precision_m=100.0) for minute in (5, 6)]
    assert judged(event(0, "RF_OUT"), at_home, now=7, by=by) == ["CURFEW RETURNED_LATE 0-5"]


# ------------------------------------------------------------------------------------------- 5 seen at the start


def test_5_who_was_seen_out_within_two_minutes_is_out_from_the_start():
    by = during("CURFEW", 20, 80)
    assert judged(fixes(13, 18, TOWN), now=21, by=by) == ["CURFEW OUT_AT_START 20-…"]
    assert judged(fixes(13, 18 - MOMENT, TOWN, every=5 - MOMENT), now=21, by=by) == []


def test_5_seen_within_is_a_setting_of_the_requirement():
    out = fixes(5, 10, TOWN)
    assert judged(out, now=21, by=during("CURFEW", 20, 80, seen_within_ms=10 * MINUTE_MS)) == [
        "CURFEW OUT_AT_START 20-…"
    ]
    assert judged(out, now=21, by=during("CURFEW", 20, 80, seen_within_ms=10 * MINUTE_MS - 1)) == []
    assert judged(fixes(10, 20, TOWN), now=21, by=during("CURFEW", 20, 80, seen_within_ms=0)) == [
        "CURFEW OUT_AT_START 20-…"
    ]


@pytest.mark.parametrize("kind", ["CURFEW", "INCLUSION"])
def test_5_who_was_not_seen_lately_is_out_from_the_first_verdict_after_the_start(kind):
    by, reason = during(kind, 20, 80), {"CURFEW": "RETURNED_LATE "}.get(kind, "")
    found = judged(fixes(5, 10, TOWN), fix(23, TOWN), fixes(26, 30, HOME, every=4), now=31, by=by)
    assert found == [f"{kind} {reason}23-26"]


def test_5_without_such_a_verdict_there_is_no_finding():
    assert judged(fixes(5, 10, TOWN), fixes(23, 24, HOME, every=1), now=25, by=during("CURFEW", 20, 80)) == []


def test_5_the_reason_and_the_grace_of_one_who_was_seen_late_are_as_from_the_start():
    by = during("CURFEW", 20, 50, grace_ms=10 * MINUTE_MS)
    out = [*fixes(5, 10, TOWN), fix(23, TOWN)]
    assert judged(out, now=29, by=by) == ["CURFEW OUT_AT_START 23-… grace"]
    assert judged(out, now=30, by=by) == ["CURFEW OUT_AT_START 23-…"]
    assert judged(out, fixes(29, 30, HOME, every=1), now=31, by=by) == ["CURFEW RETURNED_LATE 23-29 grace"]
    assert judged(out, fixes(33, 50, TOWN, every=1), now=50, by=by) == ["CURFEW OUT_ENTIRE_PERIOD 23-50"]


def test_5_known_at_is_when_the_presence_became_known_if_that_was_later():
    by = during("CURFEW", 20, 80, confirm_points=3)
    assert judged(fixes(5, 17, TOWN, every=12), fix(23, TOWN), now=24, by=by) == ["CURFEW OUT_AT_START 23-…"]
    late = during("CURFEW", 20, 80, confirm_points=4)
    found = judged(fixes(5, 17, TOWN, every=12), fix(23, TOWN), fix(25, TOWN), now=26, by=late)
    assert found == ["CURFEW OUT_AT_START 23-… known 25"]


def test_5_a_sighting_whose_hold_reaches_the_start_is_enough():
    left = event(5, "RF_OUT")
    assert judged(left, now=21, by=during("CURFEW", 20, 80)) == []
    assert judged(left, now=21, by=during("CURFEW", 20, 80, rf_gap_ms=FOUR_HOURS_MS)) == ["CURFEW OUT_AT_START 20-…"]
    assert judged(left, fix(20, TOWN), now=21, by=during("CURFEW", 20, 80)) == ["CURFEW OUT_AT_START 20-…"]


def test_5_a_hold_that_trouble_cut_short_of_the_start_is_not_enough():
    by = during("CURFEW", 30, 80, rf_gap_ms=FOUR_HOURS_MS)
    track = [event(0, "RF_OUT"), event(10, "HMU_POWER_LOST"), fix(20, TOWN)]
    found = judged(track, now=31, by=by)
    assert [line for line in found if "CURFEW" in line] == []
    assert "CURFEW OUT_AT_START 30-…" in judged(
        event(0, "RF_OUT"), event(15, "HMU_POWER_LOST"), fix(20, TOWN), now=31, by=by
    )


def test_5_a_sighting_in_range_after_one_out_of_range_says_nothing_of_being_out():
    by = during("CURFEW", 30, 80, rf_gap_ms=FOUR_HOURS_MS)
    track = [event(0, "RF_OUT"), event(5, "RF_IN"), *fixes(20, 25, TOWN)]
    assert judged(track, now=31, by=by) == []
    assert judged(track, fix(32, TOWN), now=33, by=by) == ["CURFEW OUT_AT_START 32-…"]


def test_5_after_an_absence_somebody_must_have_been_seen_out_again():
    by, out = always("CURFEW"), [*fixes(0, 5, TOWN), fix(17, TOWN)]
    assert judged(out, fix(20, TOWN), now=21, by=by, absent=((6, 16),)) == [
        "CURFEW OUT_ENTIRE_PERIOD 0-6 known 5",
        "CURFEW OUT_AT_START 17-…",
    ]


def test_5_a_verdict_that_sees_the_person_after_the_period_is_none_of_it():
    out = [*fixes(5, 15, TOWN), fix(30, TOWN)]
    assert judged(out, now=31, by=during("CURFEW", 20, 30)) == []


def test_5_an_exclusion_does_not_ask_who_was_seen_lately():
    assert judged(fixes(5, 10), now=21, by=during("EXCLUSION", 20, 80)) == ["EXCLUSION 20-…"]


# ------------------------------------------------------------------------------------------- 5 attendance


def test_5_an_attendance_is_missed_from_the_instant_at_which_it_cannot_be_kept_any_more():
    by, out = attends((10, 40), stay=20), fixes(0, 30, TOWN)
    assert judged(out, now=20 - MOMENT, by=by) == []
    assert judged(out, now=20, by=by) == ["ATTENDANCE 20-…"]
    assert judged(out, now=40, by=by) == ["ATTENDANCE 20-40"]


def test_5_outside_that_has_added_up_and_does_not_go_on_is_no_finding_until_it_does():
    by = attends((10, 40), stay=20)
    away, back = fixes(0, 15, TOWN), fixes(20, 30, HOME)
    assert judged(away, back, now=30, by=by) == [], "ten minutes out, and home at the very instant"
    assert judged(away, back, fixes(35, 36, TOWN, every=1), now=36, by=by) == ["ATTENDANCE 35-… known 36"]


def test_5_who_must_stay_all_the_time_misses_it_with_the_first_moment_outside():
    by = attends((10, 40), stay=30)
    assert judged(fixes(0, 20, HOME), fixes(25, 40, TOWN), now=40, by=by) == ["ATTENDANCE 25-40 known 30"]


def test_5_of_an_attendance_unknown_is_not_absence():
    by = attends((10, 40), stay=10)
    assert judged(fixes(0, 5), now=39, by=by) == []
    assert judged(fixes(0, 5), now=40, by=by) == [], "inside until 20: ten minutes"
    longer = attends((10, 40), stay=10 + MOMENT)
    assert judged(fixes(0, 5), now=40 - MOMENT, by=longer) == []
    assert judged(fixes(0, 5), now=40, by=longer) == ["UNVERIFIED 10-40 known 40"]


def test_5_an_attendance_that_was_missed_is_not_unverified_as_well():
    by = attends((10, 40), stay=25)
    assert judged(fixes(0, 10, TOWN), now=41, by=by) == ["ATTENDANCE 15-40"]


def test_5_an_attendance_is_known_when_the_presence_outside_is():
    by = attends((10, 40), stay=29, confirm_points=3)
    assert judged(fixes(10, 20, TOWN), now=21, by=by) == ["ATTENDANCE 11-… known 20"]


# ------------------------------------------------------------------------------------------- 5 devices and silence


def test_5_alcohol_is_a_finding_from_its_detection_to_its_clear():
    seen = [event(2, "ALCOHOL_DETECTED"), event(4, "ALCOHOL_DETECTED"), event(7, "ALCOHOL_CLEAR")]
    assert judged(seen, now=8) == ["ALCOHOL ALCOHOL_DETECTED 2-7"]
    assert judged(seen, event(8, "ALCOHOL_DETECTED"), now=8, evidence=()) == [
        "ALCOHOL ALCOHOL_DETECTED 2-7",
        "ALCOHOL ALCOHOL_DETECTED 8-…",
    ]


@pytest.mark.parametrize("clear", ["R1", "R2", None])
def test_5_a_finding_that_names_no_unit_is_cleared_by_any_clear_of_its_type(clear):
    lost = event(1, "HMU_POWER_LOST")
    assert judged(lost, event(3, "HMU_POWER_RESTORED", clear), now=4) == ["HMU HMU_POWER_LOST 1-3"]
    assert judged(event(1, "HMU_MOVED"), event(3, "RF_OUT", clear), now=4) == ["HMU HMU_MOVED 1-3"]


def test_5_an_outage_that_begins_when_a_silence_reaches_its_limit_puts_it_off():
    heard = fix(0)
    assert judged(heard, now=30, quiet=True, outages=((10, 25),)) == ["NO_COMMUNICATION 25-…"]
    assert judged(heard, now=25, quiet=True, outages=((10, 25),)) == []
    assert judged(heard, now=30, quiet=True, outages=((10 + MOMENT, 25),)) == ["NO_COMMUNICATION 10-…"]
    assert judged(heard, fix(25), now=30, quiet=True, outages=((10, 25),)) == []


def test_5_a_fact_of_a_time_that_has_not_come_is_communication_and_nothing_else():
    ahead = fix(12, received=8)
    assert judged(fix(0), ahead, now=11, by=always("EXCLUSION", confirm_points=1), quiet=True) == ["EXCLUSION 0-…"]
    assert judged(event(12, "JAMMING", received=8), now=11, quiet=True) == []
    assert judged(event(90, "JAMMING", received=8), now=18 + MOMENT, quiet=True) == ["NO_COMMUNICATION 18-…"]
