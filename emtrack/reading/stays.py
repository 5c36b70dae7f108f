"""Where somebody stayed in the time of a view: stops, the places that they are visits of, and what those are to the person's
orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from emtrack.reading.casefile import WeighedFix, history_of
from emtrack.record.plans import load_assignments
from geofence import Area, Disc, Requirement
from geofence.dwelling import STOP_RULES, Place, Stop, places_of, stops_of
from geofence.judgement import PositionStatus
from geofence.shapes import margins_m, packed

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.reading.history import View


class Stays(NamedTuple):
    """`place_of`: by stop the number of its place. `at`: by place the requirements in or at whose zones it lies."""

    stops: list[Stop]
    places: list[Place]
    place_of: list[int]
    at: list[list[Requirement]]


async def stays_in_view(connection: Connection, view: View, known_ms: int, gap_ms: int) -> Stays:
    """As known at an instant. After the look."""
    seen = await history_of(connection, view, known_ms)
    assignments = await load_assignments(connection, known_ms, [view.wearer_no])
    held = {r.entry_id: r for a in assignments.values() for r in a.plan.requirements}
    return stays_of(seen, list(held.values()), gap_ms)


def stays_of(seen: Sequence[WeighedFix], requirements: Sequence[Requirement], gap_ms: int) -> Stays:
    evidence = [one.fix.position for one in seen if one.status is PositionStatus.EVIDENCE]
    stops = stops_of(evidence, STOP_RULES._replace(gap_ms=gap_ms))
    places = places_of(stops)
    place_of = [0] * len(stops)
    for number, place in enumerate(places):
        for stop in place.stops:
            place_of[stop] = number
    return Stays(stops, places, place_of, _at_zones(places, stops, requirements))


def _at_zones(
    places: Sequence[Place], stops: Sequence[Stop], requirements: Sequence[Requirement]
) -> list[list[Requirement]]:
    """Of zones that were in force during one of the visits. Of a stay in an area nothing is said: it may lie anywhere in it."""
    zones = [(r, r.zone) for r in requirements if isinstance(r.zone, Area | Disc)]
    if not zones or not places:
        return [[] for _ in places]
    margins = margins_m(packed([zone for _, zone in zones]), [p.lon_deg for p in places], [p.lat_deg for p in places])
    found: list[list[Requirement]] = []
    for place, of_zones in zip(places, margins.tolist(), strict=True):
        visits = [stops[number] for number in place.stops if stops[number].exact]
        found.append(
            [
                requirement
                for (requirement, _), margin_m in zip(zones, of_zones, strict=True)
                if margin_m >= -STOP_RULES.reach_m
                and any(v.begin_ms < requirement.to_ms and v.end_ms > requirement.from_ms for v in visits)
            ]
        )
    return found
