"""How long it takes until everybody is read at the start, by how many people are on record.

    python -m benchmarks.starting [--people 10000 40000 100000] [--judged]

An embedded database of its own with so many people, each with a circle and a curfew, written by SQL; then the service's own worker
reads everybody, as after a restart of the program. `--judged`: everybody was judged before, so that checkpoints are read too (what a
restart does; without it, what a start after an import does). Printed are seconds, and processor time of the worker and of the server
for each person. On a machine that others use the processor's time says more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from benchmarks.schedule_edge import PACE, StandingClock, processor_s
from emtrack.db.connect import connect
from emtrack.db.embedded import embedded_server
from emtrack.db.migrate import migrate
from emtrack.metrics import Metrics
from emtrack.service.keys import DeviceKeys
from emtrack.service.warm_up import warm_up
from emtrack.service.worker import Worker
from ingest import Inbox

PEOPLE = """
WITH n AS MATERIALIZED (SELECT generate_series($1::bigint, $2) AS n),
w AS (INSERT INTO wearers (wearer_id) SELECT 'W' || n FROM n RETURNING wearer_no, substr(wearer_id, 2)::bigint AS n),
d AS (INSERT INTO devices (device_id, added_at) SELECT 'D' || n, $3 FROM n RETURNING device_no, substr(device_id, 2)::bigint AS n),
k AS (INSERT INTO device_keys (key_hash, device_no, label, added_at) SELECT sha256(n::text::bytea), device_no, '', $3 FROM d),
a AS (INSERT INTO activations (activation_id, entered_at) SELECT 'A' || n, $3 FROM n
      RETURNING activation_no, substr(activation_id, 2)::bigint AS n),
v AS (INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by)
      SELECT activation_no, device_no, wearer_no, tstzrange($3, NULL), 1000000000, tstzrange($3, NULL), ''
      FROM a JOIN d USING (n) JOIN w USING (n)),
z AS (INSERT INTO zones (version, geometry)
      SELECT kind || n, jsonb_build_object('type', 'Circle', 'radius_m', CASE kind WHEN 'X' THEN 200 ELSE 60 END, 'centre',
                                           jsonb_build_array(-2.2 + n % 401 * 1e-3, 53.0 + n % 307 * 1e-3))
      FROM n CROSS JOIN (VALUES ('X'), ('C')) k (kind)
      RETURNING zone_no, left(version, 1) AS kind, substr(version, 2)::bigint AS n),
e AS (INSERT INTO requirement_entries (wearer_no, requirement_id, valid_from) SELECT wearer_no, kind, $3 FROM w JOIN z USING (n)
      RETURNING entry_no, wearer_no, requirement_id)
INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, zone_no, timetable, buffer_m, confirm_points,
                                  confirm_ms, grace_ms, recorded, entered_by)
SELECT entry_no, e.wearer_no, requirement_id, CASE kind WHEN 'X' THEN 'EXCLUSION' ELSE 'CURFEW' END, tstzrange($3, NULL), zone_no,
       CASE kind WHEN 'C' THEN '[{"day": "SUN", "start": "19:00", "end": "07:00"}]'::jsonb END, 0, 2, 0, 0, tstzrange($3, NULL), ''
FROM e JOIN w USING (wearer_no) JOIN z ON z.n = w.n AND z.kind = e.requirement_id
"""
AT_ONCE = 5_000


class Start(NamedTuple):
    seconds: float
    worker_s: float
    server_s: float


async def fill(connection: asyncpg.Connection[Any], people: int, now_ms: int) -> None:
    at = await connection.fetchval("SELECT to_timestamp($1::float8 / 1000)", float(now_ms))
    for first in range(1, people + 1, AT_ONCE):
        await connection.execute(PEOPLE, first, min(people, first + AT_ONCE - 1), at)
    await connection.execute("ANALYZE")


async def read_everybody(dsn: str, clock: StandingClock, *, is_judged: bool) -> Start:
    """By a worker that knows nothing."""
    connection = await connect(dsn)
    server = await connection.fetchval("SELECT pg_backend_pid()")
    worker = Worker(dsn, clock, Inbox(1_000), DeviceKeys(), Metrics(), pace=PACE)  # type: ignore[arg-type]
    began_s, worker_s, server_s = time.perf_counter(), time.process_time(), processor_s(server)
    await worker._load(connection)
    took = Start(time.perf_counter() - began_s, time.process_time() - worker_s, processor_s(server) - server_s)
    while is_judged and worker.activations.to_judge_again_count:
        await worker.turn(connection)
    await worker.close()
    await connection.close()
    return took


async def measured(people: int, *, is_judged: bool) -> Start:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with embedded_server(folder / "data", program="benchmark", exclusive=True) as dsn:
            connection, clock = await connect(dsn), StandingClock()
            await migrate(connection)
            await fill(connection, people, clock.at_ms)
            await connection.close()
            if is_judged:
                await read_everybody(dsn, clock, is_judged=True)
            return await read_everybody(dsn, clock, is_judged=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[10_000, 40_000, 100_000])
    parser.add_argument("--judged", action="store_true")
    chosen = parser.parse_args()
    warm_up()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}\n")
    print("| people | all read after | worker, a person | server, a person |")
    print("|---|---|---|---|", flush=True)
    for people in chosen.people:
        took = asyncio.run(measured(people, is_judged=chosen.judged))
        each = [seconds / people * 1e6 for seconds in (took.worker_s, took.server_s)]
        print(f"| {people:,} | {took.seconds:.1f} s | {each[0]:.0f} µs | {each[1]:.0f} µs |", flush=True)


if __name__ == "__main__":
    main()
