"""What people do to alerts, for pages and programs alike: done in a transaction, and told to those who follow."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import asyncpg

from alerts import Move, UnfitAction, act, send_to_wearer
from emtrack.clock import Clock
from emtrack.forms.names import unfit_text
from emtrack.people.roles import Caller


class Wish(NamedTuple):
    """What somebody wants to do to an alert. `for_minutes`: how long it is suspended. `confirmed`: who closes it knows that it goes
    on. `message`: the text that the wearer is sent."""

    action: str
    outcome: str | None = None
    note: str | None = None
    for_minutes: int | None = None
    confirmed: bool = False
    message: str | None = None


class AlertWork:
    """`changed` wakes the streams of this program."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, changed: asyncio.Condition) -> None:
        self._pool = pool
        self._clock = clock
        self._changed = changed

    async def act(self, alert_no: int, caller: Caller, wish: Wish) -> None:
        """Raises UnfitAction, NoAlert or Overtaken; then nothing was done."""
        if wish.note is not None and (trouble := unfit_text(wish.note)) is not None:
            raise UnfitAction(f"the note cannot be kept: {trouble}")
        now_ms = self._clock.now_ms()
        until_ms = None if wish.for_minutes is None else now_ms + wish.for_minutes * 60_000
        async with self._pool.acquire() as connection, connection.transaction():
            if wish.message is not None:
                await send_to_wearer(connection, alert_no, wish.message, now_ms)
            elif wish.action == Move.MESSAGE:
                raise UnfitAction("messages to wearers are sent on the page of an alert")
            await act(
                connection, alert_no, who=caller.name, action=wish.action, outcome=wish.outcome, note=wish.note,
                until_ms=until_ms, confirmed=wish.confirmed, now_ms=now_ms,
            )  # fmt: skip
        await self.tell()

    async def tell(self) -> None:
        """Those who follow look again."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_for_change(self, at_most_s: float) -> None:
        """Until something changed in this program, or the time is over."""
        try:
            async with asyncio.timeout(at_most_s), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return
