"""Looks at tasks of the programme whose time has come, every few seconds: a task and a connection of its own, beside the turns.

    moot        tasks to answer what is answered by now are cancelled
    releases    those whose day comes open their tasks, now and then
    escalation  who has not done a task in time is told, and then the chair

What is to be done stands in the database (`iom_open_tasks.look_at`), so that a restart finds it where it was. Each is a transaction
of its own, in slices; entries wait for one another and no turn waits for them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from emtrack.clock import Clock
from emtrack.db.session import Limits, Session
from emtrack.iom.escalation import SLICE, Looked, cancel_moot, look_at_tasks_due, put_off_first_task
from emtrack.iom.releasing import open_release_tasks
from emtrack.metrics import Metrics
from emtrack.record.deployment_settings import load_settings
from emtrack.service.beside import PUT_OFF_MS, in_ever_smaller_slices, keep_working, wait_for_stop

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S: Final = 2.0
OPEN_EVERY_S: Final = 20.0
LIMITS: Final = Limits(statement_s=30.0, lock_s=10.0, answer_s=35.0, idle_s=10.0)


class TaskClock:
    """`to_deliver` wakes whoever delivers. `stopwatch`: real seconds."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        metrics: Metrics,
        to_deliver: asyncio.Event,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._metrics = metrics
        self._to_deliver = to_deliver
        self._stopwatch = stopwatch
        self._looked_s = stopwatch()
        self._opened_s = float("-inf")
        metrics.tasks_looked.set_function(lambda: self._stopwatch() - self._looked_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; outlives everything that a database can do."""
        await keep_working(self._dsn, "emtrack tasks", LIMITS, self._once, self._pause, stop)

    async def _once(self, connection: Session) -> bool:
        return (await self.look(connection)).more

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait_for_stop(stop, EVERY_S)

    async def look(self, connection: Session) -> Looked:
        """One slice of each."""
        now_ms = self._clock.now_ms()
        async with connection.transaction():
            await cancel_moot(connection, now_ms)
        timezone, _ = await load_settings(connection, now_ms)
        zone = ZoneInfo(timezone)
        if self._stopwatch() - self._opened_s >= OPEN_EVERY_S:
            async with connection.transaction():
                await open_release_tasks(connection, zone, now_ms)
            self._opened_s = self._stopwatch()

        async def some(most: int) -> Looked:
            async with connection.transaction():
                return await look_at_tasks_due(connection, zone, now_ms, most)

        async def put_off_first() -> None:
            async with connection.transaction():
                await put_off_first_task(connection, now_ms, now_ms + PUT_OFF_MS)
            self._metrics.not_looked_at.labels("task").inc()

        looked = await in_ever_smaller_slices(SLICE, some, put_off_first)
        if looked is None:
            return Looked(0, 0, more=True)
        self._looked_s = self._stopwatch()
        if looked.messages:
            self._metrics.task_messages.inc(looked.messages)
            self._to_deliver.set()
        return looked
