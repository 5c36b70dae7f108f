"""A sweep of files says what `evaluate` says of them: the same findings of the kinds that it knows, and the same refusals."""

from __future__ import annotations

import json
import math
import os
import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emtrack.files.bundles import bundles_of, files_in
from emtrack.files.columns import row_groups_of, rows_in
from emtrack.files.evaluate import RefusedRow, evaluate
from emtrack.files.hands import SweepEnded, at_work
from emtrack.files.sweep import KINDS, sweep
from emtrack.files.workshop import Workshop
from emtrack.forms.errors import FormError
from emtrack.forms.lines import finding_lines
from emtrack.forms.orders import Orders
from emtrack.forms.reading import read_orders
from geofence.facts import Position, without_duplicates
from geofence.judgement.evidence import Track, evidence_of
from geofence.sweep.evidence import MECHANISMS, Received
from geofence.sweep.evidence import evidence_of as swept_evidence
from geofence.words import Mechanism, parse_instant

ORDINARY = settings(max_examples=60, derandomize=True, deadline=None, print_blob=True)
START = datetime(2026, 3, 2, 16, tzinfo=UTC)
HOME = (-2.18, 53.0)
COLUMNS = ("device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism", "received_time")
Fields = dict[str, Any]


def square(lon_deg: float, lat_deg: float, half_deg: float) -> Fields:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    return {
        "type": "Polygon",
        "coordinates": [[[lon_deg + x * half_deg, lat_deg + y * half_deg] for x, y in corners]],
    }


def requirement(number: int, wearer: int, kind: str, geometry: Fields, **more: Any) -> Fields:
    name = f"W{wearer}R{number}"
    wearer_id = f"W{wearer}"
    return {
        "requirement_id": name, "wearer_id": wearer_id, "kind": kind, "from": "2026-03-01T00:00:00Z", "geometry": geometry, **more,
    }  # fmt: skip


def form(wearers: int) -> Fields:
    """Wearers with a zone of each kind; the first gets another tag after three hours, which the second wore before."""
    rows = [{"day": "MON", "start": "18:00", "end": "20:30"}, {"day": "MON", "start": "22:00", "end": "01:00"}]
    requirements = []
    for n in range(wearers):
        circle = {"type": "Circle", "centre": [HOME[0] + 0.004, HOME[1]], "radius_m": 320}
        requirements += [
            requirement(
                1,
                n,
                "CURFEW",
                square(*HOME, 0.002),
                timetable=rows,
                grace_s=900,
                confirm_points=1 + n % 3,
                seen_within_s=(3600, 900, 120)[n % 3],
            ),
            requirement(2, n, "EXCLUSION", circle, buffer_m=100, confirm_seconds=60 * (n % 2)),
            requirement(3, n, "INCLUSION", square(*HOME, 0.006), timetable=rows, widen_m=50),
        ]
    change = (START + timedelta(hours=3)).isoformat()
    activations = [
        {"activation_id": f"A{n}", "device_id": f"D{n}", "wearer_id": f"W{n}", "from": "2026-03-01T00:00:00Z"}
        for n in range(wearers)
    ]
    activations[1]["to"] = change
    activations[0]["to"] = change
    activations.append({"activation_id": "A0b", "device_id": "D1", "wearer_id": "W0", "from": change})
    absence = {
        "wearer_id": "W0",
        "from": (START + timedelta(hours=6)).isoformat(),
        "to": (START + timedelta(hours=7)).isoformat(),
    }
    return {
        "timezone": "Europe/London", "activations": activations, "requirements": requirements, "absences": [absence],
    }  # fmt: skip


def orders_of(wearers: int) -> Orders:
    return read_orders(json.dumps(form(wearers)), "orders.json")


