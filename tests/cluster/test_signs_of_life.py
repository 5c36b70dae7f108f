"""What a reader takes for a sign of life: what was put into the stream after reading began, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from emtrack.db.connect import Connection, connect
from emtrack.metrics import Metrics
from emtrack.settings import StreamSetting
from emtrack.stream import server
from emtrack.stream.messages import Message, encode, new_answer_subject
from emtrack.stream.reading import StreamReader
from emtrack.stream.server import NAME, Stream, StreamUnfit, opened_stream
from ingest import Inbox
from tests.nats_servers import nats_servers

SIGN = encode(Message(new_answer_subject(), []))
LANE = "emtrack.1.live"


@asynccontextmanager
async def stream_and_record(dsn: str) -> AsyncIterator[tuple[Stream, Connection]]:
    with nats_servers() as servers:
        stream, connection = await opened_stream(servers.setting, "worker"), await connect(dsn)
        try:
            yield stream, connection
        finally:
            await stream.client.close()
            await connection.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)  # servers at work: there is nothing to wait on but what they did


async def put(stream: Stream, count: int) -> None:
    for _ in range(count):
        await stream.js.publish(LANE, SIGN, stream=NAME)


async def test_what_was_there_is_no_sign_though_the_server_of_the_reader_does_not_have_it_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was away answers that nothing is there, and gets it while it is read."""
    async with stream_and_record(database_url) as (stream, connection):
        await put(stream, 3)
        add = stream.js.add_consumer

        async def added(*args: object, **named: object) -> object:
            consumer = await add(*args, **named)
            consumer.num_pending = 0
            return consumer

        monkeypatch.setattr(stream.js, "add_consumer", added)
        metrics = Metrics()
        reader = StreamReader(stream, Inbox(100), metrics)
        await reader.read_shards(connection, [1])
        read = metrics.stream_messages.labels("read")
        await until(lambda: read._value.get() == 3)
        assert reader.sign_s(1) is None
        await put(stream, 1)
        await until(lambda: reader.sign_s(1) is not None)
        await reader.leave_shards(None)


async def test_what_is_put_there_is_a_sign_though_what_was_before_it_expired_unread(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_AGE_S", 2.0)
    async with stream_and_record(database_url) as (stream, connection):
        await put(stream, 60)
        reader = StreamReader(stream, Inbox(100), Metrics())
        put_all, has_room = reader._put_all, asyncio.Event()

        async def put_when_there_is_room(*args: object) -> None:
            await has_room.wait()
            await put_all(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(reader, "_put_all", put_when_there_is_room)
        await reader.read_shards(connection, [1])
        info = await stream.js.stream_info(NAME)
        while info.state.messages:
            await asyncio.sleep(0.1)  # likewise
            info = await stream.js.stream_info(NAME)
        await put(stream, 1)
        has_room.set()
        await until(lambda: reader.sign_s(1) is not None)
        await reader.leave_shards(None)


async def test_a_reader_whose_cancellation_was_lost_is_left_all_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stream_and_record(database_url) as (stream, connection):
        reader = StreamReader(stream, Inbox(100), Metrics())

        async def loses_one(*_: object) -> None:
            """As `asyncio.wait_for` does when what it waits for comes in the same moment."""
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        monkeypatch.setattr(reader, "_read", loses_one)
        await reader.read_shards(connection, [1, 2])
        await asyncio.sleep(0)
        async with asyncio.timeout(5.0):
            await reader.leave_shards(None)
        assert not reader._tasks


async def test_what_was_there_is_no_sign_though_a_leader_that_was_just_chosen_has_not_applied_it_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that nothing is there, until something is done that comes after it."""
    async with stream_and_record(database_url) as (stream, connection):
        await put(stream, 3)
        says, takes_out, has_applied = stream.js.stream_info, stream.js.purge_stream, asyncio.Event()

        async def said(name: str) -> object:
            info = await says(name)
            if not has_applied.is_set():
                info.state.last_seq = 0
            return info

        async def taken_out(*args: object, **named: object) -> bool:
            done: bool = await takes_out(*args, **named)
            has_applied.set()
            return done

        monkeypatch.setattr(stream.js, "stream_info", said)
        monkeypatch.setattr(stream.js, "purge_stream", taken_out)
        metrics = Metrics()
        reader = StreamReader(stream, Inbox(100), metrics)
        await reader.read_shards(connection, [1])
        read = metrics.stream_messages.labels("read")
        await until(lambda: read._value.get() == 3)
        assert reader.sign_s(1) is None
        await reader.leave_shards(None)
        assert (await says(NAME)).state.messages == 3, "nothing that somebody put in is taken out"


async def opened_by_three(setting: StreamSetting) -> Stream:
    """They need some seconds until they have chosen who leads."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StreamUnfit):
                return await opened_stream(setting, "worker")


async def test_of_three_servers_the_leader_says_what_is_there_and_nothing_is_taken_out() -> None:
    with nats_servers(3) as servers:
        stream = await opened_by_three(servers.setting)
        await put(stream, 3)
        reader = StreamReader(stream, Inbox(100), Metrics())
        assert await reader._last_number() == 3
        info = await stream.js.stream_info(NAME)
        assert (info.state.messages, info.config.num_replicas) == (3, 3)
        await stream.client.close()
