"""Tags send while workers, gateways, NATS servers and sessions of the database are killed at random moments. What was acknowledged is
there, once; nothing else is; and what was found is what anybody finds who judges the stored facts from the beginning."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest

from emtrack.db.connect import connect
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.shard_holding import SHARDS
from emtrack.settings import Settings
from tests.cluster.programs import Deployment, deployment
from tests.db_fixtures import SUPERUSER, with_user
from tests.faults.test_three_kinds_of_kill import FIX_EVERY_MS, Run, Tag, orders
from tests.nats_servers import nats_servers
from tests.service_world import with_provisional_ends
from tests.test_kill import COUNTS

SEED = 23
PATIENCE_S = 3_600


class Kills(NamedTuple):
    """How many of each are killed, `between_s` apart. `servers`: of NATS."""

    workers: int
    gateways: int
    servers: int
    sessions: int
    between_s: tuple[float, float]

    @property
    def plan(self) -> list[str]:
        found = (
            ["worker"] * self.workers
            + ["gateway"] * self.gateways
            + ["server"] * self.servers
            + ["session"] * self.sessions
        )
        random.Random(SEED).shuffle(found)
        return found


FEW = Run(devices=16, requests=12, fixes=20, sessions=0, services=0, servers=0, between_s=(0, 0))
FEW_KILLS = Kills(workers=1, gateways=1, servers=1, sessions=2, between_s=(0.2, 0.6))
HUNDRED_THOUSANDS = Run(devices=100, requests=20, fixes=100, sessions=0, services=0, servers=0, between_s=(0, 0))
HUNDRED = Kills(workers=15, gateways=15, servers=10, sessions=60, between_s=(0.5, 1.5))
FIVE_MILLION = Run(devices=1_000, requests=50, fixes=100, sessions=0, services=0, servers=0, between_s=(0, 0))
THOUSAND = Kills(workers=150, gateways=150, servers=100, sessions=600, between_s=(0.5, 1.5))
HELD_BY = """
SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid::bigint = $1
"""


class SomeDoor:
    """A session whose requests go to any of the gateways, as a device's next attempt would."""

    def __init__(self, http: aiohttp.ClientSession, addresses: Sequence[str]) -> None:
        self._http = http
        self._addresses = addresses
        self._rng = random.Random(SEED)

    def post(self, path: str, **how: Any) -> Any:
        return self._http.post(self._rng.choice(self._addresses) + path, **how)


async def kill_session(connection: asyncpg.Connection[Any], rng: random.Random) -> bool:
    """That of a worker that holds shards; False: none did for seconds."""
    for _ in range(100):
        pids = [row["pid"] for row in await connection.fetch(HELD_BY, SHARDS)]
        if pids:
            return bool(await connection.fetchval("SELECT pg_terminate_backend($1)", rng.choice(pids)))
        await asyncio.sleep(0.1)  # other programs: there is nothing to wait on but their sessions
    return False


async def kill_at_random(made: Deployment, connection: asyncpg.Connection[Any], kills: Kills) -> Counter[str]:
    rng = random.Random(SEED)
    killed: Counter[str] = Counter()
    for what in kills.plan:
        await asyncio.sleep(rng.uniform(*kills.between_s))  # a random moment is the point
        made.begin_anew()
        if what == "session":
            killed[what] += await kill_session(connection, rng)
            continue
        if what == "server":
            server = rng.choice(made.servers.all)
            server.end()
            server.start()
        else:
            rng.choice(made.workers if what == "worker" else made.gateways).kill()
        killed[what] += 1
    made.begin_anew()
    return killed


async def until_all_is_judged(connection: asyncpg.Connection[Any]) -> None:
    """Every shard is served, and what was stored late is judged."""
    calm = (
        "SELECT (SELECT count(*) FROM shard_liveness WHERE committed_at > clock_timestamp() - interval '3 s') = 16 "
        "AND NOT EXISTS (SELECT FROM late_judgements)"
    )
    deadline_s, times = time.monotonic() + PATIENCE_S, 0
    while times < 5:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.3)  # other programs: there is nothing to wait on but what they store
        times = times + 1 if await connection.fetchval(calm) else 0


def output(made: Deployment, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "emtrack", *arguments],
        env=made.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def judged_again(made: Deployment, folder: Path) -> list[dict[str, Any]]:
    """The findings that `evaluate` makes of the export."""
    output(made, "export", str(folder))
    until = (folder / "until.txt").read_text().strip()
    names = {"--orders": "orders.json", "--positions": "positions.csv", "--events": "events.csv"}
    files = [part for option, name in names.items() for part in (option, str(folder / name))]
    return [json.loads(line) for line in output(made, "evaluate", *files, "--until", until).splitlines()]


@pytest.mark.parametrize(
    ("run", "kills", "servers", "gateways", "workers"),
    [
        pytest.param(FEW, FEW_KILLS, 1, 2, 2, marks=pytest.mark.long),
        pytest.param(HUNDRED_THOUSANDS, HUNDRED, 3, 2, 2, marks=pytest.mark.long),
        pytest.param(FIVE_MILLION, THOUSAND, 3, 2, 3, marks=pytest.mark.long),
    ],
    ids=["a few kills", "a hundred kills", "a thousand kills"],
)
async def test_whatever_is_killed_each_acknowledged_report_is_there_once_and_findings_are_those_of_the_facts(
    database_url: str,
    data_dir: Path,
    tmp_path: Path,
    run: Run,
    kills: Kills,
    servers: int,
    gateways: int,
    workers: int,
) -> None:
    from_ms = int(time.time() * 1000) - run.requests * run.fixes * FIX_EVERY_MS - 120_000
    form = read_orders(json.dumps(orders(run, from_ms)), "orders")
    settings = Settings(data_dir=data_dir, database_url=database_url)
    keys = (await import_orders(settings, form, who="test", dry_run=False)).keys
    tags = [Tag(n, keys[f"D{n}"], run, from_ms) for n in range(run.devices)]
    connection = await connect(with_user(database_url, SUPERUSER))
    try:
        with nats_servers(servers) as running:
            async with deployment(
                database_url, running, tmp_path, data_dir, gateways=gateways, workers=workers
            ) as made:
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as http:
                    door: Any = SomeDoor(http, [gateway.address for gateway in made.gateways])
                    doors = asyncio.Semaphore(64)
                    sending = asyncio.gather(*(tag.send_all(door, doors) for tag in tags))
                    killed = await kill_at_random(made, connection, kills)
                    supervisor = asyncio.create_task(_supervised(made))
                    await asyncio.wait_for(sending, PATIENCE_S)
                    await until_all_is_judged(connection)
                    supervisor.cancel()
                findings = with_provisional_ends(output(made, "findings").splitlines())
                again = judged_again(made, tmp_path / "export")
        assert killed["worker"] == kills.workers
        assert killed["session"] >= kills.sessions // 2, killed
        assert all(len(tag.acknowledged) == run.requests * run.fixes for tag in tags)
        assert findings == again
        for row in await connection.fetch(COUNTS):
            assert row["received"] == row["stored"] + row["duplicates"] + row["refused"]
            assert row["stored"] == row["rows_stored"] == run.requests * run.fixes
        twice = "SELECT count(*) FROM (SELECT FROM positions GROUP BY device_no, fix_time HAVING count(*) > 1) t"
        assert await connection.fetchval(twice) == 0
        assert await connection.fetchval("SELECT count(*) FROM integrity_events") == 0
    finally:
        with suppress(Exception):
            await connection.close()


async def _supervised(made: Deployment) -> None:
    while True:
        await asyncio.sleep(0.2)
        made.begin_anew()
