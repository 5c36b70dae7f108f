"""Whether zones can be judged by, what they measure, and where they lie on each other or on somebody's home."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
import shapely.ops
from pyproj import Geod
from shapely.geometry import MultiPolygon, Polygon

from emtrack.forms.features import area_change, area_words
from emtrack.forms.orders import Orders, RequirementForm
from emtrack.forms.to_core import SetNames, set_name_of, set_names_of, zone_of
from emtrack.zones.reading import DrawnZone
from geofence import Area, Disc, ObligationKind
from geofence.shapes import Member, ZoneError, area_m2, drawn_area_m2, read_zone

LEAST_M2 = 0.5
"""Neighbours drawn along one street overlap by slivers that nobody can stand on."""
MOST_CROSSINGS = 5
_WGS84 = Geod(ellps="WGS84")


class Checked(NamedTuple):
    """One zone. `area`: as it can be judged by; None if it cannot. `trouble`: why not as it is drawn. `repair`: what a repair
    does to it. `crossings`: where its outline crosses or touches itself (longitude, latitude)."""

    zone_id: str
    area: Area | None
    area_m2: float
    vertices: int
    trouble: str | None = None
    repair: str | None = None
    crossings: tuple[tuple[float, float], ...] = ()


def bounds_words(area: Area) -> str:
    """ "from 2.1900° W 53.0200° N to 2.1700° W 53.0300° N": where a zone lies, south-west to north-east."""
    corners = np.array([corner for rings in area.polygons for corner in rings[0]])
    return f"from {_place_words(*corners.min(axis=0))} to {_place_words(*corners.max(axis=0))}"


def _place_words(lon_deg: float, lat_deg: float) -> str:
    east, north = "E" if lon_deg >= 0 else "W", "N" if lat_deg >= 0 else "S"
    return f"{abs(lon_deg):.4f}° {east} {abs(lat_deg):.4f}° {north}"


class Neighbour(NamedTuple):
    """The named zone that lies nearest to another: between their edges, 0 where they meet; as seen from the centre of the other, in
    degrees clockwise from north."""

    zone_id: str
    distance_m: float
    azimuth_deg: float


class Overlap(NamedTuple):
    """Two zones that share ground."""

    one: str
    other: str
    shared_m2: float


class Home(NamedTuple):
    """The zone of a curfew: where a wearer must be able to be."""

    wearer_id: str
    requirement_id: str
    ground: shapely.Geometry


class OnHome(NamedTuple):
    """A zone that lies on a home."""

    zone_id: str
    home: Home
    shared_m2: float


def check(zones: Sequence[DrawnZone], *, repair: bool = False) -> list[Checked]:
    """Each zone as the core would take it; with `repair`, what is invalid is mended where it can be."""
    times = Counter(zone.zone_id for zone in zones)
    return [_checked(zone, repair, times[zone.zone_id] > 1) for zone in zones]


def _checked(zone: DrawnZone, repair: bool, is_repeated: bool) -> Checked:
    geometry = zone.geometry
    if geometry is None:
        return Checked(zone.zone_id, None, 0.0, 0, zone.trouble)
    vertices, repeated = (
        sum(len(ring) - 1 for ring in _rings(geometry)),
        "its id stands twice" if is_repeated else None,
    )
    try:
        area, trouble = read_zone(geometry, repair=True)
    except ZoneError as error:
        return Checked(zone.zone_id, None, 0.0, vertices, error.what, None, _crossings(geometry))
    assert isinstance(area, Area), "polygons are areas"
    if trouble is not None:
        change = area_change(drawn_area_m2(geometry), area_m2(area))
        kept = area if repair and not is_repeated else None
        return Checked(zone.zone_id, kept, area_m2(area), vertices, trouble.what, change, _crossings(geometry))
    return Checked(zone.zone_id, None if is_repeated else area, area_m2(area), vertices, repeated)


def _rings(geometry: dict[str, Any]) -> Iterator[list[Any]]:
    """All that stands where a ring should, if it is a list with something in it."""
    coordinates = geometry["coordinates"]
    polygons = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
    for rings in polygons if isinstance(polygons, list | tuple) else []:
        for ring in rings if isinstance(rings, list | tuple) else []:
            if isinstance(ring, list | tuple) and ring:
                yield list(ring)


def _crossings(geometry: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Where at least four pieces of one ring meet, once it is cut wherever it meets itself; nowhere for what is no ring."""
    found: list[tuple[float, float]] = []
    for ring in _rings(geometry):
        try:
            pieces = shapely.get_parts(shapely.unary_union(shapely.LineString([corner[:2] for corner in ring])))
            ends = Counter(end for piece in pieces for end in (piece.coords[0], piece.coords[-1]))
        except (shapely.errors.ShapelyError, ValueError, TypeError, LookupError, ArithmeticError):
            continue
        found += (end for end, count in ends.items() if count >= 4)
    return tuple(found)


