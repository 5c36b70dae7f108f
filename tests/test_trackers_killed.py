"""The service is killed again and again while trackers send: what it answered is there, once."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from pathlib import Path

import pytest

from emtrack.db.embedded import embedded_server
from tests.service_world import orders
from tests.test_kill import COUNTS, Program, ended, rows
from tests.trackers import Avl, avl_frame, avl_login

TRACKERS, FRAMES, RECORDS, KILLS = 20, 120, 5, 5
SEED = 7


def imei(number: int) -> str:
    return f"35{number:013}"


def frame(number: int) -> bytes:
    seconds = [number * RECORDS + n for n in range(RECORDS)]
    return avl_frame(*[Avl(f"12:{second // 60:02}:{second % 60:02}") for second in seconds])


async def sends_until_answered(number: int, port: int, rng: random.Random) -> None:
    """As a tracker does: a frame is sent again until it is answered, in a new connection each time that one ends."""
    answered = 0
    while answered < FRAMES:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(avl_login(imei(number)))
            await reader.readexactly(1)
            while answered < FRAMES:
                writer.write(frame(answered))
                assert await reader.readexactly(4) == RECORDS.to_bytes(4)
                answered += 1
                await asyncio.sleep(rng.uniform(0, 0.1))  # a tracker that lives in its own time
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)  # the service is away: a device waits a little


@pytest.mark.long
async def test_what_a_tracker_was_answered_is_stored_once_whenever_the_service_is_killed(
    data_dir: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Program(data_dir, tmp_path)
    program.environment |= {
        "EMTRACK_CLOCK": "2026-03-02T13:00:00Z",
        "EMTRACK_TRACKERS": f"teltonika=127.0.0.1:{port}",
    }
    numbers, rng = range(1, TRACKERS + 1), random.Random(SEED)
    devices = [{"device_id": f"D{n}", "speaks": {"teltonika": imei(n)}} for n in numbers]
    (tmp_path / "orders.json").write_text(json.dumps(orders(*numbers, devices=devices)))
    service = program.start("serve")
    try:
        program.wait_until_ready(service)
        program.output("orders", "import", str(tmp_path / "orders.json"), "--keys-out", str(tmp_path / "keys.json"))
        sending = asyncio.gather(*(sends_until_answered(number, port, rng) for number in numbers))
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.5, 1.5))  # a random moment is the point
            service.kill()
            service.wait()
            service = program.start("serve")
            await asyncio.to_thread(program.wait_until_ready, service)
        await asyncio.wait_for(sending, 120)
    finally:
        with ended(service):
            service.kill()

    async with embedded_server(data_dir, program="test", exclusive=False) as dsn:
        stored = await rows(dsn, "SELECT device_id, fix_time FROM positions JOIN devices USING (device_no)")
        assert Counter(row["device_id"] for row in stored) == {f"D{n}": FRAMES * RECORDS for n in numbers}
        assert max(Counter(map(tuple, stored)).values()) == 1
        for row in await rows(dsn, COUNTS):
            assert row["received"] == row["stored"] + row["duplicates"] + row["refused"]
            assert (row["stored"], row["refused"]) == (row["rows_stored"], 0)
        marked = await rows(dsn, "SELECT count(*) FROM unauthenticated_facts")
        assert marked[0][0] == TRACKERS * FRAMES * RECORDS
