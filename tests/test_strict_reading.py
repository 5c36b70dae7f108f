"""What is said twice is not read at all, and a byte-order mark is no fault: in every form, at every door."""

from __future__ import annotations

import codecs
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.files.facts import POSITION_COLUMNS, read_rows
from emtrack.files.replay import Recording, read_recording
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from ingest import UnreadableText, read_json
from ingest.strict import read_msgpack
from ingest.wire import WireError, read_request

FIELD = Path(__file__).parent / "field"
HEADER = ",".join(POSITION_COLUMNS)
ROW = "D1,2026-03-02T12:01:00Z,53.0,-2.1,6,GPS"
JSON_ROW = {
    "device_id": "D1",
    "fix_time": "2026-03-02T12:01:00Z",
    "lat_deg": 53.0,
    "lon_deg": -2.1,
    "mechanism": "GPS",
}

texts = st.text(st.characters(codec="utf-8"))
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_said_once_is_read_as_it_is(value: Any, is_ascii: bool, indent: int | None) -> None:
    assert read_json(json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()) == value
    assert read_msgpack(msgspec.msgpack.encode(value)) == value


@given(texts, values, values)
def test_a_key_that_stands_twice_is_named_wherever_it_stands(key: str, one: Any, other: Any) -> None:
    plain, escaped = json.dumps(key, ensure_ascii=False), json.dumps(key)
    pair = f"{plain}: {json.dumps(one)}, {escaped}: {json.dumps(other)}"
    for body in ("{" + pair + "}", '[{"a": "b", "c": [{' + pair + "}]}]"):
        with pytest.raises(UnreadableText, match="stands twice"):
            read_json(body.encode())
    packed = msgspec.msgpack.encode
    twice = b"\x82" + packed(key) + packed(one) + packed(key) + packed(other)
    for packed_body in (twice, b"\x92" + packed(one) + b"\x81" + packed("c") + twice):
        with pytest.raises(UnreadableText, match="stands twice"):
            read_msgpack(packed_body)


@given(st.binary(max_size=40))
def test_whatever_bytes_come_they_are_read_or_refused(body: bytes) -> None:
    for read in (read_json, read_msgpack):
        try:
            read(body)
        except UnreadableText:
            continue


def test_half_a_pair_and_another_encoding_are_told_as_what_they_are() -> None:
    for body, what in [(b'["\\ud800"]', "surrogate"), ("{}".encode("utf-16"), "UTF-16"), (b'{"a": "\xff"}', "UTF-8")]:
        with pytest.raises(UnreadableText, match=what):
            read_json(body)


# ------------------------------------------------------------------------------------------- files of facts


def refused(path: Path, renamed: dict[str, str] | None = None) -> str:
    with pytest.raises(FormError) as error:
        list(read_rows(path, POSITION_COLUMNS, renamed))
    return str(error.value)


def test_a_column_that_stands_twice_is_refused_by_name(tmp_path: Path) -> None:
    assert "line 1: the column 'lat_deg' stands twice" in refused(FIELD / "06" / "dup_lat.csv")
    (tmp_path / "p.csv").write_text(f"latitude,{HEADER}\n52.0,{ROW}\n")
    assert "'lat_deg' stands twice" in refused(tmp_path / "p.csv", {"latitude": "lat_deg"})
    names = [*POSITION_COLUMNS, "lat_deg"]
    table = pyarrow.Table.from_arrays([pyarrow.array(["x"])] * len(names), names=names)
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    assert "'lat_deg' stands twice" in refused(tmp_path / "p.parquet")


def test_columns_without_a_name_are_no_columns(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"{HEADER},,\n{ROW},,\n")
    assert [row.fields is not None for row in read_rows(tmp_path / "p.csv", POSITION_COLUMNS)] == [True]


def test_a_key_that_stands_twice_costs_its_row(tmp_path: Path) -> None:
    twice = json.dumps(JSON_ROW)[:-1] + ', "lat_deg": 1}'
    (tmp_path / "p.ndjson").write_text(f"{json.dumps(JSON_ROW)}\n{twice}\n")
    rows = list(read_rows(tmp_path / "p.ndjson", POSITION_COLUMNS))
    assert [(row.line, "'lat_deg' stands twice" in row.trouble) for row in rows] == [(1, False), (2, True)]
    renamed = list(read_rows(tmp_path / "p.ndjson", POSITION_COLUMNS, {"lon_deg": "lat_deg"}))
    assert ["'lat_deg' stands twice" in row.trouble for row in renamed] == [True, True]


@pytest.mark.parametrize("name", ["p.csv", "p.ndjson", "p.csv.gz", "p.ndjson.gz"])
def test_a_byte_order_mark_is_taken(tmp_path: Path, name: str) -> None:
    text = f"{HEADER}\n{ROW}\n" if ".csv" in name else json.dumps(JSON_ROW) + "\n"
    body = codecs.BOM_UTF8 + text.encode()
    (tmp_path / name).write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
    (row,) = read_rows(tmp_path / name, POSITION_COLUMNS)
    assert row.fields is not None
    assert row.fields["device_id"] == "D1"
    assert len(read_recording([tmp_path / name], Recording())[0]) == 1


# ------------------------------------------------------------------------------------------- orders and bodies


def test_a_nul_is_refused_with_its_field_even_where_fields_are_ignored() -> None:
    text = (FIELD / "33" / "orders_nul_name.json").read_text()
    with pytest.raises(FormError, match=r"line 1: wearers\[0\]\.name: it holds a NUL character"):
        read_orders(text, "orders.json")


def test_orders_and_their_zone_sets_may_begin_with_a_mark(tmp_path: Path) -> None:
    shutil.copytree(FIELD / "13", tmp_path, dirs_exist_ok=True)
    zones = tmp_path / "zones.geojson"
    zones.write_bytes(codecs.BOM_UTF8 + zones.read_bytes())
    text = "\ufeff" + (tmp_path / "orders.json").read_text()
    assert len(read_orders(text, "orders.json", folder=tmp_path).zone_sets[0].features.members) == 2


def test_a_body_of_a_device_that_says_something_twice_is_refused_as_a_whole() -> None:
    report = '{"seq": 1, "type": "position", "lat_deg": 53.0, "lat_deg": 54.0}'
    with pytest.raises(WireError, match="'lat_deg' stands twice") as error:
        read_request(f'{{"boot": 1, "reports": [{report}]}}'.encode(), "application/json")
    assert (error.value.status, error.value.keep) == (400, True)
    assert read_request(codecs.BOM_UTF8 + b'{"boot": 1, "reports": []}', "application/json").reports == []
