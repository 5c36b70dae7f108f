"""What a finding is worth to the people who watch: code, severity, and when it becomes an alert (RULES.md section 8).

Pure: a finding and what stood round it, in; a grade, out. The table below is the table of RULES.md.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from geofence import CurfewReason, EventType, Kind
from geofence.judgement import Finding

UNVERIFIED_DELAY_MS = 2 * 3_600_000


class Severity(IntEnum):
    """In the order of the queue: the smallest first."""

    CRITICAL = 1
    SERIOUS = 2
    WARNING = 3
    MESSAGE = 4


class AlertGrade(msgspec.Struct, frozen=True):
    """`code`: the word of UK centres, where there is one. `after_ms`: how old the finding must be to be an alert."""

    code: str | None
    severity: Severity
    after_ms: int = 0


_CURFEW_CODES = {
    CurfewReason.OUT_AT_START: "AL08",
    CurfewReason.RETURNED_LATE: "AL09",
    CurfewReason.LEFT_DURING: "AL10",
    CurfewReason.OUT_AT_END: "AL11",
    CurfewReason.OUT_ENTIRE_PERIOD: "AL12",
}
_OF_KIND = {
    Kind.EXCLUSION: AlertGrade(None, Severity.CRITICAL),
    Kind.INCLUSION: AlertGrade(None, Severity.SERIOUS),
    Kind.ATTENDANCE: AlertGrade(None, Severity.SERIOUS),
    Kind.ALCOHOL: AlertGrade(None, Severity.SERIOUS),
    Kind.JAMMING: AlertGrade(None, Severity.SERIOUS),
    Kind.APPROACH: AlertGrade(None, Severity.WARNING),
    Kind.UNVERIFIED: AlertGrade(None, Severity.MESSAGE, UNVERIFIED_DELAY_MS),
}
_OF_EVENT = {
    EventType.STRAP_TAMPER: AlertGrade(None, Severity.CRITICAL),
    EventType.CASE_TAMPER: AlertGrade(None, Severity.SERIOUS),
    EventType.BATTERY_CRITICAL: AlertGrade(None, Severity.WARNING),
    EventType.BATTERY_LOW: AlertGrade("AL21", Severity.MESSAGE),
}
_HMU_CODES = {EventType.HMU_POWER_LOST: "AL04", EventType.HMU_MOVED: "AL05"}


def grade_of(finding: Finding, *, is_graver: bool) -> AlertGrade:
    """The grade of a finding. `is_graver`: of a home unit's trouble, whether it began in an obligation period; of a silence, whether
    it did so, or lasts into one, of a curfew or an inclusion, or began near an exclusion zone. Raises KeyError for a reason that
    is not known."""
    if finding.kind is Kind.CURFEW:
        reason = CurfewReason(finding.reason or "")
        return AlertGrade(_CURFEW_CODES.get(reason), Severity.SERIOUS)
    if finding.kind is Kind.HMU:
        return AlertGrade(_HMU_CODES[EventType(finding.reason or "")], _serious_if(is_graver))
    if finding.kind is Kind.NO_COMMUNICATION:
        return AlertGrade(None, _serious_if(is_graver))
    if finding.kind in (Kind.TAMPER, Kind.BATTERY):
        return _OF_EVENT[EventType(finding.reason or "")]
    return _OF_KIND[finding.kind]


def _serious_if(is_graver: bool) -> Severity:
    return Severity.SERIOUS if is_graver else Severity.WARNING


def alerts_from_ms(finding: Finding, grade: AlertGrade) -> int | None:
    """The instant from which the finding is an alert; None if it is none as it stands (it may be amended)."""
    if finding.within_grace:
        return None
    due_ms = finding.begin_ms + grade.after_ms
    if finding.end_ms is not None and finding.end_ms < due_ms:
        return None
    return due_ms
