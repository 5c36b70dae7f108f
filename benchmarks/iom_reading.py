"""How long the daily view and a person's chronology take to read: 730 people, 5 years of history.

    python -m benchmarks.iom_reading [--people 730] [--times 15] [--users 60] [--seconds 60]

About 1,200 entries a person: contacts, signals of which few are live, notes, grades each month, assessments, offences, tasks,
statuses, and open alerts. Asked as an officer of an agency that shares two thirds of the people, through row-level security, on an
embedded server in a folder of its own. The target is 200 ms of server time for either. Then the pages themselves over HTTP, out of
the running service: as many users, each of whom opens the daily view or a person's page every twenty seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from emtrack.db.connect import connect
from emtrack.db.identity import Identity, identify_as
from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.iom.signal_making import ENTRY_CURSOR, move_cursor
from emtrack.people.roles import Role
from emtrack.people.tokens import add_token
from emtrack.reading.iom import chronology, cohort
from emtrack.reading.iom_seldom import SeldomCache
from emtrack.service.app import running_service
from emtrack.settings import ClockSetting, Settings
from geofence import parse_instant

EVERY_S = 20.0
NOW = "2026-03-30T09:00:00Z"
ABOUT = "recorded_at, recorded_by, agency"
EVERY = "generate_series(1, $1::bigint) AS p, generate_series(1, $2::bigint) AS k"
AT = f"timestamptz '{NOW}' - (k * 1826.0 / $2 - (p * 7 % 20) / 20.0) * interval '1 day'"
WHO = f"least({AT}, '{NOW}'), 'somebody', 'Police'"
FILL = (
    ("""INSERT INTO wearers (wearer_id, name) SELECT 'P' || p, 'Person ' || p
        FROM generate_series(1, $1::bigint) AS p, generate_series(1, $2::bigint)""", 1),
    ("""INSERT INTO iom_versions (wearer_no, cohort, mappa_level, pathways, agencies, lead_agency, recorded, entered_by)
        SELECT wearer_no, 'FIXED', 1, '{}', CASE WHEN wearer_no % 3 < 2 THEN '{Police,Housing}'::text[] ELSE '{Police}' END, 'Police',
        tstzrange('2021-01-01', NULL), 'somebody' FROM wearers, generate_series(1, $2::bigint) WHERE $1::bigint > 0""", 1),
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, content, {ABOUT})
        SELECT 'person', 1, p, '{{"agencies": ["Police", "Housing"]}}', {WHO} FROM {EVERY}""", 1),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, valid, {ABOUT})
        SELECT 'membership', 1, p, 'OPEN', '{{"cohort": "FIXED", "lead_agency": "Police"}}', tstzrange('2021-01-01', NULL), {WHO}
        FROM {EVERY}""", 1),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, content, occurred_at, due_at, {ABOUT})
        SELECT 'grade', 1, p, jsonb_build_object('grade', (ARRAY['RED', 'AMBER', 'GREEN'])[1 + (p + k) % 3]), {AT},
        {AT} + interval '14 days', {WHO} FROM {EVERY}""", 60),  # noqa: S608
    (f"""INSERT INTO rag_grades (wearer_no, grade, since, recorded_at, entered_by)
        SELECT p, (ARRAY['RED', 'AMBER', 'GREEN'])[1 + (p + k) % 3], {AT}, {AT}, 'somebody' FROM {EVERY}""", 60),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, content, occurred_at, {ABOUT})
        SELECT 'assessment', 1, p, jsonb_build_object('rosh', (ARRAY['L', 'M', 'H', 'VH'])[1 + (p + k) % 4], 'reoffending', (p * k)
        % 100, 'serious_harm', p % 8, 'mappa_level', 1 + p % 3), {AT}, {WHO} FROM {EVERY}""", 20),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, occurred_at, {ABOUT})
        SELECT 'contact', 1, p, 'RECORDED', '{{"kind": "office", "outcome": "KEPT"}}', {AT}, {WHO} FROM {EVERY}""", 500),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, occurred_at, due_at, {ABOUT})
        SELECT 'signal', 1, p, 'LIVE', '{{"kind": "CURFEW_VIOLATION", "direction": "UP", "because": "violated the curfew"}}', {AT},
        {AT} + interval '14 days', {WHO} FROM {EVERY}""", 300),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, content, occurred_at, visibility, {ABOUT})
        SELECT 'note', 1, p, '{{"text": "seen at home, all well, next week again"}}', {AT},
        (ARRAY['ALL', 'ALL', 'OWN', 'POLICE_INTEL'])[1 + k % 4], {WHO} FROM {EVERY}""", 200),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, occurred_at, {ABOUT})
        SELECT 'offence', 1, p, 'STATED', '{{"kind": "ROBBERY", "outcome": "CONVICTED", "proven_on": "2024-01-01"}}', {AT}, {WHO}
        FROM {EVERY}""", 30),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, due_at, {ABOUT})
        SELECT 'task', 1, p, 'NEW', '{{"title": "call"}}', {AT}, {WHO} FROM {EVERY}""", 60),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, of_entry, version, wearer_no, state, content, {ABOUT})
        SELECT 'task', e.item_no, 2, e.wearer_no, 'ACCEPTED', e.content, e.recorded_at, 'somebody', 'Police'
        FROM iom_entries e, generate_series(1, $2::bigint) WHERE e.noun = 'task' AND e.wearer_no <= $1::bigint""", 1),  # noqa: S608
    (f"""INSERT INTO iom_entries (noun, version, wearer_no, state, content, valid, {ABOUT})
        SELECT 'status', 1, p, 'STATED', '{{"status": "COMMUNITY"}}', tstzrange('2021-01-01', NULL), {WHO} FROM {EVERY}""", 1),  # noqa: S608
    (f"""INSERT INTO alerts (alert_no, wearer_no, kind, severity, raised_at, known_at)
        SELECT p, p, 'CURFEW', 1 + p % 4, '{NOW}', '{NOW}' FROM {EVERY} WHERE p % 5 = 0""", 1),  # noqa: S608
)  # fmt: skip


async def filled(dsn: str, people: int) -> int:
    owner = await connect(dsn)
    try:
        for statement, times in FILL:
            await owner.execute(statement, people, times)
        await owner.execute("VACUUM ANALYZE iom_entries")
        # Years of signals were made long ago; what a service does that begins with them is another question.
        await move_cursor(owner, ENTRY_CURSOR, await owner.fetchval("SELECT max(entry_no) FROM iom_entries"))
        await owner.execute("ANALYZE")
        count: int = await owner.fetchval("SELECT count(*) FROM iom_entries")
        return count
    finally:
        await owner.close()


async def timed(what: str, times: int, read: Callable[[], Awaitable[Any]], said: Callable[[Any], int]) -> None:
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        found = await read()
        msgspec.json.encode(found)
        spent.append((time.perf_counter() - began) * 1000)
    print(
        f"{what:<12}{said(found):>6,} rows   median {statistics.median(spent):6.0f} ms   worst {max(spent):6.0f} ms"
    )


async def as_user(
    http: aiohttp.ClientSession, number: int, people: int, until_s: float, spent: dict[str, list[float]]
) -> None:
    """Pages of one person at work; times by page, in milliseconds."""
    rng = random.Random(number)
    await asyncio.sleep(rng.uniform(0, EVERY_S))
    while time.perf_counter() < until_s:
        what = rng.choice(("daily view", "person"))
        path = "/iom" if what == "daily view" else f"/iom/people/P{rng.randrange(1, people + 1)}"
        began = time.perf_counter()
        async with http.get(path, headers={"Authorization": f"Bearer token {number}"}) as answer:
            await answer.read()
            assert answer.status == 200, (path, answer.status)
        spent[what].append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(rng.uniform(0.5, 1.5) * EVERY_S)


async def users_at_work(settings: Settings, people: int, users: int, seconds: float) -> None:
    """As officers of the programme, of whom each has a token of their own."""
    settings = msgspec.structs.replace(settings, listen="127.0.0.1:0", clock=ClockSetting(parse_instant(NOW), 1.0))
    spent: dict[str, list[float]] = {"daily view": [], "person": []}
    async with running_service(settings, asyncio.Event()) as service:
        owner = await connect(service.dsn)
        for number in range(users):
            name, token = f"user {number}", f"token {number}"
            await add_token(owner, name, Role.OFFICER, None, who="benchmark", now_ms=parse_instant(NOW), token=token)
        await owner.close()
        async with aiohttp.ClientSession(service.address) as http, asyncio.TaskGroup() as group:
            until_s = time.perf_counter() + seconds
            for number in range(users):
                group.create_task(as_user(http, number, people, until_s, spent))
    for what, times in spent.items():
        worst = statistics.quantiles(times, n=20)[-1]
        print(f"{what:<12}{len(times):>6} pages  median {statistics.median(times):6.0f} ms   p95   {worst:6.0f} ms")


async def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--people", type=int, default=730)
    asked.add_argument("--times", type=int, default=15)
    asked.add_argument("--users", type=int, default=60)
    asked.add_argument("--seconds", type=float, default=60)
    options = asked.parse_args()
    now_ms = parse_instant(NOW)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as root, the server works as another user
        settings = Settings(data_dir=Path(folder) / "data")
        async with prepared_database(settings, program="benchmark", exclusive=True) as dsn:
            print(f"{await filled(dsn, options.people):,} entries of {options.people} people")
            session = await connect(await run_time_dsn(dsn, RunTime.PAGES))
            seldom = SeldomCache()
            try:
                for identity in (Identity("Dee", "officer", "Housing"), Identity("Eve", "officer", None)):
                    await identify_as(session, identity)
                    print(f"an officer of {identity.agency or 'the programme'}")
                    await timed("cohort", options.times, lambda: cohort(session, seldom, now_ms), len)
                    await timed(
                        "person",
                        options.times,
                        lambda: chronology(session, 1, now_ms + 1, None, None),
                        lambda found: len(found.lines),
                    )
            finally:
                await session.close()
        print(f"{options.users} users over HTTP, a page each every {EVERY_S:g} s")
        await users_at_work(settings, options.people, options.users, options.seconds)


if __name__ == "__main__":
    asyncio.run(main())
