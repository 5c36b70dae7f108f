"""What is allowed in orders and is probably not meant: said to who enters it, beside what is wrong.

A caution never says where anybody lives: who enters a zone need not know the person's home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely

from emtrack.forms.wall_time import wall_clock
from geofence import (
    Activation,
    Area,
    Disc,
    ObligationKind,
    Requirement,
    SetZone,
    TimetableRow,
    Zone,
    datetime_of,
)
from geofence.shapes import geodesic_m

FAR_M = 200_000
LEAST_INSIDE_M = 5.0
"""A position of a good tag is good to so much: where no place is so deep in a zone, nobody is ever inside."""
LONGEST_DAY_MIN, LONGEST_WEEK_MIN = 20 * 60, 112 * 60
"""A curfew in law: at most so long a day, and in seven days."""
LONG_AGO_MS = 2 * 365 * 86_400_000
DAY_MIN, WEEK_MIN = 24 * 60, 7 * 24 * 60
LonLatDeg = tuple[float, float]


MOST_SEARCHED = 1_000
"""Corners of a boundary in which a place inside is looked for."""


class Caution(NamedTuple):
    """`about`: what of the orders it is about; `what`: for a person."""

    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.about}: {self.what}"


class Person(NamedTuple):
    """Everything that is entered for one wearer."""

    wearer_id: str
    requirements: Sequence[Requirement]
    activations: Sequence[Activation]


def cautions(person: Person, entered: Callable[[Requirement], bool], now_ms: int) -> Iterator[Caution]:
    """About the requirements and activations of a person that are being entered."""
    for requirement in filter(entered, person.requirements):
        about = f"requirement {requirement.requirement_id!r} of wearer {person.wearer_id!r}"
        for check in (_far_away, _nowhere_inside, _without_a_tag):
            yield from (Caution(about, what) for what in check(requirement, person))
        if requirement.kind is ObligationKind.CURFEW:
            yield from (Caution(about, what) for what in _hours(requirement.timetable))
        yield from (Caution(about, what) for what in _gaps_of_a_minute(requirement.timetable or ()))
    for activation in person.activations:
        if activation.entered_ms == now_ms and now_ms - activation.from_ms > LONG_AGO_MS:
            yield Caution(
                f"activation {activation.activation_id!r}",
                f"it begins {datetime_of(activation.from_ms):%Y-%m-%d}, years before it is entered; check the year",
            )


# ---------------------------------------------------------------------------------------------- places


def _far_away(requirement: Requirement, person: Person) -> Iterator[str]:
    """Of two zones that are far from each other, and would not be with the coordinates of either exchanged, it is the later."""
    place = _place_of(requirement.zone)
    earlier, later = _others(requirement, person)
    others = [*earlier, *later]
    if place is None or not others or _least_m(place, others) <= FAR_M:
        return
    if _is_exchanged(place, earlier):
        yield "its zone is more than 200 km from all others of this person; latitude and longitude may be exchanged"
    elif not any(_is_exchanged(other, [place]) for other in others):
        yield "its zone is more than 200 km from all others of this person; check where it lies"


def _others(requirement: Requirement, person: Person) -> tuple[list[LonLatDeg], list[LonLatDeg]]:
    """The places of the person's other requirements: of those before it, and of those after it."""
    found: tuple[list[LonLatDeg], list[LonLatDeg]] = ([], [])
    is_later = False
    for other in person.requirements:
        if other.requirement_id == requirement.requirement_id:
            is_later = True
        elif (place := _place_of(other.zone)) is not None:
            found[is_later].append(place)
    return found


def _is_exchanged(place: LonLatDeg, others: Sequence[LonLatDeg]) -> bool:
    return bool(others) and abs(place[0]) <= 90 and _least_m((place[1], place[0]), others) <= FAR_M


