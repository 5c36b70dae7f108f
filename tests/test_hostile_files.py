"""Files as others write them: one bad row costs that row, and a file that does not fit gets an error, not a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from emtrack.files.facts import POSITION_COLUMNS, read_rows
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_and_mend, read_orders
from emtrack.forms.to_core import plans_of
from geofence.words import FOREVER_MS

HEADER = ",".join(POSITION_COLUMNS).encode()
GOOD = b"D1,2026-03-02T12:01:00Z,53.0,-2.1,6,GPS"
ORDERS = {
    "activations": [
        {"activation_id": "A1", "device_id": "D1", "wearer_id": "W1", "from": "2026-03-01T00:00:00Z", "to": None}
    ]
}


def csv_rows(folder: Path, *lines: bytes) -> list[tuple[int, bool, str]]:
    path = folder / "positions.csv"
    path.write_bytes(b"\n".join([HEADER, *lines, b""]))
    return [(row.line, row.fields is not None, row.trouble) for row in read_rows(path, POSITION_COLUMNS)]


def test_a_row_of_bytes_that_are_no_text_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, GOOD, b"D1,\xff\xfe,53,-2,5,GPS", GOOD)
    assert rows == [(2, True, ""), (3, False, "bytes that are not UTF-8"), (4, True, "")]


def test_a_cell_that_is_too_large_costs_its_row(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, GOOD, b"D1," + b"x" * 200_000 + b",53,-2,5,GPS", GOOD)
    assert [usable for _, usable, _ in rows] == [True, False, True]


def test_a_quotation_mark_that_is_not_closed_is_named_where_it_begins(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, GOOD, b'D1,"2026-03-02T12:01:30Z,53,-2,5,GPS', GOOD, b'x,y"' + b",1" * 9)
    assert rows[0] == (2, True, "")
    assert rows[1][:2] == (3, False)
    assert "quotation mark" in rows[1][2]


def test_digits_with_underscores_are_no_number(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_bytes(HEADER + b"\nD1,2026-03-02T12:01:00Z,5_3.0,-2.1,6,GPS\n")
    (row,) = read_rows(path, POSITION_COLUMNS)
    assert row.fields is not None
    assert row.fields["lat_deg"] == "5_3.0"


def test_a_time_of_parquet_beyond_every_calendar_costs_its_row(tmp_path: Path) -> None:
    times = pyarrow.array([2**62, 1_772_452_860_000_000], pyarrow.timestamp("us", "UTC"))
    columns = {"device_id": ["D1", "D1"], "fix_time": times, "lat_deg": [53.0, 53.0], "lon_deg": [-2.1, -2.1],
               "precision_m": [6.0, 6.0], "mechanism": ["GPS", "GPS"]}  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "positions.parquet")
    rows = list(read_rows(tmp_path / "positions.parquet", POSITION_COLUMNS))
    assert [(row.line, row.fields is not None) for row in rows] == [(1, False), (2, True)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (json.dumps(ORDERS).replace('"A1"', '"\\ud800"'), "surrogate"),
        ('{"activations": [], "activations": []}', "stands twice"),
        (json.dumps(ORDERS | {"foo": 1}), "foo"),
    ],
)
def test_orders_that_are_no_orders_are_told_why(text: str, told: str) -> None:
    with pytest.raises(FormError, match=told):
        read_orders(text, "orders.json")


def test_an_unknown_field_is_named_with_its_own_line() -> None:
    text = json.dumps(ORDERS, indent=1).replace('"device_id"', '"device"')
    line = next(number for number, row in enumerate(text.splitlines(), start=1) if '"device"' in row)
    with pytest.raises(FormError, match=f"line {line}: activations\\[0\\].device"):
        read_orders(text, "orders.json")


def test_wearers_can_be_anything_where_they_are_ignored() -> None:
    text = json.dumps(ORDERS | {"wearers": "x"})
    assert len(read_and_mend(text, "orders.json", ignored=frozenset({"wearers"}))[0].activations) == 1
    with pytest.raises(FormError, match="wearers"):
        read_orders(text, "orders.json")


def test_a_wall_time_ends_where_its_line_ends() -> None:
    requirement = {"requirement_id": "R1", "wearer_id": "W1", "kind": "CURFEW", "from": "2026-03-01T00:00:00Z",
                   "geometry": {"type": "Circle", "centre": [-2.1, 53.0], "radius_m": 60},
                   "timetable": [{"day": "MON", "start": "19:00", "end": "07:00\n"}]}  # fmt: skip
    with pytest.raises(FormError, match="timetable"):
        read_orders(json.dumps(ORDERS | {"requirements": [requirement]}), "orders.json")


def test_an_absence_without_an_end_is_open() -> None:
    absence = {"wearer_id": "W1", "from": "2026-03-02T00:00:00Z", "to": None, "reason": "hospital"}
    (plan,) = plans_of(read_orders(json.dumps(ORDERS | {"absences": [absence]}), "orders.json"))
    assert plan.absences[0].end_ms == FOREVER_MS
