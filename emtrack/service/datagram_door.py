"""The door of trackers over UDP: each datagram is one message, answered after its commit.

Nobody opens a connection here, so that what is bounded is how many datagrams are in hand, of all and of one address. What is beyond
it is let fall, which is what a device over UDP reckons with: it sends again what is not answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

import structlog

from emtrack.logs import origin_of
from emtrack.people.guesses import source_of_address
from emtrack.service.intake import Intake, NotTaken, Outcome
from emtrack.service.vouching import Vouching
from ingest.protocols import Datagram, ProtocolError

MOST_AT_ONCE = 256
MOST_OF_ONE = 32

log = structlog.get_logger()

Peer = tuple[str, int]


class DatagramDoor(asyncio.DatagramProtocol):
    """All datagrams of one protocol. `here`: the address at which they are heard."""

    def __init__(
        self, name: str, read_datagram: Callable[[bytes], Datagram], intake: Intake, vouching: Vouching, here: str
    ) -> None:
        self._name = name
        self._read_datagram = read_datagram
        self._intake = intake
        self._vouching = vouching
        self._here = here
        self._in_hand: set[asyncio.Task[None]] = set()
        self._of_one: Counter[str] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # no subclass of it, as asyncio makes them

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        source = source_of_address(addr[0])
        if len(self._in_hand) >= MOST_AT_ONCE or self._of_one[source] >= MOST_OF_ONE:
            self._intake.count(self._name, Outcome.PUT_OFF)
            return
        self._of_one[source] += 1
        task = asyncio.get_running_loop().create_task(self._take(data, addr, source))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def end(self) -> None:
        """What is not answered is sent again."""
        for task in self._in_hand:
            task.cancel()
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _take(self, data: bytes, peer: Peer, source: str) -> None:
        try:
            self._intake.count(self._name, await self._committed(data, peer))
        except NotTaken as not_taken:
            self._intake.count(self._name, not_taken.outcome)
        except ProtocolError:
            self._intake.count(self._name, Outcome.NOT_OF_THE_PROTOCOL)
        except Exception as error:
            log.error("a datagram of a tracker failed", error=type(error).__name__, where=origin_of(error).line)
        finally:
            self._of_one[source] -= 1
            if not self._of_one[source]:
                del self._of_one[source]

    async def _committed(self, data: bytes, peer: Peer) -> Outcome:
        datagram = self._read_datagram(data)
        device = await self._intake.device(self._name, datagram.identifier)
        source = self._vouching.source(self._here, peer[0])
        outcome = await self._intake.commit(device, datagram.frame.data, datagram.read, source)
        assert self._transport is not None, "what comes in came over it"
        self._transport.sendto(datagram.acknowledgement(), peer)
        return outcome
