"""What happens to credentials is in force within a second: one connection of its own looks for changes.

A look is one statement on an index, every `LOOK_EVERY_S`, whatever comes in: no report and no turn asks anything of it. It is not
LISTEN and NOTIFY, because a listener whose connection is cut hears nothing and does not know it: it would have to ask all the same.
Changes are written by triggers, so that a statement of an administrator in psql is heard as well as our own commands; they are read
by transaction, as alerts are, so that none is missed.

When the connection is lost, everything is read again with the next one. Until then nobody knows whether a key is good: `fresh` waits
a little and then refuses, the device door answers 503, and an open stream asks for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from emtrack.db.connect import connect
from emtrack.db.session import Limits, Session
from emtrack.service.beside import wait_for_stop
from emtrack.service.keys import DeviceKeys
from ingest import KeysUnknown

LOOK_EVERY_S = 0.3
FRESH_FOR_S = 1.0
"""A look that began longer ago says nothing of now."""
WAIT_FOR_FRESH_S = 2.0
RETRY_S = 0.2
LIMITS = Limits(statement_s=10.0, lock_s=2.0, answer_s=11.0)
MOST_RELOADED = 1_000
"""Keys of more devices are read with all others."""

HERE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# Of what was in doubt at the last look and since then; the first column says where the next begins.
CHANGES = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS here, c.change_no, c.device_no,
       coalesce(e.event_no, a.event_no) AS event_no, coalesce(e.subject, 'account') AS subject, coalesce(e.what, a.what) AS what
FROM (SELECT) AS one LEFT JOIN credential_changes c ON c.written_by >= $1::text::xid8
LEFT JOIN credential_events e ON e.event_no = c.event_no
LEFT JOIN account_events a ON a.event_no = c.account_event_no ORDER BY c.change_no
"""

LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

log = structlog.get_logger()


class CredentialWatch:
    """`changed` wakes the open streams of this program. `version` grows with each change."""

    def __init__(
        self,
        dsn: str,
        keys: DeviceKeys,
        changed: asyncio.Condition,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._keys = keys
        self._changed = changed
        self._stopwatch = stopwatch
        self._looked_s = float("-inf")
        self._looked = asyncio.Condition()
        self._here = "0"
        self._seen: set[int] = set()
        self.version = 0

    @property
    def is_fresh(self) -> bool:
        """Whether what is known is of now."""
        return self._stopwatch() - self._looked_s < FRESH_FOR_S

    async def fresh(self) -> None:
        """When what is known is of now. Raises KeysUnknown if it does not come to be within a moment."""
        if self.is_fresh:
            return
        try:
            async with asyncio.timeout(WAIT_FOR_FRESH_S), self._looked:
                await self._looked.wait_for(lambda: self.is_fresh)
        except TimeoutError:
            raise KeysUnknown from None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; outlives everything that a database can do."""
        while not stop.is_set():
            try:
                connection = await connect(self._dsn, name="emtrack credentials")
                try:
                    await self._follow(connection, stop)
                finally:
                    with suppress(*LOST):
                        await connection.close(timeout=2)
            except LOST as error:
                log.error("credentials are not watched", error=type(error).__name__, retry_s=RETRY_S)
                await wait_for_stop(stop, RETRY_S)

    async def _follow(self, connection: Session, stop: asyncio.Event) -> None:
        await connection.set_limits(LIMITS)
        began_s = self._stopwatch()
        self._here, self._seen = await connection.fetchval(HERE), set()
        await self._keys.load(connection)
        await self._tell_fresh(began_s)
        await self._tell_changed()
        while not stop.is_set():
            await wait_for_stop(stop, LOOK_EVERY_S)
            await self.look(connection)

    async def look(self, connection: Session) -> None:
        """Take in what changed since the last look."""
        began_s = self._stopwatch()
        rows = await connection.fetch(CHANGES, self._here)
        changes = [row for row in rows if row["change_no"] is not None]
        fresh = [row for row in changes if row["change_no"] not in self._seen]
        devices = sorted({row["device_no"] for row in fresh if row["device_no"] is not None})
        if len(devices) > MOST_RELOADED:
            await self._keys.load(connection)
        elif devices:
            await self._keys.reload(connection, devices)
        self._here, self._seen = rows[0]["here"], {row["change_no"] for row in changes}
        events = [row for row in fresh if row["event_no"] is not None]
        for row in events:
            log.info("credential event", event_no=row["event_no"], subject=row["subject"], what=row["what"])
        await self._tell_fresh(began_s)
        if len(events) < len(fresh):  # an event is told of beside the change that it is about
            await self._tell_changed()

    async def _tell_fresh(self, began_s: float) -> None:
        self._looked_s = began_s
        async with self._looked:
            self._looked.notify_all()

    async def _tell_changed(self) -> None:
        self.version += 1
        async with self._changed:
            self._changed.notify_all()
