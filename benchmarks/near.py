"""What *who was near here* costs over very many stored positions, beside other ways to ask the table.

    python -m benchmarks.near [--people 5000] [--days 4] [--repeats 20] [--crimes 1000] [--data-dir DIR]

The record is invented and put straight into the tables: people live in 30 towns, a fix each minute, one in five by mobile network.
A question reads the positions of its window: what counts is how many people there are, not for how many days they are kept. 5,000
people for 14 days are 100 million positions; 4 days of them are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from emtrack.cli.near import AT_A_TIME
from emtrack.db.connect import connect, database, open_pool
from emtrack.db.identity import Identity, ask_as, identify
from emtrack.db.migrate import migrate
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.db.session import Limits
from emtrack.logs import configure_logs
from emtrack.reading.near import near_place
from emtrack.record.near import Asked, Question
from emtrack.record.zone_sets import ZoneSetCache
from geofence import Interval, instant_of
from geofence.nearness import Spot
from ingest.store import STORE_POSITIONS

PATIENT = Limits(statement_s=600, lock_s=5, answer_s=600)
FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
STOKE = (-2.18, 53.01)
TOWNS = [(-3.6 + 7 * k % 29 * 0.16, 50.6 + k % 29 * 0.15) for k in range(29)]
TAGS = (
    "INSERT INTO wearers (wearer_id, name) SELECT 'B' || n, 'Person ' || n FROM generate_series(1, $1::bigint) n",
    "INSERT INTO devices (device_id, added_at) SELECT 'T' || n, now() FROM generate_series(1, $1::bigint) n",
    "INSERT INTO activations (activation_id, entered_at) SELECT 'A' || n, now() FROM generate_series(1, $1::bigint) n",
    """INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by,
              evidence)
       SELECT activation_no, device_no, wearer_no, tstzrange('2026-03-01', NULL), 60000, tstzrange('2026-03-01', NULL), 'benchmark',
              '{POSITION,RF}'
       FROM wearers JOIN activations ON activation_id = 'A' || substr(wearer_id, 2)
       JOIN devices ON device_id = 'T' || substr(wearer_id, 2) WHERE $1 > 0""",
)
# A town for each person, one in seven in Stoke; a home in it, and a way to go of up to some kilometres in the course of a day.
HOMES = """
CREATE TEMP TABLE homes AS
SELECT device_no, CASE WHEN device_no % 7 = 0 THEN 53.01 ELSE 50.6 + (device_no % 29) * 0.15 END + 0.04 * (random() - 0.5) AS lat,
       CASE WHEN device_no % 7 = 0 THEN -2.18 ELSE -3.6 + (device_no * 7 % 29) * 0.16 END + 0.06 * (random() - 0.5) AS lon,
       0.001 + 0.05 * random() ^ 3 AS reach, random() * 6.28 AS way
FROM devices
"""
HOUR = """
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at, salt)
SELECT $2 + m * 100000 + device_no, device_no, $1::timestamptz + m * interval '1 min' + device_no % 60 * interval '1 s', mechanism,
       lat + reach * sin(way + (m + $3) / 230.0) * greatest(0, sin((m + $3) / 229.0)) + precision_m / 3e5 * (random() - 0.5),
       lon + reach * cos(way + (m + $3) / 230.0) * greatest(0, sin((m + $3) / 229.0)) + precision_m / 2e5 * (random() - 0.5),
       precision_m, $1::timestamptz + m * interval '1 min' + interval '90 s', '\\x00112233445566778899aabbccddeeff'
FROM generate_series(0, 59) m CROSS JOIN homes CROSS JOIN LATERAL (
    SELECT CASE WHEN is_lbs THEN 'LBS' ELSE 'GPS' END AS mechanism,
           CASE WHEN is_lbs THEN 300 + 700 * random() ELSE 3 + 14 * random() END AS precision_m
    FROM (SELECT (device_no * 31 + m * 17) % 5 = 0 AS is_lbs) k) k
