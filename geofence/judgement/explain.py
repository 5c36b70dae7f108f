"""Why positions count as they do: for people who look at a finding, beside the judgement and by the same rules.

The judgement keeps no margins: they follow from the facts and the zone, and are worked out again when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from geofence.facts import Fact, Position
from geofence.judgement.evidence import PositionStatus, Track, position_statuses
from geofence.judgement.places import NO_SETS, Places
from geofence.judgement.sightings import concerns, in_range_after, overrules, verdict_of_sighting
from geofence.obligations import Requirement
from geofence.shapes.margins import verdicts
from geofence.shapes.zone_sets import ZoneSet
from geofence.words import Presence


class Weighed(NamedTuple):
    """A position on one requirement. `margin_m`: signed, positive inside, to the zone as wide as it is judged (`widen_m`).
    `overruled`: the home unit saw the device, so that the verdict was recorded and not used."""

    position: Position
    status: PositionStatus
    margin_m: float
    verdict: Presence
    overruled: bool


def weighed(
    requirement: Requirement, facts: Sequence[Fact], max_gap_ms: int, sets: Mapping[str, ZoneSet] = NO_SETS
) -> list[Weighed]:
    """Each position with what it says of the requirement. `facts`: in the order of evidence, each content once, from
    the activation's start or from well before the positions that are asked for (a jump is one from the last evidence).
    `sets`: the zone sets by content; raises UnknownSet if the requirement's is not among them."""
    stood = list(position_statuses(Track(), [fact for fact in facts if isinstance(fact, Position)]))
    lon_deg = [position.lon_deg for position, _, _ in stood]
    lat_deg = [position.lat_deg for position, _, _ in stood]
    margin_m = Places([requirement], sets).margins_m(lon_deg, lat_deg)[:, 0] + requirement.widen_m
    verdict = verdicts(margin_m, np.array([position.radius_m for position, _, _ in stood], np.float64))
    overruled = _overruled(requirement, facts, max_gap_ms)
    return [
        Weighed(position, status, float(margin_m[row]), Presence(int(verdict[row])), id(position) in overruled)
        for row, (position, status, _) in enumerate(stood)
    ]


def _overruled(requirement: Requirement, facts: Sequence[Fact], max_gap_ms: int) -> set[int]:
    """The positions (by identity) that came while the latest sighting said "in range" and was younger than the gap."""
    found = set()
    in_range_ms: int | None = None
    sighted_ms: int | None = None
    for fact in facts:
        if isinstance(fact, Position):
            if overrules(in_range_ms, fact.fix_ms, max_gap_ms):
                found.add(id(fact))
        elif concerns(fact, requirement):
            in_range_ms = in_range_after(in_range_ms, sighted_ms, fact)
            sighted_ms = sighted_ms if verdict_of_sighting(fact, requirement) is Presence.UNKNOWN else fact.event_ms
    return found
