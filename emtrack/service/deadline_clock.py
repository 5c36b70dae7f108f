"""Looks at alerts whose time has come, once a second: a task and a connection of its own, beside the turns.

What is to be done stands in the database (`alerts.look_at`), so that a restart finds it where it was. A look takes locks
as a turn does, for a slice of alerts; a flood of them is looked at in many slices, between which turns go on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from alerts import Looked, look_at_alerts_due, put_off_first_alert
from emtrack.clock import Clock
from emtrack.db.session import Limits, Session
from emtrack.metrics import Metrics
from emtrack.service.beside import PUT_OFF_MS, in_ever_smaller_slices, keep_working, wait_for_stop

EVERY_S: Final = 1.0
MOST: Final = 200
"""The locks of so many are held, and given to whoever waits between."""
LIMITS: Final = Limits(statement_s=30.0, lock_s=10.0, answer_s=35.0, idle_s=10.0)


class DeadlineClock:
    """`changed` wakes the open pages; `to_deliver` whoever delivers."""

    def __init__(
        self, dsn: str, clock: Clock, metrics: Metrics, changed: asyncio.Condition, to_deliver: asyncio.Event
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._to_deliver = to_deliver
        self._looked_s = time.monotonic()
        metrics.deadlines_looked.set_function(lambda: time.monotonic() - self._looked_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; outlives everything that a database can do."""
        await keep_working(self._dsn, "emtrack deadlines", LIMITS, self._once, self._pause, stop)

    async def _once(self, connection: Session) -> bool:
        return (await self.look(connection)).more

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait_for_stop(stop, EVERY_S)

    async def look(self, connection: Session) -> Looked:
        """One slice. An alert that cannot be looked at keeps no other from it."""
        now_ms = self._clock.now_ms()

        async def some(most: int) -> Looked:
            async with connection.transaction():
                return await look_at_alerts_due(connection, now_ms, most)

        async def put_off_first() -> None:
            async with connection.transaction():
                await put_off_first_alert(connection, now_ms, now_ms + PUT_OFF_MS)
            self._metrics.not_looked_at.labels("alert").inc()

        looked = await in_ever_smaller_slices(MOST, some, put_off_first)
        if looked is None:
            return Looked(0, 0, 0, more=True)
        self._looked_s = time.monotonic()
        self._metrics.occasions.inc(looked.occasions)
        if looked.messages:
            self._to_deliver.set()
        if looked.alerts:
            async with self._changed:
                self._changed.notify_all()
        return looked