"""


async def fill(connection: asyncpg.Connection[Any], people: int, days: int) -> None:
    """Without what seals rows, and without waiting for the disk."""
    for statement in TAGS:
        await connection.execute(statement, people)
    await connection.execute("SELECT setseed(0.5)")
    await connection.execute("SET synchronous_commit = off")
    await connection.execute(HOMES)
    await connection.execute("ALTER TABLE positions DISABLE TRIGGER USER")
    for day in range(days):
        first = FIRST_DAY + timedelta(days=day)
        await connection.execute("SELECT make_positions_day($1::date)", first.date())
        for hour in range(24):
            number = (day * 24 + hour + 1) * 10_000_000
            await connection.execute(HOUR, first + timedelta(hours=hour), number, hour * 60)
        print(f"day {day + 1} of {days} is stored", flush=True)
    await connection.execute("ALTER TABLE positions ENABLE TRIGGER USER")
    await connection.execute("VACUUM ANALYZE")


CELL = "((floor((lat_deg + 90) * 20)::bigint << 16) | floor((lon_deg + 180) * 20)::bigint)"
OTHERS = {
    "plain index on time": "CREATE INDEX bench_time ON positions (fix_time)",
    "cell and time": f"CREATE INDEX bench_cell ON positions ({CELL}, fix_time)",
}
"""What else the table could have: 5.5 km north by 3.3 km east is a cell."""
BY_TIME = """
SELECT count(*), count(DISTINCT device_no) FROM positions
WHERE fix_time >= $1 AND fix_time < $2 AND lat_deg BETWEEN $3::float8 - 0.014 AND $3::float8 + 0.014
  AND lon_deg BETWEEN $4::float8 - 0.023 AND $4::float8 + 0.023
"""
BY_CELL = f"""
SELECT count(*), count(DISTINCT device_no) FROM positions
WHERE {CELL} = ANY ($5::bigint[]) AND fix_time >= $1 AND fix_time < $2
  AND lat_deg BETWEEN $3::float8 - 0.014 AND $3::float8 + 0.014 AND lon_deg BETWEEN $4::float8 - 0.023 AND $4::float8 + 0.023
"""  # noqa: S608


def question_of(hours: float, begin: datetime, lon_deg: float, lat_deg: float) -> Question:
    begin_ms = instant_of(begin)
    return Question(
        Asked.PLACE, Interval(begin_ms, begin_ms + round(hours * 3_600_000)), 100.0, Spot(lon_deg, lat_deg, 100.0)
    )


async def timed_ms(work: Callable[[], Awaitable[Any]], repeats: int) -> tuple[float, float]:
    """Median and worst, in milliseconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:]), max(times[1:])


async def measure(dsn: str, repeats: int, crimes: int) -> None:
    ask_as(Identity("benchmark", "operator", None))
    pages = await run_time_dsn(dsn, RunTime.PAGES)
    sets = ZoneSetCache(None)
    async with (
        open_pool(pages, size=AT_A_TIME + 1, limits=PATIENT, prepare=identify) as pool,
        pool.acquire() as connection,
    ):
        size = await connection.fetchval(
            "SELECT sum(reltuples)::bigint FROM pg_class WHERE relname LIKE 'positions_20__!___!___' ESCAPE '!'"
        )
        people = await connection.fetchval("SELECT count(*) FROM people")
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {size:,} positions, {people:,} people"
        )
        for hours in (0.5, 1, 3, 6, 12):
            question = question_of(hours, FIRST_DAY + timedelta(hours=30), *STOKE)
            answer = await near_place(connection, sets, question, instant_of(FIRST_DAY))
            median, worst = await timed_ms(lambda q=question: near_place(connection, sets, q, 0), repeats)  # type: ignore[misc]
            counts = ", ".join(f"{count} {grade}" for grade, count in sorted(answer.counts.items()))
            print(f"| {hours} h, 100 m | {median:.0f} / {worst:.0f} ms | {counts} |", flush=True)
        for name, places in (("in the fullest town", [STOKE]), ("in all towns", TOWNS)):
            await batch(pool, name, places, crimes)


async def batch(pool: asyncpg.Pool[Any], name: str, places: list[tuple[float, float]], crimes: int) -> None:
    """Crimes of 15 minutes to 2 hours over all days, as many at a time as the command asks."""
    chance = np.random.default_rng(16)
    waiting = []
    for number in range(crimes):
        begin = FIRST_DAY + timedelta(minutes=float(chance.uniform(30, 3 * 1440)))
        lon, lat = places[number % len(places)]
        lon, lat = lon + chance.normal(0, 0.03), lat + chance.normal(0, 0.02)
        waiting.append(question_of(float(chance.choice([0.25, 0.5, 1, 2])), begin, lon, lat))

    async def work() -> None:
        async with pool.acquire() as connection:
            while waiting:
                await near_place(connection, ZoneSetCache(None), waiting.pop(), 0)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
    took = time.perf_counter() - started
    print(f"| {crimes:,} crimes {name} | {took:.1f} s, {1000 * took / crimes:.0f} ms each |", flush=True)


