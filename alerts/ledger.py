"""The ledger of accumulated time violations (ATV), as lines: what a finding adds, and what changes when it is amended. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from geofence.judgement.findings import Finding

ATV = "ATV"
"""The kind of its alert; it is no kind of finding (RULES.md section 8)."""


class What(StrEnum):
    COUNTED = "counted"
    REVERSED = "reversed"
    EXCUSED = "excused"


class Line(NamedTuple):
    """`amount_ms` is added to the balance of the order; negative for what is reversed or excused."""

    what: What
    amount_ms: int


class Standing(NamedTuple):
    """What stands in the ledger for one finding: the sum of what was counted and reversed, the sum of what was excused, and
    whether it ever was: a finding that counted nothing for a while keeps its excuse."""

    counted_ms: int = 0
    excused_ms: int = 0
    is_excused: bool = False


def counts_ms(finding: Finding | None, *, counts_grace: bool) -> int:
    """How long the finding counts once it is over; 0 while it lasts, within grace (unless that counts), or withdrawn (None)."""
    if finding is None or finding.end_ms is None or (finding.within_grace and not counts_grace):
        return 0
    return finding.end_ms - finding.begin_ms


def lines_for(standing: Standing, wanted_ms: int) -> list[Line]:
    """The lines that make a finding count `wanted_ms`. What was excused stays excused, whatever its length becomes."""
    if standing.counted_ms == wanted_ms:
        return []
    lines = [Line(What.REVERSED, -standing.counted_ms), Line(What.COUNTED, wanted_ms)]
    if standing.is_excused:
        lines.append(Line(What.EXCUSED, -standing.excused_ms - wanted_ms))
    return [line for line in lines if line.amount_ms]


def excusing(standing: Standing) -> Line | None:
    """The line that excuses a finding; None if it counts nothing any more."""
    left_ms = standing.counted_ms + standing.excused_ms
    return Line(What.EXCUSED, -left_ms) if left_ms else None
