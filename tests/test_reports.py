"""Evidence reports: what is in them, that others can read and check them, and that they are on record."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, Point
from typer.testing import CliRunner

from emtrack.basemap.opening import OUTLINE
from emtrack.basemap.vector_tiles import UnfitTile, lines_of
from emtrack.basemap.writing import About, Layer, write_pmtiles
from emtrack.cli import app
from emtrack.cli.audit import proofs_of
from emtrack.cli.exporting import AskedExport, export_report
from emtrack.people.looks import commander
from emtrack.people.roles import Role
from emtrack.reading.exports import UnfitExport
from emtrack.sealing.bundles import MANIFEST, bundled, manifest_of, read_bundle, verify_bundle
from emtrack.sealing.proofs import Inclusion, NotProved, read_proofs, written
from emtrack.web.reports import drawing, gathering, printing
from emtrack.web.reports.contents import Report, Table
from emtrack.web.reports.drawing import MapPoint, MapZone, drawn_map
from emtrack.web.reports.streets import COLOUR, WIDTHS
from geofence.words import parse_instant
from tests.office import Office, at_home, away, open_office, strap
from tests.service_world import AWAY
from tests.visitor import Visitor

# ------------------------------------------------------------------------------------------ bundles


FILES = {"report.html": b"<p>\xc3\xa9</p>", "positions.csv": b"a,b\r\n1,2\r\n", "proofs.json": b"[]\n"}


def test_every_flipped_byte_of_a_zip_shows(tmp_path: Path) -> None:
    whole = bundled(FILES)
    path = tmp_path / "report.zip"
    path.write_bytes(whole)
    assert read_bundle(path) == (dict(FILES) | {MANIFEST: manifest_of(FILES)}, hashlib.sha256(whole).hexdigest())
    for index in range(len(whole)):
        changed = bytearray(whole)
        changed[index] ^= 1 << index % 8
        path.write_bytes(changed)
        with pytest.raises(NotProved):
            read_bundle(path)


def test_every_flipped_byte_of_an_unpacked_report_shows_and_so_do_files_more_and_less(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(bundled(FILES))) as archive:
        archive.extractall(tmp_path)
    assert read_bundle(tmp_path)[1] == hashlib.sha256(bundled(FILES)).hexdigest()
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        for index in range(len(whole)):
            changed = bytearray(whole)
            changed[index] ^= 1 << index % 8
            path.write_bytes(changed)
            with pytest.raises(NotProved):
                read_bundle(tmp_path)
        path.write_bytes(whole)
    (tmp_path / "more.txt").write_bytes(b"")
    with pytest.raises(NotProved, match=r"more\.txt is not in the manifest"):
        read_bundle(tmp_path)
    (tmp_path / "more.txt").unlink()
    (tmp_path / "positions.csv").unlink()
    with pytest.raises(NotProved, match=r"positions\.csv is missing"):
        read_bundle(tmp_path)


def test_a_zip_that_is_packed_otherwise_or_is_none_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.html", b"\0" * 1_000_000)
    for content in (packed.getvalue(), b"PK", b"PK\x05\x06" + bytes(18)):
        path = tmp_path / "report.zip"
        path.write_bytes(content)
        with pytest.raises(NotProved):
            read_bundle(path)


# ------------------------------------------------------------------------------------------ drawing and printing


def test_a_map_is_to_scale_and_draws_what_it_is_given() -> None:
    points = [
        MapPoint(1, -2.18, 53.01, 10.0, True),
        MapPoint(2, -2.17, 53.01, 200.0, True, True),
        MapPoint(3, 0, 0, 20.0, False),
    ]
    square = {
        "type": "Polygon",
        "coordinates": [[[-2.19, 53.0], [-2.16, 53.0], [-2.16, 53.02], [-2.19, 53.02], [-2.19, 53.0]]],
    }
    disc = {"type": "Circle", "centre": [-2.175, 53.01], "radius_m": 100}
    drawn = drawn_map(
        points,
        [MapZone('Zone <1> & "2"', "EXCLUSION", square), MapZone("Home", "CURFEW", disc)],
        "All & <everything>",
    )
    assert drawn is not None
    root = ElementTree.fromstring(drawn.svg)
    radii = sorted(float(one.get("r", 0)) for one in root.iter("{http://www.w3.org/2000/svg}circle"))
    by_radius = [radius for radius in radii if radius > 2]
    assert by_radius[-1] / by_radius[-2] == pytest.approx(2.0, rel=0.02), "200 m beside the disc of 100 m"
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"N", 'Zone <1> & "2"', "Home", "1", "2"} <= texts
    assert any(text is not None and text.endswith((" m", " km")) for text in texts)
    assert drawn_map([], [], "") is None


def test_a_map_of_very_many_positions_says_how_many_it_draws() -> None:
    points = [MapPoint(n, -2.18 + n / 1e6, 53.0, 10.0, True) for n in range(5_000)]
    drawn = drawn_map(points, [], "All.")
    assert drawn is not None
    assert "Drawn are 1,250 of 5,000" in drawn.caption


STREET = [(-2.19, 53.005), (-2.175, 53.011), (-2.16, 53.015)]
CORNERS = [MapPoint(1, -2.19, 53.0, 10.0, True), MapPoint(2, -2.16, 53.02, 10.0, True)]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base map with a street, a lane without a name and a lake, as GDAL writes tiles."""
    path = tmp_path_factory.mktemp("town") / "town.pmtiles"
    roads = [
        (LineString(STREET), {"kind": "medium_road", "name": "Marlpit & Road"}),
        (LineString([(-2.18, 53.0), (-2.18, 53.004)]), {"kind": "minor_road"}),
    ]
    lake = [(Point(-2.175, 53.01).buffer(0.001), {"kind": "lake"})]
    about = About("town", "Somebody's <data>", (-2.3, 52.9, -2.0, 53.1))
    write_pmtiles(path, [Layer("roads", (10, 14), roads), Layer("water", (10, 14), lake)], about)
    return path


