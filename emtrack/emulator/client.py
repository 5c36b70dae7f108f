"""Sends what the tags of a world send, over real sockets, as careful tags would.

Theory. One feeder walks the uploads in order of their time and waits until each is due; `emtrack.client` sends them. The
feeder also writes down what was true meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import aiohttp

from emtrack.client import (
    MOST_WAITING,
    Backoff,
    DeviceDoor,
    DeviceSender,
    Encoding,
    Persistence,
    ServiceClock,
    SigningKeys,
    Totals,
)
from emtrack.emulator.schedule import HOUR_MS, SECOND_MS, iso_of
from emtrack.emulator.sending import Upload
from emtrack.emulator.sentlog import SentLog
from emtrack.emulator.world import World

REQUEST_TIMEOUT_S = 30.0
TRUTH_EVERY_MS = 6 * HOUR_MS


async def send_world(
    world: World,
    *,
    base_url: str,
    keys: Mapping[str, str],
    clock: ServiceClock,
    from_ms: int,
    to_ms: int | None,
    speed: float | None = None,
    connections: int = 16,
    sent: SentLog | None = None,
    stop: asyncio.Event | None = None,
    encoding: Encoding = "json",
    backoff: Backoff | None = None,
    most_waiting: int = MOST_WAITING,
    uploads: Iterator[Upload] | None = None,
    signing: SigningKeys | None = None,
) -> Totals:
    """Send the uploads of [from, to) and return when all are acknowledged, or soon after `stop` is set.

    `uploads`: those of [from, to), begun before (the first of a window takes seconds to make); None: the world's, from now.

    `signing`: devices that are in it sign what they send.

    With an emulated service clock each goes when that clock shows its time. With the real one, what is past goes `speed` times
    faster than it happened (None: as fast as it is acknowledged), and what is to come when it comes. Raises ValueError for a
    device without a key, and whatever a bug raises; no state of the service raises.
    """
    missing = [device for device in world.devices() if device not in keys]
    if missing:
        raise ValueError(f"{len(missing)} devices have no key, the first is {missing[0]}")
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        sender = DeviceSender(
            DeviceDoor(session, base_url, keys, encoding, signing),
            clock,
            seed=world.seed,
            persistence=Persistence(backoff or Backoff()),
            most_waiting=most_waiting,
            acknowledged=_Log(clock, sent).acknowledged,
        )
        if uploads is None:
            uploads = world.uploads(from_ms, to_ms)
        feeder = _Feeder(world, uploads, sender, clock, sent, speed, from_ms, to_ms)
        await sender.run(feeder.feed(), connections, stop or asyncio.Event())
    return sender.totals


class _Log:
    """Writes down what was acknowledged, if anybody wants to know."""

    def __init__(self, clock: ServiceClock, sent: SentLog | None) -> None:
        self._clock = clock
        self._sent = sent

    def acknowledged(self, device_id: str, boot: int, named: Sequence[tuple[int, str | None]]) -> None:
        if self._sent is not None:
            self._sent.acknowledged(device_id, boot, named, iso_of(self._clock.now_ms()))


class _Feeder:
    """Walks the uploads of a world at the pace that clock and speed set, and writes down what was true meanwhile."""

    def __init__(
        self,
        world: World,
        uploads: Iterator[Upload],
        sender: DeviceSender,
        clock: ServiceClock,
        sent: SentLog | None,
        speed: float | None,
        from_ms: int,
        to_ms: int | None,
    ) -> None:
        self._world = world
        self._uploads = uploads
        self._sender = sender
        self._clock = clock
        self._sent = sent
        self._speed = None if clock.emulated else speed
        self._from_ms, self._to_ms = from_ms, to_ms
        self._began_s = clock.monotonic_s()
        self._told_ms = from_ms
        self._reached_ms = from_ms

    async def feed(self) -> None:
        """Until `to_ms`. The truth is written for every hour that was reached, even when cancelled."""
        try:
            for upload in self._uploads:
                await self._due(upload.send_ms)
                self._reached_ms = upload.send_ms
                await self._tell_truth(upload.send_ms // TRUTH_EVERY_MS * TRUTH_EVERY_MS)
                await self._sender.accept(upload.device_id, upload.boot, upload.reports, upload.ahead_ms)
                await asyncio.sleep(0)  # building uploads takes time of the loop: let the workers at it
            self._reached_ms = self._to_ms if self._to_ms is not None else self._reached_ms
        finally:
            for _ in self._truth(self._reached_ms // SECOND_MS * SECOND_MS):
                pass

    async def _due(self, send_ms: int) -> None:
        if self._speed is not None:
            due_s = self._began_s + (send_ms - self._from_ms) / SECOND_MS / self._speed
            wait_s = due_s - self._clock.monotonic_s()
            if wait_s > 0:
                await self._clock.sleep_s(wait_s)
        await self._clock.sleep_until(send_ms)

    async def _tell_truth(self, until_ms: int) -> None:
        for _ in self._truth(until_ms):
            await asyncio.sleep(0)

    def _truth(self, until_ms: int) -> Iterator[None]:
        """Writes the truth up to `until_ms`, one wearer at a step."""
        if self._sent is None or until_ms <= self._told_ms:
            return
        begin_ms, self._told_ms = self._told_ms, until_ms
        for wearer in self._world.wearers:
            true = self._world.truth(wearer.wearer_id, begin_ms, until_ms)
            self._sent.true(wearer.wearer_id, true, iso_of(until_ms))
            yield
