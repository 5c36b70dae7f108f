"""Where the core loses: what led it to a false finding, and what became of the positions of one that it missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.detection.requirements import is_exclusion, margins_m
from benchmarks.detection.scores import TARGET_MS, Found, Violation, touches
from benchmarks.detection.sent import Sent
from benchmarks.detection.truth import Seen
from emtrack.emulator import World
from geofence import Mechanism, Position, Presence, Requirement
from geofence.judgement import PositionStatus, Weighed, weighed

CLOCK = "the clock of the tag is wrong"
HELD_ON = "was so before the obligation began, and nothing decisive had come since"


def why_false(world: World, sent: Sent, requirement: Requirement, found: Found, truth: Sequence[Violation]) -> str:
    """What led the core to a false finding."""
    moved = found._replace(begin_ms=found.begin_ms - sent.skew_ms, end_ms=found.end_ms - sent.skew_ms)
    if sent.skew_ms and any(touches(moved, v[:2]) for v in truth):
        return CLOCK
    opened = found.rests_on
    at_ms = np.array([fact.own_ms for fact in opened], np.int64) - sent.skew_ms
    margin_m = margins_m([requirement], *world.position(sent.plan.activation.wearer_id, at_ms))[:, 0]
    wrong = margin_m >= 0 if is_exclusion(requirement) else margin_m < 0
    erring = [fact for fact, was_so in zip(opened, wrong.tolist(), strict=True) if not was_so]
    positions = [fact for fact in erring if isinstance(fact, Position)]
    if len(positions) > 1 and all(same_circle(positions[0], other) for other in positions[1:]):
        return "one cell circle, reported twice"
    if positions:
        return f"{' and '.join(sorted({p.mechanism for p in positions}))} off by more than the radius"
    if abs(sent.skew_ms) >= TARGET_MS:
        return CLOCK
    return "not heard by the home unit, at home" if erring else HELD_ON


def why_missed(looks: Sequence[Seen], name: str, violation: Violation) -> str:
    """What became of the positions that made the violation findable: most of them."""
    fates: Counter[str] = Counter()
    if any(look.sent.plan.is_heard_by_units_only for look in looks):
        return "the home unit did not say so"
    for look in looks:
        chosen = look.findable(name, violation.begin_ms, violation.end_ms)
        if chosen.any():
            requirement = look.sent.plan.requirements[look.column(name)]
            fate_of = {
                id(w.position): _fate(w, requirement)
                for w in weighed(look.sent.plan, requirement, look.sent.facts).positions
            }
            fates.update(fate_of[id(look.positions[i])] for i in np.flatnonzero(chosen).tolist())
            if abs(look.sent.skew_ms) >= TARGET_MS:
                return CLOCK
    bad = Counter({fate: count for fate, count in fates.items() if fate != "counted"})
    if not bad:
        return "counted, and never two in a row"
    return bad.most_common(1)[0][0]


def same_circle(first: Position, second: Position) -> bool:
    """A tag that hears one mast again reports its circle again, and knows no more than before."""
    by_cells = first.mechanism is second.mechanism is Mechanism.LBS
    return by_cells and (first.lat_deg, first.lon_deg) == (second.lat_deg, second.lon_deg)


def _fate(one: Weighed, requirement: Requirement) -> str:
    if one.status is not PositionStatus.EVIDENCE:
        return f"set aside: {one.status.lower()}"
    if one.overruled:
        return "the home unit said: in range"
    if one.verdict is Presence.UNKNOWN:
        return "the reported circle touches the boundary"
    right = Presence.INSIDE if is_exclusion(requirement) else Presence.OUTSIDE
    return "counted" if one.verdict is right else "the reported circle lies on the other side"
