"""Tags send while the worker's session, the service and the whole database server are killed at random moments. What was acknowledged
is there, once; nothing else is; and what was found is what anybody finds who judges the stored facts from the beginning."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest

from emtrack.db.embedded import embedded_server
from emtrack.db.locks import WORKER_LOCK
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings
from geofence import format_instant
from tests.db_fixtures import with_user
from tests.service_world import AWAY, DAYS, HOME, activation, curfew, with_provisional_ends
from tests.test_kill import COUNTS, Program, rows

SEED = 11
FIX_EVERY_MS = 5_000
PATIENCE_S = 900


class Run(NamedTuple):
    """Each of `devices` sends `requests` of `fixes`, one each five seconds of the last hours. `sessions`, `services`, `servers`: how
    many of each are killed, `between_s` apart."""

    devices: int
    requests: int
    fixes: int
    sessions: int
    services: int
    servers: int
    between_s: tuple[float, float]

    @property
    def lasts_ms(self) -> int:
        return self.requests * self.fixes * FIX_EVERY_MS


FEW = Run(devices=12, requests=16, fixes=20, sessions=3, services=1, servers=1, between_s=(0.1, 0.5))
THOUSAND = Run(devices=100, requests=500, fixes=100, sessions=940, services=40, servers=20, between_s=(0.02, 0.7))

WORKS = """
SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
"""
ALIVE = "SELECT alive_at FROM liveness"


class Tag:
    """One device, which sends its requests in order, each until it is answered; now and then it sends one again that was."""

    def __init__(self, number: int, key: str, run: Run, from_ms: int) -> None:
        self._rng = random.Random(SEED * 1_000 + number)
        self._path = f"/v1/devices/D{number}/reports"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._made = [self._request(place, run.fixes, from_ms) for place in range(run.requests)]
        self.acknowledged: set[int] = set()

    def _request(self, place: int, fixes: int, from_ms: int) -> dict[str, Any]:
        where = AWAY if self._rng.random() < 0.3 else HOME
        first = place * fixes
        return {
            "boot": 1,
            "reports": [
                {"seq": seq, "type": "position", "fix_time": format_instant(from_ms + (seq + 1) * FIX_EVERY_MS), "mechanism": "GPS",
                 "lat_deg": where[1] + self._rng.uniform(-1e-4, 1e-4), "lon_deg": where[0], "precision_m": 6}
                for seq in range(first, first + fixes)
            ],
        }  # fmt: skip

    async def send_all(self, http: aiohttp.ClientSession, doors: asyncio.Semaphore) -> None:
        for place, request in enumerate(self._made):
            async with doors:
                await self._until_answered(http, request)
                if self._rng.random() < 0.05:
                    await self._until_answered(http, self._made[self._rng.randrange(place + 1)])

    async def _until_answered(self, http: aiohttp.ClientSession, request: dict[str, Any]) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with http.post(self._path, json=request, headers=self._headers) as response:
                    if response.status == 200:
                        answer = await response.json()
                        assert answer["refused"] == []
                        self.acknowledged |= set(answer["ack"])
                        return
            await asyncio.sleep(0.1)  # another program, which is away


class Deployment:
    """The service in a process of its own, which is started again by its supervisor: us."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.service = program.start("serve")

    def kill_service(self) -> None:
        self.service.kill()
        self.begin_anew()

    def begin_anew(self) -> None:
        self.service.wait()
        self.service = self._program.start("serve")

    def end(self) -> None:
        self.service.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.service.wait(timeout=60)
        self.service.kill()
        self.service.wait()


async def until_it_commits(connection: asyncpg.Connection[Any], most_s: float = 10.0) -> None:
    """What it read at its start is behind it: else each of many kills would come while it reads."""
    before, deadline_s = await connection.fetchval(ALIVE, timeout=2), time.monotonic() + most_s
    while await connection.fetchval(ALIVE, timeout=2) == before and time.monotonic() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # another program: there is nothing to wait on but its row


async def kill_session(dsn: str, after_s: float, *, at_work: bool) -> bool:
    """The session with which the worker writes, some time after there is one, or after its first commit (`at_work`). False: there was
    none for seconds."""
    for _ in range(100):
        with suppress(
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError
        ):  # a server that comes or goes
            connection = await asyncpg.connect(dsn, timeout=2)
            try:
                pid = await connection.fetchval(WORKS, WORKER_LOCK, timeout=2)
                if pid is not None:
                    if at_work:
                        await until_it_commits(connection)
                    await asyncio.sleep(after_s)
                    return bool(await connection.fetchval("SELECT pg_terminate_backend($1)", pid, timeout=2))
            finally:
                connection.terminate()
        await asyncio.sleep(0.1)  # another program: there is nothing to wait on but its session
    return False


