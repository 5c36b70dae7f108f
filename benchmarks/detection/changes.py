"""The changes of rules, defaults and radii whose figures are published."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from benchmarks.detection.methods import Way, core
from benchmarks.detection.rules import Rule, both_cells, same_circle
from benchmarks.detection.scores import MINUTE_MS
from benchmarks.detection.sent import Sent
from geofence import Fact, Mechanism, Position


def _requiring(sent: Sent, **changes: int) -> Sent:
    requirements = tuple(msgspec.structs.replace(r, **changes) for r in sent.plan.requirements)
    return Sent(msgspec.structs.replace(sent.plan, requirements=requirements), sent.facts, sent.skew_ms)


def _wider(sent: Sent, mechanisms: Iterable[Mechanism]) -> Sent:
    """Radii of some mechanisms half as large again."""
    facts: list[Fact] = [
        msgspec.structs.replace(f, precision_m=1.5 * f.radius_m)
        if isinstance(f, Position) and f.mechanism in mechanisms
        else f
        for f in sent.facts
    ]
    return Sent(sent.plan, facts, sent.skew_ms)


FRESH_MS = 2 * MINUTE_MS

CHANGES: dict[str, Way] = {
    "as it is": core,
    "`confirm_points` 3": lambda sent, now_ms: core(_requiring(sent, confirm_points=3), now_ms),
    "`confirm_seconds` 60": lambda sent, now_ms: core(_requiring(sent, confirm_ms=MINUTE_MS), now_ms),
    "LBS radius × 1.5": lambda sent, now_ms: core(_wider(sent, [Mechanism.LBS]), now_ms),
    "every radius × 1.5": lambda sent, now_ms: core(_wider(sent, Mechanism), now_ms),
    "A: a cell circle that is repeated confirms nothing": Rule(echo=same_circle).findings,
    "B: a cell position does not confirm another": Rule(echo=both_cells).findings,
    "C: at the start of an obligation, presence of at most 2 min ago": Rule(fresh_ms=FRESH_MS).findings,
    "C with 5 min": Rule(fresh_ms=300_000).findings,
    "D: a finding lasts until the last verdict that says so": Rule(until="the last verdict").findings,
    "A and C": Rule(echo=same_circle, fresh_ms=FRESH_MS).findings,
    "A and D": Rule(echo=same_circle, until="the last verdict").findings,
}