# ---------------------------------------------------------------------------------------------- one on another


def usable_members(zones: Sequence[Checked]) -> list[Member]:
    """Those that can be judged by."""
    return [Member(zone.zone_id, zone.area) for zone in zones if zone.area is not None]


def overlaps(members: Sequence[Member]) -> list[Overlap]:
    """Pairs that share ground, the largest first."""
    grounds = [_ground(member.area) for member in members]
    found = []
    for one, other in _touching(grounds, grounds):
        shared_m2 = _shared_m2(grounds[one], grounds[other]) if one < other else 0.0
        if shared_m2 >= LEAST_M2:
            found.append(Overlap(members[one].zone_id, members[other].zone_id, shared_m2))
    return sorted(found, key=lambda overlap: (-overlap.shared_m2, overlap.one, overlap.other))


def homes_of(orders: Orders) -> list[Home]:
    """The zones of all curfews of some orders. Those on sets that the orders do not hold are left out."""
    names = set_names_of(orders)
    members = {form.features.content: form.features.members for form in orders.zone_sets}
    return [
        Home(form.wearer_id, form.requirement_id, ground)
        for form in orders.requirements
        if form.kind is ObligationKind.CURFEW
        for ground in _grounds(form, names, members)
    ]


def _grounds(
    form: RequirementForm, names: SetNames, members: dict[str, Sequence[Member]]
) -> Iterator[shapely.Geometry]:
    name = set_name_of(form)
    if name is not None:
        yield from (_ground(member.area) for member in members[names.named(name).content])
        return
    zone = zone_of(form)
    if isinstance(zone, Disc):
        yield _circle(zone)
    elif isinstance(zone, Area):
        yield _ground(zone)


def on_homes(members: Sequence[Member], homes: Sequence[Home]) -> list[OnHome]:
    """Zones that lie on homes, in the order of the zones."""
    grounds = [_ground(member.area) for member in members]
    found = []
    for zone, home in _touching(grounds, [home.ground for home in homes]):
        shared_m2 = _shared_m2(grounds[zone], homes[home].ground)
        if shared_m2 >= LEAST_M2:
            found.append(OnHome(members[zone].zone_id, homes[home], shared_m2))
    return found


def _touching(ones: Sequence[shapely.Geometry], others: Sequence[shapely.Geometry]) -> list[tuple[int, int]]:
    """Which of the ones meet which of the others, in order."""
    if not ones or not others:
        return []
    pairs = shapely.STRtree(list(others)).query(list(ones), predicate="intersects")
    return sorted(zip(*pairs.tolist(), strict=True))


def _ground(area: Area) -> MultiPolygon:
    return MultiPolygon([Polygon(rings[0], rings[1:]) for rings in area.polygons])


def _circle(disc: Disc) -> Polygon:
    azimuths = np.arange(0.0, 360.0, 3.0)
    lon, lat = (np.full(len(azimuths), degrees) for degrees in disc.centre)
    east, north, _ = _WGS84.fwd(lon, lat, azimuths, np.full(len(azimuths), disc.radius_m))
    return Polygon(np.column_stack([east, north]))


def _shared_m2(one: shapely.Geometry, other: shapely.Geometry) -> float:
    shared = shapely.intersection(one, other)
    return sum(
        drawn_area_m2(shapely.geometry.mapping(part))
        for part in shapely.get_parts(shared)
        if part.geom_type in ("Polygon", "MultiPolygon")
    )


