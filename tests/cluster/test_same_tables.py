"""The same requests through `serve`, and through a gateway, the stream and two workers, leave the same record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from emtrack.db.connect import connect
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.app import running_service
from emtrack.service.gateway import running_gateway
from emtrack.service.shard_worker import running_worker
from emtrack.service.worker import Pace
from emtrack.settings import ClockSetting, Settings, StreamSetting
from tests.nats_servers import Servers, nats_servers
from tests.service_world import AWAY, HOME, activation, curfew, event, ms, position

STANDING = ClockSetting(ms("21:00"), 1e-6)
"""A clock that stands, so that both records were received at one instant."""
PACE = Pace(max_wait_s=0.05)
MOVED_TO = 12

TABLES = {
    "raw_requests": "SELECT device_no, boot, first_seq, last_seq, received_at, content_type, body FROM raw_requests",
    "raw_reports": "SELECT device_no, boot, seq, digest, received_at, body FROM raw_reports",
    "positions": "SELECT device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at FROM positions",
    "future_positions": "SELECT device_no, fix_time, mechanism, lat_deg, lon_deg, received_at FROM future_positions",
    "device_events": "SELECT device_no, event_time, type, hmu_id, received_at, sent_by FROM device_events",
    "quarantine": "SELECT device_no, received_at, boot, seq, reason, action, body FROM quarantine",
    "integrity_events": "SELECT device_no, noticed_at, what FROM integrity_events",
    "device_counts": "SELECT * FROM device_counts",
    "unit_calls": "SELECT * FROM unit_calls",
    "outages": "SELECT during, cause FROM outages",
    "shard_outages": "SELECT shard, during FROM shard_outages",
    "findings": """SELECT f.activation_no, f.entry_no, f.kind, f.device_reason, f.home_unit, f.period_start, v.change, v.reason,
                          v.begin_at, v.end_at, v.known_at FROM findings f JOIN finding_versions v USING (finding_no)
                   WHERE v.version = (SELECT max(version) FROM finding_versions x WHERE x.finding_no = f.finding_no)""",
    "alerts": "SELECT wearer_no, activation_no, kind, severity, requirement_id, known_at, closed_at FROM alerts",
}


def story() -> dict[str, Any]:
    """Sixteen people; the tag of the first is given to another at ten; a home unit stands with two."""
    people = [activation(n) for n in range(1, 17)]
    people[0] |= {"to": "2026-03-02T10:00:00Z"}
    people[MOVED_TO - 1] |= {"device_id": "D1", "from": "2026-03-02T10:00:00Z"}
    return {
        "activations": people,
        "requirements": [curfew(n) for n in range(1, 17)],
        "home_units": [
            {
                "hmu_id": "H1",
                "wearer_id": f"W{n}",
                "requirement_id": f"C{n}",
                "from": "2026-03-02T08:00:00Z",
                "call_in_s": 14_400,
            }
            for n in (3, 14)
        ],
    }


def requests() -> list[tuple[str, bytes]]:
    """What is sent: device and body, in order."""
    made: list[tuple[str, Any]] = []
    for number in range(2, 17):
        if number != MOVED_TO:
            place = AWAY if number % 3 == 0 else HOME
            made.append((f"D{number}", [position(n, f"{12 + n // 4:02}:{n % 4 * 15:02}", place) for n in range(32)]))
    made += [
        ("D1", [position(1, "09:00"), position(2, "09:30")]),  # the first wearer's
        ("D1", [position(3, "09:50"), position(4, "10:10"), event(5, "10:20", "STRAP_TAMPER")]),  # of both
        ("D1", [position(6, "10:30"), position(7, "10:40", AWAY)]),  # the second's
        ("D1", [position(2, "09:30"), position(6, "10:30")]),  # again, of both
        ("D1", [position(7, "09:40")]),  # a number that was used, for another, in another shard
        ("D1", [position(8, "07:00"), position(9, "11:00")]),  # nobody's, and the second's
        ("D2", [position(0, "12:00"), position(40, "20:30")]),  # again, and new
        ("D2", [position(41, "23:00")]),  # ahead of its time
        ("D5", [{"seq": 50, "type": "position", "fix_time": "no time"}]),
        ("H1", [event(1, "19:30", "RF_OUT", tag="D3"), event(2, "19:31", "RF_IN", tag="D14")]),
        ("H1", [event(3, "19:40", "HMU_POWER_LOST")]),  # of itself: concerns both
        ("H1", [event(4, "19:50", "RF_IN", tag="D9")]),  # it does not stand there
    ]
    bodies = [(device, msgspec.json.encode({"boot": 1, "reports": reports})) for device, reports in made]
    return [*bodies, ("D4", b'{"boot": 1, "reports": 7}'), ("D4", b"{")]


async def told(address: str, keys: dict[str, str]) -> list[tuple[int, Any]]:
    answers = []
    async with aiohttp.ClientSession(address) as http:
        for device, body in requests():
            headers = {"Authorization": f"Bearer {keys[device]}", "Content-Type": "application/json"}
            while True:
                async with http.post(f"/v1/devices/{device}/reports", data=body, headers=headers) as answer:
                    if answer.status != 503:
                        answers.append((answer.status, await answer.json()))
                        break
                await asyncio.sleep(0.05)  # shards are being taken: told to send again
    return answers


async def rows(dsn: str) -> dict[str, list[Any]]:
    connection = await connect(dsn)
    try:
        found = {}
        for table, statement in TABLES.items():
            found[table] = sorted((tuple(row) for row in await connection.fetch(statement)), key=repr)
        return found
    finally:
        await connection.close()


def settings_of(dsn: str, folder: Path, stream: StreamSetting | None = None) -> Settings:
    return Settings(data_dir=folder, database_url=dsn, listen="127.0.0.1:0", clock=STANDING, stream=stream)


@asynccontextmanager
async def shared(dsn: str, folder: Path, servers: Servers, workers: int) -> AsyncIterator[str]:
    """The address of a gateway, with some workers."""
    settings = settings_of(dsn, folder, servers.setting)
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(running_worker(settings, asyncio.Event(), PACE))
        gateway = await stack.enter_async_context(running_gateway(settings, asyncio.Event()))
        yield gateway.address


async def until_shared_out(connection: asyncpg.Connection[Any], workers: int) -> None:
    held = (
        "SELECT count(DISTINCT l.pid), count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid::bigint = $1"
    )
    for _ in range(600):
        row = await connection.fetchrow(held, 0x656D_7368)
        if row is not None and tuple(row) == (workers, 16):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the shards are not shared out")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
async def test_the_record_is_the_same_with_the_stream_and_without(
    database_url: str, second_database_url: str, tmp_path: Path, workers: int
) -> None:
    keys = {}
    for dsn in (database_url, second_database_url):
        entered = await import_orders(
            settings_of(dsn, tmp_path), read_orders(json.dumps(story()), "orders"), who="test", dry_run=False
        )
        keys[dsn] = entered.keys
    async with running_service(settings_of(database_url, tmp_path), asyncio.Event(), PACE) as alone:
        answers = await told(alone.address, keys[database_url])
    with nats_servers() as servers:
        async with shared(second_database_url, tmp_path / "shared", servers, workers) as address:
            connection = await connect(second_database_url)
            try:
                await until_shared_out(connection, workers)
            finally:
                await connection.close()
            assert await told(address, keys[second_database_url]) == answers
    expected, found = await rows(database_url), await rows(second_database_url)
    for table in TABLES:
        assert found[table] == expected[table], table
    assert len(expected["findings"]) >= 5
    assert len(expected["integrity_events"]) == 1
