"""Who speaks as a gateway cannot have a device of another gateway told that something is stored which is not."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from emtrack.db.connect import connect
from emtrack.metrics import Metrics
from emtrack.record.routing import Routing, Worn
from emtrack.stream.messages import Message, encode, is_answer_subject, new_answer_subject, sent_request
from emtrack.stream.publishing import Publisher
from emtrack.stream.reading import StreamReader
from emtrack.stream.server import NAME, opened_stream
from geofence import ALWAYS_MS, FOREVER_MS
from ingest import Acknowledgement, Inbox, Submission, read_request
from tests.nats_servers import nats_servers
from tests.service_world import position

SERVED, UNSERVED = 3, 5
"""Devices of two people in two shards, of which a worker serves one."""


def request(device_no: int) -> Submission:
    read = read_request(msgspec.json.encode({"boot": 1, "reports": [position(1, "12:00")]}), "application/json")
    return Submission.of(read, device_no, asyncio.get_running_loop().create_future())


def routing() -> Routing:
    found = Routing(16)
    found._take_in(
        [Worn(n, n, f"D{n}", n, None, ALWAYS_MS, FOREVER_MS, tells_of_places=True) for n in (SERVED, UNSERVED)], []
    )
    return found


@pytest.mark.parametrize("elsewhere", [None, "$JS.API.STREAM.PURGE.emtrack"])
async def test_a_message_of_another_gateway_answers_nobody_here(database_url: str, elsewhere: str | None) -> None:
    """`elsewhere`: where it asks for its answer; None: where the other gateway hears its own."""
    with nats_servers() as servers:
        forger, honest, served = [
            await opened_stream(servers.setting, part) for part in ("gateway", "gateway", "worker")
        ]
        told: list[str] = []

        async def overhear(message: Any) -> None:
            told.append(message.subject)

        await forger.client.subscribe("emtrack-answers.*", cb=overhear)
        connection = await connect(database_url)
        at_worker, at_gateway, stop = Inbox(100), Inbox(100), asyncio.Event()
        reader = StreamReader(served, at_worker, Metrics())
        await reader.read_shards(connection, [SERVED])
        stored = []

        async def store() -> None:
            while True:
                for submission in await at_worker.gather(100, 0.2):
                    stored.append(submission)
                    submission.done.set_result(Acknowledgement([r.seq for r in submission.reports], []))

        publisher = Publisher(honest, at_gateway, routing(), Metrics(), 1_600)
        tasks = [asyncio.create_task(publisher.run(stop)), asyncio.create_task(store())]
        first = request(SERVED)
        at_gateway.put(first)
        assert (await asyncio.wait_for(first.done, 10)).ack == [1]
        victim = request(UNSERVED)
        at_gateway.put(victim)
        forged = [sent_request(request(SERVED), number, 0, None) for number in range(1, 50)]
        answer_to = told[0] if elsewhere is None else elsewhere
        await forger.js.publish("emtrack.3.live", encode(Message(answer_to, forged)), stream=NAME)
        second = request(SERVED)
        at_gateway.put(second)
        assert (await asyncio.wait_for(second.done, 10)).ack == [1], "what came before it was read"
        assert not victim.done.done()
        assert len(stored) == (2 if elsewhere else 51)
        stop.set()
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await reader.leave_shards(None)
        for stream in (forger, honest, served):
            await stream.client.close()
        await connection.close()


def test_a_gateway_hears_answers_where_nobody_else_does() -> None:
    assert is_answer_subject(new_answer_subject())
    for text in ("emtrack-answers", "emtrack-answers.*", "emtrack-answers.0123456789abcdef.x", "emtrack.3.live", ""):
        assert not is_answer_subject(text)
