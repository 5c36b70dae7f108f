"""What *who was near here* costs over a hundred million stored positions, beside other ways to ask the table.

    python -m benchmarks.near --data-dir DIR [--repeats 10] [--crimes 1000] [--beside] [--postgis DSN]

The record is made in DIR on the first run (`benchmarks.stored`; a quarter of an hour, 32 GB) and used again: 5,000 people for nine
days, and a day of 30,000; then its hours are packed as the service packs them. `--beside`: what other indexes take for positions near
a place and nothing else. `--postgis`: of a PostgreSQL with PostGIS that may be written to; the positions of 13 hours go there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from benchmarks.stored import (
    FIRST_DAY,
    STOKE,
    TOWNS,
    add_day,
    add_people,
    be_quick,
    be_usual,
    days_from,
    homes_of,
    pack_all,
)
from emtrack.cli.near import near_of
from emtrack.db.connect import connect, database, open_pool
from emtrack.db.identity import Identity, ask_as, identify
from emtrack.db.migrate import migrate
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.db.session import Limits, Session
from emtrack.logs import configure_logs
from emtrack.people.looks import commander
from emtrack.reading.near import near_place
from emtrack.record.near import Asked, Question
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.settings import Settings
from geofence import Interval, instant_of
from geofence.nearness import Spot
from ingest.store import STORE_POSITIONS

PATIENT = Limits(statement_s=600, lock_s=5, answer_s=600)
PEOPLE, DAYS, MANY = 5_000, 9, 30_000
MANY_FROM_MINUTE = 240
MANY_DAY = FIRST_DAY + timedelta(DAYS)
EVENING = FIRST_DAY + timedelta(hours=30)
MOORS = (-1.9, 54.9)
"""A place in the country, 8 km from a small town."""
ONLY_THAT_DAY = """
UPDATE activation_versions SET during = tstzrange($1, $2) WHERE upper_inf(recorded) AND wearer_no > $3 AND upper_inf(during)
"""
SETS = ZoneSetCache(None)


# ---------------------------------------------------------------------------------------------- the record


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[str, Session]]:
    async with database(None, folder, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            yield dsn, connection
        finally:
            await connection.close()


async def make(folder: Path) -> None:
    """What of the record is missing."""
    async with opened(folder) as (_, connection):
        await migrate(connection)
        await grant_rights(connection)
        if not await connection.fetchval("SELECT count(*) FROM devices"):
            await add_people(connection, MANY)
            first = MANY_DAY + timedelta(minutes=MANY_FROM_MINUTE)
            await connection.execute(ONLY_THAT_DAY, first, MANY_DAY + timedelta(1), PEOPLE)
        missing = [
            day for day in days_from(FIRST_DAY.date(), DAYS + 1)
            if not await connection.fetchval("SELECT to_regclass($1)", f"positions_{day:%Y_%m_%d}")
        ]  # fmt: skip
    if missing:
        be_quick(folder)
        async with opened(folder) as (_, connection):
            few, more = homes_of(PEOPLE), homes_of(MANY)
            many = type(few)(*(np.concatenate((a, b[PEOPLE:])) for a, b in zip(few, more, strict=True)))
            for day in missing:
                is_last = day == MANY_DAY.date()
                count = await add_day(
                    connection, day, many if is_last else few, range(MANY_FROM_MINUTE * is_last, 1440)
                )
                print(f"{day}: {count:,} positions are stored", flush=True)
            await connection.execute("VACUUM (FREEZE, ANALYZE)")
        be_usual(folder)
    async with opened(folder) as (_, connection):
        started = time.perf_counter()
        hours = await pack_all(connection, instant_of(MANY_DAY + timedelta(1)))
        if hours:
            print(f"{hours} hours are packed in {time.perf_counter() - started:.0f} s", flush=True)
            await connection.execute("VACUUM (ANALYZE) packed_positions")


SIZES = """
SELECT (SELECT sum(reltuples)::bigint FROM pg_class WHERE relname ~ '^positions_20..._?.._?..$') AS positions,
       (SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'positions'::regclass) AS stored,
       pg_total_relation_size('packed_positions') AS packed, pg_relation_size('packed_positions_pkey') AS heads,
       (SELECT sum(pg_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'positions_sampled'::regclass) AS samples
"""


# ---------------------------------------------------------------------------------------------- questions


def question_of(hours: float, begin: datetime, lon_deg: float, lat_deg: float) -> Question:
    begin_ms = instant_of(begin)
    window = Interval(begin_ms, begin_ms + round(hours * 3_600_000))
    return Question(Asked.PLACE, window, 100.0, Spot(lon_deg, lat_deg, 100.0))


async def timed_ms(work: Callable[[], Awaitable[Any]], repeats: int) -> tuple[float, float]:
    """Median and worst, in milliseconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:]), max(times[1:])


