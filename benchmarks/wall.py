"""What the wall and the queue cost with 100,000 alerts and 30,000 people: statements, as an operator asks them, and pages over HTTP.

    python -m benchmarks.wall [--alerts 100000] [--people 30000] [--repeats 20]

The record is invented and put straight into the tables: one in thirty people has no tag, one alert in fifty is open.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import platform
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg

from alerts import answered, delay_of, flow_of, noise_of, open_by_age
from benchmarks.serving import served
from emtrack.db.connect import connect, database, open_pool
from emtrack.db.identity import Identity, ask_as, identify
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.db.session import READING
from emtrack.people.accounts import add_user, let_password_stay
from emtrack.people.roles import Role
from emtrack.reading.unmonitored import unmonitored
from emtrack.settings import Settings

PEOPLE = """
INSERT INTO wearers (wearer_id, name) SELECT 'B' || n, 'Person ' || n FROM generate_series(1, $1::bigint) n
"""
TAGS = (
    "INSERT INTO devices (device_id, added_at) SELECT 'T' || n, now() FROM generate_series(1, $1::bigint) n",
    "INSERT INTO activations (activation_id, entered_at) SELECT 'A' || n, now() FROM generate_series(1, $1::bigint) n",
    """INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by,
              evidence)
       SELECT activation_no, device_no, wearer_no,
              tstzrange(now() - interval '30 days', CASE WHEN wearer_no % 30 = 0 THEN now() - interval '1 day' END), 60000,
              tstzrange(now() - interval '30 days', NULL), 'benchmark', '{POSITION,RF}'
       FROM wearers JOIN activations ON activation_id = 'A' || substr(wearer_id, 2)
       JOIN devices ON device_id = 'T' || substr(wearer_id, 2) WHERE $1 > 0""",
    "INSERT INTO zones (version, geometry) SELECT 'benchmark', '{}' WHERE $1 > 0",
    """INSERT INTO requirement_entries (wearer_no, requirement_id, valid_from)
       SELECT wearer_no, 'C1', now() - interval '30 days' FROM wearers WHERE $1 > 0""",
    """INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, zone_no, buffer_m, confirm_points,
              confirm_ms, grace_ms, recorded, entered_by)
       SELECT entry_no, wearer_no, 'C1', 'CURFEW', tstzrange(now() - interval '30 days', NULL), (SELECT max(zone_no) FROM zones), 0,
              2, 0, 0, tstzrange(now() - interval '30 days', NULL), 'benchmark' FROM requirement_entries WHERE $1 > 0""",
)
ALERTS = """
INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, requirement_id, severity, raised_at, known_at, closed_at)
SELECT n, v.wearer_no, v.activation_no, (ARRAY['CURFEW', 'EXCLUSION', 'BATTERY', 'NO_COMMUNICATION'])[1 + n % 4],
       CASE WHEN n % 4 < 2 THEN 'C' || n % 7 END, 1 + n % 4, at, at - n % 60 * interval '1 s',
       CASE WHEN n % 50 <> 0 THEN at + interval '10 min' END
