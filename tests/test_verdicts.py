"""A verdict is the verdict of the exact margin, whichever step of the narrowing gave it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.shapes import kernels_zones as kz
from geofence.shapes.geojson import zone_from_geojson
from geofence.shapes.kernels import NEAR_M, doubt_m, metric_at, to_units
from geofence.shapes.margins import contained, geodesic_m, margins_m, masks_of, verdicts, verdicts_on
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member
from geofence.zones import Zone
from tests.oracle import margin_m as outside_margin_m
from tests.test_geometry import SHAPES, WGS84, away, ring

ORDINARY = settings(max_examples=150, derandomize=True, deadline=None, print_blob=True)
LATITUDES_DEG = [0.0, 53.0, -35.0, 69.0, 80.0, -80.0]


def around(zone: Zone, lon_deg: float, lat_deg: float, size_m: float, seed: int, count: int = 300):
    """Positions about a zone, and for each radii far from its margin, near it, and within millimetres of it."""
    rng = np.random.default_rng(seed)
    distance_m = size_m * np.abs(rng.normal(size=count)) + rng.choice([0.0, 0.0, 3_000.0], count)
    start = np.full(count, lon_deg), np.full(count, lat_deg)
    lon, lat, _ = WGS84.fwd(*start, rng.uniform(0, 360, count), distance_m)
    margin_m = np.abs(margins_m(packed([zone]), lon, lat)[:, 0])
    close_m = margin_m * rng.choice([1.0, 1.001, 0.999], count) + rng.choice([0.0, 1e-3, -1e-3, 0.04, -0.04], count)
    radius_m = np.where(
        rng.random(count) < 0.7, close_m, rng.choice([3.0, 17.0, 57.0, 700.0, 1600.0, 35_000.0], count)
    )
    return lon, lat, np.maximum(radius_m, 0.001)


@given(
    st.sampled_from(LATITUDES_DEG), st.sampled_from([-2.18, 0.0, 177.0, -177.0]), st.sampled_from(sorted(SHAPES)),
    st.sampled_from([20.0, 300.0, 4_000.0, 50_000.0]), st.sampled_from([0.0, 0.0, 5.0, 100.0, 2_000.0]), st.integers(0, 9999),
)  # fmt: skip
@ORDINARY
def test_a_verdict_is_that_of_the_exact_margin(lat_deg, lon_deg, shape, size_m, widen_m, seed):
    zone = zone_from_geojson(SHAPES[shape](lon_deg, lat_deg, size_m))
    lon, lat, radius_m = around(zone, lon_deg, lat_deg, size_m, seed)
    pack = packed([zone])
    exact = margins_m(pack, lon, lat) + widen_m
    wide, wanted = packed([zone], [widen_m]), verdicts(exact, radius_m.reshape(-1, 1))
    np.testing.assert_array_equal(verdicts_on(wide, lon, lat, radius_m), wanted)
    masks = masks_of(wide, np.array([0, 1]), np.zeros(len(lon), np.int32), lon, lat, radius_m)
    np.testing.assert_array_equal(masks.inside == 1, wanted == 1)
    np.testing.assert_array_equal(masks.unknown == 1, wanted == 0)


@given(st.sampled_from(LATITUDES_DEG), st.sampled_from(sorted(SHAPES)), st.floats(20, 20_000), st.integers(0, 9999))
@ORDINARY
def test_a_near_margin_is_off_by_less_than_half_its_doubt(lat_deg, shape, size_m, seed):
    zone = zone_from_geojson(SHAPES[shape](-2.18, lat_deg, size_m))
    lon, lat, _ = around(zone, -2.18, lat_deg, size_m, seed, count=60)
    pack = packed([zone])
    exact = margins_m(pack, lon, lat)[:, 0]
    place = np.empty((len(lon), 2), np.int32)
    to_units(lon, lat, place)
    for (x, y), margin_m in zip(place.astype(np.int64), exact, strict=True):
        measured_m = abs(margin_m) + (size_m / 2 if shape == "circle" else 0.0)
        if measured_m < NEAR_M:
            near = kz.disc_margin_m if shape == "circle" else kz.near_margin_m
            near_m = near(pack.shapes, 0, x, y, *metric_at(y * 360 / 2**32))
            assert abs(near_m - margin_m) < doubt_m(measured_m) / 2


@given(st.sampled_from(LATITUDES_DEG), st.sampled_from(sorted(SHAPES)), st.floats(20, 20_000), st.integers(0, 9999))
@ORDINARY
def test_a_place_is_in_a_zone_exactly_if_its_margin_is_positive(lat_deg, shape, size_m, seed):
    zone = zone_from_geojson(SHAPES[shape](-2.18, lat_deg, size_m))
    lon, lat, _ = around(zone, -2.18, lat_deg, size_m, seed)
    pack = packed([zone])
    margin_m = margins_m(pack, lon, lat)[:, 0]
    inside = contained(pack, np.array([0, 1]), np.zeros(len(lon), np.int32), lon, lat)[:, 0]
    clear = np.abs(margin_m) > 0.02
    np.testing.assert_array_equal((inside == 1)[clear], (margin_m > 0)[clear])


def test_the_raster_of_a_zone_says_nothing_that_a_place_in_its_cell_contradicts():
    for shape in ("square", "triangle", "holed"):
        for size_m in (3.0, 40.0, 700.0, 15_000.0):
            pack = packed([zone_from_geojson(SHAPES[shape](-2.18, 53.0, size_m))])
            west, south, width, height = (int(value) for value in pack.boxes[0, :4])
            rng = np.random.default_rng(1)
            x, y = rng.integers(0, width + 1, 3_000), rng.integers(0, height + 1, 3_000)
            margin_m = margins_m(pack, (x + west) * (360 / 2**32), (y + south) * (360 / 2**32))[:, 0]
            for dx, dy, m in zip(x, y, margin_m, strict=True):
                value = kz.raster_value(pack, 0, dx, dy)
                least_m = abs(value) * pack.shapes[kz.STEP_CM] / 100
                assert value == 0 or (m > 0) == (value > 0)
                assert least_m <= abs(m) <= least_m + pack.shapes[kz.SPREAD_CM] / 100


def test_the_metric_of_a_place_is_that_of_the_ellipsoid():
    for lat_deg in np.linspace(-85, 85, 171):
        exact_deg = float(lat_deg)
        step = 100_000
        step_deg = step * 360 / 2**32
        east, north, change = metric_at(exact_deg)
        assert east * step == pytest.approx(
            geodesic_m(0, exact_deg, step_deg, exact_deg), rel=2e-7 + 1e-6 * (abs(lat_deg) > 80)
        )
        assert north * 2 * step == pytest.approx(
            geodesic_m(0, exact_deg - step_deg, 0, exact_deg + step_deg), rel=2e-7
        )
        higher, _, _ = metric_at(exact_deg + step_deg)
        assert 2 * change * step == pytest.approx(higher - east, rel=2e-3, abs=1e-10)


def test_a_polygon_of_many_rings_is_judged_by_all_of_them():
    zone = zone_from_geojson(
        {
            "type": "MultiPolygon",
            "coordinates": [
                [ring(-2.18, 53.0, 500)[0], ring(-2.18, 53.0, 100)[0]],
                [ring(-2.18, 53.0, 50)[0]],
                [ring(-2.10, 53.0, 500)[0]],
            ],
        }
    )
    places = [(-2.18, 53.0), away(-2.18, 53.0, 0, 68), away(-2.18, 53.0, 0, 200), (-2.10, 53.0), (-2.14, 53.0)]
    lon, lat = np.array(places).T
    assert verdicts_on(packed([zone]), lon, lat, np.full(5, 5.0))[:, 0].tolist() == [1, 0, 1, 1, -1]


# ---------------------------------------------------------------------------------------------- millimetres from an edge

SEVERAL = {
    "triangle": SHAPES["triangle"],
    "holed": SHAPES["holed"],
    "two parts, one with a hole": lambda lon, lat, size: {
        "type": "MultiPolygon",
        "coordinates": [
            [ring(lon, lat, size / 2, corners=6)[0], ring(lon, lat, size / 5, corners=3)[0]],
            [ring(*away(lon, lat, 20, 1.3 * size), size / 3, corners=5)[0]],
        ],
    },
}


def beside_edges(zone: Zone, seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places up to 9 mm beside edges, or exactly on them, and at corners: longitudes, latitudes, and radii of millimetres."""
    rng = np.random.default_rng(seed)
    rings = [np.array(one) for rings in zone.polygons for one in rings]
    edges = np.concatenate([np.stack([one[:-1], one[1:]], axis=1) for one in rings])
    edges = edges[rng.integers(0, len(edges), count)]
    part = rng.choice([0.0, 1.0, 0.5, -1.0], (count, 1), p=[0.1, 0.1, 0.1, 0.7])
    part = np.where(part < 0, rng.random((count, 1)), part)
    place = edges[:, 0] + part * (edges[:, 1] - edges[:, 0])
    aside_m = rng.choice([0.0, 0.001, 0.003, 0.009], count)
    lon, lat, _ = WGS84.fwd(*place.T, rng.uniform(0, 360, count), aside_m)
    return lon, lat, rng.choice([0.001, 0.002, 0.004, 0.008, 0.02, 5.0], count)


