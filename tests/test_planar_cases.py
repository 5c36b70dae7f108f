"""Cases that others wrote for points and polygons in the plane (JTS), asked of the kernels: a whole number of units is a unit there.

A place is inside, on the boundary or outside; every predicate and every intersection matrix of points with an area follows from
which of the three occur.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from geofence.shapes import kernels_zones as kz
from geofence.shapes.margins import contained, margins_m
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member
from geofence.zones import Area
from tests.lattice import DEG_PER_UNIT

CASES = Path(__file__).parents[2] / "shared" / "data" / "point-polygon-cases" / "cases.jsonl"
UNITS = 10_000
"""How many units are one unit of a case: about 90 m, on a map of about 45 km."""
ORIGIN = (-30_000_000, 40_000_000)
ON_BOUNDARY_M = 0.02
Case = dict[str, Any]
Sides = str
"""Which of I (inside), B (on the boundary), E (outside) some places are."""

PREDICATES: dict[str, Callable[[Sides, bool], bool]] = {
    "intersects": lambda sides, _: sides != "E",
    "disjoint": lambda sides, _: sides == "E",
    "touches": lambda sides, _: "I" not in sides and "B" in sides,
    "contains": lambda sides, area_first: area_first and "I" in sides and "E" not in sides,
    "covers": lambda sides, area_first: area_first and "E" not in sides,
    "within": lambda sides, area_first: not area_first and "I" in sides and "E" not in sides,
    "coveredBy": lambda sides, area_first: not area_first and "E" not in sides,
}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    if not CASES.exists():
        pytest.skip("the cases on points and polygons are not here (../shared/data/point-polygon-cases)")
    return [json.loads(line) for line in CASES.read_text().splitlines()]


def geometries(case: Case) -> tuple[BaseGeometry, BaseGeometry, bool]:
    """The points, the area, and whether the area comes first."""
    a, b = shapely.from_wkt(case["a"]), shapely.from_wkt(case["b"])
    area_first = a.geom_type.endswith("Polygon")
    return (b, a, True) if area_first else (a, b, False)


def why_not(case: Case) -> str | None:
    """Why a case cannot be asked of the kernels; None if it can."""
    points, area, _ = geometries(case)
    if points.is_empty or area.is_empty:
        return "empty"
    if not area.is_valid:
        return "not valid"
    if (shapely.get_coordinates([points, area]) * UNITS % 1 != 0).any():
        return "no whole number of units"
    if case["op"] in ("distance", "isWithinDistance") and float(case["arg3"] or case["expect"]) != 0:
        return "a distance in the plane"
    return None


def degrees(coordinates: np.ndarray) -> np.ndarray:
    return (np.rint(coordinates * UNITS) + ORIGIN) * DEG_PER_UNIT


def area_of(geometry: BaseGeometry) -> Area:
    rings = [(part.exterior, *part.interiors) for part in shapely.get_parts(geometry) if not part.is_empty]
    return Area(tuple(tuple(tuple(map(tuple, degrees(np.array(r.coords)).tolist())) for r in part) for part in rings))


def sides_of(points: BaseGeometry, geometry: BaseGeometry) -> Sides:
    """Sides of all points, on which margins, personal zones and zone sets agree."""
    area = area_of(geometry)
    zones, zone_set = packed([area]), build([Member("area", area)])
    place = degrees(shapely.get_coordinates(points))
    margin_m = margins_m(zones, *place.T)[:, 0]
    np.testing.assert_allclose(zone_set.margins_m(*place.T), margin_m, atol=ON_BOUNDARY_M)
    on_boundary = np.abs(margin_m) <= ON_BOUNDARY_M
    wearer = np.zeros(len(place), np.int32)
    scalar = [kz.side_of(zones.shapes, 0, *map(np.int64, units)) for units in np.rint(place / DEG_PER_UNIT)]
    own = contained(zones, np.array([0, 1]), wearer, *place.T)[:, 0] == 1
    for inside in (np.array(scalar), own, zone_set.contains(*place.T)):
        np.testing.assert_array_equal(inside[~on_boundary], (margin_m > 0)[~on_boundary])
    letters = np.where(on_boundary, "B", np.where(margin_m > 0, "I", "E"))
    return "".join(sorted(set(letters), key="IBE".index))


def matches(matrix: str, pattern: str) -> bool:
    return all(
        cell == wanted or wanted == "*" or (wanted == "T" and cell != "F")
        for cell, wanted in zip(matrix, pattern, strict=True)
    )


def answer(case: Case) -> str:
    """What the kernels say, as the case says what it expects."""
    points, area, area_first = geometries(case)
    sides = sides_of(points, area)
    if case["op"] == "relate":
        rows = "".join("0" if side in sides else "F" for side in "IBE") + "FFF" + "212"
        matrix = "".join(rows[3 * (i % 3) + i // 3] for i in range(9)) if area_first else rows
        return str(matches(matrix, case["arg3"])).lower()
    if case["op"] == "distance":
        return "0.0" if sides != "E" else "more"
    if case["op"] == "isWithinDistance":
        return str(sides != "E").lower()
    return str(PREDICATES[case["op"]](sides, area_first)).lower()


def test_the_kernels_answer_what_the_cases_expect(cases: list[Case]) -> None:
    asked = [case for case in cases if why_not(case) is None]
    wrong = [case for case in asked if answer(case) != case["expect"]]
    assert wrong == []
    assert len(asked) == 466


def test_what_cannot_be_asked_is_known(cases: list[Case]) -> None:
    assert Counter(why for case in cases if (why := why_not(case))) == {
        "empty": 74,
        "a distance in the plane": 3,
    }
