"""Work beside the turns: in passes, with a connection of its own, begun anew whenever it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import asyncpg
import structlog

from emtrack.db.connect import connect
from emtrack.db.errors import is_of_the_database
from emtrack.db.session import Limits, Session
from emtrack.logs import origin_of
from emtrack.service.back_off import BackOff
from ingest import ended

log = structlog.get_logger()

Once = Callable[[Session], Awaitable[bool]]
"""A pass. Whether more waits."""
Taken = TypeVar("Taken")
PUT_OFF_MS = 60_000
"""What could not be looked at is looked at again after it."""
Pause = Callable[[asyncio.Event], Awaitable[None]]
"""Waits until there may be something to do, or the event is set."""


async def keep_working(dsn: str, name: str, limits: Limits, once: Once, pause: Pause, stop: asyncio.Event) -> None:
    """Pass after pass until `stop` is set. Outlives everything that a database can do; what a pass leaves undone must stand there."""
    back_off = BackOff()
    while not stop.is_set():
        try:
            connection = await connect(dsn, name=name)
            try:
                await connection.set_limits(limits)
                while not stop.is_set():
                    has_more = await once(connection)
                    back_off.went_well()
                    if not has_more:
                        await pause(stop)
            finally:
                with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                    await connection.close(timeout=2)
        except Exception as error:
            log.error(
                "work beside the turns begins anew",
                what=name,
                error=type(error).__name__,
                where=origin_of(error).line,
            )
            await wait_for_stop(stop, back_off.next_s())


async def in_ever_smaller_slices(
    most: int, take: Callable[[int], Awaitable[Taken]], put_off_first: Callable[[], Awaitable[object]]
) -> Taken | None:
    """What waits, a slice of it in order. Where that fails, ever fewer, down to the one at which it stays: that is put off, so that
    it holds up nothing else (None)."""
    while True:
        try:
            return await take(most)
        except Exception as error:
            if is_of_the_database(error):
                raise
            if most == 1:
                log.error("something was put off", error=type(error).__name__, where=origin_of(error).line)
                await put_off_first()
                return None
        most //= 2


async def wait_for_stop(stop: asyncio.Event, at_most_s: float) -> None:
    """Until `stop` is set, or the seconds are over."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), at_most_s)


async def done_before(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Whether work is done before `stop` is set; else it is left. Raises what it raises."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        stopping.cancel()
        await ended(working)
