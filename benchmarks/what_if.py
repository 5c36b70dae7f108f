"""How many positions a second a trial of a draft judges (emtrack/reading/drafts.py), and where the time goes.

    python -m benchmarks.what_if [--people 100] [--days 14]

The judge alone, on columns of emulated tags in memory: the kernels of a sweep and of all rules; then the whole way from the embedded
database: slices as the page asks for them, each judged twice, by today's orders and with a drafted zone.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import numpy as np

from emtrack.db.connect import connect
from emtrack.db.opened import prepared_database
from emtrack.forms.drafts import Draft, DraftZone
from emtrack.forms.reading import read_orders_of
from emtrack.orders.importing import import_orders
from emtrack.reading.drafts import Slice, Trial, slice_outcomes, slices_of, total_of
from emtrack.record.plans import load_judged
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.settings import Settings
from geofence import Disc, Interval, ObligationKind, Plan, datetime_of, parse_instant
from geofence.sweep import Received, Sweep, duties_of, evidence_of, judge_columns

BEGIN_MS = parse_instant("2026-03-02T00:00:00Z")
MINUTE_MS, DAY_MS = 60_000, 86_400_000
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
CENTRE = (-2.18, 53.01)
TOWN = DraftZone(ObligationKind.EXCLUSION, Disc(CENTRE, 400.0))


def home_of(number: int) -> tuple[float, float]:
    place = np.random.default_rng(number).normal(0, 0.03, 2)
    return CENTRE[0] + float(place[0]), CENTRE[1] + float(place[1])


def orders(people: int) -> dict[str, Any]:
    numbers = range(1, people + 1)
    night = [{"day": day, "start": "19:00", "end": "07:00"} for day in DAYS]
    since = "2026-03-01T00:00:00Z"
    return {
        "activations": [
            {"activation_id": f"A{n}", "device_id": f"D{n}", "wearer_id": f"W{n}", "from": since} for n in numbers
        ],
        "requirements": [
            {"requirement_id": f"C{n}", "wearer_id": f"W{n}", "kind": "CURFEW", "from": since, "timetable": night,
             "geometry": {"type": "Circle", "centre": list(home_of(n)), "radius_m": 60}}
            for n in numbers
        ],
    }  # fmt: skip


def positions_of(number: int, days: int) -> Received:
    """A position a minute: at home by night, and by day on a way through the town and back."""
    random, count = np.random.default_rng(number), days * 1440
    fix_ms = BEGIN_MS + np.arange(count, dtype=np.int64) * MINUTE_MS
    hour = (np.arange(count) % 1440) / 60
    away = np.clip(np.sin((hour - 8) / 10 * np.pi), 0, 1) * ((hour > 8) & (hour < 18))
    (lon, lat), noise = home_of(number), random.normal(0, 4e-5, (2, count))
    return Received(
        np.zeros(count, np.int32), np.full(count, 1, np.int8), fix_ms, fix_ms + 5_000,
        lat + (CENTRE[1] - lat) * away + noise[1], lon + (CENTRE[0] - lon) * away + noise[0], np.full(count, 8.0),
    )  # fmt: skip


async def filled(connection: asyncpg.Connection[Any], people: int, days: int) -> None:
    for day in range(-1, days + 2):
        await connection.execute("SELECT make_positions_day($1::date)", datetime_of(BEGIN_MS + day * DAY_MS).date())
    device_no = {row[0]: row[1] for row in await connection.fetch("SELECT device_id, device_no FROM devices")}
    fact_id = 1
    for number in range(1, people + 1):
        one = positions_of(number, days)
        rows = [
            (fact_id + i, device_no[f"D{number}"], datetime_of(fix), "GPS", lat, lon, 8.0, datetime_of(received))
            for i, (fix, received, lat, lon) in enumerate(
                zip(one.fix_ms.tolist(), one.received_ms.tolist(), one.lat_deg.tolist(), one.lon_deg.tolist(), strict=True)
            )
        ]  # fmt: skip
        fact_id += len(rows)
        await connection.copy_records_to_table(
            "positions", records=rows,
            columns=["fact_id", "device_no", "fix_time", "mechanism", "lat_deg", "lon_deg", "precision_m", "received_at"],
        )  # fmt: skip
    await connection.execute("ANALYZE positions")


def in_memory(plans: list[Plan], people: int, days: int, now_ms: int) -> None:
    some = [positions_of(number, days) for number in range(1, people + 1)]
    whole = Received._make(np.concatenate(columns) for columns in zip(*some, strict=True))
    whole = whole._replace(wearer=np.repeat(np.arange(people, dtype=np.int32), [len(one.fix_ms) for one in some]))
    drafted = [Draft(zone=TOWN).applied(plan) for plan in plans]
    evidence, duties = evidence_of(whole, now_ms), duties_of(drafted, now_ms)
    for _ in range(2):  # the first compiles
        sweep, start_s = Sweep(duties), time.perf_counter()
        sweep.feed(evidence)
        sweep.finish(now_ms)
        swept_s = time.perf_counter() - start_s
        start_s = time.perf_counter()
        for plan, one in zip(drafted, some, strict=True):
            judge_columns(plan, one, [], now_ms)
        judged_s = time.perf_counter() - start_s
    print(f"{len(whole.fix_ms) / swept_s:>14,.0f}  positions a second in the kernels of a sweep")
    print(f"{len(whole.fix_ms) / judged_s:>14,.0f}  positions a second by all rules, in columns")


async def from_database(connection: Any, trial: Trial, now_ms: int) -> None:
    slices = await slices_of(connection, trial)
    outcomes: list[Any] = []
    start_s = time.perf_counter()
    longest_s = 0.0
    for part in slices:
        longest_s = max(longest_s, await _judged(connection, trial, part, now_ms, outcomes))
    whole_s = time.perf_counter() - start_s
    total = total_of(outcomes, is_one_person=False)
    print(f"{total.positions / whole_s:>14,.0f}  positions a second from the database, each judged twice")
    print(f"{total.positions:>14,}  positions in {whole_s:.1f} s")
    print(f"{longest_s:>14.2f}  seconds the longest of {len(slices):,} slices; one that takes 10 s is ended")


async def _judged(connection: Any, trial: Trial, part: Slice, now_ms: int, outcomes: list[Any]) -> float:
    start_s = time.perf_counter()
    outcomes += await slice_outcomes(connection, ZoneSetCache(None), trial, part, now_ms)
    return time.perf_counter() - start_s


async def run(people: int, days: int) -> None:
    with TemporaryDirectory(prefix="emtrack-what-if-") as folder:
        Path(folder).chmod(0o711)  # whoever the server runs as gets to what is its own
        settings = Settings(data_dir=Path(folder) / "data")
        await import_orders(settings, read_orders_of(orders(people), "orders"), who="benchmark", dry_run=False)
        async with prepared_database(settings, program="benchmark", exclusive=False) as dsn:
            connection = await connect(dsn)
            await filled(connection, people, days)
            now_ms = int(time.time() * 1000)
            plans = [a.plan for a in (await load_judged(connection, now_ms)).values()]
            in_memory(plans, people, days, BEGIN_MS + days * DAY_MS)
            trial = Trial(Draft(zone=TOWN), Interval(BEGIN_MS, BEGIN_MS + days * DAY_MS))
            for name in ("first", "again"):
                print(name)
                await from_database(connection, trial, now_ms)
            await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--days", type=int, default=14)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.people, chosen.days))


if __name__ == "__main__":
    main()
