"""Which new finding is which old one (RULES.md section 8, identity under amendment)."""

from __future__ import annotations

import msgspec

from geofence.judgement.amend import amendments
from geofence.judgement.findings import Finding
from geofence.words import Kind

MINUTE_MS = 60_000


def finding(begin_min: int, end_min: int | None, **other: object) -> Finding:
    end_ms = None if end_min is None else end_min * MINUTE_MS
    fields = {"requirement_id": "R1", "entry_id": "R1/1", "period_ms": 0, "kind": Kind.CURFEW} | other
    return Finding(begin_ms=begin_min * MINUTE_MS, end_ms=end_ms, known_ms=begin_min * MINUTE_MS, **fields)


def changes(old: list[Finding], new: list[Finding]) -> tuple[dict[int, Finding], list[int], list[Finding]]:
    result = amendments(enumerate(old), new)
    return dict(result.amended), sorted(result.withdrawn), result.new


def test_what_says_the_same_is_left_alone_although_it_rests_on_other_facts():
    was, now = finding(0, 10, facts_hash="a"), finding(0, 10, facts_hash="b", evidence=(7,))
    assert changes([was], [now]) == ({}, [], [])


def test_a_finding_that_ends_is_amended():
    lasting, ended = finding(0, None), finding(0, 10)
    assert changes([lasting], [ended]) == ({0: ended}, [], [])


def test_a_finding_whose_reason_changes_is_amended():
    was, now = finding(0, 10, reason="OUT_AT_START"), finding(0, 10, reason="RETURNED_LATE")
    assert changes([was], [now]) == ({0: now}, [], [])


def test_a_finding_that_leaves_its_grace_or_is_known_later_is_amended():
    was = finding(0, None, within_grace=True)
    for now in (finding(0, None), msgspec.structs.replace(was, known_ms=MINUTE_MS)):
        assert changes([was], [now]) == ({0: now}, [], [])


def test_an_old_finding_that_nothing_matches_is_withdrawn():
    assert changes([finding(0, 10)], []) == ({}, [0], [])


def test_a_new_finding_that_nothing_matches_is_new():
    assert changes([], [finding(0, 10)]) == ({}, [], [finding(0, 10)])


def test_findings_that_do_not_overlap_are_not_the_same_finding():
    assert changes([finding(0, 10)], [finding(10, 20)]) == ({}, [0], [finding(10, 20)])


def test_the_greatest_overlap_wins():
    old, short, long = finding(0, 30), finding(0, 10), finding(12, 30)
    assert changes([old], [short, long]) == ({0: long}, [], [short])


def test_of_two_old_findings_that_become_one_the_greater_overlap_is_amended_and_the_other_withdrawn():
    joined = finding(0, 60)
    assert changes([finding(0, 10), finding(20, 60)], [joined]) == ({1: joined}, [0], [])


def test_at_equal_overlap_the_earliest_begin_wins():
    old, first, second = finding(0, 30), finding(0, 10), finding(20, 30)
    assert changes([old], [second, first]) == ({0: first}, [], [second])
    assert changes([second, first], [old]) == ({1: old}, [0], [])


def test_a_lasting_finding_overlaps_all_that_follows():
    old, ended, lasting = finding(0, None), finding(0, 30), finding(40, None)
    assert changes([old], [ended, lasting]) == ({0: lasting}, [], [ended])


def test_each_of_the_things_in_the_key_keeps_findings_apart():
    old = finding(0, 10)
    others = [
        finding(0, 10, entry_id="R1/2"),
        finding(0, 10, kind=Kind.UNVERIFIED),
        finding(0, 10, period_ms=MINUTE_MS),
    ]
    for other in others:
        assert changes([old], [other]) == ({}, [0], [other])


def test_the_reason_of_a_device_finding_keeps_it_apart():
    def battery(reason: str) -> Finding:
        return finding(0, 10, kind=Kind.BATTERY, reason=reason, entry_id=None, requirement_id=None, period_ms=None)

    critical = battery("BATTERY_CRITICAL")
    assert changes([battery("BATTERY_LOW")], [critical]) == ({}, [0], [critical])


def test_home_units_are_kept_apart():
    def moved(unit: str) -> Finding:
        return finding(0, 10, kind=Kind.HMU, reason="HMU_MOVED", entry_id=None, requirement_id=unit, period_ms=None)

    other = moved("R2")
    assert changes([moved("R1")], [other]) == ({}, [0], [other])


def test_a_finding_that_names_another_zone_of_its_set_is_amended():
    was, now = finding(0, 10, zone_id="elm"), finding(0, 10, zone_id="oak")
    assert changes([was], [now]) == ({0: now}, [], [])
