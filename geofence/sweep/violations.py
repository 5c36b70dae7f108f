"""Violations as a sweep finds them, and the findings that they are: EXCLUSION, INCLUSION and CURFEW.

`tests/test_sweep.py` and `tests/test_sweep_files.py` hold them to those of the judgement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from geofence.judgement.findings import Finding
from geofence.obligations import Requirement
from geofence.shapes.arrays import Int64s
from geofence.words import FOREVER_MS, CurfewReason, Kind, ObligationKind, Presence

KINDS = {
    ObligationKind.EXCLUSION: Kind.EXCLUSION,
    ObligationKind.INCLUSION: Kind.INCLUSION,
    ObligationKind.CURFEW: Kind.CURFEW,
}
"""The kinds of finding that a sweep looks for."""


class Violation(NamedTuple):
    """`zone`: its number among all zones of the duties. `end_ms`: FOREVER_MS while it lasts. `period_ms`, `period_end_ms`: S and E of
    its obligation period. `before`, `after`: presence just before it and just after."""

    zone: int
    begin_ms: int
    end_ms: int
    known_ms: int
    period_ms: int
    period_end_ms: int
    before: int
    after: int


def findings_of(rows: Int64s, requirements: Sequence[Requirement], now_ms: int) -> Iterator[tuple[int, Finding]]:
    """The violations of a sweep (int64 (m, 8)) as findings at *now*, each with the number of its zone. requirements: of the zones."""
    for row in rows.tolist():
        violation = Violation(*row)
        yield violation.zone, _finding(requirements[violation.zone], violation, now_ms)


def _finding(requirement: Requirement, violation: Violation, now_ms: int) -> Finding:
    is_curfew = requirement.kind is ObligationKind.CURFEW
    return Finding(
        kind=KINDS[requirement.kind],
        begin_ms=violation.begin_ms,
        end_ms=None if violation.end_ms == FOREVER_MS else violation.end_ms,
        known_ms=violation.known_ms,
        reason=_reason(violation) if is_curfew else None,
        within_grace=is_curfew and _within_grace(violation, requirement.grace_ms, now_ms),
        requirement_id=requirement.requirement_id,
        entry_id=requirement.entry_id,
        period_ms=violation.period_ms,
    )


def _reason(violation: Violation) -> CurfewReason:
    """As `findings.py` has it (RULES.md section 5)."""
    lasts_to_end = violation.end_ms == violation.period_end_ms
    if _is_from_start(violation):
        if lasts_to_end:
            return CurfewReason.OUT_ENTIRE_PERIOD
        return CurfewReason.RETURNED_LATE if violation.after == Presence.INSIDE else CurfewReason.OUT_AT_START
    if lasts_to_end:
        return CurfewReason.OUT_AT_END
    return CurfewReason.LEFT_DURING if violation.before == Presence.INSIDE else CurfewReason.SEEN_OUT


def _is_from_start(violation: Violation) -> bool:
    """Whether the presence holds at the start of the period, wherever it counts from."""
    return violation.begin_ms == violation.period_ms or violation.before == Presence.OUTSIDE


def _within_grace(violation: Violation, grace_ms: int, now_ms: int) -> bool:
    grace_end_ms = violation.period_ms + grace_ms
    if not _is_from_start(violation):
        return False
    return now_ms < grace_end_ms if violation.end_ms == FOREVER_MS else violation.end_ms <= grace_end_ms
