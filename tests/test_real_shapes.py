"""Real shapes and real places: street crime in Staffordshire, each point with the area (LSOA) that the police published for it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import shapely

from geofence.shapes.arrays import Float64s
from geofence.shapes.geojson import zone_from_geojson
from geofence.shapes.margins import contained, margins_m, verdicts, verdicts_on
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet
from geofence.zones import Area, Zone

DATA = Path(__file__).parents[2] / "shared" / "data"
POINTS = DATA / "police-uk-staffordshire" / "lsoa_oracle.csv"
LSOAS = DATA / "uk-boundaries" / "lsoa_by_lad"
TOLERANCE_M = 25.0
pytestmark = pytest.mark.skipif(
    not (POINTS.exists() and LSOAS.exists()), reason="the places and areas are not here (../shared/data)"
)


class World(NamedTuple):
    members: list[Member]
    zone_set: ZoneSet
    lon: Float64s
    lat: Float64s
    published: list[str]


@pytest.fixture(scope="module")
def world() -> World:
    features = [one for file in sorted(LSOAS.glob("*.json")) for one in json.loads(file.read_text())["features"]]
    members = [Member(one["properties"]["LSOA11CD"], area(one["geometry"])) for one in features]
    with POINTS.open() as file:
        rows = list(csv.DictReader(file))
    lon, lat = (np.array([float(row[name]) for row in rows]) for name in ("longitude", "latitude"))
    return World(members, build(members), lon, lat, [row["lsoa_police"] for row in rows])


def area(geometry: dict) -> Area:
    zone = zone_from_geojson(geometry, repair=True)
    assert isinstance(zone, Area)
    return zone


def margin_on(world: World, names: Sequence[str]) -> Float64s:
    """The margin of each point on the member that is named for it."""
    margin_m = np.empty(len(names))
    named = np.array(names)
    areas = dict(world.members)
    for name in set(names):
        mine = named == name
        margin_m[mine] = margins_m(packed([areas[name]]), world.lon[mine], world.lat[mine])[:, 0]
    return margin_m


def test_a_place_is_in_the_area_that_was_published_for_it_or_within_25_m(world: World) -> None:
    assert (len(world.members), len(world.published)) == (391, 5_875)
    assert margin_on(world, world.published).min() > -TOLERANCE_M


def test_the_member_of_a_place_is_the_published_one_or_one_beside_it(world: World) -> None:
    some = range(0, len(world.lon), 10)
    named = [world.zone_set.member_at(world.lon[i], world.lat[i]) for i in some]
    other = [(i, name) for i, name in zip(some, named, strict=True) if name != world.published[i]]
    assert len(other) < 0.03 * len(named)
    margin_m = margin_on(world, world.published)
    for i, _ in other:
        assert abs(margin_m[i]) < TOLERANCE_M


def test_no_members_verdict_contradicts_that_of_the_set(world: World) -> None:
    """Who is inside a member is inside the union at least as far; who is outside the union is outside every member."""
    radius_m = np.random.default_rng(4).choice([3.0, 20.0, 200.0], len(world.lon))
    of_set = world.zone_set.verdicts(world.lon, world.lat, radius_m)
    of_member = verdicts(margin_on(world, world.published), radius_m)
    assert (of_set >= of_member).all()
    assert (of_set[of_member == 1] == 1).all()
    in_set = world.zone_set.contains(world.lon, world.lat)
    margin_m = world.zone_set.margins_m(world.lon, world.lat)
    clear = np.abs(margin_m) > 0.02
    np.testing.assert_array_equal(in_set[clear], (margin_m > 0)[clear])
    np.testing.assert_array_equal(of_set, verdicts(margin_m, radius_m))


def test_margins_on_the_set_are_those_on_the_union_that_shapely_makes(world: World) -> None:
    some = np.random.default_rng(9).choice(len(world.lon), 200, replace=False)
    lon, lat = world.lon[some], world.lat[some]
    parts = [shapely.Polygon(rings[0], rings[1:]) for member in world.members for rings in member.area.polygons]
    in_units = shapely.make_valid(shapely.transform(parts, lambda deg: np.rint(deg * 2**32 / 360)))
    drawn = shapely.transform(shapely.union_all(in_units), lambda units: units * 360 / 2**32)
    union = zone_from_geojson(shapely.geometry.mapping(drawn))
    pack = packed([union])
    expected = margins_m(pack, lon, lat)[:, 0]
    np.testing.assert_allclose(world.zone_set.margins_m(lon, lat), expected, atol=0.05)
    np.testing.assert_array_equal(verdicts_on(pack, lon, lat, np.full(200, 60.0))[:, 0], verdicts(expected, 60.0))


def test_sides_on_personal_zones_are_those_of_shapely(world: World) -> None:
    zones: list[Zone] = [member.area for member in world.members]
    first = np.arange(len(zones) + 1)
    number = {member.zone_id: i for i, member in enumerate(world.members)}
    wearer = np.array([number[name] for name in world.published], np.int32)
    own = contained(packed(zones), first, wearer, world.lon, world.lat)[:, 0] == 1
    drawn = np.array(
        [shapely.MultiPolygon([(r[0], r[1:]) for r in member.area.polygons]) for member in world.members]
    )
    assert (own != shapely.contains_xy(drawn[wearer], world.lon, world.lat)).sum() == 0
