"""What is of the whole service once, whoever does it: deadlines, messages, signals, the log. Of several processes that could, the one
does it that holds a lock; when it ends, or its connection does, another takes over.

A process that stands still (a machine that is suspended, SIGSTOP) keeps its connection. Whoever holds the lock asks the server
something once a second. If the server has waited for it for `STANDS_STILL_S`, the others end its session and what else it holds;
when it wakes, its connection is gone, and it ends its parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from alerts import AlertLock
from emtrack.db.connect import connect
from emtrack.db.locks import KEEPER_LOCK, PACKING_LOCK, SEALING_LOCK, end_holders_standing_still, try_lock
from emtrack.db.session import Limits, Session
from emtrack.logs import origin_of
from emtrack.service.back_off import BackOff
from emtrack.service.beside import wait_for_stop

LOOK_EVERY_S = 1.0
STANDS_STILL_S = 5.0
LEFT_BEHIND = (SEALING_LOCK, PACKING_LOCK, AlertLock.ALERTS, AlertLock.LEDGER)
"""What the parts of a process that stands still may hold beside the lock of the keeper."""
LIMITS = Limits(statement_s=5.0, lock_s=2.0, answer_s=6.0)
END_WITHIN_S = 10.0

log = structlog.get_logger()

Part = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Works until its event is set."""


class PartEnded(Exception):
    """A part ended although nobody told it to."""


async def keep(dsn: str, parts: Callable[[], Sequence[Part]], stop: asyncio.Event) -> None:
    """Runs the parts whenever the lock is ours. Outlives everything that a database can do; when a part ends, all are ended, and
    begun anew here or by another process."""
    back_off = BackOff()
    while not stop.is_set():
        try:
            await _keep_once(dsn, parts, back_off, stop)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("what is of the whole service is not looked after here", error=type(error).__name__)
            await wait_for_stop(stop, LOOK_EVERY_S)
        except PartEnded as ended:
            cause = ended.__cause__
            log.error(
                "a part of what is of the whole service ended: all are begun anew",
                part=str(ended),
                error=type(cause).__name__,
                where=origin_of(cause).line if isinstance(cause, Exception) else None,
            )
            await wait_for_stop(stop, back_off.next_s())


async def _keep_once(dsn: str, parts: Callable[[], Sequence[Part]], back_off: BackOff, stop: asyncio.Event) -> None:
    connection = await connect(dsn, name="emtrack keeper")
    try:
        await connection.set_limits(LIMITS)
        while not stop.is_set() and not await try_lock(connection, KEEPER_LOCK):
            if not await _end_who_stands_still(connection):
                await wait_for_stop(stop, LOOK_EVERY_S)
        if not stop.is_set():
            await _while_held(connection, parts(), back_off, stop)
    finally:
        with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
            await connection.close(timeout=2)


async def _end_who_stands_still(connection: Session) -> bool:
    """Whether there was one."""
    if not await end_holders_standing_still(connection, KEEPER_LOCK, STANDS_STILL_S):
        return False
    left = [await end_holders_standing_still(connection, lock, STANDS_STILL_S - LOOK_EVERY_S) for lock in LEFT_BEHIND]
    log.error("whoever looked after the whole service stands still: its sessions are ended", sessions=1 + sum(left))
    return True


async def _while_held(connection: Session, parts: Sequence[Part], back_off: BackOff, stop: asyncio.Event) -> None:
    """Until `stop` is set, a part ends (PartEnded) or the connection is lost, which raises. The parts are ended first."""
    ending = asyncio.Event()
    tasks = [asyncio.create_task(part(ending)) for part in parts]
    try:
        while not stop.is_set():
            await connection.execute("SELECT")
            await wait_for_stop(stop, LOOK_EVERY_S)
            _raise_of(tasks)
            back_off.went_well()
    finally:
        ending.set()
        _, late = await asyncio.wait(tasks, timeout=END_WITHIN_S)
        for task in late:
            task.cancel()
        await asyncio.wait(tasks)


def _raise_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """PartEnded for one that did."""
    for task in tasks:
        if task.done():
            raise PartEnded(getattr(task.get_coro(), "__qualname__", "")) from task.exception()
