"""Positions that are handed out: other programs read them, the look comes first, and the file is on record with its hash."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import geopandas
import gpxpy
import pyarrow.parquet as pq
import pytest

from emtrack.cli.exporting import AskedExport, export_positions
from emtrack.errors import MendableError
from emtrack.files.facts import POSITION_COLUMNS, read_rows
from emtrack.files.positions import (
    FULL,
    WRITERS,
    FilePosition,
    PositionFile,
    PositionForm,
    condensed_csv,
    full_csv,
    geojson,
    geoparquet,
    gpx,
    plain_cell,
)
from emtrack.people.looks import commander
from emtrack.people.roles import Role
from emtrack.reading import exports
from geofence import Interval, Mechanism, Position
from geofence.judgement import PositionStatus
from geofence.words import parse_instant
from tests.command_line import emtrack_aside
from tests.office import Office, away, open_office
from tests.service_world import AWAY
from tests.visitor import Visitor

BEGIN_MS = parse_instant("2026-10-25T00:30:00Z")
"""In the first of two passes of half past one: the clocks of London go back half an hour later."""
JUMPED = 3
UNAUTHENTICATED = 2


def point(n: int, device_id: str = "D1", hdop: float | None = 0.9) -> FilePosition:
    fix_ms = BEGIN_MS + (n - 1) * 600_000 + (7_200_000 if n > 4 else 0)
    position = Position(fix_ms, 53.0 + n / 1000, -2.18, 6.0 if n != 2 else None, Mechanism.GPS, fix_ms + 5_000, n)
    status = PositionStatus.JUMP if n == JUMPED else PositionStatus.EVIDENCE
    return FilePosition(
        n, device_id, position, status, n != UNAUTHENTICATED, 4.5, 270.0, 9, hdop, fix_ms + 1_000, None
    )


def file_of(count: int = 6, **changed: Any) -> PositionFile:
    window = Interval(BEGIN_MS, BEGIN_MS + 86_400_000)
    file = PositionFile(
        [point(n) for n in range(1, count + 1)], "W1", window, window.end_ms, "Europe/London", 900_000, "COURT", "case 7 & <8>",
        "Crown Court", "Ann", window.end_ms,
    )  # fmt: skip
    return file._replace(**changed)


# ------------------------------------------------------------------------------------------ files, read by others


def test_both_tables_tell_the_two_passes_of_an_hour_apart() -> None:
    for write in (condensed_csv, full_csv):
        rows = list(csv.DictReader(io.StringIO(write(file_of()).decode())))
        assert [(row["local_time"][11:], row["clock"]) for row in rows][:4] == [
            ("01:30:00", "BST"), ("01:40:00", "BST"), ("01:50:00", "BST"), ("01:00:00", "GMT"),
        ]  # fmt: skip
        assert [row["use"] for row in rows][JUMPED - 1] == "JUMP", "what is no evidence is told apart"
    assert rows[0]["fix_time"] == "2026-10-25T00:30:00Z"
    assert rows[1]["precision_m"] == ""
    assert rows[1]["accuracy_m"] == "20.0"


def test_the_full_table_is_what_evaluate_reads(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_bytes(full_csv(file_of()))
    rows = [row.fields for row in read_rows(path, POSITION_COLUMNS)]
    assert len(rows) == 6
    assert rows[0] is not None
    assert (rows[0]["device_id"], rows[0]["lat_deg"]) == ("D1", 53.001)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a;=1", "a,=1", 'a"=1', "\uff1d1", " =1", "a\n=1"],
)
def test_no_text_begins_a_formula_whatever_parts_the_cells(text: str) -> None:
    changed = file_of(points=[point(1, text)])
    cells = [cell for row in csv.reader(io.StringIO(full_csv(changed).decode())) for cell in row]
    assert text not in cells
    for separator in ",;\t|":
        for line in csv.reader(io.StringIO(plain_cell(text)), delimiter=separator):
            assert not any(cell.strip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in line)


def test_a_text_without_a_formula_stays_as_it_is() -> None:
    for text in ("D-1", "tag 5+6", "A_1", "x@y", "Ü-1", ""):
        assert plain_cell(text) == text


def test_geopandas_reads_the_geojson(tmp_path: Path) -> None:
    path = tmp_path / "positions.geojson"
    path.write_bytes(geojson(file_of()))
    frame = geopandas.read_file(path)
    assert len(frame) == 6
    assert frame.crs.to_epsg() == 4326
    assert (frame.geometry.iloc[0].x, frame.geometry.iloc[0].y) == (-2.18, 53.001)
    assert list(frame["use"])[JUMPED - 1] == "JUMP"
    about = json.loads(path.read_bytes())["about"]
    assert (about["purpose"], about["reference"], about["made_by"]) == ("COURT", "case 7 & <8>", "Ann")
    assert "not the way" in about["caution"]


def test_gpxpy_reads_the_gpx_and_no_track_runs_through_a_gap_or_a_jump() -> None:
    read = gpxpy.parse(gpx(file_of()).decode())
    (track,) = read.tracks
    assert [[p.name for p in segment.points] for segment in track.segments] == [["1", "2"], ["4"], ["5", "6"]]
    assert [w.name for w in read.waypoints] == [str(JUMPED)]
    first = track.segments[0].points[0]
    assert first.time is not None
    assert (first.latitude, first.longitude, first.time.isoformat()) == (53.001, -2.18, "2026-10-25T00:30:00+00:00")
    assert (first.satellites, first.horizontal_dilution, first.source) == (9, 0.9, "GPS")
    assert "not the way" in (track.description or "")
    assert "case 7 & <8>" in (read.description or "")


def test_geopandas_and_pyarrow_read_the_geoparquet(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    path.write_bytes(geoparquet(file_of()))
    frame = geopandas.read_parquet(path)
    assert frame.crs.equals("OGC:CRS84")
    assert [round(p.y, 3) for p in frame.geometry] == [53.001, 53.002, 53.003, 53.004, 53.005, 53.006]
    metadata = pq.read_metadata(path).metadata
    assert json.loads(metadata[b"geo"])["version"] == "1.1.0"
    assert json.loads(metadata[b"emtrack"])["reference"] == "case 7 & <8>"
    table = pq.read_table(path)
    assert table["fix_time"][0].as_py().isoformat() == "2026-10-25T00:30:00+00:00"
    assert table["precision_m"][1].as_py() is None


@pytest.mark.parametrize("form", list(PositionForm))
def test_a_time_without_a_position_is_a_file_all_the_same(form: PositionForm) -> None:
    assert WRITERS[form](file_of(0, points=[], reference="\x00\x0b\ufffe")) != b""


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


FORM = {"purpose": "COURT", "reference": "T20267001", "recipient": "Crown Court", "begin": "2026-03-02T19:00",
        "end": "2026-03-02T20:00", "form": "csv"}  # fmt: skip
BODY = {"from": "2026-03-02T19:00:00Z", "to": "2026-03-02T20:00:00Z"}
RECORD = """
SELECT disclosed_by, door, purpose, reference, recipient, wearer_no, what, form, positions, size_bytes, sha256 FROM disclosures
ORDER BY disclosure_no
"""


async def looks(office: Office) -> list[tuple[Any, ...]]:
    rows = await office.connection.fetch(
        "SELECT what, wearer_no, purpose, reference FROM looks WHERE what = 'export' ORDER BY look_no"
    )
    return [tuple(row) for row in rows]


async def test_a_page_hands_out_a_file_that_is_on_record_with_its_hash(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    status, page = await visitor.post("/wearers/1/export", form_key=key, **FORM | {"purpose": ""})
    assert (status, "Select a reason" in page) == (422, True)
    assert await looks(office) == []
    async with visitor.http.post("/wearers/1/export", data=FORM | {"form_key": key}) as answer:
        content = await answer.read()
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == 'attachment; filename="positions-1.csv"'
        assert answer.headers["Cache-Control"] == "no-store"
        hashed = hashlib.sha256(content)
        assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(hashed.digest()).decode()}:"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["local_time"] for row in rows] == ["2026-03-02 19:50:00", "2026-03-02 19:52:00"]
    assert await looks(office) == [("export", 1, "COURT", "T20267001")]
    (row,) = await office.connection.fetch(RECORD)
    assert tuple(row) == (
        "Ann", "page", "COURT", "T20267001", "Crown Court", 1, "positions", "csv", 2, len(content), hashed.digest(),
    )  # fmt: skip
    for path in ("/wearers/1/export", "/wearers/1/report"):
        _, page = await visitor.get(f"{path}?begin=2026-03-02T18:00&end=2026-03-02T19:30")
        assert 'value="2026-03-02T18:00"' in page, "the time of the history that leads here"
    _, page = await visitor.get("/wearers/1/export")
    assert hashed.hexdigest() in page
    assert "for Crown Court" in page


async def test_a_program_is_given_each_form(office: Office) -> None:
    await office.two_are_out()
    headers = office.bearer("officer") | {"Purpose": "COURT", "Purpose-Reference": "T20267001"}
    for number, form in enumerate(PositionForm, 1):
        async with office.http.post("/v1/wearers/W1/export", json=BODY | {"form": form}, headers=headers) as answer:
            assert (answer.status, answer.headers["Disclosure"]) == (200, str(number))
            assert str(AWAY[1]).encode() in await answer.read() or form is PositionForm.GEOPARQUET


async def test_what_does_not_fit_is_refused_and_nobody_is_looked_at(office: Office) -> None:
    for body, purpose, said in (
        (BODY | {"to": "2026-04-30T00:00:00Z"}, "COURT", "future"),
        (BODY | {"from": "2026-01-02T00:00:00Z"}, "COURT", "31 days"),
        (BODY | {"to": BODY["from"]}, "COURT", "after"),
        (BODY | {"form": "xlsx"}, "COURT", "form"),
        (BODY | {"recipient": "x" * 201}, "COURT", "recipient"),
        (BODY, "MONITORING", "purpose"),
    ):
        headers = office.bearer("operator") | {"Purpose": purpose}
        async with office.http.post("/v1/wearers/W1/export", json=body, headers=headers) as answer:
            assert (answer.status, said in (await answer.json())["error"]) == (422, True), said
    assert await looks(office) == []


async def test_more_positions_than_a_file_holds_are_refused_and_not_cut(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.two_are_out()
    monkeypatch.setattr(exports, "MOST_FIXES", 1)
    asked = AskedExport("W1", (parse_instant(BODY["from"]), parse_instant(BODY["to"])), "csv")
    with pytest.raises(MendableError, match="2 positions"):
        await export_positions(office.settings, commander("Ann", "COURT"), asked, tmp_path / "W1.csv")
    assert not (tmp_path / "W1.csv").exists()
    assert await office.connection.fetchval("SELECT count(*) FROM disclosures") == 0


async def test_only_what_was_received_by_an_instant_is_handed_out_as_known_then(office: Office) -> None:
    await office.report("D1", away("19:50", 1))
    received = await office.connection.fetchval("SELECT max(received_at) FROM positions")
    await office.report("D1", away("19:52", 2))
    headers = office.bearer("officer") | {"Purpose": "COURT"}
    body = BODY | {"as_known_at": received.isoformat()}
    async with office.http.post("/v1/wearers/W1/export", json=body, headers=headers) as answer:
        assert (await answer.text()).count("GPS") == 1


async def test_nobody_is_handed_positions_of_people_of_another_agency(office: Office) -> None:
    await office.two_are_out()
    other = await office.token_of(Role.OFFICER, "Housing")
    headers = office.bearer(other) | {"Purpose": "COURT"}
    async with office.http.post("/v1/wearers/W1/export", json=BODY, headers=headers) as answer:
        assert answer.status == 404
    assert await looks(office) == []


async def test_a_command_writes_a_file_for_its_owner_alone_and_records_it(office: Office, tmp_path: Path) -> None:
    await office.two_are_out()
    path = tmp_path / "W1.csv"
    asked = AskedExport("W1", (parse_instant(BODY["from"]), parse_instant(BODY["to"])), "csv-full", None, "Ash")
    assert await export_positions(office.settings, commander("Ann", "COURT", "7"), asked, path) == (1, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().splitlines()[0] == ",".join(FULL)
    (row,) = await office.connection.fetch(RECORD)
    assert (row["door"], row["recipient"], row["sha256"]) == (
        "command",
        "Ash",
        hashlib.sha256(path.read_bytes()).digest(),
    )
    assert await looks(office) == [("export", 1, "COURT", "7")]


async def test_files_reports_and_trials_are_had_on_a_command_line_with_a_purpose(
    office: Office, tmp_path: Path
) -> None:
    await office.two_are_out()
    there = {
        "EMTRACK_DATABASE_URL": office.settings.database_url or "",
        "EMTRACK_DATA_DIR": str(office.settings.data_dir),
    }
    of_one = ("--wearer", "W1", "--from", BODY["from"], "--to", BODY["to"])
    for command in (
        ("export", tmp_path / "W1.gpx", *of_one, "--form", "gpx"),
        ("report", tmp_path / "W1.zip", *of_one),
        ("whatif", *of_one, "--timetable", "SUN 01:00-02:00; MON 01:00-02:00"),
    ):
        if command[0] != "report":  # which asks for it by itself
            ended = await emtrack_aside(
                *command, *([] if command[0] == "export" else ["--purpose", "SERVICE"]), **there
            )
            assert (ended.returncode, "purpose is needed" in ended.stderr) == (2, True), ended.stderr
        ended = await emtrack_aside(*command, "--purpose", "COURT", "--reference", "7", **there)
        assert ended.returncode == 0, ended.stderr
    assert len(gpxpy.parse((tmp_path / "W1.gpx").read_text()).tracks[0].segments[0].points) == 2
    assert (tmp_path / "W1.zip").read_bytes()[:2] == b"PK"
    assert {change["what"] for change in json.loads(ended.stdout)["changes"]} == {"lost"}
    rows = await office.connection.fetch(
        "SELECT what, purpose, reference FROM looks WHERE door = 'command' ORDER BY look_no"
    )
    assert [tuple(row) for row in rows] == [
        ("export", "COURT", "7"),
        ("export", "COURT", "7"),
        ("what if", "COURT", "7"),
    ]
