"""An upgrade without a pause: one program applies a migration while workers and gateways from before it go on."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
import msgspec
import pytest

from emtrack.db import migrate as migrating
from emtrack.db.connect import connect
from emtrack.db.migrate import MigrationError, migrate
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.shard_worker import running_worker
from tests.cluster.test_same_tables import PACE, settings_of, shared, until_shared_out
from tests.nats_servers import nats_servers
from tests.service_world import orders, position

ADDITIVE = """
CREATE TABLE of_the_next_version (number bigint PRIMARY KEY);
ALTER TABLE positions ADD COLUMN battery_percent float4;
ALTER TABLE raw_requests ADD COLUMN of_the_next_version text;
ALTER TABLE shard_liveness ADD COLUMN of_the_next_version bigint NOT NULL DEFAULT 0;
"""


@pytest.mark.long
async def test_workers_go_on_over_an_additive_migration_and_do_not_start_after_it(
    database_url: str, tmp_path: Path
) -> None:
    form = read_orders(json.dumps(orders(*range(1, 17))), "orders")
    keys = (await import_orders(settings_of(database_url, tmp_path), form, who="test", dry_run=False)).keys
    connection = await connect(database_url)
    with nats_servers() as servers:
        async with shared(database_url, tmp_path, servers, 2) as address, aiohttp.ClientSession(address) as http:
            await until_shared_out(connection, 2)

            async def send(seq: int) -> None:
                for number in range(1, 17):
                    body = msgspec.json.encode({"boot": 1, "reports": [position(seq, f"12:{seq:02}")]})
                    headers = {"Authorization": f"Bearer {keys[f'D{number}']}", "Content-Type": "application/json"}
                    for _ in range(600):
                        async with http.post(f"/v1/devices/D{number}/reports", data=body, headers=headers) as answer:
                            if answer.status == 200:
                                assert (await answer.json())["ack"] == [seq]
                                break
                            assert answer.status == 503
                        await asyncio.sleep(0.05)  # a worker that begins anew

            await send(1)
            newer = tmp_path / "newer"
            shutil.copytree(migrating.MIGRATIONS, newer)
            number = len(migrating.read_migrations(newer)) + 1
            (newer / f"{number:04}_next_version.sql").write_text(ADDITIVE)
            sending = asyncio.create_task(send(2))
            await migrate(connection, newer)
            await sending
            await send(3)
            with pytest.raises(MigrationError, match="newer than this program"):
                async with running_worker(
                    settings_of(database_url, tmp_path, servers.setting), asyncio.Event(), PACE
                ):
                    pass
    assert await connection.fetchval("SELECT count(*) FROM positions") == 48
    await connection.close()