async def kill_server(data_dir: Path) -> bool:
    """The postmaster, as if the machine had no memory left: its children end, and the next start recovers."""
    for _ in range(100):
        with suppress(OSError, ValueError, IndexError):
            os.kill(int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            return True
        await asyncio.sleep(0.1)  # another program: there is nothing to wait on but its file
    return False


async def kill_at_random(deployment: Deployment, data_dir: Path, run: Run) -> Counter[str]:
    """What was killed, while there was something to kill."""
    async with embedded_server(data_dir, program="test", exclusive=False) as dsn:
        dsn = with_user(dsn, "emtrack_worker")  # it stays the same however often the server starts
    rng = random.Random(SEED)
    plan = ["session"] * run.sessions + ["service"] * run.services + ["server"] * run.servers
    rng.shuffle(plan)
    killed: Counter[str] = Counter()
    for what in plan:
        moment_s = rng.uniform(*run.between_s)  # a random moment is the point
        if deployment.service.poll() is not None:
            deployment.begin_anew()
        if what == "service":
            await asyncio.sleep(moment_s)
            deployment.kill_service()
            killed[what] += 1
        else:
            at_work = rng.random() < 0.8
            is_killed = await (
                kill_session(dsn, moment_s, at_work=at_work) if what == "session" else kill_server(data_dir)
            )
            killed[what] += is_killed
    return killed


async def until_all_is_judged(http: aiohttp.ClientSession, deployment: Deployment) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    calm = 0
    while calm < 5:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.2)  # another program: there is nothing to wait on but its answer
        if deployment.service.poll() is not None:
            deployment.begin_anew()
        with suppress(aiohttp.ClientError, TimeoutError):
            async with http.get("/readyz") as ready, http.get("/metrics") as metrics:
                waits = "emtrack_activations_to_judge_again 0.0" not in await metrics.text()
                calm = 0 if waits or ready.status != 200 else calm + 1


ALL_DAY = [{"day": day, "start": "00:00", "end": "00:00"} for day in DAYS]


def orders(run: Run, from_ms: int) -> dict[str, Any]:
    """Whoever is away is found out, at whatever hour of the day this runs."""
    since = format_instant(from_ms)
    return {
        "activations": [activation(n) | {"from": since} for n in range(run.devices)],
        "requirements": [curfew(n, timetable=ALL_DAY) | {"from": since} for n in range(run.devices)],
    }


async def sent_through_kills(program: Program, data_dir: Path, run: Run) -> tuple[list[Tag], Counter[str]]:
    from_ms = int(time.time() * 1000) - run.lasts_ms - 120_000
    address = f"http://{program.environment['EMTRACK_LISTEN']}"
    deployment = Deployment(program)
    try:
        await asyncio.to_thread(program.wait_until_ready, deployment.service)
        settings = Settings(data_dir=data_dir, listen=program.environment["EMTRACK_LISTEN"])
        keys = await import_with_keys(settings, read_orders(json.dumps(orders(run, from_ms)), "orders"), who="test")
        tags = [Tag(n, keys[f"D{n}"], run, from_ms) for n in range(run.devices)]
        async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=40)) as http:
            doors = asyncio.Semaphore(32)
            sending = asyncio.gather(*(tag.send_all(http, doors) for tag in tags))
            killed = await kill_at_random(deployment, data_dir, run)
            supervisor = asyncio.create_task(supervised(deployment))
            await asyncio.wait_for(sending, PATIENCE_S)
            supervisor.cancel()
            await until_all_is_judged(http, deployment)
        return tags, killed
    finally:
        deployment.end()


async def supervised(deployment: Deployment) -> None:
    while True:
        await asyncio.sleep(0.2)
        if deployment.service.poll() is not None:
            deployment.begin_anew()


@pytest.mark.parametrize(
    "run", [FEW, pytest.param(THOUSAND, marks=pytest.mark.long)], ids=["a few kills", "a thousand kills"]
)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
async def test_whatever_is_killed_each_acknowledged_report_is_there_once_and_findings_are_those_of_the_facts(
    data_dir: Path, tmp_path: Path, run: Run
) -> None:
    program = Program(data_dir, tmp_path, PATIENCE_S)
    del program.environment["EMTRACK_CLOCK"]
    tags, killed = await sent_through_kills(program, data_dir, run)
    assert killed["session"] >= run.sessions // 2, killed
    assert (killed["service"], killed["server"]) == (run.services, run.servers)
    assert all(len(tag.acknowledged) == run.requests * run.fixes for tag in tags)

    findings = program.output("findings").splitlines()
    assert with_provisional_ends(findings) == [json.loads(line) for line in program.judged_again().splitlines()]
    assert len(findings) >= run.devices // 4

    async with embedded_server(data_dir, program="test", exclusive=False) as dsn:
        for row in await rows(dsn, COUNTS):
            assert row["received"] == row["stored"] + row["duplicates"] + row["refused"]
            assert row["stored"] == row["rows_stored"] == run.requests * run.fixes
        twice = await rows(
            dsn, "SELECT count(*) FROM (SELECT FROM positions GROUP BY device_no, fix_time HAVING count(*) > 1) t"
        )
        assert [tuple(row) for row in twice] == [(0,)]
        assert [tuple(row) for row in await rows(dsn, "SELECT count(*) FROM integrity_events")] == [(0,)]
