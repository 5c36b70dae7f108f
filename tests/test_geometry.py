"""Margins against a map that is true in all distances from the position, and zones as they are read."""

from __future__ import annotations

import math
import random
from itertools import pairwise, product

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geofence.shapes.geojson import ZoneError, geojson_from_zone, zone_from_geojson
from geofence.shapes.margins import farther_than, geodesic_m, margins_m, verdicts, verdicts_on
from geofence.shapes.packing import packed, packed_apart
from geofence.words import Presence
from geofence.zones import Area, Disc, Zone
from tests.oracle import geodesic_distance_m, margin_m

WGS84 = Geod(ellps="WGS84")
LATITUDES_DEG = [0.0, 53.0, -35.0, 69.0, 80.0]
LONGITUDES_DEG = [-2.18, 178.0, -178.0]
SIZES_M = [50.0, 1_000.0, 20_000.0, 50_000.0]
DISTANCES_M = [0.0, 10.0, 500.0, 2_900.0, 20_000.0, 95_000.0]
ORDINARY = settings(max_examples=250, derandomize=True, deadline=None, print_blob=True)


def core_margin_m(zone: Zone, lon_deg: float, lat_deg: float) -> float:
    return float(margins_m(packed([zone]), [lon_deg], [lat_deg])[0, 0])


def away(lon_deg: float, lat_deg: float, bearing_deg: float, distance_m: float) -> tuple[float, float]:
    lon, lat, _ = WGS84.fwd(lon_deg, lat_deg, bearing_deg, distance_m)
    return lon, lat


def ring(lon_deg: float, lat_deg: float, radius_m: float, corners: int = 4, turned_deg: float = 45.0) -> list:
    places = [away(lon_deg, lat_deg, turned_deg + i * 360 / corners, radius_m) for i in range(corners)]
    return [[list(place) for place in (*places, places[0])]]


def polygon(*rings: list) -> dict:
    return {"type": "Polygon", "coordinates": [ring for one in rings for ring in one]}


def box(west: float, south: float, east: float, north: float) -> list:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def agrees(zone: Zone, lon_deg: float, lat_deg: float) -> bool:
    """RULES.md section 3: to 0.1 m up to 3 km, to 1 part in 10,000 beyond."""
    truth = margin_m(zone, lon_deg, lat_deg)
    tolerance_m = 0.1 if abs(truth) <= 3_000 else abs(truth) * 1e-4
    return abs(core_margin_m(zone, lon_deg, lat_deg) - truth) <= tolerance_m


SHAPES = {
    "square": lambda lon, lat, size: polygon(ring(lon, lat, size / 2)),
    "triangle": lambda lon, lat, size: polygon(ring(lon, lat, size / 2, corners=3, turned_deg=10)),
    "holed": lambda lon, lat, size: polygon(ring(lon, lat, size / 2, corners=7), ring(lon, lat, size / 6, corners=5)),
    "circle": lambda lon, lat, size: {"type": "Circle", "centre": [lon, lat], "radius_m": size / 2},
}


@pytest.mark.parametrize("lat_deg", LATITUDES_DEG)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_margin_is_that_of_a_map_true_in_distances_from_the_position(shape, lat_deg):
    for lon_deg, size_m in product(LONGITUDES_DEG, SIZES_M):
        zone = zone_from_geojson(SHAPES[shape](lon_deg, lat_deg, size_m))
        for bearing_deg, distance_m in zip([10, 100, 190, 280, 45, 330], DISTANCES_M, strict=True):
            place = away(lon_deg, lat_deg, bearing_deg, distance_m)
            assert agrees(zone, *place), (lon_deg, size_m, bearing_deg, distance_m)


@given(
    st.sampled_from(LATITUDES_DEG), st.sampled_from(LONGITUDES_DEG), st.sampled_from(sorted(SHAPES)),
    st.floats(50, 50_000), st.floats(0, 360), st.floats(0, 100_000),
)  # fmt: skip
@ORDINARY
def test_a_margin_agrees_anywhere_within_100_km(lat_deg, lon_deg, shape, size_m, bearing_deg, distance_m):
    zone = zone_from_geojson(SHAPES[shape](lon_deg, lat_deg, size_m))
    assert agrees(zone, *away(lon_deg, lat_deg, bearing_deg, distance_m))


def test_an_edge_of_40_km_is_straight_in_degrees_and_not_between_its_projected_ends():
    zone = zone_from_geojson(polygon(box(-2.5, 53.0, -1.9, 53.2)))
    middle_of_the_north_edge = (-2.2, 53.2)
    assert abs(core_margin_m(zone, *middle_of_the_north_edge)) < 0.02
    for north_m in (-30, -5, 5, 30):
        place = away(*middle_of_the_north_edge, 0, north_m)
        assert core_margin_m(zone, *place) == pytest.approx(-north_m, abs=0.1)


