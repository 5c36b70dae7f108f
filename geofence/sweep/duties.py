"""What is asked of very many wearers at once, as the arrays that a sweep reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geofence.judgement.timetable import Schedule
from geofence.obligations import Plan, Requirement
from geofence.shapes.arrays import Int64s
from geofence.shapes.kernels_sweep import WHOEVER_SAW, Rules
from geofence.shapes.kernels_zones import PackedZones
from geofence.shapes.packing import packed
from geofence.sweep.violations import KINDS
from geofence.words import ObligationKind, Presence
from geofence.zones import SetZone

MOST_ZONES = 64
"""Of one wearer: a bit of a word for each."""


class Duties(NamedTuple):
    """What is asked of the zones of all wearers. first: int64 (wearers + 1,), the first zone of each."""

    zones: PackedZones
    first: Int64s
    rules: Rules


def requirements_of(plan: Plan) -> list[Requirement]:
    """Those of a plan that a sweep judges."""
    return [requirement for requirement in plan.judged if requirement.kind in KINDS]


def _conditions(requirement: Requirement) -> tuple[int, int, int, int]:
    """A row of the rules."""
    confirm = requirement.confirm_points, requirement.confirm_ms
    if requirement.kind is ObligationKind.EXCLUSION:
        return (Presence.INSIDE, *confirm, WHOEVER_SAW)
    return (Presence.OUTSIDE, *confirm, requirement.seen_within_ms)


def duties_of(plans: Sequence[Plan], now_ms: int) -> Duties:
    """The duties of plans, one wearer each, up to *now*. Raises ValueError for what a sweep does not know: shared sets, more
    than 64 zones of one wearer, or plans with different settings."""
    requirements = [requirement for plan in plans for requirement in requirements_of(plan)]
    zones = [requirement.zone for requirement in requirements if not isinstance(requirement.zone, SetZone)]
    if len(zones) < len(requirements):
        raise ValueError("a sweep knows no shared zone sets; leave requirements on them out")
    if any(len(requirements_of(plan)) > MOST_ZONES for plan in plans):
        raise ValueError(f"a sweep knows at most {MOST_ZONES} zones of one wearer")
    gaps_ms = {plan.settings.max_gap_ms for plan in plans}
    if len(gaps_ms) != 1:
        raise ValueError("the plans of one sweep have one max_gap")
    periods = [
        Schedule(plan, r).periods(plan.activation.from_ms, now_ms) for plan in plans for r in requirements_of(plan)
    ]
    due = [[period for period in some if period.begin_ms <= now_ms] for some in periods]
    conditions = [_conditions(requirement) for requirement in requirements]
    rules = Rules(
        np.array(conditions, np.int64).reshape(-1, 4),
        np.array([period for some in due for period in some], np.int64).reshape(-1, 2),
        np.cumsum([0, *map(len, due)], dtype=np.int64),
        gaps_ms.pop(),
    )
    first = np.cumsum([0, *(len(requirements_of(plan)) for plan in plans)], dtype=np.int64)
    return Duties(packed(zones, [requirement.widen_m for requirement in requirements]), first, rules)
