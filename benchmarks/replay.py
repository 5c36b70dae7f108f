"""A stored history judged again, as when orders change: what each stored fix costs, beside COPY alone.

    python -m benchmarks.replay [--facts 260000] [--repeats 5]

One person with five zones (three exclusion circles, an exclusion polygon and a curfew) and a fix a minute: at home, and for
eight hours of each day round it. The positions stand in a real database, in partitions by day as the service makes them. One thread;
medians of the repeats, and the baseline, binary COPY of the same rows into the same table, alternates with them:

    read        the facts out of the database, as the judge takes them
    judge       from the start, with the checkpoints that are kept on the way, to findings
    both        what the process beside the turns does
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from benchmarks.end_to_end import orders
from emtrack.db.connect import connect
from emtrack.db.embedded import embedded_server
from emtrack.db.migrate import migrate
from emtrack.forms.reading import read_orders
from emtrack.orders.entry import enter_orders
from emtrack.record.fact_columns import known_of
from emtrack.record.plans import Assignment, load_judged
from emtrack.service.rebuilding import cuts_ms
from emtrack.service.warm_up import warm_up
from geofence import ALWAYS_MS, datetime_of
from geofence.judgement import DAY_MS, ActivationJudge, Judged
from geofence.sweep import Known, judge_known
from ingest import make_days
from ingest.binary_copy import COLUMNS

BEGIN_MS = 1_772_452_800_000  # 2026-03-02T12:00:00Z
MINUTE_MS = 60_000


class Times(NamedTuple):
    """Seconds of one round."""

    copy: float
    read: float
    judge: float


def history(facts: int, device_no: int) -> list[tuple[Any, ...]]:
    """Rows of positions: at home, and from 09:00 to 17:00 on a walk."""
    rng = random.Random(1)
    home = lon, lat = -2.2, 53.0
    rows = []
    for number in range(facts):
        at_ms = BEGIN_MS + number * MINUTE_MS
        if 9 * 60 <= at_ms // MINUTE_MS % 1_440 < 17 * 60:
            lon, lat = lon + rng.uniform(-0.001, 0.001), lat + rng.uniform(-0.0006, 0.0006)
        else:
            lon, lat = home[0] + rng.gauss(0, 1e-5), home[1] + rng.gauss(0, 1e-5)
        at = datetime_of(at_ms)
        rows.append((number + 1, device_no, at, "GPS", lat, lon, 6.0, at, rng.randbytes(16)))
    return rows


async def measure(dsn: str, facts: int, repeats: int) -> None:
    connection = await connect(dsn)
    await migrate(connection)
    async with connection.transaction():
        await enter_orders(connection, read_orders(orders(1, BEGIN_MS), "orders"), who="benchmark", now_ms=BEGIN_MS)
    (assignment,) = (await load_judged(connection, BEGIN_MS)).values()
    rows = history(facts, assignment.device_no)
    days = {row[2].timestamp() * 1000 // DAY_MS for row in rows}
    await make_days(connection, {int(day) for day in days})
    now_ms = BEGIN_MS + (facts + 1) * MINUTE_MS
    rounds, findings = [], 0
    for _ in range(repeats):
        copy_s = await copied(connection, rows)
        began_s = time.perf_counter()
        known = await known_of(connection, assignment, ALWAYS_MS, now_ms)
        read_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        findings = judged(assignment, known, now_ms)
        rounds.append(Times(copy_s, read_s, time.perf_counter() - began_s))
    print(f"| facts, findings | {facts:,}, {findings:,} |")
    for name, seconds in (
        ("COPY alone", [one.copy for one in rounds]), ("read", [one.read for one in rounds]),
        ("judge", [one.judge for one in rounds]), ("both", [one.read + one.judge for one in rounds]),
    ):  # fmt: skip
        print(f"| {name}, a fix | {statistics.median(seconds) / facts * 1e6:.2f} µs |")
    ratio = statistics.median(one.copy / (one.read + one.judge) for one in rounds)
    print(f"| both, ratio to COPY | {ratio:.2f} |")
    await connection.close()


def judged(assignment: Assignment, known: Known, now_ms: int) -> int:
    """How many findings."""
    judge = ActivationJudge(assignment.plan)
    receipts_ms = known.receipts_ms(assignment.plan)
    found, _ = judge_known(judge, judge.initial(), known, cuts_ms(known, now_ms), receipts_ms, now_ms)
    assert isinstance(found, Judged), "nothing is late for a state that has seen nothing"
    return sum(len(part.findings) for part in found.parts)


async def copied(connection: asyncpg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> float:
    """Seconds of COPY of the rows, which are what stands there afterwards."""
    await connection.execute("DELETE FROM positions")
    began_s = time.perf_counter()
    async with connection.transaction():
        await connection.copy_records_to_table("positions", records=rows, columns=COLUMNS)
    took_s = time.perf_counter() - began_s
    await connection.execute("VACUUM ANALYZE positions")
    return took_s


async def run(facts: int, repeats: int) -> None:
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with embedded_server(folder / "data", program="benchmark", exclusive=True) as dsn:
            await measure(dsn, facts, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=260_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, one person, five zones\n\n| what | measured |\n|---|---|")
    asyncio.run(run(chosen.facts, chosen.repeats))


if __name__ == "__main__":
    main()