def test_streets_of_the_base_map_lie_under_a_map_where_they_are(town: Path) -> None:
    drawn = drawn_map(CORNERS, [], "All.", town)
    assert drawn is not None
    assert drawn.caption == "All. Streets: Somebody's."
    frame = drawing._frame(CORNERS, [])
    root = ElementTree.fromstring(drawn.svg)
    paths = [one for one in root.iter("{http://www.w3.org/2000/svg}path") if one.get("stroke") == COLOUR]
    assert [one.get("stroke-width") for one in paths] == [str(WIDTHS["minor_road"]), str(WIDTHS["medium_road"])]
    corners = [tuple(map(float, at.split(","))) for at in re.split("[M ]+", paths[1].get("d", "")) if at]
    for place in STREET:
        x, y = frame.at(*place)
        assert min(abs(x - at[0]) + abs(y - at[1]) for at in corners) < 1.5, "where the street is, to a pixel"
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "Marlpit & Road" in texts


def test_a_map_without_streets_or_with_a_broken_file_is_drawn_all_the_same(town: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pmtiles"
    whole = bytearray(town.read_bytes())
    whole[-2_000:] = bytes(2_000)
    broken.write_bytes(whole)
    plain = drawn_map(CORNERS, [], "All.")
    for path in (OUTLINE, broken, tmp_path / "none"):
        assert drawn_map(CORNERS, [], "All.", path) == plain


@given(st.binary(max_size=300))
def test_bytes_that_are_no_tile_are_refused_and_never_loop(tile: bytes) -> None:
    with suppress(UnfitTile):
        assert len(list(lines_of(tile, {"roads", ""}))) <= len(tile)


def report(text: str = "x") -> Report:
    none = Table(("a",), [])
    return Report(
        text,
        [("Who", text)],
        [text],
        [text],
        none,
        [],
        none,
        [],
        [],
        [],
        none,
        [],
        none,
        [],
        none,
        None,
        none,
        [text],
        [],
        text,
    )


@pytest.mark.parametrize("text", ["#panic()", "$x$ *y* `z` <b> @a \\", "Łódź é", "\u4e2d\u6587", "a" * 300])
def test_no_text_is_taken_for_markup_in_either_form(text: str) -> None:
    html = printing.html_of(report(text)).decode()
    assert "<b>" not in html
    printed = printing.pdf_of(report(text), 0)
    assert printed is not None
    reader = pypdf.PdfReader(io.BytesIO(printed))
    assert reader.metadata is not None
    assert reader.metadata.title == text


def test_without_the_printer_a_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    assert printing.pdf_of(report(), 0) is None
    assert not printing.can_print()


# ------------------------------------------------------------------------------------------ doors


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


async def all_is_sealed(office: Office) -> None:
    """The service puts rows under a head within seconds."""
    for _ in range(400):
        waits = await office.connection.fetchval(
            "SELECT count(*) FROM log_material m LEFT JOIN log_leaves l USING (material_no), "
            "(SELECT coalesce(max(size), 0) AS size FROM log_heads) h "
            "WHERE l.first_leaf IS NULL OR l.first_leaf + cardinality(m.keys) > h.size"
        )
        if not waits:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 20 s")


async def a_night(office: Office) -> None:
    """Ann Other is out at curfew, comes home, and her strap says something."""
    await office.report(
        "D1", away("19:30", 1), away("19:50", 2), away("19:52", 3), at_home("19:56", 4), strap("19:57", 5)
    )
    await all_is_sealed(office)


WINDOW = (parse_instant("2026-03-02T18:00:00Z"), parse_instant("2026-03-02T20:00:00Z"))
FORM = {"purpose": "COURT", "reference": "T20267001", "recipient": "Crown Court", "begin": "2026-03-02T18:00",
        "end": "2026-03-02T20:00", "lat": str(AWAY[1]), "lon": str(AWAY[0]), "radius": "100"}  # fmt: skip


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def key_file(office: Office, folder: Path) -> Path:
    path = folder / "log.pub"
    path.write_bytes((office.settings.data_dir / "log.pub").read_bytes())
    return path


async def test_a_report_is_handed_out_read_by_others_checked_offline_and_on_record(
    office: Office, visitor: Visitor, tmp_path: Path
) -> None:
    await a_night(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    async with visitor.http.post("/wearers/1/report", data=FORM | {"form_key": key}) as answer:
        assert answer.status == 200, await answer.text()
        content = await answer.read()
        assert answer.headers["Content-Disposition"] == 'attachment; filename="report-1.zip"'
    files = opened(content)
    assert set(files) == {"report.html", "report.pdf", "report.json", "positions.csv", "proofs.json", "manifest.json"}
    looks = await office.connection.fetch("SELECT purpose, reference, wearer_no FROM looks WHERE what = 'export'")
    assert [tuple(row) for row in looks] == [("COURT", "T20267001", 1)]
    row = await office.connection.fetchrow("SELECT what, form, recipient, positions, sha256 FROM disclosures")
    assert row is not None
    assert tuple(row) == ("report", "zip", "Crown Court", 4, hashlib.sha256(content).digest())
    said_in_report(files)
    proofs = [proof for proof in read_proofs(files["proofs.json"]) if isinstance(proof, Inclusion)]
    assert {proof.kind for proof in proofs} == {
        "finding_versions", "requirement_versions", "activation_versions", "positions", "device_events",
    }  # fmt: skip
    await checks_offline(office, content, tmp_path)


def said_in_report(files: dict[str, bytes]) -> None:
    """The same in HTML, PDF and for programs."""
    html, data = files["report.html"].decode(), json.loads(files["report.json"])
    pdf = pypdf.PdfReader(io.BytesIO(files["report.pdf"]))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    for said in (
        "Ann Other (W1)", "To prepare evidence for a court (T20267001)", "Crown Court", "Mon 2 Mar 2026 18:00:00 GMT",
        "2026-03-02T18:00:00Z", "Tamper: strap", "not the way that somebody took", "In force from", "report.pdf",
    ):  # fmt: skip
        assert said in html, said
        assert said in text, said
    titles = [one["title"] for one in data["standing"] + data["amended"]]
    assert any("curfew" in title.lower() for title in titles), titles
    assert "Tamper: strap" in titles
    versions = {dict(one["lines"])["Version"].split(";")[0] for one in data["obligations"]}
    curfew = next(one for one in data["standing"] + data["amended"] if "curfew" in one["title"].lower())
    assert {name for name, _ in curfew["lines"]} >= {"Decided under", "Hash of the facts it rests on", "Requirement"}
    decided = dict(curfew["lines"])["Decided under"]
    assert "rules 2" in decided
    assert any(version in decided for version in versions), "the order that is listed is the one it was decided under"
    assert curfew["evidence"]["rows"][0][5] == f"{AWAY[1]:.6f}, {AWAY[0]:.6f}"
    assert curfew["map"]["svg"].startswith("<svg")
    places = [row for row in data["negatives"]["rows"] if row[0].startswith("Place asked about")]
    assert [row[5].startswith("The person was seen there.") for row in places] == [True]
    assert data["gaps"]["rows"], "from 18:00 to 19:30 nothing is known"
    rows = list(csv.DictReader(io.StringIO(files["positions.csv"].decode())))
    assert len(rows) == 4
    assert pdf.trailer["/Root"]["/MarkInfo"]["/Marked"], "a screen reader can read it"


async def checks_offline(office: Office, content: bytes, tmp_path: Path) -> None:
    """By the command, with the public key, without database and service."""
    path, pub = tmp_path / "report.zip", key_file(office, tmp_path)
    path.write_bytes(content)
    await all_is_sealed(office)
    proof = tmp_path / "disclosure.json"
    proof.write_bytes(written(await proofs_of(office.settings, commander("Ann", "COURT"), "disclosure", 1)))
    run = CliRunner()
    checked = run.invoke(app, ["audit", "verify", str(path), "--key", str(pub), "--disclosure", str(proof)])
    assert checked.exit_code == 0, checked.output
    assert "this very file was handed out" in checked.output
    assert "rows of the record that it rests on are in the log" in checked.output
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(NotProved):
        verify_bundle(path, pub.read_text())
    # A report that somebody made anew, manifest and all, is not the one that was handed out, and its rows are not in the log.
    files = {name: one for name, one in opened(content).items() if name != MANIFEST}
    path.write_bytes(bundled(files | {"report.html": b"something else"}))
    with pytest.raises(NotProved, match="another file was handed out"):
        verify_bundle(path, pub.read_text(), disclosure=proof)
    path.write_bytes(bundled(files | {"proofs.json": files["proofs.json"].replace(b"STRAP_TAMPER", b"STRAP_CLEAR")}))
    with pytest.raises(NotProved, match="was changed"):
        verify_bundle(path, pub.read_text())


async def test_amended_and_withdrawn_findings_are_told_apart_and_a_report_of_then_knows_nothing_of_now(
    office: Office, tmp_path: Path
) -> None:
    await office.report("D1", away("19:50", 1), away("19:52", 2))
    known_ms = parse_instant(
        (await office.connection.fetchval("SELECT max(recorded_at) FROM finding_versions")).isoformat()
    )
    # Precise positions of the same instants say that she was at home all the time.
    for seq, at in enumerate(("19:00", "19:10", "19:20", "19:30", "19:40", "19:50", "19:52"), 3):
        await office.report("D1", at_home(at, seq) | {"precision_m": 3})
    await office.report("D1", at_home("19:58", 20), at_home("19:59", 21))
    now = await made(office, tmp_path / "now.zip")
    then = await made(office, tmp_path / "then.zip", known_ms)
    titles = {part: [one["title"] for one in now[part]] for part in ("standing", "amended", "withdrawn")}
    assert any("curfew" in title.lower() for title in titles["withdrawn"] + titles["amended"]), titles
    assert then["withdrawn"] == []
    assert any("curfew" in one["title"].lower() for one in then["standing"])
    assert len(then["positions"]["rows"]) == 2


async def made(office: Office, path: Path, known_ms: int | None = None) -> Any:
    asked = AskedExport("W1", WINDOW, "", known_ms)
    await export_report(office.settings, commander("Ann", "COURT", "7"), asked, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return json.loads(opened(path.read_bytes())["report.json"])


async def test_a_report_of_a_time_without_anything_says_that_nothing_is_known(office: Office, tmp_path: Path) -> None:
    found = await made(office, tmp_path / "W1.zip")
    assert found["map"] is not None, "the zones are drawn"
    assert found["positions"]["rows"] == []
    said = {row[0]: row[5] for row in found["negatives"]["rows"]}
    assert "For 2 h nobody can tell." in said["C1"]
    assert dict(found["coverage"])["Of that, nothing is known for"].startswith("2 h")


async def test_more_findings_than_a_report_holds_are_refused_and_later_ones_count_for_nothing(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_night(office)
    monkeypatch.setattr(gathering, "MOST_FINDINGS", 1)
    with pytest.raises(UnfitExport, match="more than 1 findings"):
        await made(office, tmp_path / "W1.zip")
    before = AskedExport("W1", (WINDOW[0], parse_instant("2026-03-02T18:30:00Z")), "")
    await export_report(office.settings, commander("Ann", "COURT"), before, tmp_path / "W1.zip")
    found = json.loads(opened((tmp_path / "W1.zip").read_bytes())["report.json"])
    assert found["standing"] + found["amended"] + found["withdrawn"] == []


async def test_a_program_is_given_a_report_and_one_about_others_people_is_refused(
    office: Office, tmp_path: Path
) -> None:
    await office.two_are_out()
    headers = office.bearer("officer") | {"Purpose": "COURT", "Purpose-Reference": "T20267001"}
    place = {"lat_deg": AWAY[1], "lon_deg": AWAY[0]}
    body = {"from": "2026-03-02T19:00:00Z", "to": "2026-03-02T20:00:00Z", "recipient": "Crown Court", "place": place}
    async with office.http.post("/v1/wearers/W1/report", json=body, headers=headers) as answer:
        content = await answer.read()
        assert (answer.status, answer.headers["Disclosure"]) == (200, "1")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="report-1.zip"'
    (tmp_path / "report.zip").write_bytes(content)
    files, _ = read_bundle(tmp_path / "report.zip")
    assert str(AWAY[1]).encode() in files["positions.csv"]
    row = await office.connection.fetchrow("SELECT what, door, recipient, positions FROM disclosures")
    assert tuple(row) == ("report", "program", "Crown Court", 2)
    refused = (
        ({"from": "2026-02-12T00:00:00Z"}, "COURT", 422, "14 days"),
        ({}, "MONITORING", 422, "purpose"),
        ({"place": place | {"radius_m": 1}}, "COURT", 422, "radius_m"),
    )
    for changed, purpose, status, said in refused:
        headers = office.bearer("officer") | {"Purpose": purpose}
        async with office.http.post("/v1/wearers/W1/report", json=body | changed, headers=headers) as answer:
            assert (answer.status, said in (await answer.json())["error"]) == (status, True), said
    other = office.bearer(await office.token_of(Role.OFFICER, "Housing")) | {"Purpose": "COURT"}
    async with office.http.post("/v1/wearers/W1/report", json=body, headers=other) as answer:
        assert answer.status == 404
    assert await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'export'") == 1


async def test_what_does_not_fit_is_refused_before_anybody_is_looked_at(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    for changed, said in (
        ({"purpose": ""}, "Select a reason"),
        ({"begin": "2026-02-01T18:00"}, "14 days"),
        ({"end": "2026-03-02T17:00"}, "after"),
        ({"lat": "x"}, "as numbers"),
        ({"lat": "nan"}, "as numbers"),
        ({"lon": "200"}, "interchanged"),
        ({"radius": "1"}, "radius"),
    ):
        status, page = await visitor.post("/wearers/1/report", form_key=key, **FORM | changed)
        assert (status, said in page) == (422, True), said
    assert await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'export'") == 0
