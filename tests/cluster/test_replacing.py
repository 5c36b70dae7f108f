"""Parts of a deployment that die, stand still or are away: how long until others do their work, and what they may still write."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
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
from emtrack.stream.server import StreamUnfit, opened_stream
from geofence import format_instant
from tests.cluster.programs import Deployment, deployment
from tests.nats_servers import nats_servers
from tests.service_world import HOME, activation, curfew

DEVICES = 16
WITHIN_S = 10.0
HELD = """
SELECT count(*) AS shards, count(DISTINCT l.pid) AS workers FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid::bigint = $1
"""


KEPT = """
SELECT d.device_id, c.stored, c.received, c.duplicates,
       (SELECT count(*) FROM positions p WHERE p.device_no = d.device_no) AS there
FROM devices d JOIN device_counts c USING (device_no)
"""


class Fleet:
    """Tags that send one position after another, each until it is answered. `longest_s`: how long one was put off."""

    def __init__(self, addresses: Callable[[], list[str]], keys: dict[str, str]) -> None:
        self._addresses = addresses
        self._keys = keys
        self.acknowledged: dict[str, int] = dict.fromkeys(keys, 0)
        self.longest_s = 0.0
        self.stop = asyncio.Event()

    async def send(self, http: aiohttp.ClientSession, device: str) -> None:
        while not self.stop.is_set():
            seq = self.acknowledged[device] + 1
            report = {
                "seq": seq, "type": "position", "fix_time": format_instant(int(time.time() * 1000)), "mechanism": "GPS",
                "lat_deg": HOME[1], "lon_deg": HOME[0], "precision_m": 6,
            }  # fmt: skip
            await self._until_answered(http, device, {"boot": 1, "reports": [report]})
            self.acknowledged[device] = seq
            await asyncio.sleep(0.05)  # its interval

    async def _until_answered(self, http: aiohttp.ClientSession, device: str, body: Any) -> None:
        began_s, attempts = time.monotonic(), 0
        while True:
            address = self._addresses()[attempts % len(self._addresses())]
            attempts += 1
            with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with http.post(
                    f"{address}/v1/devices/{device}/reports",
                    json=body,
                    headers={"Authorization": f"Bearer {self._keys[device]}"},
                ) as answer:
                    if answer.status == 200:
                        self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                        return
            await asyncio.sleep(0.1)  # other programs: there is nothing to wait on but their answer


class Sending(NamedTuple):
    made: Deployment
    fleet: Fleet
    connection: asyncpg.Connection[Any]

    async def until_held(self, workers: int, within_s: float) -> float:
        """Every shard by so many workers; after how long."""
        began_s = time.monotonic()
        while True:
            row = await self.connection.fetchrow(HELD, SHARDS)
            waited_s = time.monotonic() - began_s
            if row is not None and (row["shards"], row["workers"]) == (16, workers):
                return waited_s
            assert waited_s < within_s, (dict(row or {}), [worker.said() for worker in self.made.workers])
            await asyncio.sleep(0.05)  # other programs: there is nothing to wait on but their locks

    async def until_all_are_heard(self, within_s: float) -> None:
        """Each tag was answered for something that it sent since now."""
        before, began_s = dict(self.fleet.acknowledged), time.monotonic()
        while any(self.fleet.acknowledged[device] <= count + 1 for device, count in before.items()):
            assert time.monotonic() - began_s < within_s
            await asyncio.sleep(0.05)  # likewise


@asynccontextmanager
async def sending(
    dsn: str, data_dir: Path, scratch: Path, *, gateways: int = 1, workers: int = 2, servers: int = 1
) -> AsyncIterator[Sending]:
    since = format_instant(int(time.time() * 1000) - 3_600_000)
    form = {
        "activations": [activation(n) | {"from": since} for n in range(1, DEVICES + 1)],
        "requirements": [curfew(n) | {"from": since} for n in range(1, DEVICES + 1)],
    }
    settings = Settings(data_dir=data_dir, database_url=dsn)
    keys = (await import_orders(settings, read_orders(json.dumps(form), "orders"), who="test", dry_run=False)).keys
    connection = await connect(dsn)
    try:
        with nats_servers(servers) as running:
            async with (
                deployment(dsn, running, scratch, data_dir, gateways=gateways, workers=workers) as made,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=35)) as http,
            ):
                fleet = Fleet(lambda: [gateway.address for gateway in made.gateways], keys)
                tasks = [asyncio.create_task(fleet.send(http, device)) for device in keys]
                found = Sending(made, fleet, connection)
                try:
                    await found.until_held(workers, 60.0)
                    await found.until_all_are_heard(60.0)
                    fleet.longest_s = 0.0
                    yield found
                finally:
                    fleet.stop.set()
                    await asyncio.gather(*tasks)
                await assert_kept(connection, fleet)
    finally:
        await connection.close()


async def assert_kept(connection: asyncpg.Connection[Any], fleet: Fleet) -> None:
    """What was acknowledged is there, once, and nothing else is."""
    rows = await connection.fetch(KEPT)
    assert {row["device_id"]: row["there"] for row in rows} == fleet.acknowledged
    for row in rows:
        assert row["stored"] == row["there"] == row["received"] - row["duplicates"]


@pytest.mark.long
async def test_workers_that_die_or_stand_still_are_replaced_and_write_nothing_when_they_wake(
    database_url: str, data_dir: Path, tmp_path: Path
) -> None:
    async with sending(database_url, data_dir, tmp_path) as world:
        still, other = world.made.workers
        still.signal(signal.SIGSTOP)
        await world.until_held(1, WITHIN_S)
        await world.until_all_are_heard(WITHIN_S)
        still.signal(signal.SIGCONT)  # it wakes with what it had in hand
        await world.until_held(2, 30.0)
        await world.until_all_are_heard(WITHIN_S)
        assert world.fleet.longest_s < WITHIN_S + 2
        other.kill()
        await world.until_held(1, WITHIN_S)
        await world.until_all_are_heard(WITHIN_S)


@pytest.mark.long
async def test_a_gateway_that_dies_loses_only_what_was_not_acknowledged(
    database_url: str, data_dir: Path, tmp_path: Path
) -> None:
    async with sending(database_url, data_dir, tmp_path, gateways=2) as world:
        world.made.gateways[0].kill()
        await world.until_all_are_heard(WITHIN_S)
        world.made.begin_anew()
        await world.made.until_ready()
        world.made.gateways[1].kill()
        await world.until_all_are_heard(WITHIN_S)


@pytest.mark.long
@pytest.mark.parametrize("which", [0, 1, 2])
async def test_one_nats_server_of_three_is_killed_and_devices_are_put_off_for_at_most_ten_seconds(
    database_url: str, data_dir: Path, tmp_path: Path, which: int
) -> None:
    async with sending(database_url, data_dir, tmp_path, servers=3) as world:
        world.made.servers.all[which].signal(signal.SIGKILL)
        await world.until_all_are_heard(WITHIN_S)
        assert world.fleet.longest_s < WITHIN_S
        world.made.servers.all[which].start()
        await world.until_all_are_heard(WITHIN_S)


async def test_servers_that_do_not_write_before_they_say_so_are_refused() -> None:
    with (
        nats_servers(sync="sync_interval: 10s") as servers,
        pytest.raises(StreamUnfit, match="sync_interval: always"),
    ):
        await opened_stream(servers.setting, "test")
