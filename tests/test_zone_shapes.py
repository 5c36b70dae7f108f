"""Shapes as people draw them: what is wrong is said of the zone that it is wrong with, and no library speaks to a person."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emtrack.errors import MendableError
from emtrack.forms.features import FeatureError, read_collection
from emtrack.zones.checking import check
from emtrack.zones.foreign import read_foreign
from emtrack.zones.reading import read_zone_file
from tests.command_line import Ran, emtrack

FIELD = Path(__file__).parent / "field"
SQUARE = [[-2.19, 53.02], [-2.17, 53.02], [-2.17, 53.03], [-2.19, 53.03], [-2.19, 53.02]]


def checked(path: Path, *options: str) -> Ran:
    return emtrack("zones", "check", path, *options)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("10/unclosed.geojson", "✗ a a ring that begins at [-2.19, 53.02] is not closed", []),
        ("11/unclosed.kml", "✗ a a ring that begins at [-2.19, 53.02] is not closed", ["b"]),
        ("11/linearring.kml", "✗ a its geometry is of a kind by itself, such as a LinearRing", ["b"]),
        ("14/line_onepoint.geojson", "✗ a its geometry is LineString; only areas", ["b"]),
        ("14/mp_empty_part.geojson", "✗ a part 2: coordinates are empty", []),
    ],
)
def test_a_bad_shape_is_said_of_its_zone_and_the_others_are_checked(name: str, bad: str, good: list[str]) -> None:
    ran = checked(FIELD / name)
    assert ran.returncode == 2, ran.stderr
    assert bad in " ".join(ran.stdout.split())
    assert [
        line.split()[0] for line in ran.stdout.splitlines() if "0.00" not in line and line.startswith("  ")
    ] == good


# ------------------------------------------------------------------------------------------- what a zone is called


def zones_of(path: Path, **options: Any) -> list[str]:
    return [zone.zone_id for zone in read_zone_file(path, **options).zones]


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    square = {"type": "Polygon", "coordinates": [SQUARE]}
    return {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": square} | f for f in features]}


def test_a_zone_has_one_name_through_both_doors(tmp_path: Path) -> None:
    path = tmp_path / "zones.geojson"
    raw = collection(
        {"id": "top", "properties": {"zone_id": "z", "id": "i"}}, {"properties": {"zone_id": "z", "id": "i"}},
        {"properties": {"id": "i"}}, {"id": 1}, {"id": 1.5}, {"id": 12345678901234567890}, {"id": 2.0, "properties": None},
    )  # fmt: skip
    path.write_text(json.dumps(raw))
    names = ["top", "z", "i", "1", "1.5", "12345678901234567890", "2"]
    assert zones_of(path) == names
    assert [member.zone_id for member in read_collection(raw, "s", repair=False).members] == names
    assert zones_of(FIELD / "13" / "zones.geojson") == ["top1", "top2"]
    assert zones_of(FIELD / "13" / "zones.geojson", id_field="zone_id") == ["z1", "z2"]


@pytest.mark.parametrize("unfit", [True, 1e300, "a\u202eb", "", {"a": 1}, " x"])
def test_what_is_no_id_is_refused_through_both_doors(unfit: Any, tmp_path: Path) -> None:
    raw = collection({"id": unfit}, {"id": "b"})
    (tmp_path / "zones.geojson").write_text(json.dumps(raw))
    one, other = read_zone_file(tmp_path / "zones.geojson").zones
    assert (one.geometry, other.trouble) == (None, None)
    with pytest.raises(FeatureError) as error:
        read_collection(raw, "s", repair=False)
    assert one.trouble == str(error.value)


# ------------------------------------------------------------------------------------------- archives and systems


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return path


KML = (FIELD / "11" / "unclosed.kml").read_bytes()


def test_archives_are_read_and_keep_their_names(tmp_path: Path) -> None:
    assert zones_of(FIELD / "12" / "nested.zip") == ["a", "b"]
    kmz = archive(tmp_path / "z.kmz", **{"doc.kml": KML, "__MACOSX/._doc.kml": b"x"})
    assert zones_of(kmz) == ["a", "b"]
    assert zones_of(archive(tmp_path / "k.zip", **{"some/folder/zones.kml": KML})) == ["a", "b"]
    assert zones_of(archive(tmp_path / "n.zip", **{"z.kmz": kmz.read_bytes()})) == ["a", "b"]
    geojson = (FIELD / "13" / "zones.geojson").read_bytes()
    assert zones_of(archive(tmp_path / "g.zip", **{"zones.geojson": geojson}), crs="EPSG:4326") == ["top1", "top2"]


def refused(path: Path) -> str:
    with pytest.raises(MendableError) as error:
        read_zone_file(path)
    return str(error.value)


def test_archives_that_are_too_large_too_deep_or_none_are_refused(tmp_path: Path) -> None:
    large = archive(tmp_path / "l.zip", **{"a.shp": bytes(60_000_000), "b.shp": bytes(60_000_000)})
    assert "unpacked it is larger than 100,000,000 bytes" in refused(large)
    one = archive(tmp_path / "1.zip", **{"z.kml": KML})
    two = archive(tmp_path / "2.zip", **{"1.zip": one.read_bytes()})
    assert "an archive in an archive in an archive" in refused(
        archive(tmp_path / "3.zip", **{"2.zip": two.read_bytes()})
    )
    assert "no GeoJSON, GeoPackage, Shapefile or KML in it" in refused(archive(tmp_path / "e.zip", **{"a.txt": b"x"}))
    (tmp_path / "t.zip").write_bytes(one.read_bytes()[:60])
    assert "it is no archive that can be read" in refused(tmp_path / "t.zip")


def test_what_an_archive_calls_its_files_leads_nowhere_else(tmp_path: Path) -> None:
    path = archive(tmp_path / "z.zip", **{"../../up.kml": KML, "/etc/abs.kml": KML})
    assert len(read_foreign(path, ["Name"])) == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["z.zip"]


def test_metres_without_a_system_are_taken_with_the_one_that_is_named() -> None:
    path = FIELD / "10" / "metres_nocrs.geojson"
    ran = checked(path, "--crs", "EPSG:27700", "--accept-shift")
    assert (ran.returncode, "1.00 km²" in ran.stdout) == (0, True), ran.stderr
    assert "outside ±180, ±90" in checked(path).stdout


# ------------------------------------------------------------------------------------------- whatever comes

numbers = st.sampled_from([-2.19, 53.02, 0, 181, 1e308, -0.0, 10**400, True, None, "x", float("nan")]) | st.floats()
anything = st.recursive(numbers, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@st.composite
def rings(draw: st.DrawFn) -> Any:
    """A square, in which something may be amiss."""
    ring: list[Any] = [list(corner) for corner in SQUARE]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, max(0, len(ring) - 1)))
        ring[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.lists(numbers, max_size=4) | anything, max_size=2))
    return ring


coordinates = anything | st.lists(rings(), max_size=3) | st.lists(st.lists(rings(), max_size=2), max_size=3)
kinds = st.sampled_from(["Polygon", "MultiPolygon", "Point", "GeometryCollection", None, 7])
geometries = st.fixed_dictionaries({"type": kinds, "coordinates": coordinates}) | st.none() | anything
ids = st.none() | st.text(max_size=3) | st.integers() | st.floats() | st.booleans()
features = st.fixed_dictionaries(
    {"type": st.just("Feature"), "geometry": geometries},
    optional={"id": ids, "properties": st.none() | st.fixed_dictionaries({"zone_id": ids})},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(features, min_size=1, max_size=3))
def test_whatever_stands_in_geojson_both_doors_say_the_same(tmp_path: Path, some: list[dict[str, Any]]) -> None:
    raw = {"type": "FeatureCollection", "features": some}
    try:
        text = json.dumps(raw, allow_nan=False)
    except ValueError:
        return  # no JSON
    (tmp_path / "z.geojson").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        read = read_zone_file(tmp_path / "z.geojson")
    except MendableError:
        return
    usable = [zone.area is not None for zone in check(read.zones)]
    are_named = [zone.is_named for zone in read.zones]
    try:
        members = read_collection(json.loads(text), "s", repair=False).members
    except FeatureError:
        assert not all(usable) or not all(are_named)
    else:
        assert all(usable)
        assert [member.zone_id for member in members] == [zone.zone_id for zone in read.zones]


def spoiled(body: bytes, draw: st.DrawFn) -> bytes:
    """Bytes with some of them replaced, left out or put in."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=8)) + body[at + draw(st.integers(0, 40)) :]
    return body


def shapefile() -> dict[str, bytes]:
    with zipfile.ZipFile(FIELD / "12" / "nested.zip") as file:
        return {Path(name).name: file.read(name) for name in file.namelist() if not name.endswith("/")}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, body in files.items():
            file.writestr(name, body)
    return packed.getvalue()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_whatever_stands_in_kml_or_a_zipped_shapefile_no_library_speaks(tmp_path: Path, data: st.DataObject) -> None:
    draw = data.draw
    files = shapefile()
    part = draw(st.sampled_from([*files, "archive", "kml"]))
    if part in files:
        files[part] = spoiled(files[part], draw)
    body = KML if part == "kml" else zipped(files)
    path = tmp_path / ("z.kml" if part == "kml" else "z.zip")
    path.write_bytes(body if part in files else spoiled(body, draw))
    try:
        zones = check(read_zone_file(path, crs=None if part == "kml" else "EPSG:4326", accept_shift=True).zones)
    except MendableError:
        return
    assert all(zone.trouble or zone.area is not None for zone in zones)
