"""Pages apart from workers: whether everybody is watched, and who does what is of the whole service once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import msgspec

from emtrack.db.connect import connect
from emtrack.db.locks import KEEPER_LOCK
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.pages import running_pages
from emtrack.settings import ClockSetting, Settings, StreamSetting
from tests.cluster.test_same_tables import shared
from tests.nats_servers import nats_servers
from tests.service_world import ms, orders

HELD = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.objid = $1
"""


def settings_of(dsn: str, folder: Path, stream: StreamSetting | None = None) -> Settings:
    clock = ClockSetting(ms("21:00"), 1e-6)
    return Settings(data_dir=folder, database_url=dsn, listen="127.0.0.1:0", clock=clock, stream=stream)


async def until(address: str, status: int, words: str = "") -> None:
    async with aiohttp.ClientSession(address) as http:
        for _ in range(400):
            async with http.get("/readyz") as answer:
                if answer.status == status and words in await answer.text():
                    return
            await asyncio.sleep(0.05)  # it looks twice a second
    raise AssertionError(f"not {status} {words}")


async def test_pages_say_whether_all_shards_are_served_and_one_of_them_keeps_the_rest(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_of(database_url, tmp_path)
    await import_orders(settings, read_orders(json.dumps(orders(1, 2)), "orders"), who="test", dry_run=False)
    connection = await connect(database_url)
    with nats_servers() as servers:
        async with running_pages(settings, asyncio.Event()) as second:
            async with running_pages(msgspec.structs.replace(settings), asyncio.Event()) as first:
                await until(first.address, 503, "nobody is watched")
                async with shared(database_url, tmp_path, servers, 1):
                    await until(first.address, 200)
                    await until(second.address, 200)
                assert await connection.fetchval(HELD, KEEPER_LOCK) == 1
                async with aiohttp.ClientSession(first.address) as http, http.get("/login") as answer:
                    assert answer.status == 200
            for _ in range(200):
                if await connection.fetchval(HELD, KEEPER_LOCK) == 1:
                    break
                await asyncio.sleep(0.05)  # the other takes over within a second
            assert await connection.fetchval(HELD, KEEPER_LOCK) == 1
    await connection.close()
