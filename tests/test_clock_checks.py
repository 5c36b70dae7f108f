"""What others say of the machine's clock: asked over a real socket, on record, and shown."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from emtrack.db.connect import connect
from emtrack.metrics import Metrics
from emtrack.service.clock_watch import ClockWatch
from emtrack.service.examination import examine
from emtrack.service.health import Health
from emtrack.service.network_time import ClockCheck, ask_about_clock, read_answer
from emtrack.settings import Settings
from tests.office import Office

SINCE_1900_S = 2_208_988_800
SECONDS = struct.Struct(">2I")


def as_ntp(at_s: float) -> bytes:
    whole = int(at_s)
    return SECONDS.pack(whole + SINCE_1900_S, int((at_s - whole) * 2**32))


def answer_to(
    question: bytes, ahead_s: float, *, stratum: int = 2, mark: bytes | None = None, head: int = 0x24
) -> bytes:
    """Of a server whose clock is so far ahead of ours."""
    now = as_ntp(time.time() + ahead_s)
    return bytes([head, stratum, 6, 0xEC]) + bytes(20) + (question[40:48] if mark is None else mark) + now + now


class Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._answer(data), addr)


@asynccontextmanager
async def time_server(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        host, port = transport.get_extra_info("sockname")
        yield f"{host}:{port}"
    finally:
        transport.close()


@pytest.mark.parametrize("ahead_s", [0.0, 0.4, 3.5, -120.25])
async def test_a_server_says_how_far_the_clock_is_off(ahead_s: float) -> None:
    async with time_server(lambda question: answer_to(question, ahead_s)) as server:
        (check,) = await ask_about_clock([server])
    assert check.asked == server
    assert check.offset_s is not None
    assert check.within_s is not None
    assert abs(check.offset_s - ahead_s) <= check.within_s + 0.001
    assert check.is_far_off is (abs(ahead_s) > 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda question: answer_to(question, 9.0, mark=bytes(8)), "another question"),
        (lambda question: answer_to(question, 9.0, head=0x23), "another question"),
        (lambda question: answer_to(question, 9.0, stratum=0), "does not know"),
        (lambda question: answer_to(question, 9.0, head=0xE4), "does not know"),
        (lambda _: b"what?", "no answer"),
    ],
)
async def test_what_is_no_answer_is_not_believed(answer: Callable[[bytes], bytes], why: str) -> None:
    async with time_server(answer) as server:
        (check,) = await ask_about_clock([server])
    assert check.offset_s is None
    assert why in (check.trouble or "")


async def test_a_server_that_is_silent_costs_a_bounded_time() -> None:
    async with time_server(lambda _: b"") as there:
        checks = await asyncio.wait_for(ask_about_clock(["127.0.0.1:9", there], patience_s=0.5), 5)
    assert [check.offset_s for check in checks] == [None, None]


def test_what_was_long_under_way_is_not_held_against_the_clock() -> None:
    """Four seconds on the way back: an offset of two seconds that may be wrong by two."""
    mark = bytes(range(8))
    offset_s, within_s = read_answer(
        bytes([0x24, 2, 6, 0]) + bytes(20) + mark + as_ntp(100.0) * 2, mark, 100.0, 104.0
    )
    assert (offset_s, within_s) == (-2.0, 2.0)
    assert not ClockCheck("far", offset_s, within_s).is_far_off


async def test_what_was_said_is_on_record_and_the_doctor_shows_it(database_url: str, tmp_path: Path) -> None:
    metrics = Metrics()
    async with time_server(lambda question: answer_to(question, 3.5)) as server:
        await ClockWatch(database_url, [server, "127.0.0.1:9"], metrics).look()
        looks = await examine(Settings(data_dir=tmp_path, database_url=database_url, ntp_servers=(server,)))
    connection = await connect(database_url)
    try:
        rows = await connection.fetch("SELECT asked, offset_s, trouble FROM clock_checks ORDER BY check_no")
    finally:
        await connection.close()
    assert [row["asked"] for row in rows] == [server, "127.0.0.1:9"]
    assert rows[0]["offset_s"] == pytest.approx(3.5, abs=0.2)
    assert rows[1]["trouble"]
    assert metrics.clock_offset._value.get() == pytest.approx(3.5, abs=0.2)
    now = next(look for look in looks if look.what == "clock")
    kept = [look for look in looks if look.what == "clock on record"]
    assert now.health is Health.BAD
    assert [look.health for look in kept] == [Health.BAD, Health.NOTE]
    assert server in kept[0].words
    assert "asked at" in kept[0].words


async def test_a_running_service_asks_at_its_start(office: Office) -> None:
    async with asyncio.timeout(20):
        while not await office.connection.fetchval("SELECT count(*) FROM clock_checks"):
            pass


async def test_the_doctor_says_that_nothing_was_deleted_for_long(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)

    async def retention() -> Health:
        return next(look.health for look in await examine(settings) if look.what == "retention")

    connection = await connect(database_url)
    try:
        assert await retention() is Health.NOTE
        for days, health in ((30, Health.BAD), (9, Health.BAD), (1, Health.GOOD)):
            await connection.execute(
                "INSERT INTO retention_runs (begun_at, entered_by, rules) "
                "VALUES (now() - $1 * interval '1 day', 'a test', '{}')",
                days,
            )
            assert await retention() is health
    finally:
        await connection.close()
