"""All doors of trackers that the settings ask for, opened together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from emtrack.service.connections import Places
from emtrack.service.datagram_door import DatagramDoor
from emtrack.service.intake import Intake
from emtrack.service.sockets import datagram_socket, listening_socket, told_address
from emtrack.service.tracker_door import READ_BYTES, TrackerDoor
from emtrack.service.vouching import Vouching
from emtrack.settings import SettingsError, TrackerListener
from ingest.protocols import PROTOCOLS

SETTING = "EMTRACK_TRACKERS"


def refuse_unspoken(listeners: Sequence[TrackerListener]) -> None:
    """Raises SettingsError for a protocol that there is not, or not so."""
    for asked in listeners:
        protocol = PROTOCOLS.get(asked.protocol)
        how = "udp" if asked.is_datagram else "tcp"
        if protocol is None or (protocol.read_datagram if asked.is_datagram else protocol.converse) is None:
            spoken = [name for name, known in PROTOCOLS.items() if known.converse is not None]
            spoken += [f"{name}/udp" for name, known in PROTOCOLS.items() if known.read_datagram is not None]
            raise SettingsError(
                f"{SETTING} has {asked.protocol!r} over {how}; expected one of {', '.join(sorted(spoken))}"
            )


@asynccontextmanager
async def trackers_heard(
    listeners: Sequence[TrackerListener], intake: Intake, places: Places, vouching: Vouching
) -> AsyncIterator[list[str]]:
    """Yields where each is heard, in words."""
    async with AsyncExitStack() as stack:
        told = []
        for asked in listeners:
            opened = datagram_socket if asked.is_datagram else listening_socket
            listener = opened(asked.host, asked.port, SETTING)
            hear = _datagrams_heard if asked.is_datagram else _connections_heard
            await stack.enter_async_context(hear(asked.protocol, listener, intake, places, vouching))
            how = "UDP" if asked.is_datagram else "TCP"
            grade = (
                "in a private network" if vouching.is_private(asked.host) else "as reports that are not authenticated"
            )
            told.append(f"{asked.protocol} on {told_address(listener)} ({how}), {grade}")
        yield told


@asynccontextmanager
async def _connections_heard(
    name: str, listener: socket.socket, intake: Intake, places: Places, vouching: Vouching
) -> AsyncIterator[None]:
    door = TrackerDoor(name, PROTOCOLS[name], intake, places, vouching)
    server = await asyncio.start_server(door, sock=listener, limit=READ_BYTES)
    try:
        yield
    finally:
        server.close()
        await door.end()
        await server.wait_closed()


@asynccontextmanager
async def _datagrams_heard(
    name: str, listener: socket.socket, intake: Intake, _: Places, vouching: Vouching
) -> AsyncIterator[None]:
    read_datagram = PROTOCOLS[name].read_datagram
    assert read_datagram is not None, "what is not spoken so was refused"
    door = DatagramDoor(name, read_datagram, intake, vouching, listener.getsockname()[0])
    transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: door, sock=listener)
    try:
        yield
    finally:
        transport.close()
        await door.end()
