"""How long `/iom/performance` takes: 730 selected people of 20,000 on record, 5 years of history.

    python -m benchmarks.worth [--people 730] [--pool 20000] [--times 15]

Everybody has offences by a rate of their own; the selected have memberships, releases, statuses, assessments, grades, tasks and
the rest of `benchmarks.iom_reading`. Asked as a supervisor, through row-level security, on an embedded server in a folder of its own.
What happens for each page is the look, what the figures rest on, and rendering; the figures are worked out once a day for each
account, in a process beside the service. The target is 200 ms of server time for the page, and 10 s for the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.iom_reading import FILL, NOW
from emtrack.db.connect import connect
from emtrack.db.identity import Identity, identify_as
from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.reading.worth import Asked, basis_of, facts_of, whole_period
from emtrack.settings import Settings
from emtrack.worth.figures import public_rows
from emtrack.worth.measures import all_measures
from geofence import parse_instant

POOL = (
    """INSERT INTO wearers (wearer_id, name) SELECT 'Q' || p, 'Other ' || p
       FROM generate_series($1::bigint + 1, $2::bigint) AS p""",
    f"""INSERT INTO iom_entries (noun, version, wearer_no, content, recorded_at, recorded_by, agency)
        SELECT 'person', 1, p, jsonb_build_object('agencies', '["Police"]'::jsonb, 'date_of_birth', date '1975-01-01' + p::int % 9000,
               'sex', (ARRAY['M', 'F'])[1 + p % 2]), timestamptz '{NOW}' - interval '1 day', 'somebody', 'Police'
        FROM generate_series($1::bigint + 1, $2::bigint) AS p""",  # noqa: S608
    f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, occurred_at, recorded_at, recorded_by, agency)
        SELECT 'offence', 1, p, 'STATED',
               jsonb_build_object('kind', (ARRAY['VEHICLE', 'ROBBERY', 'SHOPLIFTING'])[1 + (p + k) % 3],
                                  'outcome', 'CONVICTED',
                                  'proven_on', (timestamptz '{NOW}' - (k * 1800.0 / n - 60) * interval '1 day')::date),
               timestamptz '{NOW}' - (k * 1800.0 / n) * interval '1 day', timestamptz '{NOW}' - interval '1 day', 'somebody', 'Police'
        FROM generate_series(1, $2::bigint) AS p, LATERAL (SELECT (p * 7919 % 13) * (p % 3) AS n) r, generate_series(1, n) AS k
        WHERE $1::bigint > 0""",  # noqa: S608
    f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, occurred_at, recorded_at, recorded_by, agency)
        SELECT 'transition', 1, p, 'DONE', '{{"kind": "RELEASE"}}', timestamptz '{NOW}' - (600 + p % 300) * interval '1 day',
               timestamptz '{NOW}' - interval '1 day', 'somebody', 'Police'
        FROM generate_series(1, $1::bigint) AS p WHERE $2::bigint > 0""",  # noqa: S608
)


async def main(people: int, pool: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as root, the server works as another user
        settings = Settings(data_dir=Path(folder) / "data")
        async with prepared_database(settings, program="benchmark", exclusive=True) as dsn:
            await filled(dsn, people, pool)
            await told(dsn, times)


async def filled(dsn: str, people: int, pool: int) -> None:
    connection = await connect(dsn)
    try:
        for statement, each in FILL:
            await connection.execute(statement, people, each)
        for statement in POOL:
            await connection.execute(statement, people, pool)
        await connection.execute("ANALYZE")
        entries = await connection.fetchval("SELECT count(*) FROM iom_entries")
        print(f"{people} selected of {pool} people, {entries:,} entries")
    finally:
        await connection.close()


async def told(dsn: str, times: int) -> None:
    known_ms = parse_instant("2026-03-30T00:00:00Z")
    today = date(2026, 3, 30)
    asked = Asked(None, *whole_period(today), today, known_ms, "Europe/London")
    connection = await connect(await run_time_dsn(dsn, RunTime.PAGES))
    try:
        await identify_as(connection, Identity("Ann", "supervisor", None))
        facts: Any = None
        for what in ("the first time", "again"):
            begin = time.perf_counter()
            facts = await facts_of(connection, asked)
            read = time.perf_counter()
            measures = all_measures(facts, None)
            print(f"{what}: reading {read - begin:.2f} s, figures {time.perf_counter() - read:.2f} s")
        spent = []
        for _ in range(times):
            begin = time.perf_counter()
            await basis_of(connection)
            spent.append(1000 * (time.perf_counter() - begin))
        figures = sum(len(measure.figures) for measure in measures)
        print(f"what they rest on: median {statistics.median(spent):.1f} ms, most {max(spent):.1f} ms")
        print(f"{figures} figures, {len(public_rows(measures))} public rows")
    finally:
        await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=730)
    parser.add_argument("--pool", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=15)
    given = parser.parse_args()
    asyncio.run(main(given.people, given.pool, given.times))