async def measure(dsn: str, owner: Session, repeats: int) -> None:
    ask_as(Identity("benchmark", "operator", None))
    pages = await run_time_dsn(dsn, RunTime.PAGES)
    async with open_pool(pages, size=1, limits=PATIENT, prepare=identify) as pool, pool.acquire() as connection:
        sizes = await owner.fetchrow(SIZES)
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(", ".join(f"{name} {int(size):,}" for name, size in sizes.items()))
        places = {"fullest town": STOKE, "small town": TOWNS[3], "country": MOORS}
        for who, day in (("5,000 people", EVENING), ("30,000 people", MANY_DAY + timedelta(hours=6))):
            for where, place in places.items():
                for hours in (0.5, 1, 3, 6, 12):
                    await _measured(
                        connection, f"{who}, {where}, {hours} h", question_of(hours, day, *place), repeats
                    )
        begin = instant_of(EVENING - timedelta(hours=1))
        hide = "UPDATE packed_hours SET is_ready = false WHERE epoch_ms(hour) >= $1 AND epoch_ms(hour) < $2"
        await owner.execute(hide, begin, begin + 4 * 3_600_000)
        try:
            for hours in (0.5, 1):
                question = question_of(hours, EVENING, *STOKE)
                await _measured(
                    connection, f"5,000 people, fullest town, {hours} h, not packed yet", question, repeats
                )
        finally:
            await owner.execute("UPDATE packed_hours SET is_ready = true")


async def _measured(connection: Any, name: str, question: Question, repeats: int) -> None:
    answer = await near_place(connection, SETS, question, 0)
    median, worst = await timed_ms(lambda: near_place(connection, SETS, question, 0), repeats)
    counts = ", ".join(f"{count:,} {grade}" for grade, count in sorted(answer.counts.items()) if count)
    print(f"| {name} | {median:.0f} / {worst:.0f} ms | {counts} |", flush=True)


def crimes_at(places: list[tuple[float, float]], count: int) -> list[Question]:
    """Crimes of 15 minutes to 2 hours over all days of 5,000 people."""
    chance = np.random.default_rng(16)
    found = []
    for number in range(count):
        begin = FIRST_DAY + timedelta(minutes=float(chance.uniform(30, (DAYS - 1) * 1440)))
        lon, lat = places[number % len(places)]
        lon, lat = lon + chance.normal(0, 0.03), lat + chance.normal(0, 0.02)
        found.append(question_of(float(chance.choice([0.25, 0.5, 1, 2])), begin, lon, lat))
    return found


