"""What is of the whole service once, whoever does it: deadlines, messages, signals, the log. Of several processes that could, the one
does it that holds a lock; when it ends, or its connection does, another takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from emtrack.db.connect import connect
from emtrack.db.locks import KEEPER_LOCK, try_lock
from emtrack.db.session import Limits, Session
from emtrack.service.beside import wait_for_stop

LOOK_EVERY_S = 1.0
LIMITS = Limits(statement_s=5.0, lock_s=2.0, answer_s=6.0)
END_WITHIN_S = 10.0

log = structlog.get_logger()

Part = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Works until its event is set."""


async def keep(dsn: str, parts: Callable[[], Sequence[Part]], stop: asyncio.Event) -> None:
    """Runs the parts whenever the lock is ours. Outlives everything that a database can do."""
    while not stop.is_set():
        try:
            connection = await connect(dsn, name="emtrack keeper")
            try:
                await connection.set_limits(LIMITS)
                while not stop.is_set() and not await try_lock(connection, KEEPER_LOCK):
                    await wait_for_stop(stop, LOOK_EVERY_S)
                if not stop.is_set():
                    await _while_held(connection, parts(), stop)
            finally:
                with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                    await connection.close(timeout=2)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("what is of the whole service is not looked after here", error=type(error).__name__)
            await wait_for_stop(stop, LOOK_EVERY_S)


async def _while_held(connection: Session, parts: Sequence[Part], stop: asyncio.Event) -> None:
    """Until `stop` is set or the connection is lost, which raises. The parts are ended first."""
    ending = asyncio.Event()
    tasks = [asyncio.create_task(part(ending)) for part in parts]
    try:
        while not stop.is_set():
            await connection.execute("SELECT")
            await wait_for_stop(stop, LOOK_EVERY_S)
    finally:
        ending.set()
        _, late = await asyncio.wait(tasks, timeout=END_WITHIN_S)
        for task in late:
            task.cancel()
        await asyncio.wait(tasks)
