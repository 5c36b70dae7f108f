"""Brings messages of the outbox to their targets: a task and a connection of its own, beside the turns.

At most `MOST_AT_ONCE` attempts at a time and one of a channel, so that a target that does not answer keeps no other waiting. What
became of an attempt is written down when it is known; if we end before that, it is tried again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from alerts import Attempt, ChannelKind, attempts_due, count_undelivered, gather, was_delivered, was_not_delivered
from emtrack.clock import Clock
from emtrack.db.session import Limits, Session
from emtrack.delivery.errors import NotDelivered
from emtrack.delivery.mail import MailServer, send_mail
from emtrack.delivery.webhook import WebhookSender
from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.service.beside import keep_working

EVERY_S: Final = 1.0
MOST_AT_ONCE: Final = 8
MOST_AGAIN: Final = 4
"""Of them, that failed before: targets that hang keep no slot from one that works."""
LIMITS: Final = Limits(statement_s=30.0, lock_s=10.0, answer_s=35.0, idle_s=10.0)

log = structlog.get_logger()


class Outcome(NamedTuple):
    """Of an attempt. `error` None: it arrived."""

    delivery_no: int
    channel_no: int
    error: str | None


class Deliverer:
    """`wake` is set when something was posted."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        metrics: Metrics,
        wake: asyncio.Event,
        mail_server: MailServer | None,
        webhooks: WebhookSender,
        base_url: str,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._metrics = metrics
        self._wake = wake
        self._mail_server = mail_server
        self._webhooks = webhooks
        self._base_url = base_url
        self._under_way: dict[asyncio.Task[Outcome], Attempt] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; attempts that are under way then are broken off."""
        try:
            await keep_working(self._dsn, "emtrack deliveries", LIMITS, self.once, self._pause, stop)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until something was posted, an attempt has ended, or a second is over."""
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._wake.wait())]
        await asyncio.wait([*waits, *self._under_way], timeout=EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
        self._wake.clear()

    async def once(self, connection: Session) -> bool:
        """Write down what became of attempts, and begin those that are due."""
        await self._note(connection)
        busy = [attempt.channel.channel_no for attempt in self._under_way.values()]
        again = sum(attempt.tries > 2 for attempt in self._under_way.values())
        async with connection.transaction():
            await gather(connection, self._clock.now_ms())
            attempts = await attempts_due(
                connection, self._clock.now_ms(), MOST_AT_ONCE - len(busy), busy, MOST_AGAIN - again
            )
        for attempt in attempts:
            self._under_way[asyncio.create_task(self._try(attempt))] = attempt
        self._metrics.undelivered.set(await count_undelivered(connection, self._clock.now_ms()))
        return False

    async def _note(self, connection: Session) -> None:
        for task in [task for task in self._under_way if task.done()]:
            outcome = task.result()
            if outcome.error is None:
                await was_delivered(connection, outcome.delivery_no, self._clock.now_ms())
            else:
                await was_not_delivered(connection, outcome.delivery_no, outcome.error)
            del self._under_way[task]
            self._metrics.deliveries.labels("failed" if outcome.error else "delivered").inc()

    async def _try(self, attempt: Attempt) -> Outcome:
        """Whatever goes wrong is an outcome: the next attempt stands in the database."""
        error: str | None = None
        try:
            await self._send(attempt)
        except NotDelivered as trouble:
            error = str(trouble)
        except Exception as fault:
            log.error("an attempt to deliver failed", error=type(fault).__name__, where=origin_of(fault).line)
            error = f"A fault of the program ({type(fault).__name__})"
        return Outcome(attempt.delivery_no, attempt.channel.channel_no, error)

    async def _send(self, attempt: Attempt) -> None:
        if attempt.channel.kind is ChannelKind.EMAIL:
            await send_mail(self._mail_server, attempt, self._base_url)
        else:
            await self._webhooks.send(attempt, self._base_url)
