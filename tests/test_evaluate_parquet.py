"""`emtrack evaluate` of Parquet, which is judged in columns, gives what it gives of the same rows as CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emtrack.files.evaluate import Evaluation, evaluate
from emtrack.forms.lines import finding_lines
from emtrack.forms.reading import read_orders
from geofence.words import parse_instant
from tests.test_conformance import CASES, each_case


def as_parquet(path: Path, folder: Path) -> Path:
    """The same rows; numbers as numbers where they are."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else ["device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism"]
    table = pa.table({name: _column([row[name] for row in rows]) for name in names})
    written = folder / "positions.parquet"
    pq.write_table(table, written)
    return written


def _column(values: list[str]) -> Any:
    try:
        return pa.array([None if value == "" else float(value) for value in values], pa.float64())
    except ValueError:
        return pa.array([value or None for value in values], pa.string())


def told(evaluation: Evaluation) -> tuple[list[bytes], list[tuple[int, str]]]:
    return list(finding_lines(evaluation.findings)), [(row.line, row.reason) for row in evaluation.refused]


@each_case
def test_a_case_gives_the_same_from_parquet(case: Path, tmp_path: Path) -> None:
    orders = read_orders((case / "orders.json").read_text(), "orders.json")
    events = case / "events.csv"
    until_ms = parse_instant((case / "until.txt").read_text().strip())
    asked = (events if events.exists() else None, until_ms)
    from_csv = evaluate(orders, case / "positions.csv", *asked)
    from_parquet = evaluate(orders, as_parquet(case / "positions.csv", tmp_path), *asked)
    assert told(from_parquet)[0] == told(from_csv)[0]
    assert len(from_parquet.refused) == len(from_csv.refused)


def test_how_far_it_is_is_told(tmp_path: Path) -> None:
    case = CASES[0]
    seen: list[tuple[str, int, int]] = []
    orders = read_orders((case / "orders.json").read_text(), "orders.json")
    until_ms = parse_instant((case / "until.txt").read_text().strip())
    evaluate(orders, as_parquet(case / "positions.csv", tmp_path), None, until_ms, lambda *told: seen.append(told))
    assert [what for what, _, _ in seen] == ["reading", "judging"]
    assert all(done == total for _, done, total in seen)
