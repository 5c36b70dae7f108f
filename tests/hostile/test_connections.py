"""Who only opens connections, or sends half of a request, keeps nobody out."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from emtrack.service.connections import HURRIED_S, MOST_HEAD_BYTES, WITHIN_S, Places
from emtrack.web.api.alerts import STREAMS_OF_ONE
from tests.hostile.fixtures import beside
from tests.office import Office, open_office

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HALF + b"\r\n"


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path, connections=40, connections_of_one=30, proxies=()) as office:
        yield office


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, office: Office, source: str = "127.0.0.1") -> Wire:
        address = urlsplit(office.address)
        return cls(*await asyncio.open_connection(address.hostname, address.port, local_addr=(source, 0)))

    async def said(self, *parts: bytes) -> bytes:
        """All that is answered to it until the other end closes."""
        try:
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
            return await asyncio.wait_for(self.reader.read(), 20)
        except ConnectionError:
            return b""
        finally:
            self.writer.close()


def endless_header() -> list[bytes]:
    return [HALF + b"X-Long: ", *([b"x" * 65_536] * 64)]


@pytest.mark.parametrize(
    "parts",
    [
        endless_header(),
        [HALF, *([b"X-Many: y\r\n" * 6_000] * 32)],
        [b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\n\r\n"],
        [HALF + b"X-Long: " + b"x" * (MOST_HEAD_BYTES + 1) + b"\r\n\r\n"],
    ],
    ids=["one header", "many headers", "an address", "a whole head"],
)
async def test_a_head_without_end_is_not_read_on(office: Office, parts: list[bytes]) -> None:
    wire = await Wire.to(office)
    said = await beside(office, wire.said(*parts), at_least_s=0.3)
    assert said == b"" or said.startswith(b"HTTP/1.1 431"), "who goes on sending may not hear it"
    assert (await office.get("/healthz"))[0] == 200


async def test_a_head_of_usual_size_and_requests_one_after_the_other_are_answered(office: Office) -> None:
    wire = await Wire.to(office)
    usual = HALF + b"Cookie: " + b"x" * 8_000 + b"\r\n\r\n"
    last = HALF + b"Connection: close\r\n\r\n"
    assert (await wire.said(usual, usual + usual, last)).count(b"HTTP/1.1 200") == 4


async def test_trailers_without_end_are_not_read_on(office: Office) -> None:
    wire = await Wire.to(office)
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: "
    said = await beside(office, wire.said(head, *([b"x" * 65_536] * 100)), at_least_s=0.3)
    assert said == b"" or said.startswith(b"HTTP/1.1 411")


async def test_half_requests_keep_nobody_out(office: Office) -> None:
    """Three addresses open more connections than there are, and send half of a request on each."""
    wires = [await Wire.to(office, f"127.0.0.{2 + n % 3}") for n in range(120)]
    for wire in wires:
        wire.writer.write(HALF)

    async def healthy() -> list[bytes]:
        found = []
        for _ in range(10):
            one = await Wire.to(office, "127.0.0.9")
            found.append(await one.said(HALF + b"Connection: close\r\n\r\n"))
        return found

    answers = await beside(office, healthy())
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 10
    for wire in wires:
        wire.writer.close()


async def test_a_source_has_so_many_connections_and_others_have_theirs(office: Office) -> None:
    wires = [await Wire.to(office, "127.0.0.2") for _ in range(31)]
    answers = await asyncio.gather(*(wire.said(HALF + b"Connection: close\r\n\r\n") for wire in wires))
    assert [bool(answer) for answer in answers].count(False) == 1
    other = await Wire.to(office, "127.0.0.3")
    assert (await other.said(HALF + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_caller_has_so_many_streams_of_alerts(office: Office) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS_OF_ONE):
            opened = await stack.enter_async_context(
                office.http.get("/v1/alerts/stream", headers=office.bearer("operator"))
            )
            assert (await opened.content.readline()).startswith(b"retry")
        status, _ = await beside(office, office.get("/v1/alerts/stream"), at_least_s=0.5)
        assert status == 429
        async with office.http.get("/v1/alerts/stream", headers=office.bearer("officer")) as response:
            assert response.status == 200


# ---------------------------------------------------------------------------------------------- descriptors

DESCRIPTORS = 256


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@asynccontextmanager
async def program(database_url: str, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """`emtrack serve` as a program of its own that may open few files: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {"DATABASE_URL": database_url, "DATA_DIR": str(folder), "LISTEN": f"127.0.0.1:{port}", "PROXIES": "none"}
    environment = os.environ | {f"EMTRACK_{name}": value for name, value in ours.items()}
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emtrack", "serve", env=environment, stderr=PIPE, preexec_fn=few_descriptors
    )
    try:
        assert service.stderr is not None
        async with asyncio.timeout(60):
            said = b""
            while b"listens on" not in said:
                line = await service.stderr.readline()
                assert line, f"it ended before it listened: {said.decode()}"
                said += line
        yield "127.0.0.1", port
    finally:
        service.terminate()
        await service.communicate()


