"""A gateway's routing, kept as orders change: a look at the log of changes several times a second, over a connection of its own."""

from __future__ import annotations

import asyncio

import structlog

from emtrack.db.session import Limits, Session
from emtrack.record.changes import last_change, order_changes_after
from emtrack.record.routing import Routing
from emtrack.service.beside import keep_working, wait_for_stop

LOOK_EVERY_S = 0.3
LIMITS = Limits(statement_s=60.0, lock_s=10.0, answer_s=65.0)

log = structlog.get_logger()


class RoutingWatch:
    """`loaded` is set when there is something to go by."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._seen: int | None = None
        self.routing = Routing(1)
        self.loaded = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        await keep_working(self._dsn, "emtrack routing", LIMITS, self._look, self._pause, stop)

    async def _look(self, connection: Session) -> bool:
        if self._seen is None:
            seen, _ = await last_change(connection)
            self.routing.take_over(await Routing.loaded(connection))
            self._seen = seen
            self.loaded.set()
            return False
        changes = await order_changes_after(connection, self._seen)
        wearers = sorted({change.wearer_no for change in changes if change.wearer_no is not None})
        if wearers:
            await self.routing.reload(connection, wearers)
        if changes:
            self._seen = changes[-1].change_no
        return False

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait_for_stop(stop, LOOK_EVERY_S)
