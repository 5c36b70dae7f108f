"""Days of which there is no partition of positions yet. A few are made in the turn that needs them; a request that needs many waits
beside the turns until they are made, one after the other, over a connection of their own: nobody else waits for it. Of several
requests the one that needs fewest goes first. For one device only so many are made in an hour: a stolen key makes no thousands."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

import asyncpg
import structlog

from emtrack.db.connect import connect
from geofence.judgement import DAY_MS
from ingest import NotCommitted, PositionReport, Refusal, Submission, Tell, TooManyDays, known_days, make_days

MOST_IN_A_TURN = 3
MOST_WAITING = 100
"""Requests that may wait for days. More are told to send again: by then there are days."""
AN_HOUR = 400
"""New days of one device: more than a year of history."""
HOUR_S = 3_600.0
RETRY_S = 1.0

log = structlog.get_logger()


class _Request:
    """One that waits. `days`: those to be made for it. `is_whole`: all that it needs."""

    def __init__(self, submission: Submission, days: set[int], *, is_whole: bool) -> None:
        self.submission = submission
        self.days = days
        self.is_whole = is_whole


class NewDays:
    """`give_back`: called with a request whose days are made. `an_hour`: how many for one device. `stopwatch` in seconds."""

    def __init__(
        self,
        dsn: str,
        give_back: Callable[[Submission], None],
        an_hour: int = AN_HOUR,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._give_back = give_back
        self._known: set[int] = set()
        self._waiting: list[_Request] = []
        self._task: asyncio.Task[None] | None = None
        self._made_for = _MadeFor(an_hour, stopwatch)

    async def load(self, connection: asyncpg.Connection[Any]) -> None:
        self._known = await known_days(connection)

    def ready(self, batch: Sequence[Submission], tell: Tell) -> list[Submission]:
        """Those of a turn that need few new days. The others wait, or are told to send again."""
        found: list[Submission] = []
        new: set[int] = set()
        for submission in batch:
            missing = self._missing(submission, tell)
            left = self._made_for.left(submission.device_no) if missing else 0
            if len(new | missing) > MOST_IN_A_TURN or len(missing) > left:
                self._wait(submission, missing, left)
                continue
            self._made_for.charge(submission.device_no, len(missing))
            new |= missing
            found.append(submission)
        return found

    def forget(self) -> None:
        """The worker begins anew: who waits is told to send again."""
        for request in self._waiting:
            _send_again(request.submission)
        self._waiting = []

    async def close(self) -> None:
        self.forget()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def to_make(self, days: set[int], now_ms: int) -> set[int]:
        """Of days that a turn needs those of which the database must be asked. What retention takes away is older than yesterday."""
        yesterday = now_ms // DAY_MS - 1
        return {day for day in days if day < yesterday or day not in self._known}

    @property
    def known(self) -> Collection[int]:
        """Days that have a partition."""
        return self._known

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

    def _wait(self, submission: Submission, missing: set[int], left: int) -> None:
        if left <= 0:
            self._put_off(submission)
            return
        if len(self._waiting) >= MOST_WAITING:
            _send_again(submission)
            return
        days = set(sorted(missing)[:left])
        self._made_for.charge(submission.device_no, len(days))
        self._waiting.append(_Request(submission, days, is_whole=len(days) == len(missing)))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    def _put_off(self, submission: Submission) -> None:
        if not submission.done.done():
            submission.done.set_exception(TooManyDays(self._made_for.again_in_s(submission.device_no)))

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
        """A day at a time, each for the request that needs fewest: who comes while a long one is served is not behind it."""
        while self._waiting:
            for request in self._waiting:
                request.days -= self._known
            request = min(self._waiting, key=lambda one: len(one.days))
            if request.days:
                day = min(request.days)
                await make_days(connection, [day])
                self._known.add(day)
            elif request in self._waiting:
                self._waiting.remove(request)
                self._served(request)

    def _served(self, request: _Request) -> None:
        if request.is_whole:
            self._give_back(request.submission)
        else:
            self._put_off(request.submission)


class _MadeFor:
    """How many days were made for each device in the last hour."""

    def __init__(self, most: int, stopwatch: Callable[[], float]) -> None:
        self._most = most
        self._stopwatch = stopwatch
        self._made: dict[int, deque[tuple[float, int]]] = {}

    def left(self, device_no: int) -> int:
        made = self._made.get(device_no)
        while made and made[0][0] <= self._stopwatch() - HOUR_S:
            made.popleft()
        if made is not None and not made:
            del self._made[device_no]
        return self._most - sum(count for _, count in made or ())

    def charge(self, device_no: int, count: int) -> None:
        if count:
            self._made.setdefault(device_no, deque()).append((self._stopwatch(), count))

    def again_in_s(self, device_no: int) -> int:
        made = self._made.get(device_no)
        return int(made[0][0] + HOUR_S - self._stopwatch()) + 1 if made else int(HOUR_S)


def _send_again(submission: Submission) -> None:
    if not submission.done.done():
        submission.done.set_exception(NotCommitted())
