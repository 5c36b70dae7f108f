"""Asks others about the machine's clock, at the start and every hour, and puts on record what they said: instants of findings are
evidence, and a court may ask by whose clock. Nothing waits for it, and nothing stops because of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import structlog

from emtrack.clock import machine_ms
from emtrack.db.connect import connect
from emtrack.metrics import Metrics
from emtrack.record.clock_checks import keep_clock_checks
from emtrack.service.network_time import ClockCheck, ask_about_clock
from geofence import datetime_of

EVERY_S: Final = 3600.0

log = structlog.get_logger()


class ClockWatch:
    """`servers`: of network time; none: whoever keeps the clock of this machine is asked."""

    def __init__(self, dsn: str, servers: Sequence[str], metrics: Metrics, every_s: float = EVERY_S) -> None:
        self._dsn = dsn
        self._servers = servers
        self._metrics = metrics
        self._every_s = every_s

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> list[ClockCheck]:
        """What they say now, on record unless the database is away: then the next look is."""
        asked_at = datetime_of(machine_ms())
        checks = await ask_about_clock(self._servers)
        for check in checks:
            self._tell(check)
        try:
            connection = await connect(self._dsn, name="emtrack asks about the clock")
            try:
                async with connection.transaction():
                    await keep_clock_checks(connection, asked_at, checks)
            finally:
                await connection.close(timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("what was said of the clock is not on record", error=type(error).__name__)
        return checks

    def _tell(self, check: ClockCheck) -> None:
        if check.offset_s is not None:
            self._metrics.clock_offset.set(check.offset_s)
        if check.is_far_off:
            log.error("clock is off", asked=check.asked, offset_s=check.offset_s, within_s=check.within_s)
