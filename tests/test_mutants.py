"""Planted faults: each is killed by the test that is named beside it.

A copy of the packages gets one fault, and the named test is run on the copy: it must fail. On the copy without a fault it must
pass. A sample is in `make test`, all are in `make test-long`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
COPIED = ("geofence", "ingest", "alerts", "emtrack", "tests", "pyproject.toml", "docs")
RULES = "tests/test_rules.py::test_"
SETS = "tests/test_set_requirements.py::test_"
TABLE = "tests/test_presence_table.py::test_"
PLAIN = "tests/test_plain_kernels.py::test_"
"""Faults of the kernels are looked for in plain Python, which need not be compiled anew for each."""
COMPILED = ("tests/test_zone_sets.py", "tests/test_geometry.py")
CASE = "tests/test_conformance.py::test_a_case_gives_what_it_expects"
UNITS, SILENT = "tests/test_home_units.py::test_", "tests/test_silent_home_units.py::test_"
PUT_OFF = "tests/test_put_off.py::test_"
TOGETHER = "tests/test_together.py::test_facts_looked_at_together_leave_what_they_leave_one_by_one"
ENDS = "tests/test_provisional_ends.py::test_"
CORE_STORY = "tests/test_scenarios.py::test_a_story_ends_in_the_core_as_it_is_told"
PLAYED_STORY = "tests/test_scenarios.py::test_a_story_goes_in_the_service_as_it_is_told"

WORTH = "tests/test_worth.py::test_"
TASKS = "tests/test_iom_tasks.py::test_"
IOM, SIGNALS = "tests/test_iom_record.py::test_", "tests/test_iom_signals.py::test_"


class Mutant(NamedTuple):
    what: str
    file: str
    original: str
    instead: str
    killed_by: str


MUTANTS = [
    Mutant("a wide circle is a departure", "geofence/dwelling/stops.py",
           "<= candidate.meets_m(radius_m)", "<= candidate.meets_m(0.0)",
           "tests/test_stops.py::test_a_cell_circle_of_700_m_is_no_departure"),
    Mutant("a stray is a departure", "geofence/dwelling/stops.py", "AWAY_TO_LEAVE = 2\n", "AWAY_TO_LEAVE = 1\n",
           "tests/test_stops.py::test_one_position_far_away_is_a_stray_and_two_are_a_departure"),
    Mutant("vague positions draw a stop out", "geofence/dwelling/stops.py",
           "told = self._exact_ms or self._times", "told = self._times",
           "tests/test_stops.py::test_an_end_is_the_last_position_that_says_so_and_vague_ones_draw_it_out_no_longer"),
    Mutant("a circle as large as the place is certain", "geofence/nearness/grading.py", "& (chance >= rules.certain)", "",
           "tests/test_nearness.py::test_a_circle_as_large_as_the_place_is_not_certain"),
    Mutant("who was faster than the limit is cleared on the way", "geofence/nearness/grading.py",
           "np.where(went_mps <= rules.speed_mps, rules.speed_mps, np.maximum(went_mps, MAX_MPS))", "rules.speed_mps + 0 * went_mps",
           "tests/test_nearness.py::test_who_was_faster_than_the_limit_is_not_cleared_on_the_way"),
    Mutant("a long gap excludes nothing", "geofence/nearness/grading.py", "<= rules.max_gap_ms", "<= 10**15",
           "tests/test_nearness.py::test_a_gap_in_which_there_was_time_is_no_data_and_a_short_one_excludes_nothing"),
    Mutant("people are cleared by samples that are too near", "emtrack/reading/near.py",
           "far_m = (MAX_MPS", "far_m = (0.01 * MAX_MPS",
           "tests/test_near.py::test_samples_and_arrays_give_each_person_the_grade_of_all_their_positions"),
    Mutant("who is named is not looked at", "emtrack/reading/near.py",
           "await look_at_each(connection, looker, numbers, What.NEAR, span, now_ms)", "pass",
           "tests/test_near.py::test_a_program_is_told_who_was_there_and_everybody_named_is_a_look"),
    Mutant("a missed deadline is noted for ever anew", "alerts/deadlines.py",
           "if occasion not in noted and at_ms <= now_ms]", "if at_ms <= now_ms]",
           "tests/test_deadlines.py::test_whenever_the_clock_looks_the_same_happens_and_nothing_twice"),
    Mutant("a suspension loses what it mutes", "alerts/deadlines.py", "return Due([], alert.suspended_until_ms)",
           "return Due([], None)", "tests/test_deadlines.py::test_a_suspension_mutes_and_loses_nothing"),
    Mutant("people outside are told of a possible entry", "alerts/deadlines.py",
           "Occasion.POSSIBLE_ENTRY if alert.is_possible else Occasion.RAISED", "Occasion.RAISED",
           "tests/test_deadlines.py::test_a_possible_entry_asks_for_no_call_and_no_authority"),
    Mutant("a webhook reaches private networks", "emtrack/delivery/webhook.py",
           "return address.is_global and", "return True or",
           "tests/test_deliveries.py::test_a_webhook_does_not_reach_into_private_networks"),
    Mutant("an attempt nothing was heard of is not made again", "alerts/outbox.py",
           "SET tries = tries + 1, next_try_at = $2", "SET tries = tries + 1, next_try_at = NULL",
           "tests/test_deliveries.py::test_an_attempt_that_nothing_was_heard_of_is_made_again"),
    Mutant("the canary is told whatever arrives", "emtrack/canary/listening.py", "if not self.secret or not", "if False and not",
           "tests/test_canary.py::test_a_delivery_that_is_not_ours_wakes_nobody"),
    Mutant("the whole base map is handed out in one answer", "emtrack/basemap/ranges.py",
           "if asked.length > LONGEST:", "if asked.length > LONGEST * 1_000_000:",
           "tests/test_basemap.py::test_what_is_no_short_range_of_the_file_is_refused"),
    Mutant("an attribution keeps the markup of its file", "emtrack/basemap/opening.py",
           'html.unescape(TAG.sub(" ", text))', "html.unescape(text)",
           "tests/test_basemap.py::test_pmtiles_say_what_they_are"),
    Mutant("a finding names no zone of its set", "geofence/judgement/findings.py",
           "zone_id=None if cut.stretch.segment is None else cut.stretch.segment.zone_id,", "zone_id=None,",
           SETS + "each_presence_names_its_own_member"),
    Mutant("which zone is asked of presence inside only", "geofence/judgement/judge.py",
           "return INSIDE if requirement.kind is ObligationKind.EXCLUSION else OUTSIDE", "return INSIDE",
           SETS + "outside_a_set_the_nearest_member_is_named"),
    Mutant("another zone of the set is no amendment", "geofence/judgement/amend.py",
           "finding.within_grace, finding.zone_id,", "finding.within_grace, None,",
           "tests/test_amend.py::test_a_finding_that_names_another_zone_of_its_set_is_amended"),
    Mutant("a pinned requirement follows its set", "emtrack/record/requirements.py",
           " AND NOT v.set_pinned AND upper_inf(v.recorded)", " AND upper_inf(v.recorded)",
           "tests/test_set_orders.py::test_who_is_pinned_is_not_judged_by_the_new_version"),
    Mutant("a gap of exactly max_gap breaks a run", "geofence/judgement/presence.py",
           "verdict.at_ms <= tracker.last_holds_to_ms", "verdict.at_ms < tracker.last_holds_to_ms",
           RULES + "4_a_gap_of_more_than_max_gap_breaks_a_run_and_exactly_max_gap_is_no_gap"),
    Mutant("a run survives a gap", "geofence/judgement/presence.py",
           "if not in_contact or verdict.value != run.value:", "if verdict.value != run.value:",
           RULES + "4_a_gap_of_more_than_max_gap_breaks_a_run_and_exactly_max_gap_is_no_gap"),
    Mutant("the opposite verdict breaks no run", "geofence/judgement/presence.py",
           "if not in_contact or verdict.value != run.value:",
           "if not in_contact:", RULES + "4_the_opposite_verdict_breaks_a_run"),
    Mutant("one point more is asked for", "geofence/judgement/presence.py",
           "run.count >= confirmation.points", "run.count > confirmation.points",
           RULES + "4_presence_changes_with_confirm_points_and_is_backdated_and_known_at_the_last_of_them"),
    Mutant("the span must be exceeded", "geofence/judgement/presence.py",
           "verdict.at_ms - run.first_ms >= confirmation.span_ms", "verdict.at_ms - run.first_ms > confirmation.span_ms",
           RULES + "4_a_run_spans_at_least_confirm_seconds"),
    Mutant("presence is not backdated", "geofence/judgement/presence.py",
           "run.value, run.first_ms, verdict.at_ms, None,", "run.value, verdict.at_ms, verdict.at_ms, None,",
           RULES + "4_presence_changes_with_confirm_points_and_is_backdated_and_known_at_the_last_of_them"),
    Mutant("presence never lapses", "geofence/judgement/presence.py",
           "if by_position else tracker.sighted_to_ms\n", "if False else FOREVER_MS\n",
           RULES + "4_presence_holds_until_the_latest_decisive_verdict_and_max_gap"),
    Mutant("a second verdict of one instant counts", "geofence/judgement/presence.py",
           "    return at_ms > tracker.last_ms\n", "    return at_ms >= tracker.last_ms\n",
           f"{CORE_STORY}[two-mechanisms-of-one-instant]"),
    Mutant("inside needs more than the radius", "geofence/shapes/margins.py",
           "(margin_m >= radius_m)", "(margin_m > radius_m)",
           "tests/test_geometry.py::test_a_verdict_at_exactly_the_radius_is_decisive"),
    Mutant("unknown is read as outside", "geofence/shapes/kernels_zones.py",
           "    if most_m <= outside_m:", "    if most_m < inside_m:", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("an unknown precision is a precise one", "geofence/facts.py",
           "        return DEFAULT_RADIUS_M[self.mechanism]\n", "        return 0.0\n",
           RULES + "3_an_unknown_zero_or_negative_precision_means_by_mechanism"),
    Mutant("the coarser of two conflicting positions is evidence", "geofence/facts.py",
           "return (self.radius_m if known", "return (-self.radius_m if known",
           RULES + "3_of_conflicting_positions_the_smallest_known_precision_is_evidence"),
    Mutant("exactly 300 s ahead is too far", "geofence/facts.py",
           "return nowhere or self.fix_ms > self.received_ms", "return nowhere or self.fix_ms >= self.received_ms",
           RULES + "3_a_fix_more_than_300_s_after_its_receipt_is_implausible_and_exactly_300_s_is_not"),
    Mutant("(0, 0) is a place", "geofence/facts.py",
           "nowhere = self.lat_deg == 0 and self.lon_deg == 0", "nowhere = False",
           RULES + "3_what_is_implausible_by_itself_takes_no_part_in_a_conflict"),
    Mutant("of repetitions the last receipt is kept", "geofence/facts.py",
           "(fact.received_ms, _is_relayed(fact)) < (other", "(fact.received_ms, _is_relayed(fact)) > (other",
           RULES + "3_a_duplicate_keeps_the_smallest_received_time_and_repeats_are_no_communication"),
    Mutant("a device is silenced after three jumps", "geofence/judgement/evidence.py",
           "if last is None or track.jumps >= MAX_JUMPS:", "if last is None:",
           RULES + "3_after_three_jumps_in_a_row_the_next_position_is_accepted"),
    Mutant("jumps are counted over accepted positions", "geofence/judgement/evidence.py",
           "else Track(position)", "else Track(position, track.jumps)",
           RULES + "3_any_accepted_position_starts_the_count_of_jumps_anew"),
    Mutant("radii do not help a jump", "geofence/judgement/evidence.py",
           "MAX_SPEED_MPS * elapsed_s + position.radius_m + last.radius_m", "MAX_SPEED_MPS * elapsed_s",
           f"{CORE_STORY}[a-wide-circle-is-no-jump]"),
    Mutant("precedence of the home unit has no end", "geofence/judgement/sightings.py",
           "return at_ms < self.overrules_to_ms", "return self.overrules_to_ms > ALWAYS_MS",
           RULES + "3_while_in_range_younger_than_max_gap_positions_are_not_used"),
    Mutant("a moved home unit keeps its precedence", "geofence/judgement/sightings.py",
           "HomeUnitState(self.value, min(self.holds_to_ms, cut_ms))", "self",
           RULES + "3_a_home_unit_moved_or_without_power_ends_the_precedence_and_presence_holds"),
    Mutant("out of range has precedence", "geofence/judgement/sightings.py",
           "if value == Presence.INSIDE else ALWAYS_MS", "if value else ALWAYS_MS",
           RULES + "3_out_of_range_gives_no_precedence"),
    Mutant("a sighting must be confirmed", "geofence/judgement/presence.py",
           "return verdict.is_sighting or long_enough", "return long_enough",
           RULES + "3_a_sighting_completes_the_run_it_stands_in_whatever_its_count_and_span"),
    Mutant("a sighting speaks for every address", "geofence/judgement/sightings.py",
           "event.requirement_id in (None, requirement.requirement_id)", "True",
           RULES + "3_a_sighting_speaks_for_the_requirement_it_names_and_one_that_names_none_for_every_curfew"),
    Mutant("an approach goes on inside the zone", "geofence/judgement/findings.py",
           "in subtracted([whole], entered):", "in subtracted([whole], []):",
           RULES + "5_approach_is_presence_in_the_widened_zone_less_the_exclusion_intervals"),
    Mutant("unknown for exactly the limit is enough", "geofence/judgement/findings.py",
           "if lasted_ms > limit_ms:", "if lasted_ms >= limit_ms:",
           RULES + "5_unverified_is_clipped_to_its_period_and_a_period_of_exactly_the_limit_is_not_enough"),
    Mutant("grace ends a moment early", "geofence/judgement/findings.py",
           "cut.end_ms <= grace_end_ms", "cut.end_ms < grace_end_ms",
           RULES + "5_within_grace_when_it_ended_at_or_before_s_and_grace"),
    Mutant("grace is for what begins later too", "geofence/judgement/findings.py",
           "    if not cut.is_from_start:\n        return False\n", "",
           RULES + "5_grace_is_not_for_what_begins_later_than_s"),
    Mutant("an absence lifts an exclusion", "geofence/judgement/timetable.py",
           "() if requirement.kind is ObligationKind.EXCLUSION else plan.absences", "plan.absences",
           RULES + "2_absences_are_subtracted_from_curfew_and_inclusion_and_an_exclusion_holds"),
    Mutant("of a time that comes twice a start takes the first", "geofence/judgement/timetable.py",
           "timedelta(minutes=start_min), zone, is_start=True", "timedelta(minutes=start_min), zone, is_start=False",
           "tests/test_clock_changes.py::test_what_lies_in_the_changed_hour_is_read_in_favour_of_liberty[2026-10-25]"),
    Mutant("silence begins when the tag was last heard", "geofence/judgement/silence.py",
           "_silence(reached_ms,", "_silence(since_ms,",
           RULES + "5_silence_begins_at_the_limit_and_more_than_the_limit_is_strict"),
    Mutant("our outages count as silence", "geofence/judgement/silence.py",
           "plan.silence_limit_ms, plan.outages)\n        if", "plan.silence_limit_ms, ())\n        if",
           RULES + "5_our_own_outages_are_not_counted"),
    Mutant("silence starts before we were told", "geofence/judgement/silence.py",
           "else max(plan.activation.from_ms, entered_ms)", "else plan.activation.from_ms",
           RULES + "8_an_activations_silence_starts_no_earlier_than_its_entry"),
    Mutant("a clear of a strap clears the case", "geofence/judgement/devices.py",
           "EventType.STRAP_CLEAR: {EventType.STRAP_TAMPER}", "EventType.STRAP_CLEAR: {EventType.CASE_TAMPER}",
           RULES + "5_a_device_finding_lasts_from_its_start_to_its_clear"),
    Mutant("the smallest overlap wins", "geofence/judgement/amend.py",
           "(-_overlap_ms(was, after[j]), was.begin_ms", "(_overlap_ms(was, after[j]), was.begin_ms",
           "tests/test_amend.py::test_the_greatest_overlap_wins"),
    Mutant("what is contradicted is left alone", "geofence/judgement/amend.py",
           "    result.withdrawn.extend(before[i][0] for i in sorted(old_left))\n", "",
           "tests/test_amend.py::test_an_old_finding_that_nothing_matches_is_withdrawn"),
    Mutant("within grace alerts", "alerts/grading.py",
           "    if finding.within_grace:\n        return None\n", "",
           "tests/test_grading.py::test_8_within_grace_is_recorded_and_raises_no_alert"),
    Mutant("what is not known alerts at once", "alerts/grading.py",
           "UNVERIFIED_DELAY_MS = 2 * 3_600_000", "UNVERIFIED_DELAY_MS = 0",
           "tests/test_grading.py::test_8_unverified_is_a_message_when_two_hours_old"),
    Mutant("what is not known alerts while the tag is silent", "alerts/raising.py",
           "finding.kind is Kind.UNVERIFIED and is_silent", "False",
           "tests/test_grading.py::test_8_unverified_waits_while_the_activation_is_silent"),
    Mutant("a new alert forgets the one before", "alerts/store.py",
           "_alert_of(number, first, previous.get(key))", "_alert_of(number, first, None)",
           f"{PLAYED_STORY}[closed-and-out-again]"),
    Mutant("an incident counts findings, not people", "alerts/incidents.py",
           "len({s.activation_no for s in silences[first : last + 1]})", "(last + 1 - first)",
           "tests/test_incidents.py::test_an_activation_counts_once_however_often_it_falls_silent"),
    Mutant("an amended violation counts twice", "alerts/ledger.py",
           "lines = [LedgerLine(LineKind.REVERSED, -totals.counted_ms), LedgerLine(LineKind.COUNTED, wanted_ms)]",
           "lines = [LedgerLine(LineKind.COUNTED, wanted_ms)]",
           "tests/test_atv.py::test_an_amendment_reverses_the_old_line_and_brings_a_new_one"),
    Mutant("a quarantined report is never looked at again", "emtrack/service/worker.py",
           "connection, sorted(self._to_examine), read_body", "connection, [], read_body",
           f"{PLAYED_STORY}[reported-before-it-was-entered]"),
    Mutant("a home unit is believed about everybody's tag", "emtrack/service/telling.py",
           "            if self._units.stands_with(hmu_id, wearer_no, report.event_ms):\n", "            if True:\n",
           f"{UNITS}a_unit_is_not_believed_about_a_tag_of_somebody_else"),
    Mutant("an entry of a home unit never ends", "emtrack/service/home_units.py",
           "if e.from_ms <= at_ms < e.to_ms}", "if e.from_ms <= at_ms}",
           f"{UNITS}a_unit_is_good_until_its_entry_ends_and_not_a_second_longer"),
    Mutant("what a home unit tells is taken to be sent by the tag", "emtrack/service/telling.py",
           "hmu_id=named, sent_by=hmu_id, tag=None", "hmu_id=named, tag=None",
           f"{UNITS}what_a_unit_sent_is_a_sign_of_life_of_a_tag_that_has_no_other_channel_and_of_no_other"),
    Mutant("a home unit tells an alcohol tag of its troubles", "emtrack/service/telling.py",
           "if live.assignment.plan.activation.tells_of_places]", "if True]",
           f"{UNITS}a_trouble_of_a_home_unit_is_one_finding_of_a_person_who_wears_an_alcohol_tag_too"),
    Mutant("any number of people have one home unit", "emtrack/forms/complaints.py",
           "if len(ends_ms) > MOST_PEOPLE_OF_A_UNIT:", "if False:",
           f"{UNITS}a_unit_stands_with_at_most_twenty_people_at_one_time"),
    Mutant("a replay takes what a home unit sent for the tag's own", "emtrack/files/replay.py",
           "    sent_by = _sender(fields)\n", "    sent_by = None\n",
           "tests/test_replay.py::test_a_tag_that_is_dead_while_its_home_unit_goes_on_is_silent_in_a_replay_too"),
    Mutant("a restart forgets what uploads said of the clocks", "emtrack/service/clocks.py",
           "cls(await load_uploads(connection, now_ms), ", "cls({}, ",
           "tests/test_tag_clocks.py::test_right_uploads_before_a_restart_still_speak_for_a_tag_that_then_sends_what_is_old"),
    Mutant("the age of facts counts beside what a request says of its time", "alerts/clocks.py",
           "return [upload for upload in uploads if upload.is_exact] or uploads", "return uploads",
           "tests/test_tag_clocks.py::test_a_clock_is_right_again_where_requests_say_so_whatever_the_age_of_their_facts"),
    Mutant("who is entered afterwards gets nothing of what the unit said", "emtrack/service/worker.py",
           "await tell_again(connection, self._to_tell_again, read_body, self._tell)", "[]",
           f"{UNITS}what_a_unit_said_of_itself_concerns_a_tag_that_is_entered_for_that_time_afterwards"),
    Mutant("a silent home unit is none before somebody reports", "emtrack/service/home_units.py",
           "| self._due(now_ms)", "| set()", f"{SILENT}one_that_was_never_heard_is_silent_since_it_was_entered"),
    Mutant("our outages are silences of home units", "emtrack/service/home_units.py",
           "since_ms < now_ms else [], outages)", "since_ms < now_ms else [], ())", f"{SILENT}our_outages_do_not_count"),
    Mutant("an alert of a home unit that was closed is raised again", "alerts/home_units.py",
           "fresh = [s for s in silent if s.home_unit not in known]", "fresh = list(silent)",
           f"{SILENT}it_is_serious_while_one_who_depends_on_it_must_be_at_home_and_never_less_after"),
    Mutant("a stall is no outage", "emtrack/service/worker.py",
           "if stalled_s <= self._pace.liveness_s:", "if True:",
           "tests/test_pipeline.py::test_a_time_without_a_commit_is_an_outage"),
    Mutant("a late fact leaves checkpoints that do not know it", "emtrack/service/judging.py",
           "            await forget_checkpoints_from(self._connection, number, done.late_ms)\n", "            pass\n",
           "tests/test_late_facts.py::test_kept_checkpoints_know_every_fact_before_them"),
    Mutant("devices are answered before the commit", "emtrack/service/worker.py",
           "        incoming = await self._incoming(connection, batch)\n",
           "        incoming = await self._incoming(connection, batch)\n"
           "        answer_devices(batch, incoming, StoreOutcome([], {}, []), self._tell)\n",
           "tests/test_pipeline.py::test_a_turn_that_fails_leaves_nothing_behind_and_tells_senders_to_come_again"),
    Mutant("an edge along the ray counts for both corners", "geofence/shapes/kernels.py",
           "(ax * by - bx * ay - 1 - (down >> 63))", "(ax * by - bx * ay)", PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("a corner on the walk to a place is on both sides of it", "geofence/shapes/kernels_sets.py",
           "uphill = np.int64(dy > 0)", "uphill = np.int64(0)", PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("a place on an edge is on the wrong side of it", "geofence/shapes/kernels_sets.py",
           "side = ax * by - bx * ay - downhill", "side = ax * by - bx * ay",
           PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("the side of a cell's corner is lost", "geofence/shapes/kernels_cells.py",
           "return walk | (np.int64(is_in) << 31)", "return walk", PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("the wrong part of a node is gone down into", "geofence/shapes/kernels_sets.py",
           "(word >> 32) + nodes_before(word, part)", "(word >> 32)",
           PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("a part of a leaf takes the side of the one before", "geofence/shapes/kernels_cells.py",
           "is_in = next_is_in if part & 3 else first_is_in\n        next_is_in", "next_is_in",
           PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("the north edge of a cell is not of its edges", "geofence/shapes/kernels_cells.py",
           "max(ay, by) < y0:", "max(ay, by) <= y0:", PLAIN + "plain_python_and_shapely_agree_on_all_sides"),
    Mutant("a margin of exactly the radius is not inside", "geofence/shapes/kernels_zones.py",
           "if least_m >= inside_m:", "if least_m > inside_m:", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("near distances are never in doubt", "geofence/shapes/kernels.py",
           "return 0.05 + 2e-4 * distance_m", "return 0.0 * distance_m", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("a cell of a raster is no deeper than its least distance", "geofence/shapes/kernels_zones.py",
           "most_m = least_m + spread_m", "most_m = least_m", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("a box is not grown by the radius", "geofence/shapes/kernels_zones.py",
           "grow_north = np.int64(radius_m[row(i)] * UNITS_PER_M_NORTH) + 16", "grow_north = 16",
           PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("a zone is judged as drawn and not as widened", "geofence/shapes/kernels_zones.py",
           "return settled(margin_m + widen_m, margin_m + widen_m, radius_m, -radius_m)",
           "return settled(margin_m, margin_m, radius_m, -radius_m)", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("a list of runs is cut short", "geofence/shapes/kernels_sets.py",
           "    for item in range(at + 1, at + 1 + lists[row(at)]):\n        if ball_gap_m",
           "    for item in range(at + 1, at + lists[row(at)]):\n        if ball_gap_m",
           PLAIN + "plain_margins_on_a_set_are_those_on_the_union_of_its_members"),
    Mutant("a ball is too small for its run", "geofence/shapes/kernels_cells.py",
           "balls[run, 3] = most_m + 3.0", "balls[run, 3] = 0.2 * most_m",
           "tests/test_zone_sets.py::test_the_margin_of_a_set_is_that_of_the_union_of_its_members"),
    Mutant("distances in an entry are rounded inward", "geofence/shapes/kernels_cells.py",
           "math.floor(least_m * 4.0)", "math.ceil(least_m * 4.0)",
           "tests/test_zone_sets.py::test_what_a_cell_knows_of_distances_is_rounded_outward"),
    Mutant("distances in an entry run over", "geofence/shapes/kernels_cells.py",
           "np.int64(min(QUARTERS, math.ceil(min(most_m, 1e6) * 4.0)))",
           "np.int64(math.ceil(min(most_m, 1e6) * 4.0)) & 4095", PLAIN + "plain_verdicts_are_those_of_plain_margins"),
    Mutant("a steady state survives a gap", "geofence/shapes/kernels_sweep.py",
           "& (since_ms <= max_gap_ms)\n", "\n", PLAIN + "a_plain_sweep_finds_what_the_judgement_finds"),
    Mutant("a stretch is known before it is confirmed", "geofence/shapes/kernels_sweep.py",
           "max(from_ms, known_ms)", "from_ms", PLAIN + "a_plain_sweep_finds_what_the_judgement_finds"),
    Mutant("a lapse ends presence at the last verdict", "geofence/judgement/presence.py",
           "    _close(tracker, lapse_ms)\n", "    _close(tracker, tracker.last_ms or 0)\n",
           TABLE + "the_judgements_presence_is_that_of_the_table"),
    Mutant("a run that is confirmed ends nothing", "geofence/judgement/presence.py",
           "if tracker.value != verdict.value and counts", "if tracker.value == UNKNOWN and counts",
           TABLE + "the_judgements_presence_is_that_of_the_table"),
    Mutant("a sweep breaks a run at exactly max_gap", "geofence/shapes/kernels_sweep.py",
           "at_ms - last_ms > rules.max_gap_ms", "at_ms - last_ms >= rules.max_gap_ms",
           TABLE + "a_sweeps_presence_is_that_of_the_table"),
    Mutant("a sweep lengthens a run twice at one instant", "geofence/shapes/kernels_sweep.py",
           "    if last_ms == at_ms:\n        return\n", "", TABLE + "a_sweeps_presence_is_that_of_the_table"),
    Mutant("a sweep ends presence where the next is confirmed", "geofence/shapes/kernels_sweep.py",
           "close(state, rules, zone, zones[zone, RUN_FIRST], verdict, found)", "close(state, rules, zone, at_ms, verdict, found)",
           TABLE + "a_sweeps_presence_is_that_of_the_table"),
    Mutant("a sighting holds no longer than a position", "geofence/judgement/following.py",
           "Verdict(value, at_ms, at_ms + gap_ms, event", "Verdict(value, at_ms, at_ms + following.max_gap_ms, event",
           CASE + "[40-home-unit-reports-changes]"),
    Mutant("a home unit in trouble goes on speaking", "geofence/judgement/following.py",
           "return cut_holds(tracker, at_ms + following.max_gap_ms)", "return False", CASE + "[42-home-unit-without-power]"),
    Mutant("a heartbeat repeats what a position contradicted", "geofence/judgement/following.py",
           "    tracker.unit = tracker.unit.after_position(value)\n", "", CASE + "[47-heartbeat-contradicted]"),
    Mutant("a heartbeat repeats nothing", "geofence/judgement/sightings.py",
           "event.type is EventType.HEARTBEAT and unit.is_repeated", "False", CASE + "[41-home-unit-calls-in]"),
    Mutant("a repeated circle confirms", "geofence/judgement/presence.py",
           "            return False\n        run.circles.append", "            pass\n        run.circles.append",
           CASE + "[38-cell-circle-repeated]"),
    Mutant("a repeated circle confirms nothing against a victim either", "geofence/judgement/following.py",
           " or value != Presence.OUTSIDE or requirement.kind not in _CIRCLES_ONCE:", ":",
           RULES + "4_in_an_exclusion_zone_a_repeated_circle_confirms"),
    Mutant("a repeated circle says nothing of leaving an exclusion zone", "geofence/judgement/following.py",
           " or requirement.kind not in _CIRCLES_ONCE:", ":", RULES + "4_on_an_exclusion_a_repeated_circle_outside_confirms"),
    Mutant("who was out counts from the start whoever saw it", "geofence/judgement/findings.py",
           "        if cut.stretch.begin_ms >= start_ms:\n", "        if True:\n", CASE + "[36-not-seen-lately]"),
    Mutant("a sighting that still holds at the start is no sign", "geofence/judgement/starts.py",
           "tracker.unit.value == Presence.OUTSIDE and tracker.unit.holds_to_ms >= start_ms", "False",
           CASE + "[40-home-unit-reports-changes]"),
    Mutant("unknown is absence", "geofence/judgement/attendance.py",
           "if step.value == value and part", "if step.value in (value, 0) and part",
           CASE + "[45-attendance-unknown-is-not-absence]"),
    Mutant("an attendance is missed a moment late", "geofence/judgement/attendance.py",
           "stay_of(period, stay_ms)\n    for", "stay_of(period, stay_ms) + 1\n    for", CASE + "[44-attendance-too-short]"),
    Mutant("an alcohol tag is asked where somebody is", "geofence/obligations.py",
           "if by_position or (tells and r.kind", "if True or (tells and r.kind", CASE + "[48-alcohol-tag-beside]"),
    Mutant("an outage at the very limit puts nothing off", "geofence/judgement/silence.py",
           "if heard_ms > left_ms:", "if heard_ms >= left_ms:", CASE + "[49-silence-touches-an-outage]"),
    Mutant("a fact of a time to come is no sign of life", "geofence/judgement/judge.py",
           "for f in heard if f.received_ms <= now_ms", "for f in heard if max(f.own_ms, f.received_ms) <= now_ms",
           CASE + "[50-ahead-is-communication]"),
    Mutant("what a home unit sent is a sign of life of the tag", "geofence/judgement/silence.py",
           "fact.sent_by is None or plan.is_heard", "True or plan.is_heard",
           RULES + "3_what_a_home_unit_sent_is_no_sign_of_life_of_a_tag_with_a_channel_of_its_own"),
    Mutant("a sweep lets a repeated circle confirm", "geofence/shapes/kernels_sweep.py",
           "counts = not (against and positions.is_cell[i] and is_repeat(state, zone, positions, i, found))", "counts = True",
           "tests/test_sweep.py::test_a_sweep_finds_what_the_judgement_finds"),
    Mutant("a sweep asks nobody who was seen at the start", "geofence/shapes/kernels_sweep.py",
           "lately or start_ms == at_ms else at_ms", "True else at_ms", PLAIN + "a_plain_sweep_finds_what_the_judgement_finds"),
    Mutant("who waits is not judged on", "emtrack/service/judging.py",
           "        return [] if isinstance(judged, Late) else [await self._went_on(watched, judged, in_order)]",
           "        return []", PUT_OFF + "while_somebody_waits_they_are_judged_as_before"),
    Mutant("a backlog that waits is no sign of life", "emtrack/service/judging.py",
           "watched.judge.advance(state, in_order, self._now_ms, late)",
           "watched.judge.advance(state, in_order, self._now_ms)",
           PUT_OFF + "a_device_whose_backlog_waits_is_not_silent"),
    Mutant("late facts that wait are forgotten at a restart", "emtrack/service/recording.py",
           "if update.put_off is not None or update.facts]", "if update.live is None]",
           PUT_OFF + "what_was_put_off_is_judged_after_a_restart"),
    Mutant("what came while somebody waited is left out", "emtrack/service/activations.py",
           "live.waiting.arrived += update.facts", "pass",
           PUT_OFF + "what_comes_while_somebody_waits_is_judged_when_it_is_taken_over"),
    Mutant("everything is judged in the turn", "emtrack/service/judging.py",
           "if cost > min(self._left, self._most):", "if False:",
           PUT_OFF + "others_are_judged_in_the_turn_in_which_somebodys_orders_changed"),
    Mutant("all changes are recorded in one turn", "emtrack/service/slices.py", "MOST_CHANGES:\n        return deque()",
           "10**9:\n        return deque()",
           PUT_OFF + "orders_that_begin_long_ago_are_taken_in_some_findings_at_a_time[2001]"),
    Mutant("a base stays where nothing comes", "geofence/judgement/judge.py", "< 2 * QUIET_MS:", "< 10**18 * QUIET_MS:",
           "tests/test_judge.py::test_where_nothing_comes_what_is_looked_at_does_not_grow_with_time"),
    Mutant("a stretch goes on over a gap", "geofence/judgement/stretches.py", "(steps > max_gap_ms)", "(steps > 10**18)",
           TOGETHER),
    Mutant("a stretch goes on over an event", "geofence/judgement/stretches.py",
           "    breaks |= _between(np.asarray(event_rows, np.int64), rows)\n", "", TOGETHER),
    Mutant("a stretch goes on over the start of a period", "geofence/judgement/stretches.py",
           "    breaks |= _between(np.asarray(starts_ms, np.int64), times)\n", "", TOGETHER),
    Mutant("repetitions in columns are communication", "geofence/sweep/evidence.py",
           "rivals.received_ms[order][is_first])", "rivals.received_ms[order])",
           "tests/test_together.py::test_a_repetition_is_no_communication_in_columns_either"),
    Mutant("backlog goes before what is live", "ingest/inbox.py",
           "taken = self._take(Lane.LIVE, max_reports)", "taken = self._take(Lane.BACKLOG, max_reports)",
           "tests/test_lanes.py::test_a_turn_takes_what_is_live_first_and_a_share_of_the_backlog"),
    Mutant("an end that only the clock brought is a version at once", "geofence/judgement/provisional.py",
           "if lapse_ms <= now_ms < in_time_ms and not", "if lapse_ms <= now_ms < now_ms and not",
           ENDS + "a_finding_of_a_device_that_uploads_in_tens_has_one_version_while_it_lasts"),
    Mutant("what a device sends at once puts an end off", "geofence/judgement/judge.py",
           "silence.heard_ms if last is None else last.received_ms", "silence.heard_ms",
           ENDS + "what_is_sent_at_once_does_not_put_it_off"),
    Mutant("an end stays provisional while its device reports circles", "geofence/judgement/provisional.py",
           "return newest_ms >= lapse_ms + PASSED_MS", "return False",
           ENDS + "an_end_is_settled_when_its_device_has_gone_on_for_a_quarter_of_an_hour"),
    Mutant("nobody looks again when evidence has gone on", "geofence/judgement/judge.py",
           " or _lapse_passed(entry, before.fed_to[0], after.fed_to[0])", "",
           ENDS + "an_end_is_settled_when_its_device_has_gone_on_for_a_quarter_of_an_hour"),
    Mutant("an end on which another finding rests is provisional", "geofence/judgement/provisional.py",
           " and finding.end_ms not in begins_ms", "",
           ENDS + "an_end_on_which_another_finding_rests_is_a_version"),
    Mutant("a threshold is crossed by what is not known", "alerts/ledger.py",
           'is_known = row["unknown_since"] is None or', "is_known = True or",
           ENDS + "no_threshold_is_crossed_by_what_is_not_known"),
    Mutant("what is provisional is forgotten at a restart", "emtrack/record/findings.py",
           'unknown_since_ms=row["unknown_since_ms"]', "unknown_since_ms=None",
           ENDS + "what_is_provisional_is_known_again_after_a_restart"),
    Mutant("steps change under the hand", "emtrack/reading/steps.py",
           "protocol = await _begun(connection, ticks) or chosen(", "protocol = chosen(",
           "tests/test_case_page.py::test_the_steps_of_a_person_go_before_others_and_stay_once_one_is_ticked"),
    Mutant("a step is due before the one before it is done", "alerts/protocols.py",
           "if step.wait_ms is not None and is_reached and done", "if step.wait_ms is not None and done",
           "tests/test_person.py::test_a_step_with_a_wait_is_due_so_long_after_the_one_before_it_was_done"),
    Mutant("a tag that tells no places monitors whereabouts", "emtrack/reading/unmonitored.py",
           "during @> $1::timestamptz AND evidence <> '{}'", "during @> $1::timestamptz",
           "tests/test_wall.py::test_everybody_on_an_order_whom_nobody_monitors_is_named_with_reason_and_since_when"),
    Mutant("who saw to an earlier gap sees to this one", "alerts/wall.py",
           """if row["is_taken"] and instant_of(row["done_at"]) >= since_ms[row["wearer_no"]]""", """if row["is_taken"]""",
           "tests/test_wall.py::test_who_sees_to_a_gap_is_appended_and_ends_with_the_gap"),
    Mutant("a restricted address lies on paper", "emtrack/reading/curfews.py",
           "l.kind = 'restricted'", "l.kind = 'excluded'",
           "tests/test_curfews.py::test_a_restricted_record_is_listed_by_its_reference_alone"),
    Mutant("what is refused is carried out", "emtrack/orders/requests.py",
           """if granted else "Nothing was changed.\"""", """if who else "Nothing was changed.\"""",
           "tests/test_requests.py::test_what_is_refused_changes_nothing_and_is_decided_once"),
    Mutant("a wide box seems to be near everywhere in it", "geofence/shapes/kernels_cells.py",
           "max(math.sqrt(gap_2), beyond_m), math.inf", "math.sqrt(gap_2), math.inf",
           "tests/test_zone_sets.py::test_a_wide_zone_of_few_corners_is_a_small_set_and_judged_as_the_others_are[0.45]"),
    Mutant("findings are handed out without a look", "emtrack/web/api/findings.py",
           """await look_at_findings(connection, looker, query.get("wearer"), now_ms)""", "del looker",
           "tests/test_looks.py::test_no_route_hands_out_a_telling_row_without_a_committed_look"),
    Mutant("another agency sees people who are shared with one", "emtrack/db/migrations/0020_agencies.sql",
           "AND (asking_agency() = ANY (agencies) OR asking_agency() = lead_agency)", "AND asking_agency() IS NOT NULL",
           "tests/test_rights.py::test_no_cell_of_the_matrix_leaks"),
    Mutant("a revoked key is not taken out of memory", "emtrack/service/credential_watch.py",
           "await self._keys.reload(connection, devices)", "pass",
           "tests/test_credentials.py::test_a_device_key_that_is_revoked_by_a_statement_is_refused_within_a_second"),
    Mutant("a revocation wakes no open stream", "emtrack/service/credential_watch.py",
           "if len(events) < len(fresh):", "if len(fresh) < len(events):",
           "tests/test_credentials.py::test_an_open_stream_of_a_program_ends_within_a_second_when"),
    Mutant("a wrong password is not counted", "emtrack/people/guesses.py",
           "            budget.spent.append(now_s)\n", "            budget.spent.clear()\n",
           "tests/hostile/test_logins.py::test_guesses_side_by_side_are_counted_like_guesses_one_after_the_other"),
    Mutant("a restart forgets wrong passwords", "emtrack/service/app.py",
           "await remember_failures(connection, guesses)", "pass",
           "tests/test_accounts.py::test_a_restart_gives_nobody_new_guesses"),
    Mutant("until has no bound", "emtrack/reading/findings.py",
           "until_ms > now_ms + LONGEST_AHEAD_MS", "until_ms < 0",
           "tests/hostile/test_findings_asked.py::test_until_lies_at_most_a_month_ahead"),
    Mutant("a head has no bound", "emtrack/service/connections.py",
           "if self._is_in_head and self._bytes > MOST_HEAD_BYTES:", "if self._is_in_head and self._bytes > 10**12:",
           "tests/hostile/test_connections.py::test_a_head_without_end_is_not_read_on"),
    Mutant("a changed row fits its leaf", "emtrack/sealing/check.py",
           " OR l.hash IS DISTINCT FROM (r.hashes)[l.form]", "",
           "tests/test_sealing.py::test_every_flipped_byte_of_a_thousand_entries_is_found"),
    Mutant("a head says another root", "emtrack/sealing/check.py",
           "            if root != self.tree.root:", "            if len(root) != len(self.tree.root):",
           "tests/test_sealing.py::test_whoever_changes_the_leaf_with_the_row_is_found_by_the_head"),
    Mutant("where an alert stands is believed", "alerts/following.py",
           "if row[column] != getattr(said.standing, column)]", "if False]",
           "tests/test_standing.py::test_an_alert_that_was_opened_or_closed_in_silence_is_named"),
    Mutant("the secret of an app stands in the database", "emtrack/people/sealed_secrets.py",
           "        return MARK + token.decode()\n", "        return secret if token else MARK\n",
           "tests/test_accounts.py::test_the_secret_of_an_app_is_nowhere_in_the_database"),
    Mutant("a guess at a name without a password takes no time", "emtrack/people/hashing.py",
           """digest is not None and digest.startswith("$argon2")""", "digest",
           "tests/test_accounts.py::test_a_guess_at_an_account_without_a_password_is_hashed_like_any_other"),
    Mutant("code that others could write is run", "geofence/shapes/compiled.py",
           "not each.st_mode & 0o022 for each in inside", "True for each in inside",
           "tests/test_compiled.py::test_what_others_could_have_put_into_our_cache_is_thrown_away"),
    Mutant("a time server may answer any question", "emtrack/service/network_time.py",
           "or answer[24:32] != mark:", "or len(mark) != 8:",
           "tests/test_clock_checks.py::test_what_is_no_answer_is_not_believed"),
    Mutant("a signal counts for ever", "emtrack/iom/rules.py",
           "(self.expires_ms is None or now_ms < self.expires_ms)", "True",
           "tests/test_iom_rules.py::test_what_lasts_counts_as_long_as_it_lasts"),
    Mutant("who decided against a proposal is asked again and again", "emtrack/iom/grading.py",
           'return last.state == "DECIDED_AGAINST" and set(content.signals) <= set(before.signals)', "return False",
           IOM + "who_decides_against_a_proposal_is_not_asked_again_until_something_new_speaks_for_it"),
    Mutant("a note that was narrowed is shown as it was before", "emtrack/db/migrations/0033_iom.sql",
           "    AND entry_no NOT IN (SELECT narrowed_entries())));", "    ));",
           IOM + "a_note_that_was_for_everybody_by_mistake_is_not_shown_as_it_was"),
    Mutant("staff of the centre read what is for some only", "emtrack/db/migrations/0033_iom.sql",
           "SELECT visibility = 'ALL' OR recorded_by = asking_account()",
           "SELECT watches() OR visibility = 'ALL' OR recorded_by = asking_account()",
           IOM + "a_note_is_read_by_those_it_is_for_and_staff_of_the_centre_are_no_exception"),
    Mutant("a withdrawn finding leaves its signal", "emtrack/iom/sources.py",
           "if found.is_withdrawn or (found.kind", "if (found.kind",
           SIGNALS + "a_withdrawn_finding_withdraws_its_signal_and_its_proposal_in_view"),
    Mutant("a short silence is a signal", "emtrack/iom/sources.py",
           "NOT_MONITORED_AFTER_MS: Final = DAY_MS", "NOT_MONITORED_AFTER_MS: Final = 0",
           SIGNALS + "a_short_silence_is_no_signal"),
    Mutant("orders bring back whom a panel removed", "emtrack/iom/record.py",
           "former = _newest(there, Membership)", 'former = _newest([one for one in there if one.state == "OPEN"], Membership)',
           IOM + "orders_that_still_name_a_cohort_do_not_bring_back_whom_a_panel_removed"),
    Mutant("an end that cannot be read looks like none", "emtrack/iom/rows.py",
           'if is_needed or name in ("to", "due"):', "if is_needed:",
           "tests/test_iom_import.py::test_a_row_that_does_not_fit_is_refused_by_itself_and_kept_as_it_was_given"),
    Mutant("what is not yet known counts as no reoffence", "emtrack/worth/reoffending.py",
           "if is_known(index.day, today):", "if True:",
           WORTH + "what_came_of_an_index_date_of_less_than_18_months_ago_is_not_yet_known"),
    Mutant("the third bar is fitted to the selected alone", "emtrack/worth/before_after.py",
           "others < LEAST_OTHERS:", "False:",
           WORTH + "before_and_after_hold_the_removed_and_leave_out_what_is_not_yet_known"),
    Mutant("who was removed is in no measure", "emtrack/worth/measures.py",
           "if any(cohort in (None, one.cohort) for one in life.selected)",
           "if any(cohort in (None, one.cohort) and one.spell.end is None for one in life.selected)",
           "tests/test_worth_reading.py::test_the_measures_come_out_of_the_record"),
    Mutant("unknown is read as a no", "emtrack/worth/settling.py",
           "Answer.NO if spells else Answer.UNKNOWN", "Answer.NO",
           WORTH + "unknown_is_an_answer_of_its_own"),
    Mutant("a rate is shown of whom it rests on too few", "emtrack/worth/figures.py",
           "few = share is None or rests_on < LEAST_PEOPLE", "few = share is None",
           WORTH + "below_30_people_there_are_counts_and_no_rates"),
    Mutant("a past day is asked with what was known later", "emtrack/worth/what_if.py",
           "past.versions[place].recorded_ms <= day_ms:", "past.versions[place].recorded_ms <= end_ms:",
           "tests/test_worth_rules.py::test_a_day_is_asked_as_it_was_known_at_its_beginning"),
    Mutant("the chair is told on a bank holiday", "emtrack/iom/working_days.py",
           "return day.weekday() < SATURDAY and day not in bank_holidays(day.year)", "return day.weekday() < SATURDAY",
           TASKS + "the_contact_is_told_when_it_is_due_and_the_chair_a_working_day_later"),
    Mutant("nobody learns that there was nobody to tell", "emtrack/iom/escalation.py",
           "for number in numbers or [None]]", "for number in numbers]",
           TASKS + "an_escalation_with_nobody_to_tell_stands_on_the_page_of_messages"),
    Mutant("a task that escalates is the programme's", "emtrack/iom/escalation.py",
           "return Author(SERVICE.name, entry.agency)", "return Author(SERVICE.name)",
           TASKS + "what_only_an_agency_may_read_stays_its_own_when_it_escalates"),
    Mutant("intelligence stands on the agenda", "emtrack/reading/meetings.py",
           "state = 'LIVE' AND visibility = 'ALL'", "state = 'LIVE'",
           "tests/test_iom_meetings.py::test_what_only_some_may_read_stands_on_no_agenda"),
    Mutant("history that is imported opens tasks", "emtrack/iom/releasing.py",
           "(today - on).days <= LATE_DAYS", "True",
           "tests/test_iom_releases.py::test_history_that_is_imported_opens_nothing"),
    Mutant("a row that does not say for whom opens what was narrow", "emtrack/iom/importing.py",
           "visibility = row.visibility or former.visibility", "visibility = row.visibility or Visibility.ALL",
           "tests/test_iom_import.py::test_what_a_row_does_not_say_stays_as_it_was"),
    Mutant("a row rewrites what another agency recorded", "emtrack/iom/importing.py",
           "if former.agency != self._author.agency:", "if former.agency is self:",
           "tests/test_iom_import.py::test_a_row_changes_nothing_of_another_agency_or_of_the_service"),
    Mutant("a proposal tells one agency what only the police may read", "emtrack/iom/grading.py",
           "named.append(set(police))", "named.append(set(named[0]))",
           IOM + "a_proposal_is_for_those_who_may_read_all_that_it_tells"),
    Mutant("a restricted record shows why it is visited", "emtrack/record/visits.py",
           "CASE WHEN p.is_closed THEN '' ELSE v.why END AS why", "v.why",
           "tests/test_visits.py::test_texts_of_a_restricted_record_are_hidden_and_its_visits_are_worked"),
    Mutant("a restricted record shows what is asked for", "emtrack/orders/requests.py",
           "d.effect WHERE NOT p.is_closed", "d.effect",
           "tests/test_requests.py::test_texts_of_a_restricted_record_are_hidden_from_who_may_not_open_it"),
]  # fmt: skip
SAMPLE = {
    "a sighting holds no longer than a position", "who was out counts from the start whoever saw it", "unknown is absence",
    "a run survives a gap", "unknown is read as outside", "an approach goes on inside the zone",
    "our outages count as silence", "within grace alerts", "an amended violation counts twice",
    "the side of a cell's corner is lost",
}  # fmt: skip