def _place_of(zone: Zone) -> LonLatDeg | None:
    """A point of the zone; None for a shared set, which may lie all over a country."""
    if isinstance(zone, SetZone):
        return None
    return zone.centre if isinstance(zone, Disc) else zone.polygons[0][0][0]


def _least_m(place: LonLatDeg, others: Sequence[LonLatDeg]) -> float:
    return min(geodesic_m(*place, *other) for other in others)


def _nowhere_inside(requirement: Requirement, _person: Person) -> Iterator[str]:
    if not isinstance(requirement.zone, SetZone) and not can_be_inside(requirement.zone, requirement.widen_m):
        yield "no place in its zone is 5 m from the edge: nobody can ever be found inside"


def can_be_inside(zone: Area | Disc, widen_m: float = 0.0) -> bool:
    """Whether any place lies deep enough in a zone for a position to be INSIDE."""
    needed_m = LEAST_INSIDE_M - widen_m
    if needed_m <= 0:
        return True
    if isinstance(zone, Disc):
        return zone.radius_m >= needed_m
    return any(_is_deep(_in_metres(polygon), needed_m) for polygon in zone.polygons)


def _is_deep(polygon: shapely.Polygon, needed_m: float) -> bool:
    """Whether a place in it is so far from its edge. One that shows it is soon found in nearly all; to look for one everywhere takes
    seconds of a boundary of ten thousand corners, and of so many nothing is said."""
    if polygon.representative_point().distance(polygon.boundary) >= needed_m:
        return True
    return len(polygon.exterior.coords) > MOST_SEARCHED or not polygon.buffer(-needed_m).is_empty


def _in_metres(rings: Sequence[Sequence[LonLatDeg]]) -> shapely.Polygon:
    """A polygon on a flat map round its first corner: good to a few parts in a thousand where it is small, and where it is large
    nothing hangs on it."""
    lon_deg, lat_deg = rings[0][0]
    scale = np.array([111_320.0 * np.cos(np.radians(lat_deg)), 111_320.0])
    first, *holes = [(np.asarray(ring) - (lon_deg, lat_deg)) * scale for ring in rings]
    return shapely.Polygon(first, holes)


# ---------------------------------------------------------------------------------------------- people and times


def _without_a_tag(requirement: Requirement, person: Person) -> Iterator[str]:
    if not any(a.from_ms < requirement.to_ms and requirement.from_ms < a.to_ms for a in person.activations):
        yield "nobody with this id wears a tag while it is valid: it is not monitored"


def _hours(timetable: Sequence[TimetableRow] | None) -> Iterator[str]:
    """Longer than a court can order. By the clock on the wall."""
    covered = np.zeros(WEEK_MIN, np.bool_)
    if timetable is None:
        covered[:] = True
    for row in timetable or ():
        begin, end = _minutes_of(row)
        covered[np.arange(begin, end) % WEEK_MIN] = True
    longest_min = int(covered.reshape(7, DAY_MIN).sum(axis=1).max())
    if longest_min > LONGEST_DAY_MIN:
        yield f"it lasts {longest_min / 60:.3g} h of a day; a court can order at most 20"
    if covered.sum() > LONGEST_WEEK_MIN:
        yield f"it lasts {covered.sum() / 60:.4g} h in seven days; a court can order at most 112"


def _gaps_of_a_minute(timetable: Sequence[TimetableRow]) -> Iterator[str]:
    rows = sorted(_minutes_of(row) for row in timetable)
    again = [(begin + WEEK_MIN, end + WEEK_MIN) for begin, end in rows[:1]]
    for (_, end), (begin, _) in pairwise([*rows, *again]):
        if begin - end == 1:
            yield f"there is a gap of a minute at {wall_clock(end)}; to go on until then write {wall_clock(begin)}"
            return


def _minutes_of(row: TimetableRow) -> tuple[int, int]:
    """Begin and end, in minutes of the week; the end may lie in the next."""
    begin = row.day * DAY_MIN + row.start_min
    return begin, begin + row.length_min