@pytest.mark.parametrize("lat_deg", LATITUDES_DEG)
def test_a_point_on_the_boundary_has_margin_zero(lat_deg):
    for lon_deg, size_m in product(LONGITUDES_DEG, SIZES_M):
        corners = SHAPES["triangle"](lon_deg, lat_deg, size_m)["coordinates"][0]
        zone = zone_from_geojson(polygon([corners]))
        for (a_lon, a_lat), (b_lon, b_lat) in pairwise(corners):
            for part in (0.0, 0.31, 0.5, 0.97):
                on_edge = (a_lon + part * (b_lon - a_lon), a_lat + part * (b_lat - a_lat))
                assert abs(core_margin_m(zone, *on_edge)) < 0.02, (lon_deg, size_m, part)


def test_a_point_on_the_boundary_of_a_circle_has_margin_zero():
    disc = Disc((-2.18, 53.0), 300.0)
    assert abs(core_margin_m(disc, *away(-2.18, 53.0, 77, 300))) < 0.02


def test_a_hole_is_outside_and_its_edge_is_boundary():
    zone = zone_from_geojson(polygon(box(-2.19, 52.99, -2.17, 53.01), box(-2.183, 52.997, -2.177, 53.003)))
    assert core_margin_m(zone, -2.18, 53.0) < -200
    assert agrees(zone, -2.18, 53.0)
    assert core_margin_m(zone, -2.185, 53.0) > 100
    assert agrees(zone, -2.185, 53.0)


def test_a_multipolygon_is_the_union_of_its_parts_so_a_shared_or_overlapped_edge_is_no_boundary():
    whole = zone_from_geojson(polygon(box(-2.20, 53.0, -2.16, 53.01)))
    for middle in (-2.18, -2.179):  # edges that meet, parts that overlap
        halves = [box(-2.20, 53.0, middle, 53.01), box(-2.18, 53.0, -2.16, 53.01)]
        union = zone_from_geojson({"type": "MultiPolygon", "coordinates": halves})
        for lon_deg in (-2.19, -2.18, -2.1795, -2.17, -2.1):
            assert core_margin_m(union, lon_deg, 53.005) == pytest.approx(
                core_margin_m(whole, lon_deg, 53.005), abs=0.01
            )


def test_parts_that_lie_apart_each_count():
    zone = zone_from_geojson(
        {"type": "MultiPolygon", "coordinates": [box(-2.20, 53.0, -2.19, 53.01), box(-2.17, 53.0, -2.16, 53.01)]}
    )
    for lon_deg in (-2.195, -2.18, -2.165, -2.1):
        assert agrees(zone, lon_deg, 53.005)
    assert core_margin_m(zone, -2.18, 53.005) < 0 < core_margin_m(zone, -2.165, 53.005)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=8, unique=True))
@ORDINARY
def test_inside_is_what_shapely_says_on_a_tiny_lattice(corners):
    """Corners and positions lie on one lattice, so rays pass through corners and along edges all the time."""
    drawn = shapely.Polygon(corners)
    if not drawn.is_valid or drawn.area == 0:
        return
    unit_deg = 0.0009765625  # a power of two, so that lattice points are exact
    exact = [[-2.0 + x * unit_deg, 53.0 + y * unit_deg] for x, y in [*corners, corners[0]]]
    zone = zone_from_geojson({"type": "Polygon", "coordinates": [exact]})
    half_steps = np.array(list(product(np.arange(-1, 11) / 2, repeat=2)))
    margin = margins_m(packed([zone]), -2.0 + half_steps[:, 0] * unit_deg, 53.0 + half_steps[:, 1] * unit_deg)
    for (x, y), m in zip(half_steps, margin[:, 0], strict=True):
        place = shapely.Point(x, y)
        if drawn.boundary.distance(place) < 1e-9:
            assert abs(m) < 0.02, (x, y)
        else:
            assert (m > 0) == drawn.contains(place), (x, y)


def test_many_zones_and_positions_at_once_are_those_one_by_one():
    zones = [zone_from_geojson(shape(-2.18, 53.0, 800)) for shape in SHAPES.values()]
    places = [away(-2.18, 53.0, bearing, 40 * bearing) for bearing in range(0, 360, 30)]
    together = margins_m(packed(zones), *np.array(places).T)
    apart = [[core_margin_m(zone, *place) for zone in zones] for place in places]
    np.testing.assert_array_equal(together, apart)