async def beside(dsn: str, repeats: int) -> None:
    """What a plain index on time, and one by cell and time, take for positions within 1.5 km and nothing else: no grade, and nobody
    cleared. As the owner, with no policy on rows."""
    connection = await connect(dsn)
    try:
        lon, lat = STOKE
        cells = [
            (int((lat + 90 + dy * 0.05) * 20) << 16) | int((lon + 180 + dx * 0.05) * 20) for dx in (-1, 0, 1) for dy in (-1, 0, 1)
        ]  # fmt: skip
        for name, index in OTHERS.items():
            started = time.perf_counter()
            await connection.execute(index)
            built = time.perf_counter() - started
            await connection.execute("VACUUM ANALYZE positions")
            size = await connection.fetchval(
                "SELECT sum(pg_relation_size(i.indexrelid)) FROM pg_index i WHERE i.indexrelid IN "
                "(SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::regclass)",
                index.split()[2],
            )
            for hours in (1, 12):
                begin = FIRST_DAY + timedelta(hours=30)
                arguments: list[Any] = [begin, begin + timedelta(hours=hours), lat, lon]
                statement = BY_TIME if name.startswith("plain") else BY_CELL
                arguments += [] if name.startswith("plain") else [cells]
                median, worst = await timed_ms(lambda s=statement, a=arguments: connection.fetch(s, *a), repeats)  # type: ignore[misc]
                print(
                    f"| {name}, {hours} h | {median:.0f} / {worst:.0f} ms | {int(size) >> 20:,} MB, built in {built:.0f} s |"
                )
            await connection.execute(f"DROP INDEX {index.split()[2]}")
    finally:
        await connection.close()


async def writing(dsn: str, rows: int, repeats: int) -> None:
    """How much longer positions take to be stored with the index than without it."""
    connection = await connect(dsn)
    try:
        taken: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(repeats):
            for kind in taken:
                taken[kind].append(await _written(connection, kind, rows))
        low = {kind: statistics.median(times) for kind, times in taken.items()}
        a, b = low["with"], low["without"]
        print(f"| {rows:,} positions stored | with {a:.2f} s, without {b:.2f} s: {a / b:.3f} |")
    finally:
        await connection.close()


async def _written(connection: asyncpg.Connection[Any], kind: str, rows: int) -> float:
    """Into a day of its own, by the statement of the worker, with what seals them; undone."""
    first = FIRST_DAY + timedelta(days=40)
    transaction = connection.transaction()
    await transaction.start()
    try:
        if kind == "without":
            await connection.execute("DROP INDEX positions_sampled")
        await connection.execute("SELECT make_positions_day($1::date)", first.date())
        columns: list[list[Any]] = [
            list(range(1, rows + 1)), [n % 5000 + 1 for n in range(rows)],
            [first + timedelta(milliseconds=12 * n) for n in range(rows)], ["GPS"] * rows,
            [53.0 + n % 997 * 1e-5 for n in range(rows)],
            [-2.0] * rows, [6.0] * rows, [first] * rows, *[[None] * rows] * 6, [b"0123456789abcdef"] * rows,
        ]  # fmt: skip
        started = time.perf_counter()
        for at in range(0, rows, 2_000):
            await connection.execute(STORE_POSITIONS, *[column[at : at + 2_000] for column in columns])
        return time.perf_counter() - started
    finally:
        await transaction.rollback()


async def run(folder: Path, wish: argparse.Namespace) -> None:
    async with database(None, folder, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            await migrate(connection)
            await grant_rights(connection)
            if not await connection.fetchval("SELECT count(*) FROM devices"):
                await fill(connection, wish.people, wish.days)
        finally:
            await connection.close()
        await measure(dsn, wish.repeats, wish.crimes)
        await writing(dsn, 100_000, 5)
        if wish.beside:
            await beside(dsn, wish.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("people", 5000), ("days", 4), ("repeats", 20), ("crimes", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--data-dir", type=Path, help="kept, and used again; left out: a temporary folder")
    parser.add_argument("--beside", action="store_true", help="other indexes too: they take minutes, and gigabytes")
    wish = parser.parse_args()
    configure_logs("warning")
    if wish.data_dir is not None:
        asyncio.run(run(wish.data_dir, wish))
        return
    with tempfile.TemporaryDirectory(prefix="emtrack-benchmark-") as folder:
        asyncio.run(run(Path(folder), wish))


if __name__ == "__main__":
    main()