FROM (SELECT n, now() - interval '28 days' * (1 - n::float / $1) AS at FROM generate_series(1, $1::bigint) n) s
JOIN activation_versions v ON v.wearer_no = (SELECT min(wearer_no) FROM wearers) + n % $2
ON CONFLICT DO NOTHING
"""
ACTIONS = (
    """INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action)
       SELECT alert_no, 1, raised_at + interval '2 min', 'benchmark', 'acknowledged' FROM alerts""",
    """INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome, note)
       SELECT alert_no, 2, closed_at, 'benchmark', 'closed',
              (ARRAY['VIOLATION', 'EQUIPMENT', 'LOCATION_ERROR', 'AUTHORISED'])[1 + alert_no % 4], 'x'
       FROM alerts WHERE closed_at IS NOT NULL""",
)
FINDINGS = (
    """INSERT INTO findings (finding_no, activation_no, kind) SELECT alert_no, activation_no, kind FROM alerts""",
    """INSERT INTO finding_versions (finding_no, version, recorded_at, change, why, begin_at, end_at, known_at, within_grace,
              evidence, facts_hash, decided_under, reason)
       SELECT alert_no, 1, raised_at, 'new', 'x', known_at, closed_at, known_at, false, '{}', 'x', '{}',
              CASE kind WHEN 'CURFEW' THEN 'LEFT_DURING' WHEN 'BATTERY' THEN 'BATTERY_LOW' END FROM alerts""",
    "INSERT INTO alert_occurrences (finding_no, alert_no, added_at) SELECT alert_no, alert_no, raised_at FROM alerts",
)


async def fill(connection: asyncpg.Connection[Any], alerts: int, people: int) -> None:
    await connection.execute(PEOPLE, people)
    for statement in TAGS:
        await connection.execute(statement, people)
    await connection.execute(ALERTS, alerts, people)
    for statement in (*ACTIONS, *FINDINGS):
        await connection.execute(statement)
    await connection.execute("ANALYZE")


async def timed_ms(work: Callable[[], Awaitable[Any]], repeats: int) -> tuple[float, float]:
    """Median and worst, in milliseconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:]), max(times[1:])


async def statements(dsn: str, repeats: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    ask_as(Identity("benchmark", "supervisor", None))
    pages = await run_time_dsn(dsn, RunTime.PAGES)
    async with open_pool(pages, size=1, limits=READING, prepare=identify) as pool, pool.acquire() as connection:
        found = await unmonitored(connection, "Europe/London", now_ms)
        print(f"not monitored: {found.size} people")
        for name, work in {
            "open by age": lambda: open_by_age(connection, now_ms),
            "alarms an operator": lambda: flow_of(connection, now_ms),
            "acknowledged in time": lambda: answered(connection, now_ms),
            "delay": lambda: delay_of(connection, now_ms),
            "noise": lambda: noise_of(connection, now_ms),
            "not monitored": lambda: unmonitored(connection, "Europe/London", now_ms),
        }.items():
            median, worst = await timed_ms(work, repeats)
            print(f"| {name} | {median:.1f} / {worst:.1f} ms |")


async def page(address: str, dsn: str, repeats: int) -> None:
    connection = await connect(dsn)
    try:
        now_ms = time.time_ns() // 1_000_000
        password = await add_user(connection, "Bench", Role.SUPERVISOR, None, who="benchmark", now_ms=now_ms)
        await let_password_stay(connection, "Bench")
    finally:
        await connection.close()
    async with aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await http.post("/login", data={"name": "Bench", "password": password})
        async with http.get("/account") as answer:
            key = re.search(r'name="form_key" value="([^"]+)"', await answer.text())
        assert key is not None, "logged in"
        await http.post("/shift", data={"form_key": key[1], "purpose": "COMPLIANCE"})

        async def once(path: str) -> None:
            async with http.get(path) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

        for path in ("/wall", "/alerts", "/alerts?state=closed", "/alerts?overdue=yes", "/alerts?person=Person 77"):
            median, worst = await timed_ms(functools.partial(once, path), repeats)
            print(f"| {path} over HTTP | {median:.1f} / {worst:.1f} ms |")


async def measure(settings: Settings, alerts: int, people: int, repeats: int) -> None:
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            await fill(connection, alerts, people)
            print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            stored = await connection.fetchval("SELECT count(*) FROM alerts")
            print(f"{stored:,} alerts, {people:,} people; median / worst")
        finally:
            await connection.close()
        await statements(dsn, repeats)
        await page(f"http://{settings.listen}", dsn, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("alerts", 100_000), ("people", 30_000), ("repeats", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wish = parser.parse_args()
    with served() as settings:
        asyncio.run(measure(settings, wish.alerts, wish.people, wish.repeats))


if __name__ == "__main__":
    main()