# ---------------------------------------------------------------------------------------------- one beside another


def nearest_named(
    asked: Sequence[Member], members: Sequence[Member], named: Collection[str]
) -> Iterator[Neighbour | None]:
    """Of each of some members the nearest other one that the file gave a name; None where there is none. A zone that was read in a
    wrong system has its neighbours far away, or in the wrong direction."""
    places = [member for member in members if member.zone_id in named]
    grounds = [_ground(member.area) for member in places]
    squeeze = _squeeze(grounds)
    tree = shapely.STRtree(_flat(grounds, squeeze))
    for member in asked:
        ground = _ground(member.area)
        (flat,) = _flat([ground], squeeze)
        index = _nearest(tree, flat, [place.zone_id != member.zone_id for place in places])
        yield None if index is None else _neighbour(ground, flat, places[index].zone_id, grounds[index], squeeze)


def _squeeze(grounds: Sequence[MultiPolygon]) -> float:
    """How much shorter a degree of longitude is than one of latitude, where most of the zones lie."""
    latitudes = [ground.centroid.y for ground in grounds]
    return math.cos(math.radians(statistics.median(latitudes))) if latitudes else 1.0


def _flat(grounds: Sequence[MultiPolygon], squeeze: float) -> list[shapely.Geometry]:
    """Degrees of one length in both directions: good enough to tell what is nearest."""
    return list(shapely.transform(list(grounds), lambda lonlat: lonlat * (squeeze, 1.0))) if grounds else []


def _nearest(tree: shapely.STRtree, flat: shapely.Geometry, is_another: Sequence[bool]) -> int | None:
    """One that it meets, if there is one: such a neighbour may be drawn just as it is, and the search for the nearest leaves those
    out, as it must leave out the zone itself."""
    meeting = [int(index) for index in tree.query(flat, predicate="intersects") if is_another[index]]
    if meeting:
        return min(meeting)
    others = tree.query_nearest(flat, exclusive=True, all_matches=False)
    return int(others[0]) if len(others) else None


def _neighbour(
    ground: MultiPolygon, flat: shapely.Geometry, name: str, other: MultiPolygon, squeeze: float
) -> Neighbour:
    (flat_other,) = _flat([other], squeeze)
    here, there = (point.coords[0] for point in shapely.ops.nearest_points(flat, flat_other))
    *_, distance_m = _WGS84.inv(here[0] / squeeze, here[1], there[0] / squeeze, there[1])
    centre, other_centre = ground.centroid, other.centroid
    azimuth_deg, *_ = _WGS84.inv(centre.x, centre.y, other_centre.x, other_centre.y)
    return Neighbour(name, distance_m, azimuth_deg % 360)


# ---------------------------------------------------------------------------------------------- in words


_WINDS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


def neighbour_words(neighbour: Neighbour) -> str:
    """ "'elm', 1.9 km to the east", "'elm', which it meets"."""
    if neighbour.distance_m == 0:
        return f"{neighbour.zone_id!r}, which it meets"
    distance_m = neighbour.distance_m
    distance = f"{distance_m:,.0f} m" if distance_m < 999.5 else f"{distance_m / 1000:,.1f} km"
    return f"{neighbour.zone_id!r}, {distance} to the {_WINDS[round(neighbour.azimuth_deg / 45) % 8]}"


def lines_of(zone: Checked) -> Iterator[str]:
    """What a person reads of a zone."""
    measures = f"{area_words(zone.area_m2):>14}  {zone.vertices:>7,} vertices"
    if zone.trouble is None:
        yield f"  {zone.zone_id:<24} {measures}"
        return
    yield f"✗ {zone.zone_id:<24} {zone.trouble}"
    if zone.crossings:
        shown = ", ".join(f"{lon:.6f} {lat:.6f}" for lon, lat in zone.crossings[:MOST_CROSSINGS])
        more = len(zone.crossings) - MOST_CROSSINGS
        yield f"    it meets itself at {shown}" + (f" and {more} more places" if more > 0 else "")
    if zone.repair is not None:
        yield f"    a repair gives it {zone.repair}"
