"""The rules of the proposal, one by one with their words, and the life of a grade."""

from __future__ import annotations

import pytest

from emtrack.forms.iom import RagGrade
from emtrack.iom.grades import DAY_MS, Held, may_go_down
from emtrack.iom.programme_settings import LEAST_DAYS, REVIEW_DAYS
from emtrack.iom.rules import DEFAULT_RULES, EXPIRES_DAYS, Live, advice, fired, review_due, what_fires
from emtrack.iom.signals import SignalKind as K
from geofence import parse_instant

NOW = parse_instant("2026-03-30T09:10:00Z")
RED, AMBER, GREEN = RagGrade.RED, RagGrade.AMBER, RagGrade.GREEN
RULES = {rule.code: rule for rule in DEFAULT_RULES}


def seen(kind: K, days_ago: float, number: int = 1) -> Live:
    """A signal as it is made: it expires by the table; what lasts does not."""
    occurred_ms = NOW - int(days_ago * DAY_MS)
    lasts = kind in (K.AT_LARGE, K.NOT_MONITORED)
    return Live(number, kind, occurred_ms, None if lasts else occurred_ms + int(EXPIRES_DAYS[kind] * DAY_MS))


def codes(*signals: Live) -> list[str]:
    return [one.rule.code for one in what_fires(DEFAULT_RULES, signals, NOW)]


EVENTS = [
    # code, kinds that fire it, how long, in days
    ("R1", (K.ARREST, K.CHARGE), 14),
    ("R3", (K.EXCLUSION,), 7),
    ("R4", (K.STRAP_TAMPER,), 3),
    ("R7", (K.INTELLIGENCE,), 14),
    ("A1", (K.CURFEW_VIOLATION, K.UNACCEPTABLE_ABSENCE), 14),
    ("A2", (K.POSITIVE_TEST,), 28),
    ("A3", (K.HOUSING_LOST, K.JOB_LOST, K.TREATMENT_LOST), 28),
    ("A4", (K.RELATIONSHIP_BREAKDOWN, K.SAFEGUARDING), 28),
    ("A6", (K.RELEASED,), 28),
    ("A7", (K.OFFENCE,), 91),
]


@pytest.mark.parametrize(("code", "kinds", "days"), EVENTS, ids=[code for code, _, _ in EVENTS])
def test_one_signal_fires_its_rule_for_its_days_and_not_for_longer(
    code: str, kinds: tuple[K, ...], days: int
) -> None:
    for kind in kinds:
        assert codes(seen(kind, 0)) == [code], RULES[code].words
        assert codes(seen(kind, days - 0.001)) == [code], RULES[code].words
        assert codes(seen(kind, days)) == [], RULES[code].words
        assert codes(seen(kind, -1)) == [], "what has not happened counts for nothing"


@pytest.mark.parametrize(("code", "kind"), [("R2", K.AT_LARGE), ("A5", K.NOT_MONITORED)])
def test_what_lasts_counts_as_long_as_it_lasts(code: str, kind: K) -> None:
    assert codes(seen(kind, 400)) == [code]
    assert codes(seen(kind, 400)._replace(expires_ms=NOW)) == []


def test_a_requested_recall_is_red() -> None:
    assert codes(seen(K.RECALL_REQUESTED, 1)) == ["R2"]


def test_two_curfew_violations_within_seven_days_are_red_and_further_apart_they_are_amber() -> None:
    assert codes(seen(K.CURFEW_VIOLATION, 1, 1), seen(K.CURFEW_VIOLATION, 6.9, 2)) == ["R5"]
    assert codes(seen(K.CURFEW_VIOLATION, 1, 1), seen(K.CURFEW_VIOLATION, 7, 2)) == ["A1"]
    assert codes(seen(K.CURFEW_VIOLATION, 8, 1), seen(K.CURFEW_VIOLATION, 9, 2)) == ["A1"]


