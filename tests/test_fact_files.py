"""Files of facts: CSV, NDJSON and Parquet, whole or damaged."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emtrack.files.facts import POSITION_COLUMNS, read_rows
from emtrack.forms.errors import FormError
from geofence.words import parse_instant
from ingest.reports import PositionReport, read_position

HEADER = "device_id,fix_time,lat_deg,lon_deg,precision_m,mechanism"
ROW = "D1,2026-03-02T12:00:00Z,53.0,-2.1,6,GPS"


def rows(path: Path, text: str | bytes, **names: Any) -> list[Any]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_rows(path, POSITION_COLUMNS, **names))


def test_lines_are_counted_as_a_person_counts_them(tmp_path: Path) -> None:
    found = rows(tmp_path / "p.csv", f'{HEADER},note\r\n{ROW},"two\nlines"\r\n\r\n{ROW},x\r\n')
    assert [row.line for row in found] == [2, 5]  # where each begins
    assert found[0].fields["note"] == "two\nlines"


def test_a_byte_order_mark_spaces_and_empty_cells_are_taken_as_meant(tmp_path: Path) -> None:
    (row,) = rows(
        tmp_path / "p.csv", "\ufeff" + HEADER.replace(",", ", ") + "\nD1 , 2026-03-02T12:00:00Z,53,-2, ,GPS\n"
    )
    assert (row.fields["device_id"], row.fields["precision_m"], row.fields["lat_deg"]) == ("D1", None, 53.0)


def test_a_row_of_too_many_cells_is_refused_and_one_of_too_few_lacks_them(tmp_path: Path) -> None:
    many, few = rows(tmp_path / "p.csv", f"{HEADER}\n{ROW},more\nD1,2026-03-02T12:00:00Z\n")
    assert (many.fields, many.line) == (None, 2)
    assert "7 cells" in many.trouble
    assert "lat_deg" not in few.fields


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    text = HEADER.replace("device_id", "tag") + "\n" + ROW
    (row,) = rows(tmp_path / "p.csv", text, renamed={"tag": "device_id"})
    assert row.fields["device_id"] == "D1"


def test_an_unreadable_line_of_ndjson_is_refused_alone(tmp_path: Path) -> None:
    found = rows(tmp_path / "p.ndjson", '{"device_id": "D1"}\n\nnot json\n[1]\n{"device_id": "D2"}\n')
    assert [(row.line, row.fields is None) for row in found] == [(1, False), (3, True), (4, True), (5, False)]


def test_huge_numbers_of_ndjson_are_refused_and_nothing_worse(tmp_path: Path) -> None:
    (row,) = rows(
        tmp_path / "p.ndjson", '{"device_id": "D1", "fix_time": "2026-03-02T12:00:00Z", "lat_deg": 1%s}' % ("0" * 400)
    )
    assert not isinstance(read_position(row.fields), PositionReport)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_parquet_are_instants_whatever_their_unit(tmp_path: Path, unit: str) -> None:
    moment = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    columns: dict[str, Any] = {
        "device_id": ["D1"], "fix_time": pa.array([moment], pa.timestamp(unit, "UTC")), "lat_deg": [53.0],
        "lon_deg": [-2.1], "precision_m": [None], "mechanism": ["GPS"],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    (row,) = read_rows(tmp_path / "p.parquet", POSITION_COLUMNS)
    report = read_position(row.fields or {})
    assert isinstance(report, PositionReport)
    assert report.fix_ms == parse_instant("2026-03-02T12:00:00Z")


def test_nanoseconds_of_parquet_are_cut_off_like_others(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "device_id": ["D1"], "fix_time": pa.array([1_772_452_800_123_456_789], pa.timestamp("ns", "UTC")),
        "lat_deg": [53.0], "lon_deg": [-2.1], "precision_m": [None], "mechanism": ["GPS"],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    (row,) = read_rows(tmp_path / "p.parquet", POSITION_COLUMNS)
    report = read_position(row.fields or {})
    assert isinstance(report, PositionReport)
    assert report.fix_ms == 1_772_452_800_123


def test_a_timestamp_without_a_zone_is_refused(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "device_id": ["D1"], "fix_time": pa.array([datetime(2026, 3, 2, 12)], pa.timestamp("ms")), "lat_deg": [53.0],  # noqa: DTZ001
        "lon_deg": [-2.1], "precision_m": [6.0], "mechanism": ["GPS"],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    (row,) = read_rows(tmp_path / "p.parquet", POSITION_COLUMNS)
    refusal = read_position(row.fields or {})
    assert not isinstance(refusal, PositionReport)
    assert refusal.reason == "bad_time"


def _damaged() -> bytes:
    whole = bytearray(gzip.compress((HEADER + "\n" + "".join(f"{ROW}{i}\n" for i in range(500))).encode()))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv.gz", b"no gzip"),
        ("p.csv.gz", gzip.compress(HEADER.encode() + b"\n" + ROW.encode() * 50)[:-20]),
        ("p.csv.gz", _damaged()),
        ("p.csv", b"\xff\xfe\x00"),
        ("p.csv", b""),
        ("p.parquet", b"PAR1 no"),
        ("p.parquet", b""),
        ("p.xlsx", b""),
    ],
    ids=["no gzip", "cut gzip", "damaged gzip", "no text", "empty", "no parquet", "empty parquet", "extension"],
)
def test_a_file_that_cannot_be_read_is_named_in_an_error_of_ours(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(FormError, match=name):
        rows(tmp_path / name, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormError, match=r"none\.csv"):
        list(read_rows(tmp_path / "none.csv", POSITION_COLUMNS))
