"""What the service tells the people on call of itself, through the same outbox as alerts: that it is behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alerts.channels import channels_now
from alerts.outbox import NewMessage, post
from alerts.rota import on_call

if TYPE_CHECKING:
    from alerts.store import Connection

FIRST = 1


async def tell_on_call(connection: Connection, key: str, subject: str, lines: Sequence[str], now_ms: int) -> int:
    """Once of a key, inside the caller's transaction: to who is on call first, or else to the channels that stand in. Where there is
    nobody, a message that says so stands undelivered. How many are new. No name and no place may be in it."""
    channels = [c for c in await channels_now(connection) if not (c.is_canary or c.is_for_wearers)]
    accounts = await on_call(connection, FIRST, now_ms)
    to = [c for c in channels if c.account in accounts] or [c for c in channels if c.is_fallback]
    numbers: list[int | None] = [channel.channel_no for channel in to]
    fields = {"topic": "service", "subject": subject, "lines": list(lines)}
    return await post(connection, [NewMessage(number, key, fields) for number in numbers or [None]], now_ms)
