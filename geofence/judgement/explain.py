"""Why facts count as they do: for people who look at a finding, beside the judgement and by the same rules.

The judgement keeps no margins: they follow from the facts and the zone, and are worked out again when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.evidence import PositionStatus, Track, position_statuses
from geofence.judgement.following import Following, circle_of, follow_event, follow_position, unscheduled
from geofence.judgement.places import NO_SETS, Places
from geofence.judgement.presence import Tracker
from geofence.judgement.sightings import verdict_of_sighting
from geofence.obligations import Plan, Requirement
from geofence.shapes.margins import verdicts
from geofence.shapes.zone_sets import ZoneSet
from geofence.words import Presence


class Weighed(NamedTuple):
    """A position on one requirement. `margin_m`: signed, positive inside, to the zone as wide as it is judged (`widen_m`).
    `overruled`: the home unit saw the device, so that the verdict was recorded and not used. `is_repeat`: a cell circle that had been
    counted already, and confirms nothing again."""

    position: Position
    status: PositionStatus
    margin_m: float
    verdict: Presence
    overruled: bool
    is_repeat: bool = False


class Sighting(NamedTuple):
    """An event of a home unit with what it says on the requirement, be it a heartbeat that repeats the last sighting."""

    event: DeviceEvent
    verdict: Presence


class Weights(NamedTuple):
    """What the facts say on one requirement, in the order of evidence."""

    positions: list[Weighed]
    sightings: list[Sighting]


def weighed(
    plan: Plan, requirement: Requirement, facts: Sequence[Fact], sets: Mapping[str, ZoneSet] = NO_SETS
) -> Weights:
    """Each fact with what it says of the requirement. `plan`: of the activation, for how long units speak. `facts`: in the order of
    evidence, each content once, from the activation's start or from well before those that are asked for (a jump is one from the last
    evidence). `sets`: the zone sets by content; raises UnknownSet if the requirement's is not among them."""
    statuses = list(position_statuses(Track(), [fact for fact in facts if isinstance(fact, Position)]))
    lon_deg = [position.lon_deg for position, _, _ in statuses]
    lat_deg = [position.lat_deg for position, _, _ in statuses]
    margin_m = Places([requirement], sets).margins_m(lon_deg, lat_deg)[:, 0] + requirement.widen_m
    verdict = verdicts(margin_m, np.array([position.radius_m for position, _, _ in statuses], np.float64))
    by_position = {
        id(position): Weighed(position, status, float(margin_m[row]), Presence(int(verdict[row])), overruled=False)
        for row, (position, status, _) in enumerate(statuses)
    }
    return _used(unscheduled(plan, requirement), facts, by_position)


def _used(following: Following, facts: Sequence[Fact], by_position: Mapping[int, Weighed]) -> Weights:
    """The weights, with what happens to each when the facts are followed."""
    tracker = Tracker()
    found = Weights([], [])
    for fact in facts:
        if isinstance(fact, DeviceEvent):
            verdict = verdict_of_sighting(fact, following.requirement, tracker.unit)
            follow_event(tracker, following, fact)
            if verdict is not Presence.UNKNOWN:
                found.sightings.append(Sighting(fact, verdict))
        else:
            found.positions.append(_followed(tracker, following, by_position[id(fact)]))
    return found


def _followed(tracker: Tracker, following: Following, weight: Weighed) -> Weighed:
    position, value = weight.position, int(weight.verdict)
    overruled = tracker.unit.overrules(position.fix_ms)
    circles = list(tracker.run.circles)
    if weight.status is not PositionStatus.EVIDENCE or weight.verdict is Presence.UNKNOWN:
        return weight._replace(overruled=overruled)
    follow_position(tracker, following, position, value)
    same_run = tracker.run.circles[: len(circles)] == circles
    is_repeat = same_run and not overruled and circle_of(following.requirement, position, value) in circles
    return weight._replace(overruled=overruled, is_repeat=is_repeat)
