"""Packs positions of hours that are over, beside the turns: a task and a connection of its own, in slices of a thousand devices.

    enter     hours that are over and not packed: from here on what comes late is marked
    wait      until whoever wrote before that has ended
    pack      the newest hour first, a slice at a time, with a rest four times as long as each slice took
    again     what came late

Each slice is a transaction; a restart begins the hour that was not ready anew. Nothing that comes in waits for any of it, and a
question that finds an hour not packed reads the positions themselves.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from emtrack.clock import Clock
from emtrack.db.locks import PACKING_LOCK, try_lock
from emtrack.db.session import Limits, Session
from emtrack.metrics import Metrics
from emtrack.record.packed_positions import (
    enter_hours,
    fence_now,
    has_passed,
    hours_to_enter,
    hours_to_pack,
    last_mark,
    pack_devices,
    pack_late,
)
from emtrack.service.beside import keep_working, wait_for_stop

SETTLED_MS: Final = 600_000
"""After its end an hour is left alone for so long: most of what belongs to it has come by then."""
AT_A_TIME: Final = 24
EVERY_S: Final = 20.0
RESTS: Final = 4
"""It works a fifth of the time at most: the processor and the disk are for the turns."""
FENCE_EVERY_S: Final = 0.2
WRITERS_WITHIN_S: Final = 60.0
LIMITS: Final = Limits(statement_s=60.0, lock_s=10.0, answer_s=65.0)

log = structlog.get_logger()


class OtherPacker(Exception):
    """Another program packs."""


class Packer:
    """Of one database."""

    def __init__(self, dsn: str, clock: Clock, metrics: Metrics) -> None:
        self._dsn = dsn
        self._clock = clock
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Outlives everything that a database can do."""

        async def pause(stop: asyncio.Event) -> None:
            await wait_for_stop(stop, EVERY_S)

        async def once(connection: Session) -> bool:
            return await self.pass_once(connection, stop)

        await keep_working(self._dsn, "emtrack packs positions", LIMITS, once, pause, stop)

    async def pass_once(self, connection: Session, stop: asyncio.Event) -> bool:
        """Enter, wait, and pack some hours. Whether more may wait. Raises OtherPacker."""
        if not await try_lock(connection, PACKING_LOCK):
            raise OtherPacker
        await enter_hours(connection, await hours_to_enter(connection, self._clock.now_ms() - SETTLED_MS, AT_A_TIME))
        waiting = await hours_to_pack(connection)
        self._metrics.hours_unpacked.set(len(waiting))
        if waiting and not await self._have_writers_ended(connection, stop):
            await self._pack_again(connection, stop)
            return False
        for left, hour_ms in enumerate(waiting, 1 - len(waiting)):
            if not await self._pack(connection, hour_ms, stop):
                return False
            self._metrics.hours_unpacked.set(-left)
        await self._pack_again(connection, stop)
        return bool(waiting) and not stop.is_set()

    async def _pack_again(self, connection: Session, stop: asyncio.Event) -> None:
        """What came late since the last pass: while the backlog of an outage comes in, an hour of a device is packed once a pass."""
        until, has_more = await last_mark(connection), True
        while has_more and not stop.is_set():
            started = time.monotonic()
            has_more = await pack_late(connection, until)
            await wait_for_stop(stop, RESTS * (time.monotonic() - started))

    async def _have_writers_ended(self, connection: Session, stop: asyncio.Event) -> bool:
        """Whoever wrote before the hours were entered. One that hangs in its transaction holds up new hours, and nothing else."""
        fence, given_up_s = await fence_now(connection), time.monotonic() + WRITERS_WITHIN_S
        while not await has_passed(connection, fence):
            if stop.is_set() or time.monotonic() > given_up_s:
                return False
            await wait_for_stop(stop, FENCE_EVERY_S)
        return True

    async def _pack(self, connection: Session, hour_ms: int, stop: asyncio.Event) -> bool:
        """False: it was told to stop before the hour was ready."""
        after: int | None = 0
        while after is not None:
            if stop.is_set():
                return False
            started = time.monotonic()
            after = await pack_devices(connection, hour_ms, after)
            await wait_for_stop(stop, RESTS * (time.monotonic() - started))
        return True
