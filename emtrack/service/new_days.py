"""Days of which there is no partition of positions yet. A few are made in the turn that needs them; a request that needs many waits
beside the turns until they are made, one after the other, over a connection of their own: nobody else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog

from emtrack.db.connect import connect
from geofence.judgement import DAY_MS
from ingest import NotCommitted, PositionReport, Refusal, Submission, Tell, known_days, make_days

MOST_IN_A_TURN = 3
MOST_WAITING = 100
"""Requests that may wait for days. More are told to send again: by then there are days."""
RETRY_S = 1.0

log = structlog.get_logger()


class NewDays:
    """`give_back`: called with a request whose days are made."""

    def __init__(self, dsn: str, give_back: Callable[[Submission], None]) -> None:
        self._dsn = dsn
        self._give_back = give_back
        self._known: set[int] = set()
        self._waiting: list[tuple[Submission, set[int]]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self, connection: asyncpg.Connection[Any]) -> None:
        self._known = await known_days(connection)

    def ready(self, batch: Sequence[Submission], tell: Tell) -> list[Submission]:
        """Those of a turn that need few new days. The others wait."""
        found: list[Submission] = []
        new: set[int] = set()
        for submission in batch:
            missing = self._missing(submission, tell)
            if len(new | missing) > MOST_IN_A_TURN:
                self._wait(submission, missing)
                continue
            new |= missing
            found.append(submission)
        return found

    def forget(self) -> None:
        """The worker begins anew: who waits is told to send again."""
        for submission, _ in self._waiting:
            _send_again(submission)
        self._waiting = []

    async def close(self) -> None:
        self.forget()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def made(self, days: set[int]) -> None:
        """In a turn that is committed."""
        self._known |= days

    def _missing(self, submission: Submission, tell: Tell) -> set[int]:
        """Days of its positions for which there is no partition, and that are not refused."""
        missing: set[int] = set()
        for received in submission.reports if submission.unreadable is None else ():
            report = received.report
            if not isinstance(report, PositionReport):
                continue
            day = report.fix_ms // DAY_MS
            if day in self._known or day in missing or isinstance(tell(submission.device_no, report), Refusal):
                continue
            missing.add(day)
        return missing

    def _wait(self, submission: Submission, days: set[int]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            _send_again(submission)
            return
        self._waiting.append((submission, days))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            try:
                connection = await connect(self._dsn)
                try:
                    await self._make(connection)
                finally:
                    await connection.close(timeout=5)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("days could not be made", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _make(self, connection: asyncpg.Connection[Any]) -> None:
        while self._waiting:
            submission, days = self._waiting[0]
            for day in sorted(days - self._known):
                await make_days(connection, [day])
                self._known.add(day)
            if self._waiting and self._waiting[0][0] is submission:
                self._waiting.pop(0)
                self._give_back(submission)


def _send_again(submission: Submission) -> None:
    if not submission.done.done():
        submission.done.set_exception(NotCommitted())
