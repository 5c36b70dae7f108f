"""A shard that nobody serves, and what gets through to the others beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from emtrack.db.connect import connect
from emtrack.metrics import Metrics
from emtrack.record.routing import Routing, Stands, Worn
from emtrack.stream import publishing
from emtrack.stream.publishing import Publisher
from emtrack.stream.reading import StreamReader
from emtrack.stream.server import opened_stream
from geofence import ALWAYS_MS, FOREVER_MS
from ingest import Acknowledgement, Inbox, InboxFull, NotCommitted, Submission, read_request
from tests.nats_servers import nats_servers
from tests.service_world import event, position

SHARDS, UNSERVED = 16, 3
ROOM = 10
"""Reports of each shard."""


def request(device_no: int) -> Submission:
    """Of a device that nobody wears: its number is its shard."""
    done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
    body = msgspec.json.encode({"boot": 1, "reports": [position(1, "12:00")]})
    return Submission.of(read_request(body, "application/json"), device_no, done)


async def answer_all(inbox: Inbox) -> None:
    """What a worker does, without a record."""
    while True:
        for submission in await inbox.gather(1_000, 1.0):
            if submission.reports:
                submission.done.set_result(Acknowledgement([1], []))


async def outcomes(submissions: Sequence[Submission]) -> Counter[str]:
    found = await asyncio.gather(*(one.done for one in submissions), return_exceptions=True)
    return Counter(type(one).__name__ for one in found)


async def test_a_shard_that_nobody_serves_fills_its_own_part_and_all_others_get_through(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ANSWERED_WITHIN_S", 3.0)
    metrics, at_gateway, at_worker, stop = Metrics(), Inbox(10_000), Inbox(10_000), asyncio.Event()
    connection = await connect(database_url)
    with nats_servers() as servers:
        stream = await opened_stream(servers.setting, "test")
        reader = StreamReader(stream, at_worker, metrics)
        await reader.read_shards(connection, [shard for shard in range(SHARDS) if shard != UNSERVED])
        publisher = Publisher(stream, at_gateway, Routing(SHARDS), metrics, ROOM * SHARDS)
        tasks = [asyncio.create_task(publisher.run(stop)), asyncio.create_task(answer_all(at_worker))]
        unserved = [request(UNSERVED) for _ in range(500)]
        served = [request(shard) for shard in range(SHARDS) if shard != UNSERVED for _ in range(ROOM)]
        for submission in unserved:
            at_gateway.put(submission)
        while at_gateway.filled:  # noqa: ASYNC110  the publisher takes them by itself
            await asyncio.sleep(0.01)
        for submission in served:
            at_gateway.put(submission)
        async with asyncio.timeout(2.0):  # before what is not served is given up
            assert await outcomes(served) == {"Acknowledgement": len(served)}
        assert await outcomes(unserved) == {InboxFull.__name__: 500 - ROOM, NotCommitted.__name__: ROOM}
        assert 5 <= unserved[-1].done.exception().retry_after_s <= 15  # type: ignore[union-attr]
        again = [request(UNSERVED)]  # what was given up makes room
        at_gateway.put(again[0])
        assert await outcomes(again) == {NotCommitted.__name__: 1}
        stop.set()
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await reader.leave_shards(None)
        await stream.client.close()
    await connection.close()


def worn(device_no: int, wearer_no: int) -> Worn:
    return Worn(device_no, device_no, f"D{device_no}", wearer_no, None, ALWAYS_MS, FOREVER_MS, tells_of_places=True)


async def test_of_a_request_of_two_shards_the_one_that_has_room_gets_its_part_and_the_device_sends_again(
    database_url: str,
) -> None:
    """A home unit speaks of two people, and nobody serves one of them."""
    served = UNSERVED + 2
    routing = Routing(SHARDS)
    routing._take_in(
        [worn(101, UNSERVED), worn(102, served)],
        [Stands(7, UNSERVED, ALWAYS_MS, FOREVER_MS), Stands(7, served, ALWAYS_MS, FOREVER_MS)],
    )
    body = msgspec.json.encode(
        {
            "boot": 1,
            "reports": [event(1, "12:00", "RF_OUT", tag="D101"), event(2, "12:00", "RF_IN", tag="D102")],
        }
    )
    at_gateway, at_worker, stop, metrics = Inbox(10_000), Inbox(10_000), asyncio.Event(), Metrics()
    connection = await connect(database_url)
    with nats_servers() as servers:
        stream = await opened_stream(servers.setting, "test")
        reader = StreamReader(stream, at_worker, metrics)
        await reader.read_shards(connection, [served])
        publisher = Publisher(stream, at_gateway, routing, metrics, ROOM * SHARDS)
        publishing_task = asyncio.create_task(publisher.run(stop))
        for _ in range(ROOM):
            at_gateway.put(request(UNSERVED))
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        at_gateway.put(Submission.of(read_request(body, "application/json"), 7, done))
        async with asyncio.timeout(4.0):
            (heard,) = await at_worker.gather(100, 4.0)
            assert [one.seq for one in heard.reports] == [2]
            assert not done.done(), "the device is told when that is stored"
            heard.done.set_result(Acknowledgement([2], []))
            with pytest.raises(InboxFull):
                await done
        stop.set()
        await asyncio.wait([publishing_task])
        await reader.leave_shards(None)
        await stream.client.close()
    await connection.close()
