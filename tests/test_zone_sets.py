"""A zone set says what the union of its members is: of sides, of margins, of verdicts, and of whom a finding is about."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.shapes import kernels_cells as kc
from geofence.shapes import kernels_sets as ks
from geofence.shapes import zone_sets
from geofence.shapes.geojson import zone_from_geojson
from geofence.shapes.margins import contained, margins_m, verdicts, verdicts_on
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, StaleSet, ZoneSet, content_of
from geofence.zones import Area
from tests import lattice
from tests.test_geometry import WGS84, away, box, polygon, ring

BUILT_BY = [
    "kernels.py",
    "kernels_sets.py",
    "kernels_cells.py",
    "zone_sets.py",
    "set_building.py",
    "packing.py",
    "geojson.py",
]
ORDINARY = settings(max_examples=40, derandomize=True, deadline=None, print_blob=True)


def area(geometry: dict) -> Area:
    zone = zone_from_geojson(geometry)
    assert isinstance(zone, Area)
    return zone


def union_of(members: list[Member]) -> Area:
    """All members as one area, as a MultiPolygon would be read."""
    polygons = [rings for member in members for rings in member.area.polygons]
    return area({"type": "MultiPolygon", "coordinates": polygons})


def scattered(lon_deg: float, lat_deg: float, spread_m: float, seed: int, count: int) -> list[Member]:
    """Polygons of 20 m to 2 km about a place, some of which overlap, one with a hole, one of many corners."""
    rng = np.random.default_rng(seed)
    members = []
    for i in range(count):
        lon, lat = away(lon_deg, lat_deg, rng.uniform(0, 360), spread_m * rng.random())
        size_m = float(rng.choice([20.0, 150.0, 2_000.0], p=[0.4, 0.5, 0.1]))
        corners = int(rng.choice([3, 5, 12, 300], p=[0.3, 0.3, 0.35, 0.05]))
        rings = [ring(lon, lat, size_m, corners, rng.uniform(0, 90))]
        if rng.random() < 0.3:
            rings.append(ring(lon, lat, size_m / 3, 4, rng.uniform(0, 90)))
        members.append(Member(f"Z{i:03d}", area(polygon(*rings))))
    return members


def about(lon_deg: float, lat_deg: float, spread_m: float, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 1)
    distance_m = (
        spread_m * np.abs(rng.normal(size=count)) * rng.choice([0.3, 1.0, 1.0, 30.0], count, p=[0.4, 0.3, 0.28, 0.02])
    )
    lon, lat, _ = WGS84.fwd(np.full(count, lon_deg), np.full(count, lat_deg), rng.uniform(0, 360, count), distance_m)
    return lon, lat


@given(
    st.sampled_from([0.0, 53.0, -35.0, 69.0, 80.0]), st.sampled_from([-2.18, 177.0, 0.0]),
    st.sampled_from([300.0, 3_000.0, 40_000.0]), st.integers(1, 40), st.sampled_from([None, 2, 6]), st.integers(0, 9999),
)  # fmt: skip
@ORDINARY
def test_the_margin_of_a_set_is_that_of_the_union_of_its_members(lat_deg, lon_deg, spread_m, count, root_bits, seed):
    members = scattered(lon_deg, lat_deg, spread_m, seed, count)
    lon, lat = about(lon_deg, lat_deg, spread_m, seed, 100)
    union = packed([union_of(members)])
    got = build(members, root_bits=root_bits, most_met=seed % 7).margins_m(lon, lat)
    # Where members cross, a corner of the set is made of rounded ones and rounded again, and that of the oracle rounded once: three
    # times 7 mm, and more where they cross at an acute angle.
    np.testing.assert_allclose(got, margins_m(union, lon, lat)[:, 0], rtol=1e-9, atol=0.05)


@given(
    st.sampled_from([0.0, 53.0, -35.0, 80.0]), st.sampled_from([300.0, 3_000.0, 40_000.0]), st.integers(1, 40),
    st.sampled_from([0.0, 5.0, 100.0, 1_500.0]), st.integers(0, 9999),
)  # fmt: skip
@ORDINARY
def test_a_verdict_on_a_set_is_that_of_its_exact_margin(lat_deg, spread_m, count, widen_m, seed):
    zone_set = build(scattered(-2.18, lat_deg, spread_m, seed, count))
    lon, lat = about(-2.18, lat_deg, spread_m, seed, 400)
    margin_m = zone_set.margins_m(lon, lat) + widen_m
    rng = np.random.default_rng(seed)
    close_m = np.abs(margin_m) * rng.choice([1.0, 1.001, 0.999], 400) + rng.choice(
        [0.0, 1e-3, -1e-3, 0.04, -0.04], 400
    )
    radius_m = np.where(rng.random(400) < 0.5, close_m, rng.choice([3.0, 17.0, 57.0, 700.0, 1600.0, 35_000.0], 400))
    radius_m = np.maximum(radius_m, 0.001)
    np.testing.assert_array_equal(zone_set.verdicts(lon, lat, radius_m, widen_m), verdicts(margin_m, radius_m))


def sides_on_a_lattice(count: int, seed: int) -> int:
    """Compare sides with Shapely on every half step; how many places were compared."""
    world = lattice.lattice(count, seed)
    areas = [lattice.placed(shape, at) for shape, at in zip(world.polygons, world.at, strict=True)]
    zone_set = build([Member(f"{i:05d}", one) for i, one in enumerate(areas)], most_met=seed % 4)
    probes = lattice.probes()
    steps = (probes[None] + world.at[:, None]).reshape(-1, 2)
    lon, lat = lattice.degrees(steps).T
    shapes = np.repeat(world.polygons, len(probes))
    x, y = np.tile(probes, (len(areas), 1)).T
    inside = shapely.contains_xy(shapes, x, y)
    clear = inside | ~shapely.intersects_xy(shapes, x, y)
    in_set = zone_set.contains(lon, lat)
    np.testing.assert_array_equal(in_set[clear], inside[clear])
    np.testing.assert_array_equal(zone_set.margins_m(lon, lat)[clear] > 0, inside[clear])
    first = np.arange(len(areas) + 1)
    wearer = np.repeat(np.arange(len(areas), dtype=np.int32), len(probes))
    own = contained(packed(areas), first, wearer, lon, lat)[:, 0] == 1
    np.testing.assert_array_equal(own[clear], inside[clear])
    np.testing.assert_array_equal(own, in_set)  # on the boundary too: ties are broken alike
    return int(clear.sum())


@pytest.mark.parametrize(
    ("seeds", "cases"), [([0], 350_000), pytest.param([1, 2], 700_000, marks=pytest.mark.long)], ids=["some", "more"]
)
def test_sides_are_those_of_shapely_on_hundreds_of_thousands_of_degenerate_cases(seeds, cases):
    compared = sum(sides_on_a_lattice(2_000, seed) for seed in seeds)
    assert compared > cases


@pytest.mark.long
def test_sides_are_those_of_shapely_on_tens_of_millions_of_degenerate_cases():
    compared = sum(sides_on_a_lattice(3_000, 1_000 + seed) for seed in range(30))
    assert compared > 20_000_000


def test_a_place_on_the_boundary_of_a_lattice_polygon_has_margin_zero():
    world = lattice.lattice(300, 77)
    areas = [lattice.placed(shape, at) for shape, at in zip(world.polygons, world.at, strict=True)]
    zone_set = build([Member(f"{i:05d}", one) for i, one in enumerate(areas)])
    rings = [np.array(one.polygons[0][0]) for one in areas]
    middles = np.concatenate([(corner[1:] + corner[:-1]) / 2 for corner in rings])
    for places in (np.concatenate(rings), middles):
        assert np.abs(zone_set.margins_m(*places.T)).max() < 0.02


def test_neighbours_that_touch_have_no_edge_between_them():
    members = [
        Member(f"{x}{y}", area(polygon(box(-2.2 + x / 100, 53 + y / 100, -2.19 + x / 100, 53.01 + y / 100))))
        for x in range(3)
        for y in range(3)
    ]
    zone_set = build(members)
    on_a_shared_edge, on_a_shared_corner = (-2.19, 53.015), (-2.19, 53.01)
    margin_m = zone_set.margins_m(*np.array([on_a_shared_edge, on_a_shared_corner]).T)
    assert (margin_m > 600).all()
    assert zone_set.verdicts([-2.19], [53.015], [500.0]).tolist() == [1]


def test_a_widened_set_holds_all_that_is_so_near():
    zone_set = build([Member("school", area(polygon(ring(-2.18, 53.0, 50))))])
    places = np.array([away(-2.18, 53.0, 45, 50 + metres) for metres in (80, 98, 102, 120)])
    assert zone_set.verdicts(*places.T, np.full(4, 5.0), 100.0).tolist() == [1, 0, 0, -1]


@pytest.mark.parametrize("overlap", [False, True])
def test_a_position_is_about_the_member_that_holds_it_or_is_nearest(overlap):
    west = Member("west", area(polygon(box(-2.20, 53.0, -2.18 if overlap else -2.191, 53.01))))
    east = Member("east", area(polygon(box(-2.19, 53.0, -2.17, 53.01))))
    far = Member("far", area(polygon(box(-2.0, 53.0, -1.99, 53.01))))
    zone_set = build([west, east, far])
    assert zone_set.member_at(-2.199, 53.005) == "west"
    assert zone_set.member_at(-2.172, 53.005) == "east"
    assert zone_set.member_at(-2.10, 53.005) == "east"
    assert zone_set.member_at(-2.05, 53.005) == "far"
    assert zone_set.member_at(10.0, 50.0) == "far"


@given(st.integers(1, 25), st.integers(0, 9999))
@ORDINARY
def test_the_member_is_the_one_with_the_greatest_margin(count, seed):
    members = scattered(-2.18, 53.0, 1_500.0, seed, count)
    zone_set = build(members)
    lon, lat = about(-2.18, 53.0, 1_500.0, seed, 40)
    each = margins_m(packed([member.area for member in members]), lon, lat)
    for place, margin_m in zip(zip(lon, lat, strict=True), each, strict=True):
        named = zone_set.zone_ids.index(zone_set.member_at(*place))
        assert margin_m[named] >= margin_m.max() - 1e-6


def assert_judged_as(zone, zone_set, lon, lat, rng, radii_m):
    """A set of one zone says what the zone says, of margins and of verdicts."""
    margin_m = margins_m(packed([zone]), lon, lat)[:, 0]
    np.testing.assert_allclose(zone_set.margins_m(lon, lat), margin_m, rtol=1e-9, atol=0.02)
    radius_m = np.where(rng.random(len(lon)) < 0.5, np.abs(margin_m) + 0.5, rng.choice(radii_m, len(lon)))
    np.testing.assert_array_equal(zone_set.verdicts(lon, lat, radius_m), verdicts(margin_m, radius_m))


@pytest.mark.parametrize("width_deg", [0.28, 0.45, 1.5])
def test_a_wide_zone_of_few_corners_is_a_small_set_and_judged_as_the_others_are(width_deg):
    wide = area(polygon(box(0.0, 3.0, width_deg, 3.0 + 0.7 * width_deg), ring(width_deg / 3, 3.1, 800)))
    zone_set = build([Member("wide", wide)])
    assert zone_set.nbytes < 2_000_000
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(-0.3, width_deg + 0.3, 600), rng.uniform(2.7, 3.3 + 0.7 * width_deg, 600)
    assert_judged_as(wide, zone_set, lon, lat, rng, [5.0, 4_900.0, 5_100.0])


@pytest.mark.parametrize(("south_deg", "north_deg"), [(50.0, 60.0), (-60.0, 60.0)])
def test_a_set_over_many_latitudes_is_judged_by_every_member(south_deg, north_deg):
    """Metres of a degree of longitude differ within it, so that of a large cell nothing may be told by those of one place."""
    rng = np.random.default_rng(7)
    for _ in range(6):
        count = 25
        lon, lat = rng.uniform(-6.0, 1.0, count), rng.uniform(south_deg, north_deg, count)
        half_deg = rng.uniform(0.001, 0.05, count)
        members = [
            Member(f"Z{i:02d}", area(polygon(box(lon[i] - h, lat[i] - h, lon[i] + h, lat[i] + h))))
            for i, h in enumerate(half_deg)
        ]
        places = [part + rng.uniform(-1.5, 1.5, (150, count)) * half_deg for part in (lon, lat)]
        around = [part.ravel() for part in places]
        zone_set, zones = build(members), packed([member.area for member in members])
        margin_m = margins_m(zones, *around).max(axis=1)
        sure = np.abs(margin_m) > 0.02
        np.testing.assert_array_equal(zone_set.contains(*around)[sure], (margin_m > 0)[sure])


@pytest.mark.parametrize(
    ("bounds", "is_oblique"),
    [
        ((-10.0, 40.0, 10.0, 55.0), False),
        ((-10.0, 40.0, 10.0, 55.0), True),
        ((-85.0, -60.0, 85.0, 60.0), True),
        pytest.param((-85.0, -60.0, 85.0, 60.0), False, marks=pytest.mark.long),
    ],
)
def test_a_set_as_large_as_half_of_the_earth_is_small_and_judged_as_the_others_are(bounds, is_oblique):
    corners = box(*bounds)
    if is_oblique:  # its edges have boxes that cover it
        middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(corners[0])]
        corners = [[*middles, middles[0]]]
    wide = area(polygon(corners))
    zone_set = build([Member("wide", wide)])
    assert zone_set.nbytes < 20_000_000
    west, south, east, north = bounds
    rng = np.random.default_rng(9)
    lon, lat = rng.uniform(west - 2, east + 2, 200), rng.uniform(south - 2, north + 2, 200)
    assert_judged_as(wide, zone_set, lon, lat, rng, [5.0, 5_100.0, 50_000.0])


@pytest.mark.parametrize("root_bits", [None, 0, 2])
def test_a_set_is_as_wide_as_half_of_the_earth_at_most(root_bits):
    with pytest.raises(ValueError, match="make it two sets"):
        build([Member("wide", area(polygon(box(-90.0, 0.0, 89.999, 0.01))))], root_bits=root_bits)


@pytest.mark.parametrize("east_deg", [180.0, 179.99999999])
def test_a_zone_that_ends_at_the_180th_meridian_is_where_it_was_drawn(east_deg):
    zone = area(polygon(box(179.9, 53.0, east_deg, 53.1)))
    lon, lat = np.array([179.95, 179.89, -179.99]), np.full(3, 53.05)
    margin_m = margins_m(packed([zone]), lon, lat)[:, 0]
    np.testing.assert_allclose(margin_m, [3_353.0, -670.6, -670.6], atol=1.0)
    np.testing.assert_array_equal(verdicts_on(packed([zone]), lon, lat, np.full(3, 10.0))[:, 0], [1, -1, -1])
    zone_set = build([Member("a", zone)])
    np.testing.assert_allclose(zone_set.margins_m(lon, lat), margin_m, atol=0.02)
    assert zone_set.contains(lon, lat).tolist() == [True, False, False]


def test_a_set_of_which_nothing_is_left_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="wider than a centimetre"):
        build([Member("thin", area(polygon(box(-2.18, 53.0, -2.18 + 1e-9, 53.01))))])


def test_what_a_cell_knows_of_distances_is_rounded_outward():
    entry = kc.entry_of(ks.IN_LEAF, ks.NO_LIST, 10.3, 20.3)
    assert [ks.entry_verdict(entry, inside_m, -50.0) for inside_m in (10.2, 10.3, 20.4, 20.6)] == [1, 2, 2, 0]
    far = kc.entry_of(ks.OUT_LEAF, ks.NO_LIST, 100.0, 16_500.0)
    assert [ks.entry_verdict(far, 50.0, -radius_m) for radius_m in (99.0, 101.0, 90_000.0)] == [-1, 2, 2]


def test_a_set_does_not_hang_on_the_order_of_its_members():
    members = scattered(-2.18, 53.0, 1_000.0, 3, 12)
    assert content_of(members) == content_of(members[::-1])
    assert content_of(members) != content_of(members[1:])


def test_a_set_without_members_or_around_the_earth_is_refused():
    with pytest.raises(ValueError, match="without members"):
        build([])
    ends = [Member(str(lon), area(polygon(box(lon, 53.0, lon + 0.01, 53.01)))) for lon in (-179.5, 179.5)]
    with pytest.raises(ValueError, match="two sets, one on each side"):
        build(ends)


def test_a_member_that_no_unit_is_wide_vanishes_and_the_others_stay():
    thin = Member("thin", area(polygon(box(-2.18, 53.0, -2.18 + 1e-9, 53.01))))
    zone_set = build([thin, Member("school", area(polygon(ring(-2.18, 53.0, 50))))])
    assert zone_set.contains([-2.18], [53.0]).tolist() == [True]
    assert zone_set.member_at(-2.18, 53.0) == "school"


def test_a_set_that_was_kept_answers_as_the_one_that_was_built(tmp_path):
    zone_set = build(scattered(-2.18, 53.0, 3_000.0, 5, 30))
    zone_set.save(tmp_path / "set")
    again = ZoneSet.load(tmp_path / "set", zone_set.content)
    lon, lat = about(-2.18, 53.0, 3_000.0, 5, 500)
    np.testing.assert_array_equal(again.margins_m(lon, lat), zone_set.margins_m(lon, lat))
    assert [again.member_at(*place) for place in zip(lon[:20], lat[:20], strict=True)] == [
        zone_set.member_at(*place) for place in zip(lon[:20], lat[:20], strict=True)
    ]


def test_a_folder_with_another_set_or_of_other_sources_is_not_used(tmp_path):
    zone_set = build(scattered(-2.18, 53.0, 300.0, 5, 3))
    zone_set.save(tmp_path / "set")
    with pytest.raises(StaleSet, match="built again"):
        ZoneSet.load(tmp_path / "set", "another")
    about_it = json.loads((tmp_path / "set" / "about.json").read_text())
    (tmp_path / "set" / "about.json").write_text(json.dumps(about_it | {"sources": "older"}))
    with pytest.raises(StaleSet, match="built again"):
        ZoneSet.load(tmp_path / "set", zone_set.content)


@pytest.mark.parametrize("name", BUILT_BY)
def test_a_set_is_built_again_when_what_builds_it_has_changed(name, tmp_path):
    copy = shutil.copytree(Path(zone_sets.__file__).parent, tmp_path / "shapes")
    before = zone_sets._sources(copy)
    assert before == zone_sets._sources()
    with (copy / name).open("a") as source:
        source.write("# another rule\n")
    assert zone_sets._sources(copy) != before


def test_a_folder_that_was_half_written_is_not_there(tmp_path):
    with pytest.raises(OSError):
        ZoneSet.load(tmp_path / "none", "any")
