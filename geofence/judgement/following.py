"""What a presence is fed with, one fact after the other: the rules of one requirement, in one place for the judgement and for those
who ask why a fact counted as it did."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from geofence.facts import DeviceEvent, Position
from geofence.judgement.presence import (
    Circle,
    Confirmation,
    Tracker,
    Verdict,
    carry,
    cut_holds,
    feed,
    is_used,
    no_zone,
)
from geofence.judgement.sightings import concerns, is_trouble, sighted, verdict_of_sighting
from geofence.judgement.starts import SeenAtStart, note_starts
from geofence.judgement.timetable import Schedule
from geofence.obligations import Plan, Requirement
from geofence.words import Mechanism, ObligationKind, Presence

_SEEN_AT_START = frozenset({ObligationKind.CURFEW, ObligationKind.INCLUSION})
_CIRCLES_ONCE = _SEEN_AT_START | {ObligationKind.ATTENDANCE}


class Following(NamedTuple):
    """How facts are followed for one requirement. `rf_gap_ms`: how long a sighting at an instant speaks. `starts`: None where a
    presence counts from the start of a period whoever saw it."""

    requirement: Requirement
    confirmation: Confirmation
    max_gap_ms: int
    rf_gap_ms: Callable[[int], int]
    starts: SeenAtStart | None


def following_of(plan: Plan, requirement: Requirement, schedule: Schedule) -> Following:
    """The rules of a requirement of a plan. schedule: of that requirement."""
    following = unscheduled(plan, requirement)
    if requirement.kind not in _SEEN_AT_START:
        return following
    return following._replace(starts=SeenAtStart(requirement.seen_within_ms, schedule.starts_between))


def unscheduled(plan: Plan, requirement: Requirement) -> Following:
    """The same for presence alone, whatever obliges when."""
    confirmation = Confirmation(requirement.confirm_points, requirement.confirm_ms)
    rf_gap_ms = partial(plan.rf_gap_ms, requirement)
    return Following(requirement, confirmation, plan.settings.max_gap_ms, rf_gap_ms, None)


def follow_position(
    tracker: Tracker,
    following: Following,
    position: Position,
    value: int,
    zone_id_of: Callable[[], str | None] = no_zone,
) -> bool:
    """A position with its decisive verdict. True if findings can differ: a segment began or ended, or a start was settled."""
    at_ms = position.fix_ms
    if _only_carries(tracker, following, at_ms, value):
        carry(tracker, at_ms, position.fact_id, at_ms + following.max_gap_ms)
        return False
    if tracker.unit.overrules(at_ms) or not is_used(tracker, at_ms):
        return False
    circle = circle_of(following.requirement, position, value)
    verdict = Verdict(value, at_ms, at_ms + following.max_gap_ms, position, False, circle, zone_id_of)
    settled = _settle_starts(tracker, following, verdict)
    tracker.unit = tracker.unit.after_position(value)
    return feed(tracker, verdict, following.confirmation) or settled


def _only_carries(tracker: Tracker, following: Following, at_ms: int, value: int) -> bool:
    """Whether a verdict says what presence and its run say, follows one of a position within its hold, and no start of a period can
    rest on it: nearly every verdict is such a one."""
    return (
        tracker.run.value == value
        and tracker.last_ms == tracker.position_ms
        and tracker.position_ms < at_ms <= tracker.last_holds_to_ms
        and at_ms >= tracker.unit.overrules_to_ms
        and tracker.value == value
        and (following.starts is None or value != Presence.OUTSIDE)
    )


def can_carry(tracker: Tracker, position: Position, value: int) -> bool:
    """Whether more verdicts of a value, after that of a position, only carry presence on."""
    return tracker.value == tracker.run.value == value and tracker.last_ms == tracker.position_ms == position.fix_ms


def carry_on(tracker: Tracker, following: Following, position: Position, value: int) -> None:
    """The last of some positions that only carry presence on, with no start of a period among them."""
    carry(tracker, position.fix_ms, position.fact_id, position.fix_ms + following.max_gap_ms)
    if following.starts is not None and value == Presence.OUTSIDE:
        tracker.last_out_ms = position.fix_ms


def circle_of(requirement: Requirement, position: Position, value: int) -> Circle | None:
    """The cell circle of a verdict that says nothing new against a person when it is repeated; None for any other."""
    if position.mechanism is not Mechanism.LBS or value != Presence.OUTSIDE or requirement.kind not in _CIRCLES_ONCE:
        return None
    return position.lat_deg, position.lon_deg


def follow_event(tracker: Tracker, following: Following, event: DeviceEvent) -> bool:
    """An event that may be a sighting, repeat one, or say that the unit is in trouble. True as of a position."""
    at_ms = event.event_ms
    if is_trouble(event) and concerns(event, following.requirement):
        tracker.unit = tracker.unit.after_trouble(at_ms + following.max_gap_ms)
        return cut_holds(tracker, at_ms + following.max_gap_ms)
    value = int(verdict_of_sighting(event, following.requirement, tracker.unit))
    if value == Presence.UNKNOWN or not is_used(tracker, at_ms):
        return False
    gap_ms = following.rf_gap_ms(at_ms)
    verdict = Verdict(value, at_ms, at_ms + gap_ms, event, is_sighting=True)
    settled = _settle_starts(tracker, following, verdict)
    tracker.unit = sighted(value, at_ms, gap_ms, following.max_gap_ms)
    return feed(tracker, verdict, following.confirmation) or settled


def _settle_starts(tracker: Tracker, following: Following, verdict: Verdict) -> bool:
    return following.starts is not None and note_starts(tracker, following.starts, verdict)