@given(
    st.floats(-80, 80), st.sampled_from([-2.18, 0.0, 177.0]), st.sampled_from(sorted(SEVERAL)), st.floats(20, 20_000),
    st.sampled_from([0.0, 0.004, 50.0]), st.integers(0, 9999),
)  # fmt: skip
@ORDINARY
def test_a_verdict_within_millimetres_of_an_edge_is_that_of_the_exact_margin(
    lat_deg, lon_deg, shape, size_m, widen_m, seed
):
    zone = zone_from_geojson(SEVERAL[shape](lon_deg, lat_deg, size_m))
    lon, lat, radius_m = beside_edges(zone, seed, 100)
    exact = margins_m(packed([zone]), lon, lat)
    assert np.abs(exact).max() < 0.03
    near_m = np.where(np.arange(100) % 2, radius_m, np.maximum(np.abs(exact[:, 0] + widen_m), 0.001))
    np.testing.assert_array_equal(
        verdicts_on(packed([zone], [widen_m]), lon, lat, near_m), verdicts(exact + widen_m, near_m.reshape(-1, 1))
    )
    zone_set = build([Member("zone", zone)])
    np.testing.assert_array_equal(
        zone_set.verdicts(lon, lat, near_m, widen_m),
        verdicts(zone_set.margins_m(lon, lat) + widen_m, near_m),
    )


@given(
    st.floats(-80, 80),
    st.sampled_from([-2.18, 177.0]),
    st.sampled_from(sorted(SEVERAL)),
    st.floats(20, 20_000),
    st.integers(0, 9999),
)
@settings(ORDINARY, max_examples=60)
def test_an_exact_margin_within_millimetres_of_an_edge_is_that_of_an_outside_engine(
    lat_deg, lon_deg, shape, size_m, seed
):
    zone = zone_from_geojson(SEVERAL[shape](lon_deg, lat_deg, size_m))
    lon, lat, _ = beside_edges(zone, seed, 4)
    own = margins_m(packed([zone]), lon, lat)[:, 0]
    truth = np.array([outside_margin_m(zone, *place) for place in zip(lon, lat, strict=True)])
    assert np.abs(own - truth).max() <= 0.1
