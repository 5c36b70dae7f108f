"""A key that was stolen stops no other device."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from emtrack.service.new_days import HOUR_S, NewDays
from ingest import Submission, TooManyDays, known_days, read_request
from ingest.inbox import BACKLOG_AT_ONCE, Inbox, TooManyAtOnce
from tests.hostile.fixtures import beside
from tests.office import ORDERS, Office, away, open_office
from tests.service_world import activation

SINCE_2019 = {"activations": [activation(1), activation(2, **{"from": "2019-01-01T00:00:00Z"})]}


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path, ORDERS | SINCE_2019, new_days_an_hour=30) as office:
        yield office


async def declared(office: Office, length: int) -> asyncio.StreamWriter | str:
    """A request of which only the head comes: its connection, or what it was told at once."""
    address = urlsplit(office.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"POST /v1/devices/D2/reports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {office.keys['D2']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    try:
        told = await asyncio.wait_for(reader.readline(), 0.2)
    except TimeoutError:
        return writer
    writer.close()
    return told.decode()


async def test_bodies_that_never_come_leave_the_lane_of_backlog_to_others(office: Office) -> None:
    opened = await beside(office, asyncio.gather(*(declared(office, 1_048_576) for _ in range(8))))
    told = [one for one in opened if isinstance(one, str)]
    assert len(told) == 8 - BACKLOG_AT_ONCE
    assert all("429" in one for one in told)
    backlog = [away("19:50", 1_000 + seq) for seq in range(500)]
    await office.report("D1", *backlog)  # at once: it is answered 200
    for one in opened:
        if isinstance(one, asyncio.StreamWriter):
            one.close()


async def test_a_device_is_given_room_for_what_a_request_can_hold() -> None:
    inbox = Inbox(20_000)
    with inbox.admit(1, 1_048_576), inbox.admit(1, 1_048_576):
        assert inbox.filled == 2_000
        with pytest.raises(TooManyAtOnce):
            inbox.admit(1, 1_048_576)
        with inbox.admit(1, 150):
            assert inbox.filled == 2_001, "what is live of the same device has its place"
    with inbox.admit(1, 1_048_576):
        pass


def on_days(first: int, count: int) -> list[dict[str, Any]]:
    noon = datetime(2019, 3, 1, 12, tzinfo=UTC)
    return [
        {**away("12:00", n), "fix_time": f"{noon + timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}"}
        for n in range(first, first + count)
    ]


async def test_thousands_of_new_days_are_made_a_few_an_hour_and_others_have_theirs(office: Office) -> None:
    async def bring(first: int, count: int) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {office.keys['D2']}"}
        body = {"boot": 1, "reports": on_days(first, count)}
        async with office.http.post("/v1/devices/D2/reports", json=body, headers=headers) as response:
            return response.status, response.headers.get("Retry-After")

    async def bring_all() -> Counter[int]:
        answers = [await bring(first, 1_000) for first in (0, 1_000)]
        answers += [await bring(day, 1) for day in range(2_000, 2_010)]
        assert all(retry_after and int(retry_after) > 3_000 for status, retry_after in answers if status == 429)
        return Counter(status for status, _ in answers)

    before = len(await known_days(office.connection))
    assert await beside(office, bring_all()) == {429: 12}
    assert len(await known_days(office.connection)) - before == 30 + 1, (
        "and the day of the device that reports meanwhile"
    )
    assert (await bring(0, 30))[0] == 200, "the days that were made are there"


# ---------------------------------------------------------------------------------------------- the order of days


class Stopwatch:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def submission(device_no: int, first: int, count: int) -> Submission:
    body = str({"boot": 1, "reports": on_days(first, count)}).replace("'", '"').encode()
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Submission(device_no, read_request(body, "application/json").reports, done)


async def test_who_needs_few_days_goes_before_who_needs_many(database_url: str) -> None:
    given: list[Submission] = []
    both = asyncio.Event()

    def give_back(one: Submission) -> None:
        given.append(one)
        if len(given) == 2:
            both.set()

    days = NewDays(database_url, give_back)
    many, few = submission(1, 0, 60), submission(2, 100, 4)
    assert days.ready([many, few], lambda *_: None) == []
    async with asyncio.timeout(60):
        await both.wait()
    assert given == [few, many]
    await days.close()


async def test_an_hour_later_there_are_days_again(database_url: str) -> None:
    clock = Stopwatch()
    days = NewDays(database_url, lambda _: None, 3, clock)
    first, second, third = (submission(1, 3 * n, 3) for n in range(3))
    assert days.ready([first], lambda *_: None) == [first]
    assert days.ready([second], lambda *_: None) == []
    with pytest.raises(TooManyDays) as told:
        await second.done
    assert told.value.retry_after_s == pytest.approx(HOUR_S, abs=2)
    clock.at_s = HOUR_S
    assert days.ready([third], lambda *_: None) == [third]
    await days.close()
