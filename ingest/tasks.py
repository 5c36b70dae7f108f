"""Work that goes on beside what began it, and uses its connection."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(task: asyncio.Future[Any]) -> None:
    """Until it is over. Who cancels us meanwhile waits, or its connection would be used by two at once. What it raised is for who
    awaits it: here it is only collected."""
    task.cancel()
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if not task.cancelled():
        task.exception()
    if cancelled:
        raise asyncio.CancelledError
