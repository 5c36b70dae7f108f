"""From findings to alerts: which become one, which wait, which change one that is there. Pure decisions, no SQL."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from alerts.grading import Grade, alerts_from_ms
from geofence.judgement.findings import Finding
from geofence.words import Kind

RECHECK_MS = 60_000
"""A message that waits for a silent activation to speak again is looked at so often."""


class Step(StrEnum):
    RAISE = "raise"
    WAIT = "wait"
    NONE = "none"


class Decision(msgspec.Struct, frozen=True):
    """`due_ms`: when to look again, for WAIT."""

    step: Step
    due_ms: int = 0


def decide(finding: Finding, grade: Grade, *, is_silent: bool, now_ms: int) -> Decision:
    """What to do about a finding that is no occurrence of an alert yet. `is_silent`: NO_COMMUNICATION of the same
    activation lasts; then nobody is told that presence is not known, because they are told why."""
    due_ms = alerts_from_ms(finding, grade)
    if due_ms is None:
        return Decision(Step.NONE)
    if due_ms > now_ms:
        return Decision(Step.WAIT, due_ms)
    if finding.kind is Kind.UNVERIFIED and is_silent:
        return Decision(Step.WAIT, now_ms + RECHECK_MS)
    return Decision(Step.RAISE)