def copy_of(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "images"))
        else:
            shutil.copy(source, folder / name)
    return folder


def run(copy: Path, *arguments: str, plain: bool) -> subprocess.CompletedProcess[str]:
    """Python on the copy: what it imports must come from there. `plain`: nothing is compiled, which takes seconds anew for
    each copy."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "EMTRACK"))}
    environment |= {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(copy.parent / "numba"),
        "NUMBA_DISABLE_JIT": str(int(plain)),
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_tests(copy: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Tests of one kind: those that ask the kernels too much for plain Python, or others."""
    (plain,) = {not node.startswith(COMPILED) for node in nodes}
    return run(copy, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *nodes, plain=plain)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without a fault, from which the packages are imported."""
    folder = tmp_path_factory.mktemp("whole")
    folder.parent.chmod(0o755)  # a database server of a test runs as a user of its own
    copy = copy_of(folder)
    where = run(copy, "-c", "import geofence, emtrack; print(geofence.__file__, emtrack.__file__)", plain=True)
    assert where.stdout.count(str(copy)) == 2, where.stdout + where.stderr
    return copy


def ids(mutant: Mutant) -> str:
    return mutant.what.replace(" ", "-")


SAMPLED = [mutant for mutant in MUTANTS if mutant.what in SAMPLE]
OTHERS = [mutant for mutant in MUTANTS if mutant.what not in SAMPLE]


def check(mutant: Mutant, whole: Path) -> None:
    path = whole / mutant.file
    text = path.read_text()
    assert text.count(mutant.original) == 1, f"{mutant.file} has changed: {mutant.original!r} is not there once"
    try:
        path.write_text(text.replace(mutant.original, mutant.instead))
        ran = run_tests(whole, mutant.killed_by)
        assert ran.returncode == 1, f"it lives, or the test did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    finally:
        path.write_text(text)


@pytest.mark.parametrize("mutant", SAMPLED, ids=ids)
def test_a_planted_fault_is_killed_by_its_test(mutant: Mutant, whole: Path) -> None:
    check(mutant, whole)


@pytest.mark.long
@pytest.mark.parametrize("mutant", OTHERS, ids=ids)
def test_every_planted_fault_is_killed_by_its_test(mutant: Mutant, whole: Path) -> None:
    check(mutant, whole)


@pytest.mark.long
def test_without_a_fault_the_named_tests_pass(whole: Path) -> None:
    nodes = sorted({mutant.killed_by for mutant in MUTANTS})
    for some in ([n for n in nodes if n.startswith(COMPILED)], [n for n in nodes if not n.startswith(COMPILED)]):
        ran = run_tests(whole, *some)
        assert ran.returncode == 0, ran.stdout[-3000:]


def test_every_original_is_there_once_and_every_test_has_its_name() -> None:
    for mutant in MUTANTS:
        assert (ROOT / mutant.file).read_text().count(mutant.original) == 1, mutant.what
        file, _, name = mutant.killed_by.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), mutant.killed_by
    assert {mutant.what for mutant in MUTANTS} >= SAMPLE
    assert len(MUTANTS) >= 55
