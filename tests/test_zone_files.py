"""`emtrack zones`: zones out of the files that people draw them in, checked, entered as sets, and drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import geopandas
import pytest
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, Point, Polygon, box
from typer.testing import CliRunner

import emtrack.zones.reading as reading
from emtrack.cli import app
from emtrack.db.connect import connect
from emtrack.zones.reading import ZoneFileError, read_zone_file
from geofence.shapes.geojson import zone_from_geojson
from tests.command_line import Ran, emtrack_aside
from tests.service_world import HOME, curfew, orders

OAK, ELM = box(-2.152, 52.998, -2.148, 53.002), box(-2.122, 52.998, -2.118, 53.002)
Run = Callable[..., Awaitable[Ran]]
FORMATS = ["schools.geojson", "schools.gpkg", "schools.shp", "schools.kml"]
BOW = Polygon([(-2.19, 53.02), (-2.17, 53.03), (-2.17, 53.02), (-2.19, 53.03)])


def frame(*zones: tuple[Any, Any], crs: Any = "EPSG:4326", field: str = "zone_id") -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({field: [z for z, _ in zones]}, geometry=[g for _, g in zones], crs=crs)


SCHOOLS = frame(("oak", OAK), ("elm", ELM))


def written(path: Path, zones: geopandas.GeoDataFrame = SCHOOLS) -> Path:
    if path.suffix == ".kml":
        zones.rename(columns={"zone_id": "Name"}).to_file(path, driver="KML")
    else:
        zones.to_file(path)
    return path


def zones(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["zones", *map(str, arguments)])


def said(result: Any) -> str:
    """All that was said, in one line of single spaces."""
    return " ".join((result.output or "").split())


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(ZoneFileError) as error:
        read_zone_file(path, **options)
    return str(error.value)


# ------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_zones(tmp_path: Path, name: str) -> None:
    read = read_zone_file(written(tmp_path / name))
    assert [(zone.zone_id, zone.trouble) for zone in read.zones] == [("oak", None), ("elm", None)]
    for zone, drawn in zip(read.zones, (OAK, ELM), strict=True):
        assert zone.geometry is not None
        assert shapely.hausdorff_distance(shapely.geometry.shape(zone.geometry), drawn) < 1e-9
        zone_from_geojson(zone.geometry)


@pytest.mark.parametrize("name", ["schools.geojson", "schools.gpkg", "schools.shp"])
def test_ids_come_from_the_field_that_is_named(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, SCHOOLS.assign(urn=[7, 8]))
    assert [zone.zone_id for zone in read_zone_file(path, id_field="urn").zones] == ["7", "8"]
    assert "there is no field 'urm'; the fields are: zone_id, urn" in refused(path, id_field="urm")


def test_a_number_as_the_id_of_a_feature_is_an_id(tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "id": n, "properties": {}, "geometry": shapely.geometry.mapping(OAK)} for n in (5, 3)
    ]
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert [zone.zone_id for zone in read_zone_file(tmp_path / "s.geojson").zones] == ["5", "3"]


def test_zones_without_ids_are_called_by_their_row_and_it_is_said(tmp_path: Path) -> None:
    read = read_zone_file(written(tmp_path / "s.gpkg", SCHOOLS.rename(columns={"zone_id": "school"})))
    assert [(zone.zone_id, zone.is_named) for zone in read.zones] == [("row 1", False), ("row 2", False)]
    assert "--id-field" in read.notes[-1]
    result = zones("import", tmp_path / "s.gpkg", "--set-id", "s", "--version", "1")
    assert result.exit_code != 0
    assert "have no id (row 1); name the field that holds it with --id-field. The fields are: school" in str(
        result.exception
    )


def test_all_layers_are_read(tmp_path: Path) -> None:
    frame(("oak", OAK)).to_file(tmp_path / "s.gpkg", layer="one")
    frame(("elm", ELM)).to_file(tmp_path / "s.gpkg", layer="two")
    assert [zone.zone_id for zone in read_zone_file(tmp_path / "s.gpkg").zones] == ["oak", "elm"]


@pytest.mark.parametrize("name", ["high.geojson", "high.gpkg", "high.shp", "high.kml"])
def test_heights_are_left_out_and_it_is_said(tmp_path: Path, name: str) -> None:
    read = read_zone_file(written(tmp_path / name, frame(("oak", shapely.force_3d(OAK, 12.0)))))
    assert any("heights were left out of 1 zones" in note for note in read.notes)
    assert read.zones[0].geometry is not None
    assert not shapely.geometry.shape(read.zones[0].geometry).has_z


@pytest.mark.parametrize(
    ("geometry", "what"), [(Point(0, 0), "its geometry is Point; only areas"), (None, "it has no geometry")]
)
def test_what_is_no_area_is_said_of_its_zone(tmp_path: Path, geometry: Any, what: str) -> None:
    path = written(tmp_path / "s.geojson", frame(("oak", OAK), ("odd", geometry)))
    assert what in (read_zone_file(path).zones[1].trouble or "")
    result = zones("check", path)
    assert result.exit_code == 2
    assert f"✗ odd {what}" in said(result)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "none.gpkg")
    (tmp_path / "zones.csv").write_text("a,b\n")
    assert "expected GeoJSON, GeoPackage, Shapefile" in refused(tmp_path / "zones.csv")
    (tmp_path / "torn.gpkg").write_bytes(b"SQLite format 3")
    assert "torn.gpkg: it cannot be read" in refused(tmp_path / "torn.gpkg")
    written(tmp_path / "empty.geojson", SCHOOLS[:0])
    assert "there are no zones in it" in refused(tmp_path / "empty.geojson")


# ------------------------------------------------------------------------------------------- coordinate systems


@pytest.mark.parametrize("epsg", [3857, 4258, 25830])
@pytest.mark.parametrize("name", ["schools.gpkg", "schools.shp"])
def test_coordinates_are_turned_into_degrees_to_the_centimetre(tmp_path: Path, name: str, epsg: int) -> None:
    read = read_zone_file(written(tmp_path / name, SCHOOLS.to_crs(epsg)))
    assert read.zones[0].geometry is not None
    assert shapely.hausdorff_distance(shapely.geometry.shape(read.zones[0].geometry), OAK) < 1e-7
    assert any("into WGS 84" in note for note in read.notes)


def test_longitude_and_latitude_are_not_turned(tmp_path: Path) -> None:
    assert read_zone_file(written(tmp_path / "s.gpkg")).notes == []


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_file_that_does_not_say_its_system_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "s.shp", SCHOOLS.to_crs(3857).set_crs(None, allow_override=True))
    assert "it does not say in which coordinate system it is. Name it with --crs" in refused(path)
    named = read_zone_file(path, crs="EPSG:3857").zones[0].geometry
    assert named is not None
    assert shapely.hausdorff_distance(shapely.geometry.shape(named), OAK) < 1e-7
    assert "'EPSG:nonsense' is no coordinate system" in refused(path, crs="EPSG:nonsense")


def test_a_system_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "s.gpkg", SCHOOLS.to_crs(3857))
    assert "it says that it is in WGS 84 / Pseudo-Mercator, and --crs says WGS 84" in refused(path, crs="EPSG:4326")


GRID = [(395000.0, 345000.0), (395300.0, 345000.0), (395300.0, 345300.0), (395000.0, 345300.0)]
"""A square of the British National Grid, near Stoke-on-Trent."""


@pytest.fixture
def national_grid(tmp_path: Path) -> Path:
    return written(tmp_path / "grid.gpkg", frame(("oak", Polygon(GRID)), crs="EPSG:27700"))


def test_the_national_grid_without_its_grid_file_is_refused_with_the_size_of_the_error(national_grid: Path) -> None:
    what = refused(national_grid)
    assert "the coordinates are in OSGB36 / British National Grid" in what
    assert "without uk_os_OSTN15_NTv2_OSGBtoETRS.tif places are as much as 4.65 m off" in what
    assert "--accept-shift" in what


def test_an_error_that_is_accepted_is_still_said(national_grid: Path) -> None:
    read = read_zone_file(national_grid, accept_shift=True)
    assert any("with an error that was accepted" in note and "4.65 m" in note for note in read.notes)
    assert read.zones[0].geometry is not None
    (west, south, *_) = shapely.geometry.shape(read.zones[0].geometry).bounds
    assert (round(west, 2), round(south, 2)) == (-2.08, 53.0)


def test_a_system_that_nothing_turns_well_is_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path / "s.gpkg", SCHOOLS.set_crs("EPSG:4267", allow_override=True))  # NAD27, used in Britain
    assert "places are by an unknown distance, perhaps hundreds of metres off" in refused(path)


def test_the_network_is_never_asked(national_grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(reading, "set_network_enabled", asked.append)
    read_zone_file(national_grid, accept_shift=True)
    assert asked == [False]


# ------------------------------------------------------------------------------------------- checking


def test_a_check_measures_each_zone_and_all(tmp_path: Path) -> None:
    result = zones("check", written(tmp_path / "s.geojson"))
    assert result.exit_code == 0, result.output
    text = said(result)
    assert "oak 0.12 km² 4 vertices" in text
    assert "s.geojson: 2 zones, 0.24 km², 8 vertices; 0 cannot be used as they are drawn" in text


def test_a_zone_that_crosses_itself_is_said_with_the_place(tmp_path: Path) -> None:
    result = zones("check", written(tmp_path / "s.gpkg", frame(("oak", OAK), ("bow", BOW))))
    assert result.exit_code == 2
    assert "✗ bow the polygon is invalid: Self-intersection" in said(result)
    assert "it meets itself at -2.180000 53.025000" in said(result)
    assert "a repair gives" not in said(result)


def test_a_check_says_what_a_repair_would_do(tmp_path: Path) -> None:
    result = zones("check", "--repair", written(tmp_path / "s.gpkg", frame(("bow", BOW))))
    assert result.exit_code == 2
    assert "a repair gives it area 0.75 km², 0 m² as drawn (74" in said(result)


def test_a_zone_across_the_180th_meridian_is_reported_with_its_reason(tmp_path: Path) -> None:
    wide = MultiPolygon([box(179.9, -17.0, 180.0, -16.9), box(-180.0, -17.0, -179.9, -16.9)])
    result = zones("check", written(tmp_path / "s.geojson", frame(("fiji", wide))))
    assert result.exit_code == 2
    assert "a zone across the 180° meridian is not supported" in said(result)


def test_an_id_that_stands_twice_is_wrong(tmp_path: Path) -> None:
    result = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK), ("oak", ELM))))
    assert result.exit_code == 2
    assert "its id stands twice" in said(result)


def near(result: Any) -> list[str]:
    """What is said of the neighbours of each zone, in order."""
    return [line.partition("nearest: ")[2] for line in result.output.splitlines() if " lies from " in line]


def test_each_zone_is_said_with_the_nearest_other_its_distance_and_direction(tmp_path: Path) -> None:
    south_west, next_to_oak = box(-2.252, 52.898, -2.248, 52.902), box(-2.147, 53.0, -2.146, 53.001)
    four = frame(("oak", OAK), ("elm", ELM), ("far", south_west), ("small", next_to_oak))
    result = zones("check", written(tmp_path / "s.geojson", four))
    assert near(result) == [
        "'small', 67 m to the east", "'small', 1.6 km to the west", "'oak', 12.5 km to the north-east",
        "'oak', 67 m to the west",
    ]  # fmt: skip


def test_zones_that_meet_or_are_drawn_alike_are_the_nearest(tmp_path: Path) -> None:
    touching = box(-2.148, 52.998, -2.144, 53.002)
    result = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK), ("next", touching), ("elm", ELM))))
    assert near(result) == ["'next', which it meets", "'oak', which it meets", "'next', 1.5 km to the west"]
    result = zones("check", written(tmp_path / "t.geojson", frame(("oak", OAK), ("again", OAK), ("elm", ELM))))
    assert near(result)[:2] == ["'again', which it meets", "'oak', which it meets"]


def test_a_zone_that_was_read_elsewhere_is_seen_by_how_far_its_neighbours_are(tmp_path: Path) -> None:
    swapped = box(52.998, -2.152, 53.002, -2.148)
    result = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK), ("elm", ELM), ("ash", swapped))))
    assert near(result)[0].endswith("km to the east")
    kilometres = float(near(result)[2].split()[1].replace(",", ""))
    assert kilometres > 7_000


def test_who_has_no_named_neighbour_is_said_without_one(tmp_path: Path) -> None:
    alone = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK))))
    assert near(alone) == [""]
    nameless = zones("check", written(tmp_path / "t.geojson", frame(("oak", OAK), ("elm", ELM), field="what")))
    assert near(nameless) == ["", ""]


def test_members_that_share_ground_are_said_and_are_no_fault(tmp_path: Path) -> None:
    touching = box(-2.148, 52.998, -2.144, 53.002)
    over = box(-2.149, 52.998, -2.147, 53.002)
    result = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK), ("next", touching), ("over", over))))
    assert result.exit_code == 0
    assert "'oak' and 'over' share" in said(result)
    assert "'next' and 'over' share" in said(result)
    assert "'oak' and 'next'" not in said(result), "an edge is no ground"


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    form = orders(1, 2)
    form["requirements"][1] = curfew(2, geometry={"type": "Circle", "centre": [-2.3, 53.0], "radius_m": 50})
    (tmp_path / "orders.json").write_text(json.dumps(form | {"wearers": [{"wearer_id": "W1", "iom": "anything"}]}))
    return tmp_path / "orders.json"


def test_a_zone_on_somebodys_home_is_wrong_and_names_both(tmp_path: Path, homes: Path) -> None:
    near = box(HOME[0] + 0.0005, HOME[1] - 0.01, HOME[0] + 0.01, HOME[1] + 0.01)  # 33 m from the centre of 60 m
    result = zones("check", written(tmp_path / "s.geojson", frame(("oak", OAK), ("on it", near))), "--orders", homes)
    assert result.exit_code == 2
    assert "✗ zone 'on it' lies on" in said(result)
    assert "of the home of wearer 'W1' (requirement 'C1')" in said(result)
    assert "W2" not in said(result)
    assert "on the homes of 1 of 2 wearers" in said(result)


def test_a_zone_beside_a_home_is_none_on_it(tmp_path: Path, homes: Path) -> None:
    beside = box(HOME[0] + 0.001, HOME[1] - 0.01, HOME[0] + 0.01, HOME[1] + 0.01)  # 67 m
    result = zones("check", written(tmp_path / "s.geojson", frame(("beside", beside))), "--orders", homes)
    assert result.exit_code == 0, result.output


# ------------------------------------------------------------------------------------------- importing


@pytest.fixture
def run(database_url: str) -> Run:
    """Runs a command on the database of the test."""
    return partial(emtrack_aside, "zones", EMTRACK_DATABASE_URL=database_url)


async def entered(dsn: str) -> list[tuple[str, str, int]]:
    connection: asyncpg.Connection = await connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT set_id, version, members FROM zone_set_versions JOIN zone_sets USING (set_no)"
        )
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


async def test_an_import_enters_a_version_once_and_a_dry_run_nothing(
    run: Run, database_url: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "s.gpkg")
    arguments = ("import", path, "--set-id", "schools", "--version", "2026")
    dry = await run(*arguments, "--dry-run")
    assert (dry.returncode, await entered(database_url)) == (0, []), dry.stderr
    assert "nothing was changed (--dry-run)" in dry.stderr
    assert (await run(*arguments)).returncode == 0
    assert await entered(database_url) == [("schools", "2026", 2)]
    again = await run(*arguments)
    assert "this version is entered already" in again.stderr
    other = await run("import", written(tmp_path / "t.gpkg", frame(("oak", ELM))), *arguments[2:])
    assert other.returncode == 2
    assert "is entered already with other zones" in other.stderr


async def test_an_import_refuses_invalid_zones_or_repairs_them_and_says_so(
    run: Run, database_url: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "s.gpkg", frame(("oak", OAK), ("bow", BOW)))
    arguments = ("import", path, "--set-id", "schools", "--version", "1")
    refusal = await run(*arguments)
    assert (refusal.returncode, await entered(database_url)) == (2, [])
    assert "1 of 2 zones cannot be used as they are drawn; mend them, or ask for --repair" in refusal.stderr
    repaired = await run(*arguments, "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "zone 'bow' was repaired (the polygon is invalid" in repaired.stderr
    assert "km², 0 m² as drawn" in repaired.stderr
    assert await entered(database_url) == [("schools", "1", 2)]


async def test_a_set_that_is_entered_can_be_drawn(run: Run, tmp_path: Path) -> None:
    assert (
        await run("import", written(tmp_path / "s.gpkg"), "--set-id", "schools", "--version", "1")
    ).returncode == 0
    drawn = await run("draw", "--set-id", "schools", "--out", tmp_path / "map.html")
    assert drawn.returncode == 0, drawn.stderr
    assert "schools, version 1" in (tmp_path / "map.html").read_text()
    unknown = await run("draw", "--set-id", "parks", "--out", tmp_path / "map.html")
    assert (unknown.returncode, "zone set 'parks' is not known" in unknown.stderr) == (2, True)


# ------------------------------------------------------------------------------------------- drawing


def test_a_png_opens_and_is_no_blank(tmp_path: Path) -> None:
    result = zones("draw", written(tmp_path / "s.gpkg"), "--out", tmp_path / "map.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").resize((64, 64)).getcolors(64 * 64)) > 20


def test_a_page_shows_every_zone_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    zone_id = 'oak <script src="//evil.example/x.js">'
    path = written(tmp_path / "s.gpkg", frame((zone_id, OAK), ("elm", ELM)))
    assert zones("draw", path, "--out", tmp_path / "map.html").exit_code == 0
    text = (tmp_path / "map.html").read_text()
    assert text.count("<path ") == 2
    assert "oak &lt;script" in text
    assert "<script" not in text
    for outside in ("http:", "https:", "url(", "@import", "<link", "<img", "<iframe", 'src="', 'href="'):
        assert outside not in text.replace(zone_id, "")


def test_a_hole_is_no_part_of_what_is_drawn(tmp_path: Path) -> None:
    holed = Polygon(OAK.exterior, [box(-2.151, 52.999, -2.149, 53.001).exterior])
    assert (
        zones("draw", written(tmp_path / "s.gpkg", frame(("oak", holed))), "--out", tmp_path / "m.html").exit_code
        == 0
    )
    text = (tmp_path / "m.html").read_text()
    assert "fill-rule: evenodd" in text
    assert text.split('<path d="')[1].split('"')[0].count("M") == 2


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path) -> None:
    result = zones(
        "draw", written(tmp_path / "s.gpkg", frame(("oak", OAK), ("bow", BOW))), "--out", tmp_path / "m.html"
    )
    assert result.exit_code == 0
    assert "✗ bow" in said(result)
    assert "1 zone is drawn" in said(result)


@pytest.mark.parametrize("arguments", [["--out", "m.png"], ["s.gpkg", "--set-id", "x", "--out", "m.png"]])
def test_one_thing_is_drawn(arguments: list[str]) -> None:
    result = zones("draw", *arguments)
    assert (result.exit_code, "name a file or --set-id" in said(result)) == (2, True)


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    result = zones("draw", written(tmp_path / "s.gpkg"), "--out", tmp_path / "map.jpeg")
    assert "expected a name that ends with .png or .html" in str(result.exception)


# ------------------------------------------------------------------------------------------- what the service never loads


def test_the_service_and_evaluate_never_load_what_reads_and_draws_files() -> None:
    """They would take a second and 100 MB, and read formats from outside with a great deal of code."""
    program = (
        "import sys, emtrack.service.app, emtrack.cli, emtrack.files.evaluate, emtrack.orders.importing, emtrack.demo.run;"
        "print(sorted({'geopandas', 'pyogrio', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == "[]"
