"""What is live does not wait for what comes back: two lanes, and room that is given before a body is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from ingest.inbox import AT_ONCE, LIVE_REPORTS, SHARE_OF_BACKLOG, Inbox, InboxFull, Submission, TooManyAtOnce
from ingest.wire import read_request
from tests.service_world import AWAY, Door, orders, position, serving

(ONE,) = read_request(b'{"boot": 1, "reports": [{}]}', "application/json").reports
BACKLOG = LIVE_REPORTS + 1


def of(size: int, device_no: int = 1) -> Submission:
    return Submission(device_no, [ONE] * size, asyncio.get_running_loop().create_future())


class Stopwatch:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


async def test_each_lane_has_room_of_its_own() -> None:
    inbox = Inbox(100)
    inbox.put(of(90))
    with pytest.raises(InboxFull):
        inbox.put(of(BACKLOG))
    inbox.put(of(50))
    with pytest.raises(InboxFull):
        inbox.put(of(51))


async def test_a_turn_takes_what_is_live_first_and_a_share_of_the_backlog() -> None:
    inbox = Inbox(10_000)
    for _ in range(10):
        inbox.put(of(100))
    for _ in range(3):
        inbox.put(of(5))
    taken = [s.size for s in await inbox.gather(400 * SHARE_OF_BACKLOG // 2, 0.001)]
    assert taken == [5, 5, 5, 100, 100]
    assert [s.size for s in await inbox.gather(4, 0.001)] == [100], "one that is larger goes alone"


async def test_whoever_is_sent_away_is_told_another_time_each_and_a_later_one_the_more_there_are() -> None:
    clock, tosses = Stopwatch(), iter([0.0, 1.0, 0.5, 0.5])
    inbox = Inbox(1_000, clock, lambda: next(tosses))
    inbox._demand.a_second = 1_000.0
    inbox.put(of(1_000))

    def told(reports: int) -> int:
        with pytest.raises(InboxFull) as full:
            inbox.put(of(reports))
        return full.value.retry_after_s

    first, second = told(500), told(500)
    assert (first, second) == (2, 6)
    few = told(500)
    many = told(20_000)
    assert many > 4 * few
    clock.at_s = 61
    assert inbox._demand.expected == 0, "who was sent away a minute ago is not waited for"


async def test_room_is_given_before_a_body_is_read_and_given_back() -> None:
    inbox = Inbox(1_000)
    with inbox.admit(1, 150_000) as admission:
        assert inbox.filled == 1_000
        with pytest.raises(InboxFull):
            inbox.admit(2, 15_000)
        with inbox.admit(2, 150):
            assert inbox.filled == 1_001
        admission.gives_room()
        assert inbox.filled == 0
    assert inbox.filled == 0


async def test_a_device_has_so_many_requests_at_once() -> None:
    inbox = Inbox(1_000)
    open_requests = [inbox.admit(1, 150) for _ in range(AT_ONCE)]
    with pytest.raises(TooManyAtOnce):
        inbox.admit(1, 150)
    with inbox.admit(2, 150):
        pass
    with open_requests[0]:
        pass
    with inbox.admit(1, 150):
        pass


# ---------------------------------------------------------------------------------------------- over sockets

DEVICES = 12


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    async with serving(database_url, orders(*range(1, DEVICES + 1)), inbox_reports=2_000, turn_reports=2_000) as door:
        yield door


async def answer_to_the_head(door: Door, length: int) -> str:
    """What is answered to a request of which only the head is sent."""
    address = urlsplit(door.service.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        head = (
            f"POST /v1/devices/D1/reports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {door.keys['D1']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        writer.write(head.encode())
        await writer.drain()
        return (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    finally:
        writer.close()


async def test_who_finds_no_room_is_told_so_before_the_body_is_sent(door: Door, database_url: str) -> None:
    locker = await asyncpg.connect(database_url)
    try:
        async with locker.transaction():
            await locker.execute("LOCK TABLE raw_requests, raw_reports")  # turns stand still, and the lane fills
            bodies = [{"boot": 1, "reports": [position(seq, "11:59") for seq in range(700)]} for _ in range(DEVICES)]
            waiting = [asyncio.create_task(door.post(body, device=f"D{n}")) for n, body in enumerate(bodies[:6], 1)]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            assert {task.result()[0] for task in done} == {503}
            told = await answer_to_the_head(door, 100_000)
    finally:
        await locker.close()
    assert told.startswith("HTTP/1.1 503")
    assert "retry-after" in told.lower()
    await asyncio.gather(*waiting)


async def test_live_reports_get_through_while_a_fleet_returns_and_ignores_what_it_is_told(door: Door) -> None:
    """Eleven devices send 700 reports at a time, again and again, for three seconds and until the live one was heard three times."""
    stop = asyncio.Event()
    statuses: list[int] = []

    async def floods(number: int) -> None:
        seq = 0
        while not stop.is_set():
            minute = seq // 700
            reports = [position(seq + n, f"{8 + minute % 4:02}:{n % 60:02}:{n // 60:02}", AWAY) for n in range(700)]
            status, *_ = await door.post({"boot": 1, "reports": reports}, device=f"D{number}")
            statuses.append(status)
            seq += 700

    flood = [asyncio.create_task(floods(number)) for number in range(2, DEVICES + 1)]
    answered = []
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < 3 or (len(answered) < 3 and loop.time() - begun < 30):
        status, _ = await door.reports(position(len(answered) + 1, "12:00"))
        answered.append(status)
    stop.set()
    await asyncio.gather(*flood)
    assert answered.count(200) >= 3, (
        "three in half a minute; it is ten or more a second where nobody else works on the machine"
    )
    assert statuses.count(200) >= 2, "the fleet gets through, too"
