"""A drafted zone and the roads of the base map: whether another way is there is told, and where nothing is known, that."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapely import LineString

from emtrack.basemap.opening import OUTLINE
from emtrack.basemap.writing import About, Layer, write_pmtiles
from emtrack.reading.ways import Passes, Place, Way, ways_past
from emtrack.web.wording import way_words
from geofence import Disc, Shape

LAT, LON = 53.0, -2.2
NORTH = 0.009
"""A kilometre."""
EAST = 0.01494
HOME, WORK = Place("C1", LON, LAT), Place("I1", LON + 3 * EAST, LAT)
KM = 1_000.0


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A road of 3 km from home to work; another a kilometre north of it, with a road to it at each end: 5 km. A railway is none."""
    path = tmp_path_factory.mktemp("ways") / "town.pmtiles"
    south = [(LON, LAT), (LON + EAST, LAT), (LON + 3 * EAST, LAT)]
    north = [(LON, LAT), (LON, LAT + NORTH), (LON + 3 * EAST, LAT + NORTH), (LON + 3 * EAST, LAT)]
    roads = [
        (LineString(south), {"kind": "major_road"}),
        (LineString(north), {"kind": "minor_road"}),
        (LineString([(LON, LAT - 0.0002), (LON + 3 * EAST, LAT - 0.0002)]), {"kind": "rail"}),
    ]
    write_pmtiles(path, [Layer("roads", (8, 14), roads)], About("town", "", (-2.3, 52.9, -2.0, 53.1)))
    return path


def way(path: Path | None, zone: Shape, one: Place = HOME, other: Place = WORK) -> Way:
    (found,) = ways_past(path, zone, [(one, other)])
    return found


def test_a_zone_beside_the_roads_is_on_no_way(town: Path) -> None:
    found = way(town, Disc((LON + EAST, LAT + NORTH / 2), 200.0))
    assert (found.passes, found.shortest_m) == (Passes.CLEAR, pytest.approx(3 * KM, rel=0.02))
    assert "does not lead through the zone" in way_words(found)


def test_a_zone_on_the_shortest_way_leaves_the_other(town: Path) -> None:
    found = way(town, Disc((LON + 1.5 * EAST, LAT), 200.0))
    assert found.passes is Passes.OTHER
    assert found.shortest_m == pytest.approx(3 * KM, rel=0.02)
    assert found.around_m == pytest.approx(5 * KM, rel=0.02)
    assert "another has about 5.0 km" in way_words(found)


def test_a_zone_on_both_roads_leaves_none(town: Path) -> None:
    found = way(town, Disc((LON + 1.5 * EAST, LAT + NORTH / 2), 600.0))
    assert (found.passes, found.around_m) == (Passes.ONLY, None)
    assert "there is no other road" in way_words(found)


def test_who_works_where_the_zone_is_has_no_way_round_it(town: Path) -> None:
    assert way(town, Disc((WORK.lon_deg, WORK.lat_deg), 300.0)).passes is Passes.ONLY


@pytest.mark.parametrize(
    ("other", "path"),
    [
        (WORK, None),
        (WORK, OUTLINE),
        (WORK, Path("/nowhere")),
        (Place("I1", LON + EAST, LAT + 3 * NORTH), "town"),
        (Place("I1", LON, LAT + 40 * NORTH), "town"),
    ],
    ids=["no map", "a map without roads", "no file", "no road there", "too far"],
)
def test_where_the_map_cannot_say_nothing_is_said(town: Path, other: Place, path: Path | str | None) -> None:
    asked = town if path == "town" else path
    assert not isinstance(asked, str)
    found = way(asked, Disc((LON + 1.5 * EAST, LAT), 200.0), other=other)
    assert found == Way("C1", "I1", Passes.UNKNOWN)
    assert way_words(found).startswith("not known")
