"""The stream or all gateways are away: nobody is taken for silent, and the time is an outage of the shards concerned."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from emtrack.clock import Clock
from emtrack.db.connect import connect
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.gateway import running_gateway
from emtrack.service.hearing import LONGEST_S
from emtrack.service.shard_worker import running_worker
from emtrack.service.worker import Pace
from emtrack.settings import ClockSetting, Settings
from geofence import format_instant
from tests.cluster.test_same_tables import until_shared_out
from tests.nats_servers import Servers, nats_servers
from tests.service_world import HOME, ms, orders

RATE = 60.0
LIMIT_S = 8.0
"""Of real time: whoever is not heard for so long is silent."""
PACE = Pace(max_wait_s=0.05)
HEARD, SILENT = range(1, 16), 16
SILENCES = """
SELECT a.activation_id FROM findings f JOIN activations a USING (activation_no) WHERE f.kind = 'NO_COMMUNICATION' ORDER BY 1
"""
OUTAGES = """
SELECT shard, min(lower(during)) AS since, max(upper(during)) AS until, count(*) AS rows,
       range_agg(during) AS times
FROM shard_outages WHERE cause LIKE 'no gateway%' GROUP BY shard ORDER BY shard
"""


class Deployment:
    """A gateway and a worker, and tags that each send a position several times a second."""

    def __init__(self, settings: Settings, keys: dict[str, str], clock: Clock) -> None:
        self._settings = settings
        self._keys = keys
        self._gateway = AsyncExitStack()
        self._address = ""
        self.clock = clock
        self.acknowledged = dict.fromkeys(HEARD, 0)

    async def begin_gateway(self) -> None:
        self._gateway = AsyncExitStack()
        stop = asyncio.Event()
        self._address = (await self._gateway.enter_async_context(running_gateway(self._settings, stop))).address
        self._gateway.callback(stop.set)

    async def end_gateway(self) -> None:
        self._address = ""
        await self._gateway.aclose()

    async def send(self, http: aiohttp.ClientSession, number: int) -> None:
        while True:
            seq = self.acknowledged[number] + 1
            report = {
                "seq": seq, "type": "position", "fix_time": format_instant(self.clock.now_ms()), "mechanism": "GPS",
                "lat_deg": HOME[1], "lon_deg": HOME[0], "precision_m": 6,
            }  # fmt: skip
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with http.post(
                    f"{self._address}/v1/devices/D{number}/reports",
                    json={"boot": 1, "reports": [report]},
                    headers={"Authorization": f"Bearer {self._keys[f'D{number}']}"},
                ) as answer:
                    if answer.status == 200:
                        self.acknowledged[number] = seq
            await asyncio.sleep(0.3)  # its interval

    async def until_all_are_heard(self) -> None:
        before = dict(self.acknowledged)
        await until(lambda: all(self.acknowledged[number] > count + 1 for number, count in before.items()))


async def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)  # programs at work: there is nothing to wait on but what they did


@asynccontextmanager
async def sending(
    dsn: str, folder: Path, servers: Servers
) -> AsyncIterator[tuple[Deployment, str, asyncpg.Connection[Any]]]:
    """With the address of the worker."""
    settings = Settings(
        data_dir=folder, database_url=dsn, listen="127.0.0.1:0", clock=ClockSetting(ms("12:00"), RATE),
        stream=servers.setting,
    )  # fmt: skip
    form = orders(*HEARD, SILENT, settings={"silence_buffer_s": LIMIT_S * RATE - 60})
    for one in form["activations"]:
        one["report_interval_s"] = 60
    keys = (await import_orders(settings, read_orders(json.dumps(form), "orders"), who="test", dry_run=False)).keys
    connection = await connect(dsn)
    anchor = await connection.fetchval("SELECT clock_anchor FROM deployment")
    clock = Clock(ms("12:00"), round(anchor.timestamp() * 1000), RATE, emulated=True)
    made = Deployment(settings, keys, clock)
    stop = asyncio.Event()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        worker = running_worker(settings, stop, PACE)
        async with worker as running:
            await made.begin_gateway()
            tags = [asyncio.create_task(made.send(http, number)) for number in HEARD]
            try:
                await until_shared_out(connection, 1)
                await made.until_all_are_heard()
                yield made, running.address, connection
            finally:
                for tag in tags:
                    tag.cancel()
                await asyncio.wait(tags)
                await made.end_gateway()
    await connection.close()


@pytest.mark.parametrize("what", ["the stream", "all gateways"])
async def test_while_it_is_away_nobody_is_silent_and_that_was_our_outage(
    database_url: str, tmp_path: Path, what: str
) -> None:
    with nats_servers() as servers:
        async with sending(database_url, tmp_path, servers) as (made, worker, connection):

            async def silent() -> list[str]:
                return [row["activation_id"] for row in await connection.fetch(SILENCES)]

            async def until_silent(expected: list[str]) -> None:
                deadline_s = time.monotonic() + 30
                while await silent() != expected:
                    assert time.monotonic() < deadline_s
                    await asyncio.sleep(0.05)  # likewise

            await until_silent([f"A{SILENT}"])  # who is silent is found while all is well
            begin_ms = made.clock.now_ms()
            await _taken_away(made, servers, what)
            gone_ms = made.clock.now_ms()  # what ends may give signs until then
            await asyncio.sleep(10.5)  # longer than anybody may be silent
            async with aiohttp.ClientSession(worker) as http, http.get("/readyz") as answer:
                assert answer.status == 503
                assert "No gateway was heard" in await answer.text()
            end_ms = made.clock.now_ms()
            await _brought_back(made, servers, what)
            await made.until_all_are_heard()
            await asyncio.sleep(1.0)  # some turns
            assert await silent() == [f"A{SILENT}"]
            rows = await connection.fetch(OUTAGES)
            assert [row["shard"] for row in rows] == list(range(16))
            for row in rows:
                assert len(row["times"]) == 1  # without a gap
                assert row["rows"] <= 10
                since_ms, until_ms = (row[name].timestamp() * 1000 for name in ("since", "until"))
                assert begin_ms - LONGEST_S * RATE * 1000 < since_ms < gone_ms + RATE * 1000
                assert until_ms >= end_ms


async def _taken_away(made: Deployment, servers: Servers, what: str) -> None:
    if what == "the stream":
        servers.all[0].signal(signal.SIGKILL)
    else:
        await made.end_gateway()


async def _brought_back(made: Deployment, servers: Servers, what: str) -> None:
    if what == "the stream":
        servers.all[0].start()
    else:
        await made.begin_gateway()
