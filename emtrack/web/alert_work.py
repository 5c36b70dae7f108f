"""What people do to alerts, for pages and programs alike: done in a transaction, and told to those who follow."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from alerts import UnfitAction, act
from emtrack.clock import Clock
from emtrack.forms.names import unfit_text
from emtrack.people.roles import Caller


class AlertWork:
    """`changed` wakes the streams of this program."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, changed: asyncio.Condition) -> None:
        self._pool = pool
        self._clock = clock
        self._changed = changed

    async def act(self, alert_no: int, caller: Caller, action: str, outcome: str | None, note: str | None) -> None:
        """Acknowledge, note or close. Raises UnfitAction, NoAlert or AlreadyClosed; then nothing was done."""
        if note is not None and (trouble := unfit_text(note)) is not None:
            raise UnfitAction(f"the note cannot be kept: {trouble}")
        now_ms = self._clock.now_ms()
        async with self._pool.acquire() as connection, connection.transaction():
            await act(connection, alert_no, who=caller.name, action=action, outcome=outcome, note=note, now_ms=now_ms)
        async with self._changed:
            self._changed.notify_all()

    async def wait_for_change(self, at_most_s: float) -> None:
        """Until something changed in this program, or the time is over."""
        try:
            async with asyncio.timeout(at_most_s), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return