def test_zones_of_many_people_packed_at_once_are_those_of_each_by_itself():
    zones = [Disc((-2.18, 53.0), 300.0), *(zone_from_geojson(shape(-2.18, 53.0, 800)) for shape in SHAPES.values())]
    chance = random.Random(4)
    people = [[], zones, *(chance.choices(zones, k=chance.randrange(4)) for _ in range(40)), [], zones[:1], zones[1:]]
    widen_m = [[chance.choice([0.0, 25.0, 400.0]) for _ in own] for own in people]
    lon_deg, lat_deg = np.array([away(-2.18, 53.0, bearing, 7 * bearing) for bearing in range(0, 360, 10)]).T
    apart = packed_apart(people, widen_m)
    assert len(apart) == len(people)
    for own, wider_m, pack in zip(people, widen_m, apart, strict=True):
        alone = packed(own, wider_m)
        np.testing.assert_array_equal(margins_m(pack, lon_deg, lat_deg), margins_m(alone, lon_deg, lat_deg))
        for radius_m in (5.0, 300.0):
            radii = np.full(len(lon_deg), radius_m)
            found, expected = (verdicts_on(one, lon_deg, lat_deg, radii) for one in (pack, alone))
            np.testing.assert_array_equal(found, expected)


def test_a_verdict_at_exactly_the_radius_is_decisive():
    margin = np.array([20.0, 19.999, 0.0, -19.999, -20.0])
    known = [Presence.INSIDE, Presence.UNKNOWN, Presence.UNKNOWN, Presence.UNKNOWN, Presence.OUTSIDE]
    assert verdicts(margin, np.full(5, 20.0)).tolist() == [int(presence) for presence in known]


# ------------------------------------------------------------------------------------------- distances

LAT_LON_DEG = tuple(st.floats(-most, most).map(lambda deg: round(deg, 7)) for most in (89, 180))


@given(*LAT_LON_DEG, *LAT_LON_DEG)
@ORDINARY
def test_farther_than_is_the_geodesic_comparison(lat_a, lon_a, lat_b, lon_b):
    truth = geodesic_distance_m(lon_a, lat_a, lon_b, lat_b)
    assert geodesic_m(lon_a, lat_a, lon_b, lat_b) == truth
    for limit_m in (70, truth - 0.001, truth, truth + 0.001, truth * 0.993, truth * 1.007, 1e6):
        assert farther_than(lon_a, lat_a, lon_b, lat_b, limit_m) == (truth > limit_m), limit_m


# ------------------------------------------------------------------------------------------- reading zones

BOW_TIE = [[[-2.19, 53.02], [-2.17, 53.03], [-2.17, 53.02], [-2.19, 53.03], [-2.19, 53.02]]]


def test_a_self_crossing_polygon_is_refused_with_its_reason_and_place():
    with pytest.raises(ZoneError, match=r"(?i)self-intersection.*-2\.18 53\.025"):
        zone_from_geojson({"type": "Polygon", "coordinates": BOW_TIE})


def test_repair_mends_it():
    mended = zone_from_geojson({"type": "Polygon", "coordinates": BOW_TIE}, repair=True)
    assert isinstance(mended, Area)
    assert len(mended.polygons) == 2
    for lon_deg in (-2.187, -2.173):
        assert core_margin_m(mended, lon_deg, 53.025) > 0
    assert zone_from_geojson(geojson_from_zone(mended)) == mended


def test_a_zone_across_the_antimeridian_is_refused_with_its_reason():
    with pytest.raises(ZoneError, match="180° meridian"):
        zone_from_geojson(polygon(box(-179.9, -17.0, 179.9, -16.9)))


@pytest.mark.parametrize(
    ("geometry", "complaint"),
    [
        ({"type": "Point", "coordinates": [0, 0]}, "Point"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, "fewer than 4"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [1, 0]]]}, "closed|repeat|first"),
        ({"type": "Polygon", "coordinates": [[[53, 181], [53, 182], [54, 182], [53, 181]]]}, "longitude, latitude"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "invalid|area"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [0, "x"], [1, 1], [0, 0]]]}, "number"),
        ({"type": "Circle", "centre": [0, 0], "radius_m": 0}, "radius_m"),
        ({"type": "Circle", "centre": [0, 0], "radius_m": math.nan}, "finite"),
    ],
)
def test_what_is_no_zone_is_refused_and_the_message_says_why(geometry, complaint):
    with pytest.raises(ZoneError, match=complaint):
        zone_from_geojson(geometry)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_zone_written_and_read_again_is_the_same(shape):
    zone = zone_from_geojson(SHAPES[shape](-2.18, 53.0, 800))
    assert zone_from_geojson(geojson_from_zone(zone)) == zone
