"""RULES.md section 8, the table "From finding to alert", row by row."""

from __future__ import annotations

import pytest

from alerts.grading import AlertGrade, Severity, alerts_from_ms, grade_of
from alerts.raising import Step, decide
from geofence.judgement.findings import Finding
from geofence.words import Kind

HOUR_MS = 3_600_000
CRITICAL, SERIOUS, WARNING, MESSAGE = Severity


def finding(
    kind: str, reason: str | None = None, end_ms: int | None = None, *, within_grace: bool = False
) -> Finding:
    return Finding(Kind(kind), 0, end_ms, 0, reason, within_grace)


@pytest.mark.parametrize(
    ("kind", "reason", "code", "severity"),
    [
        ("EXCLUSION", None, None, CRITICAL),
        ("TAMPER", "STRAP_TAMPER", None, CRITICAL),
        ("TAMPER", "CASE_TAMPER", None, SERIOUS),
        ("CURFEW", "OUT_AT_START", "AL08", SERIOUS),
        ("CURFEW", "RETURNED_LATE", "AL09", SERIOUS),
        ("CURFEW", "LEFT_DURING", "AL10", SERIOUS),
        ("CURFEW", "OUT_AT_END", "AL11", SERIOUS),
        ("CURFEW", "OUT_ENTIRE_PERIOD", "AL12", SERIOUS),
        ("CURFEW", "SEEN_OUT", None, SERIOUS),
        ("INCLUSION", None, None, SERIOUS),
        ("JAMMING", "JAMMING", None, SERIOUS),
        ("APPROACH", None, None, WARNING),
        ("BATTERY", "BATTERY_CRITICAL", None, WARNING),
        ("BATTERY", "BATTERY_LOW", "AL21", MESSAGE),
    ],
)
def test_8_code_and_severity_at_once(kind: str, reason: str | None, code: str | None, severity: Severity) -> None:
    for obliged in (True, False):
        assert grade_of(finding(kind, reason), is_graver=obliged) == AlertGrade(code, severity)


@pytest.mark.parametrize(
    ("kind", "reason", "code"),
    [("HMU", "HMU_POWER_LOST", "AL04"), ("HMU", "HMU_MOVED", "AL05"), ("NO_COMMUNICATION", None, None)],
)
def test_8_serious_in_an_obligation_period_else_a_warning(kind: str, reason: str | None, code: str | None) -> None:
    assert grade_of(finding(kind, reason), is_graver=True) == AlertGrade(code, SERIOUS)
    assert grade_of(finding(kind, reason), is_graver=False) == AlertGrade(code, WARNING)


def test_8_within_grace_is_recorded_and_raises_no_alert() -> None:
    grade = grade_of(finding("CURFEW", "RETURNED_LATE"), is_graver=True)
    assert alerts_from_ms(finding("CURFEW", "RETURNED_LATE", 60_000, within_grace=True), grade) is None
    assert alerts_from_ms(finding("CURFEW", "RETURNED_LATE", 60_000), grade) == 0


def test_8_unverified_is_a_message_when_two_hours_old() -> None:
    grade = grade_of(finding("UNVERIFIED"), is_graver=True)
    assert grade.severity is MESSAGE
    lasting = finding("UNVERIFIED")
    assert decide(lasting, grade, is_silent=False, now_ms=2 * HOUR_MS - 1).due_ms == 2 * HOUR_MS
    assert decide(lasting, grade, is_silent=False, now_ms=2 * HOUR_MS).step is Step.RAISE
    assert (
        decide(finding("UNVERIFIED", None, 2 * HOUR_MS - 1), grade, is_silent=False, now_ms=9 * HOUR_MS).step
        is Step.NONE
    )


def test_8_unverified_waits_while_the_activation_is_silent() -> None:
    grade = grade_of(finding("UNVERIFIED"), is_graver=True)
    decision = decide(finding("UNVERIFIED"), grade, is_silent=True, now_ms=3 * HOUR_MS)
    assert decision.step is Step.WAIT
    assert decision.due_ms > 3 * HOUR_MS


def test_every_finding_that_the_core_can_make_has_a_grade() -> None:
    reasons = {"TAMPER": "STRAP_TAMPER", "BATTERY": "BATTERY_LOW", "HMU": "HMU_MOVED", "CURFEW": "SEEN_OUT"}
    for kind in Kind:
        assert grade_of(finding(kind, reasons.get(kind)), is_graver=True).severity in Severity