def random_rows(rng: random.Random, wearers: int, each: int) -> list[Fields]:
    """Every wearer at home, out, and at home again, with all that goes wrong with reports."""
    rows: list[Fields] = []
    for n in range(wearers):
        moment, spread_deg = START, 0.0004
        for _ in range(each):
            moment += timedelta(seconds=rng.choice([0, 60, 60, 60, 60, 300, 900, 901, 2_000]))
            spread_deg = rng.choice([0.0004, 0.002, 0.006]) if rng.random() < 0.2 else spread_deg
            place = [mid + rng.gauss(0, spread_deg) for mid in HOME]
            jump = rng.choice([0.0] * 12 + [0.5, -2.0])
            row = {
                "device_id": f"D{n}", "fix_time": moment, "lat_deg": place[1] + jump, "lon_deg": place[0],
                "precision_m": rng.choice([None, 3.0, 15.0, 60.0, 400.0, 0.0, -1.0]), "mechanism": rng.choice(MECHANISMS).value,
                "received_time": rng.choice([None, moment, moment + timedelta(hours=1), moment - timedelta(seconds=301)]),
            }  # fmt: skip
            rows.append(row)
            if rng.random() < 0.2:
                rows.append(row | rng.choice([
                    {}, {"received_time": moment + timedelta(seconds=5)}, {"precision_m": 7.0}, {"lat_deg": 0.0, "lon_deg": 0.0},
                    {"lat_deg": -row["lat_deg"]}, {"lon_deg": row["lon_deg"] + 1e-5}, {"mechanism": "GPS"},
                ]))  # fmt: skip
    for row in rng.sample(rows, len(rows) // 12):
        row |= rng.choice([
            {"device_id": "D99"}, {"device_id": None}, {"lat_deg": 91.0}, {"lon_deg": math.nan}, {"lat_deg": None},
            {"precision_m": math.inf}, {"mechanism": "SONAR"}, {"mechanism": None}, {"fix_time": None},
            {"fix_time": datetime(1999, 1, 1, tzinfo=UTC)},
        ])  # fmt: skip
    return rows


def as_text(rng: random.Random, moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return rng.choice(
        [moment.isoformat(), moment.isoformat().replace("+00:00", "Z"), "half past six", "2026-02-30T10:00:00Z"]
    )


def write(path: Path, rows: list[Fields], rng: random.Random, time_type: str) -> None:
    """As Parquet, with times of that type, in several row groups."""
    kind: Any = pa.string() if time_type == "text" else pa.timestamp(time_type, "UTC")
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in COLUMNS}
    for name in ("fix_time", "received_time"):
        values = [as_text(rng, value) for value in columns[name]] if time_type == "text" else columns[name]
        columns[name] = pa.array(values, kind)
    for name in ("device_id", "mechanism"):
        column = pa.array(columns[name], pa.string())
        columns[name] = column.dictionary_encode() if rng.random() < 0.5 else column
    for name in ("lat_deg", "lon_deg", "precision_m"):
        columns[name] = pa.array(columns[name], pa.float64(), from_pandas=False)
    pq.write_table(pa.table(columns), path, row_group_size=max(1, len(rows) // 3))


def swept(
    orders: Orders, paths: list[Path], until_ms: int, at_once: int = 2, processes: int = 1
) -> tuple[list[bytes], list[RefusedRow]]:
    refused: list[RefusedRow] = []
    lines, figures = sweep(
        orders, paths, until_ms, refused.append, lambda *_: None, at_once=at_once, processes=processes
    )
    assert figures.refused == len(refused)
    return lines, refused


def evaluated(orders: Orders, path: Path, until_ms: int) -> tuple[list[bytes], list[RefusedRow]]:
    evaluation = evaluate(orders, path, None, until_ms)
    return list(finding_lines((a, f) for a, f in evaluation.findings if f.kind in KINDS.values())), evaluation.refused


@given(
    st.integers(0, 10**6), st.integers(2, 4), st.integers(0, 60), st.sampled_from(["s", "ms", "us", "ns", "text"]),
    st.sampled_from([1, 3, 5, 9]), st.integers(1, 9),
)  # fmt: skip
@ORDINARY
def test_a_sweep_says_what_evaluate_says(tmp_path_factory, seed, wearers, each, time_type, hours, at_once):
    rng = random.Random(seed)
    rows = random_rows(rng, wearers, each)
    rng.shuffle(rows)
    path = tmp_path_factory.mktemp("sweep") / "positions.parquet"
    write(path, rows, rng, time_type)
    until_ms = parse_instant((START + timedelta(hours=hours)).isoformat())
    orders = orders_of(wearers)
    assert swept(orders, [path], until_ms, at_once) == evaluated(orders, path, until_ms)


def test_the_worlds_are_such_that_everything_occurs(tmp_path):
    said, reasons = set(), set()
    for seed in range(60):
        rng = random.Random(seed)
        path = tmp_path / f"{seed}.parquet"
        write(path, random_rows(rng, 3, 60), rng, "ms")
        lines, refused = swept(orders_of(3), [path], parse_instant((START + timedelta(hours=9)).isoformat()))
        said |= {(line["kind"], line["reason"], line["within_grace"]) for line in map(json.loads, lines)}
        reasons |= {row.reason for row in refused}
    assert {kind for kind, _, _ in said} == {str(kind) for kind in KINDS.values()}
    assert {reason for _, reason, _ in said} >= {
        "LEFT_DURING",
        "SEEN_OUT",
        "RETURNED_LATE",
        "OUT_AT_START",
        "OUT_AT_END",
    }
    assert {grace for _, _, grace in said} == {True, False}
    assert reasons == {
        "unknown_device",
        "no_activation",
        "unknown_mechanism",
        "bad_coordinate",
        "bad_precision",
        "bad_time",
    }


def test_several_files_are_one(tmp_path):
    rng = random.Random(5)
    rows = random_rows(rng, 4, 50)
    rng.shuffle(rows)
    parts = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, some in zip(parts, (rows[:70], rows[70:]), strict=True):
        write(path, some, rng, "us")
    write(tmp_path / "whole.parquet", rows, rng, "us")
    until_ms = parse_instant((START + timedelta(hours=9)).isoformat())
    lines, refused = swept(orders_of(4), parts, until_ms)
    whole, refused_of_whole = swept(orders_of(4), [tmp_path / "whole.parquet"], until_ms)
    assert lines == whole
    assert [(row.reason, row.what) for row in refused] == [(row.reason, row.what) for row in refused_of_whole]
    assert {row.file for row in refused} == {"a.parquet", "b.parquet"}


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many small files, in folders by day, with something wrong in each."""
    folder, rng = tmp_path_factory.mktemp("spread"), random.Random(11)
    rows = random_rows(rng, 9, 60)
    rng.shuffle(rows)
    for number in range(12):
        (folder / f"day-{number % 3}").mkdir(exist_ok=True)
        write(folder / f"day-{number % 3}/{number}.parquet", rows[number::12], rng, "us")
    return folder


def test_many_processes_say_what_one_says(spread: Path) -> None:
    until_ms = parse_instant((START + timedelta(hours=9)).isoformat())
    alone = swept(orders_of(9), files_in([spread]), until_ms)
    assert len(alone[0]) > 20
    assert len(alone[1]) > 20
    assert swept(orders_of(9), files_in([spread]), until_ms, at_once=4, processes=2) == alone


@pytest.mark.parametrize("most", [1, 2, 7, 32, 100])
def test_bundles_hold_each_row_group_once_and_in_order(spread: Path, most: int) -> None:
    paths = [*files_in([spread]), spread / "day-0/0.parquet", spread / "day-0/0.parquet"]
    bundles = bundles_of(paths, most)
    assert len(bundles) <= most
    assert [bundle.number for bundle in bundles] == list(range(len(bundles)))
    spans = [span for bundle in bundles for span in bundle.spans]
    assert sum(span.rows for span in spans) == rows_in(paths)
    assert [group for span in spans for group in ((span.path, number) for number in span.groups)] == [
        (path, group) for path in paths for group, _, _ in row_groups_of(path)
    ]
    assert all(span.first == first_row(span.path, span.groups[0]) for span in spans)


def first_row(path: Path, group: int) -> int:
    return next(first for number, first, _ in row_groups_of(path) if number == group)


def test_a_file_that_cannot_be_read_is_named_whoever_reads_it(tmp_path: Path, spread: Path) -> None:
    whole = (spread / "day-0/0.parquet").read_bytes()
    spoilt = tmp_path / "spoilt.parquet"
    spoilt.write_bytes(whole[:4] + bytes(len(whole) // 3) + whole[len(whole) // 3 + 4 :])
    for processes in (1, 2):
        with pytest.raises(FormError, match=r"spoilt.parquet: cannot be read"):
            swept(orders_of(9), [spoilt], 0, processes=processes)


def test_a_process_that_is_taken_away_ends_the_sweep_with_what_to_do(tmp_path: Path) -> None:
    shop = Workshop(orders_of(2), tmp_path, 2, 0, 0)
    with pytest.raises(SweepEnded, match="fewer --processes"), at_work(shop, 2) as each:
        list(each(die, [1]))


def die(_: Workshop, __: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_folder_without_positions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormError, match=r"no file \*\.parquet in this folder"):
        files_in([tmp_path])


ODD_COLUMNS = {
    "decimals": {"lat_deg": pa.array([53, 53], pa.decimal128(9, 6))},
    "whole numbers": {"lat_deg": pa.array([53, 53], pa.int32()), "precision_m": pa.array([7, None], pa.uint8())},
    "single precision": {"lat_deg": pa.array([53.00001, 53.1], pa.float32())},
    "truth values": {"lat_deg": pa.array([True, False])},
    "texts for numbers": {"lat_deg": pa.array(["53.0", "53"])},
    "no precision at all": {"precision_m": pa.nulls(2)},
    "numbers for names": {"device_id": pa.array([1, 2])},
    "bytes that are no text": {"device_id": pa.array([b"\xffD", b"D1"]).view(pa.string())},
    "times without a zone": {"fix_time": pa.array([START.replace(tzinfo=None)] * 2, pa.timestamp("ms"))},
    "times of another zone": {"fix_time": pa.array([START, START], pa.timestamp("ms", "Asia/Tokyo"))},
    "dates": {"fix_time": pa.array([START.date()] * 2)},
    "a time beyond all calendars": {"fix_time": pa.array([2**60, 1_772_467_200_000], pa.timestamp("ms", "UTC"))},
    "such a time in a column of nobody": {"uploaded_time": pa.array([2**60, 0], pa.timestamp("ms", "UTC"))},
    "lists in a column of nobody": {"notes": pa.array([[1], None])},
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_odd_columns_are_read_as_evaluate_reads_them(name, tmp_path):
    columns = {
        "device_id": pa.array(["D0", "D1"]), "fix_time": pa.array([START, START], pa.timestamp("ms", "UTC")),
        "lat_deg": pa.array([53.0, 53.1]), "lon_deg": pa.array([-2.1, -2.1]), "precision_m": pa.array([5.0, None]),
        "mechanism": pa.array(["GPS", "LBS"]),
    }  # fmt: skip
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table(columns | ODD_COLUMNS[name]), path)
    until_ms = parse_instant((START + timedelta(hours=9)).isoformat())
    assert swept(orders_of(2), [path], until_ms) == evaluated(orders_of(2), path, until_ms)


def test_what_a_sweep_does_not_know_is_refused_and_says_what_to_do(tmp_path):
    given_form = form(2)
    members = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "id": "elm", "properties": {"id": "elm"}, "geometry": square(*HOME, 0.01)},
    ]}  # fmt: skip
    given_form["zone_sets"] = [{"set_id": "schools", "version": "1", "features": members}]
    on_set = {"type": "ZoneSet", "set_id": "schools", "version": "1"}
    given_form["requirements"].append(requirement(9, 0, "EXCLUSION", on_set))
    path = tmp_path / "p.parquet"
    write(path, random_rows(random.Random(1), 2, 3), random.Random(1), "ms")
    with pytest.raises(FormError, match=r"zone set.*evaluate"):
        swept(read_orders(json.dumps(given_form), "orders.json"), [path], 0)
    many = form(2)
    many["requirements"] = [requirement(i, 0, "EXCLUSION", square(*HOME, 0.001)) for i in range(65)]
    with pytest.raises(FormError, match=r"65 requirements.*evaluate"):
        swept(read_orders(json.dumps(many), "orders.json"), [path], 0)
    with pytest.raises(FormError, match=r"reads Parquet.*evaluate"):
        swept(orders_of(2), [tmp_path / "p.csv"], 0)


@given(st.integers(0, 10**6), st.integers(1, 60))
@ORDINARY
def test_evidence_in_columns_is_evidence_one_by_one(seed, count):
    """Many wearers who jump about, at few instants and places, so that everything collides."""
    rng = random.Random(seed)
    facts = [
        (
            rng.randrange(3),
            Position(
                1_000 * rng.choice([0, 60, 60, 61, 120, 600, 5_000]) + 10**12, rng.choice([0.0, 53.0, 53.04, 53.05, 60.0, -53.0]),
                rng.choice([0.0, -2.0, -2.05, 179.99, -179.99]), rng.choice([None, 0.0, -3.0, 5.0, 5.0, 80.0]),
                rng.choice(list(Mechanism)), 10**12 + 1_000 * rng.choice([0, 0, 200, 6_000, 9_000]),
            ),
        )
        for _ in range(count)
    ]  # fmt: skip
    now_ms = 10**12 + 6_000_000
    received = Received(
        np.array([who for who, _ in facts], np.int32), np.array([MECHANISMS.index(f.mechanism) for _, f in facts], np.int8),
        np.array([f.fix_ms for _, f in facts]), np.array([f.received_ms for _, f in facts]),
        np.array([f.lat_deg for _, f in facts]), np.array([f.lon_deg for _, f in facts]),
        np.array([np.nan if f.precision_m is None else f.precision_m for _, f in facts], np.float64),
    )  # fmt: skip
    got = swept_evidence(received, now_ms)
    expected = []
    for who in range(3):
        known = [f for w, f in facts if w == who and max(f.fix_ms, f.received_ms) <= now_ms]
        chosen, _ = evidence_of(Track(), [f for f in without_duplicates(known) if isinstance(f, Position)])
        expected += [(who, f.lon_deg, f.lat_deg, f.radius_m, f.fix_ms, f.mechanism is Mechanism.LBS) for f in chosen]
    assert list(zip(*(column.tolist() for column in got), strict=True)) == expected
