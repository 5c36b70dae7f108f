"""`emtrack evaluate` from Parquet: fixes a second in the judge, and from file to findings, beside the same from CSV.

    python -m benchmarks.evaluate [--wearers 100] [--days 30] [--repeats 3]

Wearers with five zones each (three exclusion circles, an exclusion polygon and a curfew), a fix a minute: at home, and for eight
hours of each day round it and through zones. One thread. The history of the country for a month is 1.3 billion fixes; what a
hundredth of it takes is `--wearers 300`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.end_to_end import orders
from emtrack.files.columns import Activations, checked
from emtrack.files.evaluate import evaluate
from emtrack.files.parts import received_of
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from geofence import format_instant
from geofence.shapes import Float64s
from geofence.sweep import judge_columns

START_MS = 1_772_452_800_000  # 2026-03-02T12:00:00Z
MINUTE_MS = 60_000
COUNTRY_MONTH = 1_300_000_000
OF_CSV = 3
"""Wearers whose rows are read from CSV too: that takes so much longer."""


def history(centre: list[float], rows: int, seed: int) -> tuple[Float64s, Float64s]:
    """Longitudes and latitudes (rows,), one a minute: at home, and each day for eight hours on the way."""
    rng = np.random.default_rng(seed)
    minute = np.arange(rows)
    is_out = (minute // 480) % 3 == 1
    lon_deg = np.where(is_out, centre[0] + 0.02 * np.sin(minute / 40), centre[0])
    lat_deg = np.where(is_out, centre[1] + 0.015 * np.cos(minute / 55), centre[1])
    return lon_deg + rng.normal(0, 2e-5, rows), lat_deg + rng.normal(0, 2e-5, rows)


def write(folder: Path, wearers: int, days: int) -> tuple[str, int]:
    """orders, and how many fixes stand in positions.parquet."""
    form = orders(wearers, START_MS)
    homes = [
        requirement["geometry"]["centre"]
        for requirement in json.loads(form)["requirements"]
        if requirement["kind"] == "CURFEW"
    ]
    rows = days * 1_440
    fix_ms = START_MS + MINUTE_MS * np.arange(rows)
    fields: list[tuple[str, Any]] = [
        ("device_id", pa.string()), ("fix_time", pa.timestamp("ms", "UTC")), ("lat_deg", pa.float64()),
        ("lon_deg", pa.float64()), ("precision_m", pa.float64()), ("mechanism", pa.string()),
        ("received_time", pa.timestamp("ms", "UTC")),
    ]  # fmt: skip
    schema = pa.schema(fields)
    with pq.ParquetWriter(folder / "positions.parquet", schema) as parquet:
        for number, home in enumerate(homes):
            lon_deg, lat_deg = history(home, rows, number)
            columns: list[Any] = [
                [f"D{number}"] * rows, fix_ms, lat_deg, lon_deg, np.full(rows, 6.0), ["GPS"] * rows, fix_ms + 5_000,
            ]  # fmt: skip
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            parquet.write_table(pa.Table.from_arrays(arrays, schema=schema))
            if number < OF_CSV:
                _write_csv(folder / "positions.csv", number, fix_ms.tolist(), lat_deg.tolist(), lon_deg.tolist())
    return form, rows * len(homes)


def _write_csv(path: Path, number: int, fix_ms: list[int], lat_deg: list[float], lon_deg: list[float]) -> None:
    with path.open("a", newline="") as file:
        out = csv.writer(file)
        if number == 0:
            out.writerow(["device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism"])
        for at, lat, lon in zip(fix_ms, lat_deg, lon_deg, strict=True):
            out.writerow([f"D{number}", format_instant(at), lat, lon, 6, "GPS"])


def judged_alone(form: str, path: Path, now_ms: int) -> tuple[float, int]:
    """Seconds that the judge takes, and how many findings there are: positions are read and taken apart before."""
    plans = plans_of(read_orders(form, "orders"))
    fixes = np.concatenate([batch.fixes for batch in checked(path, Activations(plans))])
    ends = np.searchsorted(fixes["activation"], np.arange(len(plans) + 1))
    histories = [received_of(fixes[ends[n] : ends[n + 1]], 0) for n in range(len(plans))]
    started = time.perf_counter()
    found = sum(
        len(judge_columns(plan, received, (), now_ms)) for plan, received in zip(plans, histories, strict=True)
    )
    return time.perf_counter() - started, found


def measure(folder: Path, wearers: int, days: int, repeats: int) -> None:
    form, fixes = write(folder, wearers, days)
    now_ms = START_MS + days * 86_400_000
    path, few = folder / "positions.parquet", folder / "positions.csv"
    read = read_orders(form, "orders")
    judged, whole, from_csv = [], [], []
    for _ in range(repeats):
        seconds, found = judged_alone(form, path, now_ms)
        judged.append(fixes / seconds)
        started = time.perf_counter()
        evaluation = evaluate(read, path, None, now_ms)
        whole.append(fixes / (time.perf_counter() - started))
        started = time.perf_counter()
        evaluate(read, few, None, now_ms)
        from_csv.append(min(wearers, OF_CSV) * days * 1_440 / (time.perf_counter() - started))
    assert len(evaluation.findings) == found
    print(f"| fixes, findings | {fixes:,}, {found:,} |")
    print(f"| in the judge, fixes/s | {statistics.median(judged):,.0f} |")
    print(f"| from Parquet to findings, fixes/s | {statistics.median(whole):,.0f} |")
    print(f"| from CSV to findings, fixes/s | {statistics.median(from_csv):,.0f} |")
    print(f"| a month of the country (1.3 billion fixes) from Parquet, computed, one core | "
          f"{COUNTRY_MONTH / statistics.median(whole) / 60:.0f} min |")  # fmt: skip
    print(f"| most memory | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=100)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"{arguments.wearers} wearers × {arguments.days} days × 5 zones\n")  # fmt: skip
    print("| what | measured |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="emtrack-benchmark-") as folder:
        measure(Path(folder), arguments.wearers, arguments.days, arguments.repeats)


if __name__ == "__main__":
    main()