async def test_with_few_descriptors_half_requests_cut_off_neither_health_nor_devices(
    database_url: str, data_dir: Path
) -> None:
    async with program(database_url, data_dir) as (host, port):
        held = []
        for n in range(3 * DESCRIPTORS):
            held.append(await asyncio.open_connection(host, port, local_addr=(f"127.0.0.{2 + n % 20}", 0)))
            held[-1][1].write(HALF)
        for path, status in (("/healthz", b"200"), ("/v1/devices/D1/reports", b"401")):
            reader, writer = await asyncio.open_connection(host, port)
            method = b"GET" if status == b"200" else b"POST"
            writer.write(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 " + status)
            writer.close()
        for _, writer in held:
            writer.close()


# ---------------------------------------------------------------------------------------------- places


class Stopwatch:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


class Guest:
    """As `Places` sees a connection: what was done to it. A real one needs a socket, and half a minute."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.what = ""

    def end_late(self) -> None:
        self.what = "late"
        self.places.gone(self, "a")  # type: ignore[arg-type]

    def cut_off(self) -> None:
        self.what = "cut off"
        self.places.gone(self, "a")  # type: ignore[arg-type]

    def comes(self) -> bool:
        return self.places.come(self, "a")  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Stopwatch:
    return Stopwatch()


def guests(clock: Stopwatch, most: int, count: int) -> list[Guest]:
    places = Places(most, 1_000, (), clock)
    return [Guest(places) for _ in range(count)]


def test_a_request_has_half_a_minute(clock: Stopwatch) -> None:
    slow, whole, late = all_of = guests(clock, 10, 3)
    assert all(guest.comes() for guest in all_of)
    slow.places.received(whole)  # type: ignore[arg-type]
    clock.at_s = WITHIN_S / 2
    slow.places.receives(late)  # type: ignore[arg-type]
    clock.at_s = WITHIN_S
    slow.places.end_late()
    assert [guest.what for guest in all_of] == ["late", "", ""]


def test_an_answer_that_nobody_reads_is_cut_off(clock: Stopwatch) -> None:
    stalled, reads = guests(clock, 10, 2)
    for guest in (stalled, reads):
        assert guest.comes()
        guest.places.received(guest)  # type: ignore[arg-type]
        guest.places.is_unread(guest)  # type: ignore[arg-type]
    reads.places.is_read(reads)  # type: ignore[arg-type]
    clock.at_s = WITHIN_S
    reads.places.end_late()
    assert (stalled.what, reads.what) == ("cut off", "")


def test_who_is_late_gives_way_before_who_is_idle_and_who_is_answered_never(clock: Stopwatch) -> None:
    answered, idle, late, fresh, *more = guests(clock, 4, 8)
    for guest in (answered, idle, late):
        assert guest.comes()
    for guest in (answered, idle):
        guest.places.received(guest)  # type: ignore[arg-type]
    idle.places.idles(idle)  # type: ignore[arg-type]
    clock.at_s = HURRIED_S
    assert fresh.comes()
    for guest, gives_way in zip(more[:3], (late, idle, fresh), strict=True):
        assert guest.comes()
        assert gives_way.what == "cut off"
        guest.places.received(guest)  # type: ignore[arg-type]
    assert not more[3].comes(), "all have sent whole requests"
    assert answered.what == ""