def test_two_absences_in_a_row_are_red_and_an_appointment_that_was_kept_between_them_ends_the_row() -> None:
    absences = seen(K.UNACCEPTABLE_ABSENCE, 10, 1), seen(K.UNACCEPTABLE_ABSENCE, 2, 2)
    assert codes(*absences) == ["R6"]
    assert codes(*absences, seen(K.APPOINTMENT_KEPT, 5, 3)) == ["A1"]
    assert codes(*absences, seen(K.APPOINTMENT_KEPT, 1, 3)) == ["A1"], "the newest two are not both absences"
    assert codes(*absences, seen(K.APPOINTMENT_KEPT, 12, 3)) == ["R6"]
    assert codes(seen(K.UNACCEPTABLE_ABSENCE, 13, 1), seen(K.UNACCEPTABLE_ABSENCE, 14, 2)) == ["A1"]


def test_the_first_list_with_a_live_signal_wins_and_names_all_of_its_rules() -> None:
    assert codes(seen(K.EXCLUSION, 1), seen(K.ARREST, 1), seen(K.POSITIVE_TEST, 1)) == ["R1", "R3"]
    found = fired(RULES["R3"], [seen(K.EXCLUSION, 1, 7), seen(K.POSITIVE_TEST, 1, 8)], NOW)
    assert found is not None
    assert [one.item_no for one in found.signals] == [7]


def test_what_says_that_somebody_does_well_fires_nothing() -> None:
    down = (K.APPOINTMENT_KEPT, K.HOUSED, K.IN_WORK, K.IN_TREATMENT, K.INTO_CUSTODY, K.OTHER_FINDING, K.ALERT)
    assert codes(*(seen(kind, 0) for kind in down)) == []


def test_every_kind_that_a_rule_asks_for_expires() -> None:
    assert set(EXPIRES_DAYS) == set(K)


# ------------------------------------------------------------------ the life of a grade


def held(grade: RagGrade, days: float) -> Held:
    return Held(grade, NOW - int(days * DAY_MS))


def proposed(held_now: Held | None, *signals: Live) -> RagGrade | None:
    found = advice(DEFAULT_RULES, signals, held_now, LEAST_DAYS, NOW)
    return None if found is None else found.grade


def test_it_goes_up_at_once_and_by_more_than_one_step() -> None:
    assert proposed(held(GREEN, 0), seen(K.EXCLUSION, 0)) == RED
    assert proposed(held(AMBER, 0), seen(K.EXCLUSION, 0)) == RED


@pytest.mark.parametrize(("grade", "days", "lower"), [(RED, 14, AMBER), (AMBER, 28, GREEN)])
def test_it_goes_down_one_step_after_its_days_without_a_live_signal(
    grade: RagGrade, days: int, lower: RagGrade
) -> None:
    assert proposed(held(grade, days - 0.001)) is None
    assert proposed(held(grade, days)) == lower


def test_it_does_not_go_down_while_a_signal_of_it_is_live() -> None:
    assert proposed(held(RED, 100), seen(K.EXCLUSION, 6)) is None
    assert proposed(held(AMBER, 100), seen(K.POSITIVE_TEST, 27)) is None
    assert proposed(held(RED, 14), seen(K.POSITIVE_TEST, 1)) == AMBER


def test_green_goes_no_further_and_a_grade_of_unknown_age_is_old_enough() -> None:
    assert may_go_down(Held(GREEN, None), GREEN, LEAST_DAYS, NOW) is None
    assert may_go_down(Held(RED, None), GREEN, LEAST_DAYS, NOW) == AMBER


def test_somebody_without_a_grade_is_proposed_one() -> None:
    assert proposed(None) == GREEN
    assert proposed(None, seen(K.RELEASED, 3)) == AMBER


@pytest.mark.parametrize(("grade", "days"), [(RED, 7), (AMBER, 14), (GREEN, 28)])
def test_reviews_come_after_their_days_and_in_custody_after_ninety(grade: RagGrade, days: int) -> None:
    assert review_due(grade, REVIEW_DAYS, None, NOW) == NOW + days * DAY_MS
    assert review_due(grade, REVIEW_DAYS, 90, NOW) == NOW + 90 * DAY_MS
