"""Places: stops that may be visits of one and the same place, taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from geofence.dwelling.stops import M_PER_DEG, STOP_RULES, Certainty, Stop, StopRules


class Place(NamedTuple):
    """Where somebody stayed, once or more often. `stops`: numbers of the visits among all stops; the middle and radius are those
    of the longest exact one."""

    lon_deg: float
    lat_deg: float
    radius_m: float
    stops: list[int]
    dwell_ms: int
    certainty: Certainty


def places_of(stops: Sequence[Stop], rules: StopRules = STOP_RULES) -> list[Place]:
    """The place where most time was spent first. Exact stops whose middles lie within the reach of a place of each other are one
    place. A stay in an area is a place of its own: it may have been at any of those that lie in it."""
    order = sorted(range(len(stops)), key=lambda n: (stops[n].exact == 0, -stops[n].dwell_ms, stops[n].begin_ms))
    groups: list[list[int]] = []
    for number in order:
        stop = stops[number]
        home = next((group for group in groups if _is_one(stops[group[0]], stop, rules)), None)
        if home is None:
            groups.append([number])
        else:
            home.append(number)
    places = [_place(stops, group) for group in groups]
    return sorted(places, key=lambda place: (-place.dwell_ms, place.stops[0]))


def _is_one(first: Stop, stop: Stop, rules: StopRules) -> bool:
    """Two stays in areas are one place where they cannot be told apart."""
    if (first.exact == 0) != (stop.exact == 0):
        return False
    reach_m = rules.reach_m if stop.exact else max(first.radius_m, stop.radius_m) / 2
    return _distance_m(first, stop) <= reach_m


def _distance_m(one: Stop, other: Stop) -> float:
    east_m = M_PER_DEG * math.cos(math.radians(one.lat_deg))
    return math.hypot((one.lon_deg - other.lon_deg) * east_m, (one.lat_deg - other.lat_deg) * M_PER_DEG)


def _place(stops: Sequence[Stop], group: Sequence[int]) -> Place:
    first = stops[group[0]]
    ranks = list(Certainty)
    best = min((stops[n].certainty for n in group), key=ranks.index)
    return Place(
        first.lon_deg, first.lat_deg, first.radius_m, sorted(group), sum(stops[n].dwell_ms for n in group), best
    )
