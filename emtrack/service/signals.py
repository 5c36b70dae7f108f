"""Makes signals and proposals, beside the turns: a task and a connection of its own, in bounded slices, about one a second.

    material    findings, closed alerts and excuses that changed since the last pass
    entries     what people and other systems entered
    sweep       silences that have lasted for a day, proposals of everybody, and those that nobody answered; now and then

Each slice is a transaction of its own that also says how far was read; a restart goes on from there, and what is read twice
changes nothing. A slice that fails is taken again in parts, so that one entry that cannot be read holds up nobody else. Nothing
that comes in waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from emtrack.clock import Clock
from emtrack.db.connect import connect
from emtrack.db.session import Limits
from emtrack.iom.grading import members_now, propose, raise_unanswered
from emtrack.iom.signal_making import (
    ENTRY_CURSOR,
    MATERIAL_CURSOR,
    cursor_of,
    move_cursor,
    take_entries,
    take_ledger_alerts,
    take_material,
    take_silences,
)
from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.sealing.store import Fence, ended_before, fence
from emtrack.service.back_off import BackOff
from emtrack.service.beside import wait_for_stop

if TYPE_CHECKING:
    from emtrack.db.session import Session

EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 20.0
MOST_MATERIAL: Final = 200
MOST_ENTRIES: Final = 200
MOST_SWEPT: Final = 200
LIMITS: Final = Limits(statement_s=30.0, lock_s=30.0, answer_s=35.0, idle_s=10.0)

NEXT_MATERIAL = """
SELECT material_no FROM log_material
WHERE material_no > $1 AND kind IN ('finding_versions', 'alert_actions', 'atv_lines') AND NOT material_no = ANY($2::bigint[])
ORDER BY material_no LIMIT 1
"""
NEXT_ENTRY = "SELECT min(entry_no) FROM iom_entries WHERE entry_no > $1"

log = structlog.get_logger()


class SignalMaker:
    """`stopwatch`: real seconds."""

    def __init__(
        self, dsn: str, clock: Clock, metrics: Metrics, stopwatch: Callable[[], float] = time.monotonic
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._metrics = metrics
        self._stopwatch = stopwatch
        self._settled = 0
        self._entries = 0
        self._done: set[int] = set()
        self._fence: Fence | None = None
        self._swept_s = float("-inf")
        self._all_taken_s = stopwatch()
        self._back_off = BackOff()
        metrics.signal_lag.set_function(lambda: self._stopwatch() - self._all_taken_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; outlives everything that a database can do."""
        while not stop.is_set():
            try:
                connection = await connect(self._dsn, name="emtrack signals")
                try:
                    await connection.set_limits(LIMITS)
                    await self.load(connection)
                    await self._follow(stop, connection)
                finally:
                    with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                        await connection.close(timeout=5)
            except Exception as error:
                self._metrics.signal_failures.inc()
                log.error("making of signals starts anew", error=type(error).__name__, where=origin_of(error).line)
                await wait_for_stop(stop, self._back_off.next_s())

    async def _follow(self, stop: asyncio.Event, connection: Session) -> None:
        while not stop.is_set():
            if not await self.pass_once(connection):
                self._all_taken_s = self._stopwatch()
                await wait_for_stop(stop, EVERY_S)
            self._back_off.went_well()

    async def load(self, connection: Session) -> None:
        """How far was read. A service that makes its first signals begins with what is new, and with whoever is in the programme."""
        settled = await cursor_of(connection, MATERIAL_CURSOR)
        if settled is None:
            settled = (await fence(connection)).highest
            await move_cursor(connection, MATERIAL_CURSOR, settled)
        self._settled, self._done, self._fence = settled, set(), None
        self._entries = await cursor_of(connection, ENTRY_CURSOR) or 0

    async def pass_once(self, connection: Session) -> bool:
        """A slice of each. Whether more may wait."""
        more = await self._material(connection)
        more = await self._new_entries(connection) or more
        await self._move_fence(connection)
        if self._stopwatch() - self._swept_s >= SWEEP_EVERY_S:
            await self.sweep(connection)
            self._swept_s = self._stopwatch()
        return more

    async def _material(self, connection: Session) -> bool:
        most = MOST_MATERIAL
        while True:
            try:
                async with connection.transaction():
                    now_ms = self._clock.now_ms()
                    taken = await take_material(connection, self._settled, self._done, most, now_ms)
                    if taken.people:
                        await propose(connection, sorted(taken.people), now_ms)
                self._done.update(taken.material)
                return len(taken.material) == most
            except (ValueError, KeyError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                if most == 1:
                    await self._leave_out_material(connection, error)
                    return True
                most = 1

    async def _leave_out_material(self, connection: Session, error: Exception) -> None:
        """The next one cannot be read: it is told, counted and passed."""
        self._set_aside(error)
        row = await connection.fetchrow(NEXT_MATERIAL, self._settled, list(self._done))
        if row is not None:
            self._done.add(row["material_no"])

    async def _new_entries(self, connection: Session) -> bool:
        most = MOST_ENTRIES
        while True:
            try:
                async with connection.transaction():
                    now_ms = self._clock.now_ms()
                    taken = await take_entries(connection, self._entries, most, now_ms)
                    if taken.people:
                        await propose(connection, sorted(taken.people), now_ms)
                    if taken.material:
                        await move_cursor(connection, ENTRY_CURSOR, taken.material[-1])
                self._entries = taken.material[-1] if taken.material else self._entries
                return bool(taken.material)
            except (ValueError, KeyError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                if most == 1:
                    self._set_aside(error)
                    self._entries = await connection.fetchval(NEXT_ENTRY, self._entries)
                    return True
                most = 1

    def _set_aside(self, error: Exception) -> None:
        self._metrics.signal_failures.inc()
        log.error("no signal can be made of something", error=type(error).__name__, where=origin_of(error).line)

    async def _move_fence(self, connection: Session) -> None:
        """What is below a fence that everybody has passed, and was taken in, is settled."""
        if self._fence is None:
            self._fence = await fence(connection)
        elif await ended_before(connection) >= self._fence.until:
            waits = await connection.fetchval(NEXT_MATERIAL, self._settled, list(self._done))
            below = self._fence.highest if waits is None else min(self._fence.highest, waits - 1)
            if below > self._settled:
                await move_cursor(connection, MATERIAL_CURSOR, below)
                self._settled = below
                self._done = {number for number in self._done if number > below}
            self._fence = None

    async def _propose(self, connection: Session, people: Sequence[int], now_ms: int) -> None:
        """Of whom it cannot be done is told and counted; of the others it is."""
        try:
            async with connection.transaction():
                await propose(connection, people, now_ms)
        except (ValueError, KeyError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(people) == 1:
                self._set_aside(error)
                return
            middle = len(people) // 2
            await self._propose(connection, people[:middle], now_ms)
            await self._propose(connection, people[middle:], now_ms)

    async def sweep(self, connection: Session) -> None:
        """What time alone brings."""
        now_ms = self._clock.now_ms()
        for step in (take_silences, take_ledger_alerts):
            async with connection.transaction():
                await step(connection, MOST_SWEPT, now_ms)
        members = await members_now(connection)
        for first in range(0, len(members), MOST_SWEPT):
            await self._propose(connection, members[first : first + MOST_SWEPT], now_ms)
        async with connection.transaction():
            await raise_unanswered(connection, MOST_SWEPT, now_ms)