async def batches(folder: Path, crimes: int) -> None:
    """By the command, with the looks that it enters and the answers that it keeps."""
    for name, places, count in (("all towns", TOWNS, crimes), ("the fullest town", [STOKE], crimes // 4)):
        questions = crimes_at(places, count)
        started = time.perf_counter()
        lines = await near_of(Settings(data_dir=folder), commander("benchmark", "INVESTIGATION"), questions)
        took = time.perf_counter() - started
        print(
            f"| {count:,} crimes in {name} | {took:.1f} s | {sum(map(len, lines)) / 1e6:.1f} MB of answers |",
            flush=True,
        )


# ---------------------------------------------------------------------------------------------- beside it

CELL = "((floor((lat_deg + 90) * 20)::bigint << 16) | floor((lon_deg + 180) * 20)::bigint)"
OTHERS = {
    "plain index on time": "CREATE INDEX bench_time ON {} (fix_time)",
    "cell and time": f"CREATE INDEX bench_cell ON {{}} ({CELL}, fix_time)",
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


async def beside(connection: Session, repeats: int) -> None:
    """What an index on time, and one by cell and time, take for positions within 1.5 km and nothing else: no grade, and nobody
    cleared. As the owner, with no policy on rows; on one day's partition."""
    part = f"positions_{EVENING:%Y_%m_%d}"
    lon, lat = STOKE
    cells = [
        (int((lat + 90 + dy * 0.05) * 20) << 16) | int((lon + 180 + dx * 0.05) * 20) for dx in (-1, 0, 1) for dy in (-1, 0, 1)
    ]  # fmt: skip
    for name, index in OTHERS.items():
        started = time.perf_counter()
        await connection.execute(index.format(part))
        built = time.perf_counter() - started
        await connection.execute(f"VACUUM ANALYZE {part}")
        index_name = index.split()[2]
        size = await connection.fetchval("SELECT pg_relation_size($1::regclass)", index_name)
        for hours in (1, 12):
            arguments: list[Any] = [EVENING, EVENING + timedelta(hours=hours), lat, lon]
            statement = BY_TIME if name.startswith("plain") else BY_CELL
            arguments += [] if name.startswith("plain") else [cells]
            median, worst = await timed_ms(lambda s=statement, a=arguments: connection.fetch(s, *a), repeats)  # type: ignore[misc]
            print(
                f"| {name}, {hours} h | {median:.0f} / {worst:.0f} ms | {int(size) >> 20:,} MB a day, built in {built:.0f} s |"
            )
        await connection.execute(f"DROP INDEX {index_name}")


POSTGIS = (
    "CREATE EXTENSION IF NOT EXISTS postgis",
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    "DROP TABLE IF EXISTS bench_sent, bench_positions",
    "CREATE UNLOGGED TABLE bench_sent (device_no bigint, fix_time timestamptz, lon_deg float8, lat_deg float8)",
)
POSTGIS_TABLE = (
    "CREATE UNLOGGED TABLE bench_positions AS SELECT device_no, fix_time, "
    "ST_SetSRID(ST_MakePoint(lon_deg, lat_deg), 4326)::geography AS place FROM bench_sent",
    "DROP TABLE bench_sent",
)
POSTGIS_INDEXES = {
    "GiST on place": "CREATE INDEX bench_place ON bench_positions USING gist (place)",
    "GiST on place and time": "CREATE INDEX bench_place ON bench_positions USING gist (place, fix_time)",
}
POSTGIS_HOURS = 13
NEAR_BY_POSTGIS = """
SELECT count(*), count(DISTINCT device_no) FROM bench_positions
WHERE ST_DWithin(place, ST_SetSRID(ST_MakePoint($3, $4), 4326)::geography, $5) AND fix_time >= $1 AND fix_time < $2
"""


async def by_postgis(connection: Session, dsn: str, repeats: int) -> None:
    """Positions within a distance of the place and nothing else: no grade, and nobody cleared. Of 13 hours of 5,000 people."""
    other = await asyncpg.connect(dsn)
    try:
        for statement in POSTGIS:
            await other.execute(statement)
        for hour in range(POSTGIS_HOURS):
            rows = await connection.fetch(
                "SELECT device_no, fix_time, lon_deg, lat_deg FROM positions WHERE fix_time >= $1 AND fix_time < $2",
                EVENING + timedelta(hours=hour), EVENING + timedelta(hours=hour + 1),
            )  # fmt: skip
            await other.copy_records_to_table("bench_sent", records=rows)
        for statement in POSTGIS_TABLE:
            await other.execute(statement)
        rows_there = await other.fetchval("SELECT count(*) FROM bench_positions")
        version = await other.fetchval("SELECT postgis_lib_version()")
        print(f"PostGIS {version}, {rows_there:,} positions", flush=True)
        for name, index in POSTGIS_INDEXES.items():
            started = time.perf_counter()
            await other.execute(index)
            built = time.perf_counter() - started
            await other.execute("VACUUM ANALYZE bench_positions")
            size = await other.fetchval("SELECT pg_relation_size('bench_place')")
            for metres in (100.0, 1_500.0):
                for hours in (1, 12):
                    ask = [EVENING, EVENING + timedelta(hours=hours), *STOKE, metres]
                    median, worst = await timed_ms(lambda a=ask: other.fetch(NEAR_BY_POSTGIS, *a), repeats)  # type: ignore[misc]
                    print(
                        f"| PostGIS, {name}, {metres:.0f} m, {hours} h | {median:.0f} / {worst:.0f} ms "
                        f"| {int(size) >> 20:,} MB, built in {built:.0f} s |",
                        flush=True,
                    )
            await other.execute("DROP INDEX bench_place")
    finally:
        await other.close()


# ---------------------------------------------------------------------------------------------- writing

WITHOUT = {
    "samples": "DROP INDEX positions_sampled",
    "marks": "DROP TRIGGER mark_packed_late ON positions",
}


async def writing(connection: Session, rows: int, repeats: int) -> None:
    """How much longer positions take to be stored with what questions need than without it."""
    taken: dict[str, list[float]] = {kind: [] for kind in ("everything", *WITHOUT)}
    for _ in range(repeats):
        for kind in taken:
            taken[kind].append(await _written(connection, WITHOUT.get(kind), rows))
    low = {kind: statistics.median(times) for kind, times in taken.items()}
    words = ", ".join(f"without {kind} {low[kind]:.2f} s" for kind in WITHOUT)
    print(f"| {rows:,} positions stored | with everything {low['everything']:.2f} s, {words} |")


async def _written(connection: Session, without: str | None, rows: int) -> float:
    """Into a day of its own, by the statement of the worker, with what seals them; undone."""
    first = MANY_DAY + timedelta(days=40)
    transaction = connection.transaction()
    await transaction.start()
    try:
        if without is not None:
            await connection.execute(without)
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


async def run(wish: argparse.Namespace) -> None:
    await make(wish.data_dir)
    if not wish.only_beside and not wish.only_crimes:
        async with opened(wish.data_dir) as (dsn, connection):
            await measure(dsn, connection, wish.repeats)
    if wish.crimes and not wish.only_beside:
        await batches(wish.data_dir, wish.crimes)
    async with opened(wish.data_dir) as (_, connection):
        if wish.writing:
            await writing(connection, 100_000, 5)
        if wish.beside:
            await beside(connection, wish.repeats)
        if wish.postgis is None and not wish.only_crimes:
            print("PostGIS is not there to be measured")
        elif wish.postgis is not None:
            await by_postgis(connection, wish.postgis, wish.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("repeats", 10), ("crimes", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--data-dir", type=Path, required=True, help="made on the first run, kept, and used again")
    parser.add_argument("--beside", action="store_true", help="other indexes too: they take minutes")
    parser.add_argument("--only-crimes", action="store_true", help="single questions are left out")
    parser.add_argument("--only-beside", action="store_true", help="questions themselves are left out")
    parser.add_argument("--writing", action="store_true", help="what storing positions costs with indexes and marks")
    parser.add_argument("--postgis", help="DSN of a PostgreSQL with PostGIS")
    configure_logs("warning")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
