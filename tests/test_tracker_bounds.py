"""What a tracker may take before anybody knows who it is, and what it is told when there is no room: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from itertools import islice
from typing import NamedTuple

import pytest

from emtrack.metrics import Metrics
from emtrack.service import tracker_door
from emtrack.service.connections import WITHIN_S, Places
from emtrack.service.datagram_door import MOST_OF_ONE, DatagramDoor
from emtrack.service.identifiers import DeviceIdentifiers, KnownDevice
from emtrack.service.intake import Intake, NotTaken, Outcome
from emtrack.service.tracker_door import MOST_SPOILED, TrackerDoor
from emtrack.service.vouching import Vouching
from ingest import Acknowledgement, Inbox, KeysUnknown, NotCommitted
from ingest.inbox import AT_ONCE
from ingest.protocols import PROTOCOLS, Reading, Source, read_datagram
from ingest.protocols.teltonika import read_data
from tests.hostile.test_connections import Stopwatch
from tests.service_world import FakeClock
from tests.trackers import IMEI, Avl, avl_data, avl_datagram, avl_frame, avl_login

D1 = KnownDevice(1, "D1")
KNOWN = {("teltonika", IMEI): D1}
DATA = avl_data(Avl())


class Bounds(NamedTuple):
    inbox: Inbox
    intake: Intake
    metrics: Metrics
    places: Places
    stopwatch: Stopwatch

    def counted(self, outcome: Outcome) -> int:
        found = self.metrics.registry.get_sample_value(
            "emtrack_protocol_messages_total", {"protocol": "teltonika", "outcome": str(outcome)}
        )
        return int(found or 0)


async def at_once() -> None:
    """What is known is of now."""


def bounds(capacity: int = 10, most: int = 10, most_of_one: int = 10) -> Bounds:
    inbox, metrics, stopwatch = Inbox(capacity), Metrics(), Stopwatch()
    intake = Intake(inbox, DeviceIdentifiers(KNOWN), at_once, FakeClock("12:00"), metrics)
    return Bounds(inbox, intake, metrics, Places(most, most_of_one, (), stopwatch), stopwatch)


def never() -> Reading:
    raise AssertionError("it is read although there is no room for it")


async def test_a_message_is_not_read_before_there_is_room_for_it() -> None:
    held = bounds(capacity=1)
    with held.inbox.admit(2, 150), pytest.raises(NotTaken) as full:
        await held.intake.commit(D1, DATA, never, Source.UNAUTHENTICATED)
    assert (full.value.outcome, full.value.wait_s >= 2) == (Outcome.PUT_OFF, True)


async def test_one_device_has_so_many_messages_in_hand_and_a_service_that_ends_takes_none() -> None:
    held = bounds()
    with ExitStack() as others:
        for _ in range(AT_ONCE):
            others.enter_context(held.inbox.admit(1, 1))
        with pytest.raises(NotTaken):
            await held.intake.commit(D1, DATA, never, Source.UNAUTHENTICATED)
    held.inbox.close()
    with pytest.raises(NotTaken):
        await held.intake.commit(D1, DATA, never, Source.UNAUTHENTICATED)


async def test_a_message_whose_turn_failed_is_answered_with_nothing() -> None:
    held = bounds()
    waiting = asyncio.create_task(held.intake.commit(D1, DATA, lambda: read_data(DATA), Source.UNAUTHENTICATED))
    [submission] = await held.inbox.gather(10, 10.0)
    submission.done.set_exception(NotCommitted())
    with pytest.raises(NotTaken):
        await waiting
    assert held.inbox.filled == 0, "its room is given back"


async def test_who_is_known_is_not_guessed_while_nobody_knows_it() -> None:
    async def unknown() -> None:
        raise KeysUnknown

    intake = Intake(Inbox(1), DeviceIdentifiers(KNOWN), unknown, FakeClock("12:00"), Metrics())
    with pytest.raises(NotTaken) as put_off:
        await intake.device("teltonika", IMEI)
    assert put_off.value.outcome is Outcome.PUT_OFF


# ---------------------------------------------------------------------------------------------- over TCP


class Tracker(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hears(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(size)

    async def is_cut_off(self) -> bool:
        try:
            async with asyncio.timeout(10):
                return await self.reader.read() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def door(held: Bounds) -> AsyncIterator[int]:
    """The port of a door for Teltonika."""
    opened = TrackerDoor("teltonika", PROTOCOLS["teltonika"], held.intake, held.places, Vouching(()))
    server = await asyncio.start_server(opened, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await opened.end()


async def dialled(port: int) -> Tracker:
    return Tracker(*await asyncio.open_connection("127.0.0.1", port))


async def test_a_login_or_a_message_has_half_a_minute_from_its_first_byte_and_who_says_nothing_has_all_day() -> None:
    held = bounds()
    async with door(held) as port:
        slow, whole, partway = [await dialled(port) for _ in range(3)]
        slow.writer.write(avl_login()[:5])
        for tracker in (whole, partway):
            tracker.writer.write(avl_login())
            assert await tracker.hears(1) == b"\x01"
        spoiled = bytearray(avl_frame(Avl()))
        spoiled[20] ^= 1
        partway.writer.write(bytes(spoiled) + avl_frame(Avl())[:30])
        assert await partway.hears(4) == bytes(4)
        held.stopwatch.at_s = WITHIN_S - 1
        slow.writer.write(avl_login()[5:6])  # a byte now and then wins no time
        await slow.writer.drain()
        whole.writer.write(bytes(spoiled))
        assert await whole.hears(4) == bytes(4), "by then that byte was heard, too"
        held.places.end_late()
        assert not partway.reader.at_eof()
        held.stopwatch.at_s = WITHIN_S
        held.places.end_late()
        assert await slow.is_cut_off()
        assert await partway.is_cut_off()
        held.stopwatch.at_s = 24 * 3_600
        held.places.end_late()
        whole.writer.write(bytes(spoiled))
        assert await whole.hears(4) == bytes(4), "it is there all the same"
        whole.writer.close()


async def test_a_message_that_is_put_off_is_held_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_door, "RETRY_S", 0.0)
    held = bounds()
    async with door(held) as port:
        tracker = await dialled(port)
        tracker.writer.write(avl_login() + avl_frame(Avl()))
        assert await tracker.hears(1) == b"\x01"
        for outcome in (NotCommitted(), None):
            [submission] = await held.inbox.gather(10, 10.0)
            if outcome is not None:
                submission.done.set_exception(outcome)
            else:
                submission.done.set_result(Acknowledgement([], []))
        assert await tracker.hears(4) == b"\x00\x00\x00\x01"
        tracker.writer.close()
    assert (held.counted(Outcome.PUT_OFF), held.counted(Outcome.COMMITTED)) == (1, 1)


async def test_who_sends_nothing_but_wrong_checksums_is_cut_off() -> None:
    held = bounds()
    spoiled = bytearray(avl_frame(Avl()))
    spoiled[20] ^= 1
    async with door(held) as port:
        tracker = await dialled(port)
        tracker.writer.write(avl_login() + bytes(spoiled) * (MOST_SPOILED + 5))
        assert await tracker.hears(1 + 4 * MOST_SPOILED) == b"\x01" + bytes(4 * MOST_SPOILED)
        assert await tracker.is_cut_off()
    assert (held.counted(Outcome.BAD_CHECKSUM), held.counted(Outcome.NOT_OF_THE_PROTOCOL)) == (MOST_SPOILED + 1, 1)


async def test_a_source_has_so_many_connections_and_one_more_is_closed() -> None:
    held = bounds(most_of_one=2)
    async with door(held) as port:
        kept = [await dialled(port) for _ in range(2)]
        for tracker in kept:
            tracker.writer.write(avl_login())
            assert await tracker.hears(1) == b"\x01"
        assert await (await dialled(port)).is_cut_off()
        kept[0].writer.close()


async def test_where_places_are_scarce_who_is_idle_gives_way() -> None:
    held = bounds(most=2)
    async with door(held) as port:
        trackers = []
        for _ in range(4):
            trackers.append(await dialled(port))
            trackers[-1].writer.write(avl_login())
            assert await trackers[-1].hears(1) == b"\x01"
        assert [await tracker.is_cut_off() for tracker in trackers[:2]] == [True, True]
        many = await asyncio.gather(*(dialled(port) for _ in range(8)))  # each has the place of another
        ends = [asyncio.create_task(tracker.is_cut_off()) for tracker in [*trackers[2:], *many]]
        assert [await end for end in islice(asyncio.as_completed(ends), 8)] == [True] * 8
        assert [end.done() for end in ends].count(False) == 2


# ---------------------------------------------------------------------------------------------- over UDP


async def test_of_one_address_so_many_datagrams_are_in_hand_and_no_more() -> None:
    held = bounds()
    opened = DatagramDoor("teltonika", read_datagram, held.intake, Vouching(()), "127.0.0.1")
    for avl_id in range(MOST_OF_ONE + 3):
        opened.datagram_received(avl_datagram(Avl(), avl_id=avl_id), ("192.0.2.1", 1))
    assert held.counted(Outcome.PUT_OFF) == 3
    opened.datagram_received(avl_datagram(Avl()), ("192.0.2.2", 1))
    assert held.counted(Outcome.PUT_OFF) == 3, "another address has its own"
    await opened.end()
