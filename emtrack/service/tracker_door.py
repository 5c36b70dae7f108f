"""The door of trackers over TCP: one connection, message by message, each answered after its commit.

What holds for HTTP holds here, by the same book of places (`connections.py`): a login or a message has come 30 s after its first
byte, an answer is read within 30 s, a source has so many connections, and where places are scarce the one gives way that is late, or
idle for longest. A decoder holds one message; the next is not read from the socket before the one is answered, so that who sends
faster than we commit waits in their own socket. Who is not known hears nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

from emtrack.logs import origin_of
from emtrack.people.guesses import source_of_address
from emtrack.service.connections import Held, Places
from emtrack.service.intake import Intake, NotTaken, Outcome
from emtrack.service.vouching import Vouching
from ingest.protocols import (
    NEED_DATA,
    Conversation,
    DeviceProtocol,
    Event,
    Frame,
    Login,
    ProtocolError,
    Source,
    Spoiled,
)

READ_BYTES = 8_192
MOST_SPOILED = 20
"""Messages with a wrong checksum, in one connection; then it is closed, and the device begins anew."""
PATIENCE_S, RETRY_S = 60.0, 1.0
"""For so long a message that is put off is held and tried again, and no sooner than after so long."""
SILENT_FOR_S, PROBES, BETWEEN_PROBES_S = 600, 4, 60
"""A connection whose other end is gone without a word is found out by the system."""

log = structlog.get_logger()


class TrackerConnection:
    """As `Places` sees it, and as long as it lasts. `host`: where it comes from; `source`: how far what comes over it is believed."""

    def __init__(
        self, name: str, conversation: Conversation, intake: Intake, places: Places, host: str, source: Source,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self._name = name
        self._conversation = conversation
        self._intake = intake
        self._places = places
        self._host = host
        self._source = source
        self._reader = reader
        self._writer = writer
        self._identifier: str | None = None
        self._spoiled = 0
        self._is_receiving = True
        self._has_place = False

    def comes(self) -> bool:
        """Whether there is a place for it."""
        self._has_place = self._places.come(self, self._host)
        return self._has_place

    def leaves(self) -> None:
        if self._has_place:
            self._has_place = False
            self._places.gone(self, self._host)

    def end_late(self) -> None:
        self.cut_off()

    def cut_off(self) -> None:
        """At once, and its place is free; what waits for bytes of it ends."""
        self.leaves()
        self._writer.transport.abort()

    def _note(self, what: Callable[[Held], None]) -> None:
        """In the book of places, where it has one."""
        if self._has_place:
            what(self)

    async def serve(self) -> None:
        """Until one of the two ends it."""
        try:
            while data := await self._reader.read(READ_BYTES):
                self._conversation.receive_data(data)
                await self._take_all()
        except NotTaken as not_taken:
            self._intake.count(self._name, not_taken.outcome)
        except ProtocolError:
            self._intake.count(self._name, Outcome.NOT_OF_THE_PROTOCOL)
        except OSError:
            pass  # it went away, or was cut off

    async def _take_all(self) -> None:
        """What has come whole, one after the other."""
        while (event := self._conversation.next_event()) is not NEED_DATA:
            self._note(self._places.received)
            self._is_receiving = False
            await self._answer(await self._take(event))
        self._wait_for_more()

    def _wait_for_more(self) -> None:
        """A message that has begun must come whole in time, counted from its first byte; so must the login, from the opening on."""
        is_receiving = self._conversation.has_part or self._identifier is None
        if not is_receiving:
            self._note(self._places.received)
            self._note(self._places.idles)
        elif not self._is_receiving:
            self._note(self._places.receives)
        self._is_receiving = is_receiving

    async def _take(self, event: Event) -> bytes:
        """What is to be said to it."""
        match event:
            case Login(identifier):
                await self._intake.device(self._name, identifier)
                self._identifier = identifier
                return self._conversation.accept()
            case Spoiled(_, answer):
                return self._refused(answer)
            case Frame():
                return await self._committed(event)
        raise ProtocolError("an event that no listener knows")

    def _refused(self, answer: bytes) -> bytes:
        self._spoiled += 1
        self._intake.count(self._name, Outcome.BAD_CHECKSUM)
        if self._spoiled > MOST_SPOILED:
            raise ProtocolError("too many messages with a wrong checksum")
        return answer

    async def _committed(self, frame: Frame) -> bytes:
        """What is put off is tried again for a while, and nothing more is read meanwhile: some devices forget a message as soon as it
        is sent, and a fleet that is cut off comes back at once."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + PATIENCE_S
        while True:
            try:
                return await self._commit(frame)
            except NotTaken as not_taken:
                wait_s = max(not_taken.wait_s, RETRY_S)
                if not_taken.outcome is not Outcome.PUT_OFF or clock() + wait_s > until_s:
                    raise
                self._intake.count(self._name, Outcome.PUT_OFF)
                await asyncio.sleep(wait_s)

    async def _commit(self, frame: Frame) -> bytes:
        """Raises NotTaken."""
        if self._identifier is None:
            raise ProtocolError("a message before the login")
        device = await self._intake.device(self._name, self._identifier)
        outcome = await self._intake.commit(device, frame.data, lambda: self._conversation.read(frame), self._source)
        self._intake.count(self._name, outcome)
        return self._conversation.acknowledge(frame)

    async def _answer(self, answer: bytes) -> None:
        if not answer:
            return
        self._writer.write(answer)
        self._note(self._places.is_unread)
        await self._writer.drain()
        self._note(self._places.is_read)


class TrackerDoor:
    """All connections of one protocol."""

    def __init__(
        self, name: str, protocol: DeviceProtocol, intake: Intake, places: Places, vouching: Vouching
    ) -> None:
        assert protocol.converse is not None, "only what is spoken over TCP has such a door"
        self._name = name
        self._converse = protocol.converse
        self._intake = intake
        self._places = places
        self._vouching = vouching
        self._open: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """All connections at once; what is not answered is sent again."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As `asyncio.start_server` calls it."""
        task = asyncio.current_task()
        assert task is not None, "a server calls it in a task"
        self._open.add(task)
        try:
            await self._hold(reader, writer)
        except asyncio.CancelledError:
            pass  # the door ends, and nobody else waits for this task
        except Exception as error:
            log.error("a connection of a tracker failed", error=type(error).__name__, where=origin_of(error).line)
        finally:
            self._open.discard(task)
            writer.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here, there = _host(writer, "sockname"), _host(writer, "peername")
        connection = TrackerConnection(
            self._name, self._converse(), self._intake, self._places, source_of_address(there),
            self._vouching.source(here, there), reader, writer,
        )  # fmt: skip
        if not connection.comes():
            writer.transport.abort()
            return
        try:
            _notice_who_is_gone(writer)
            await connection.serve()
        finally:
            connection.leaves()


def _host(writer: asyncio.StreamWriter, which: str) -> str:
    address = writer.get_extra_info(which)
    return address[0] if address else ""


def _notice_who_is_gone(writer: asyncio.StreamWriter) -> None:
    connected = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, SILENT_FOR_S), (socket.TCP_KEEPINTVL, BETWEEN_PROBES_S), (socket.TCP_KEEPCNT, PROBES),
    ):  # fmt: skip
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
