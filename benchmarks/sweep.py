"""`emtrack sweep` over a folder of Parquet by one process and by several: seconds, and how many times as fast.

    python -m benchmarks.sweep [--wearers 1200] [--days 30] [--processes 2] [--repeats 3]

The wearers of benchmarks.evaluate, a file for each day with everybody in it, as a fleet's archive lies. One process and several take
turns, so that what else the machine does meets both; ratios are within a round, and their median is said. The findings must be the
same. To begin a process costs some 2.5 s of processor, which is most of a small sweep.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.evaluate import START_MS, write
from emtrack.files.bundles import files_in
from emtrack.files.progress import nobody
from emtrack.files.sweep import sweep
from emtrack.forms.orders import Orders
from emtrack.forms.reading import read_orders

DAY_MS = 86_400_000


class Swept(NamedTuple):
    """How long it took, processor time of all processes, and what was found."""

    seconds: float
    processor_s: float
    lines: list[bytes]


def spread(folder: Path, days: int) -> Path:
    """positions.parquet of the folder as a file for each day."""
    by_day = folder / "by-day"
    by_day.mkdir()
    whole = pq.read_table(folder / "positions.parquet")
    at = whole.column("fix_time").cast(pa.int64()).to_numpy()
    for day in range(days):
        begin_ms = START_MS + day * DAY_MS
        is_of_day = (at >= begin_ms) & (at < begin_ms + DAY_MS)
        pq.write_table(whole.filter(pa.array(is_of_day)), by_day / f"{day:03}.parquet")
    return by_day


def swept(orders: Orders, by_day: Path, now_ms: int, processes: int) -> Swept:
    started, used_s = time.perf_counter(), processor_s()
    lines, _ = sweep(orders, files_in([by_day]), now_ms, lambda _: None, nobody, processes=processes)
    return Swept(time.perf_counter() - started, processor_s() - used_s, lines)


def processor_s() -> float:
    """Of this process and of those that it began and that have ended."""
    return sum(os.times()[:4])


def measure(folder: Path, wearers: int, days: int, processes: int, repeats: int) -> None:
    form, fixes = write(folder, wearers, days)
    orders, now_ms = read_orders(form, "orders"), START_MS + days * DAY_MS
    by_day = spread(folder, days)
    one, several = [], []
    for _ in range(repeats):
        one.append(swept(orders, by_day, now_ms, 1))
        several.append(swept(orders, by_day, now_ms, processes))
        assert several[-1].lines == one[-1].lines
    ratios = [alone.seconds / together.seconds for alone, together in zip(one, several, strict=True)]
    print(f"| fixes, findings | {fixes:,}, {len(one[0].lines):,} |")
    for what, runs in (("one process", one), (f"{processes} processes", several)):
        seconds = statistics.median(run.seconds for run in runs)
        used_s = statistics.median(run.processor_s for run in runs)
        print(
            f"| {what}, from files to findings | {seconds:.1f} s, {fixes / seconds:,.0f} fixes/s; processor {used_s:.1f} s |"
        )
    print(f"| times as fast (median of rounds) | {statistics.median(ratios):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1200)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"{arguments.wearers} wearers × {arguments.days} days × 5 zones, a file a day\n")  # fmt: skip
    print("| what | measured |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="emtrack-benchmark-") as folder:
        measure(Path(folder), arguments.wearers, arguments.days, arguments.processes, arguments.repeats)


if __name__ == "__main__":
    main()
