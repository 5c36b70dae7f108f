"""How commands run what is asynchronous."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

    from emtrack.db.opened import OpenedDatabase
    from emtrack.settings import Settings

Result = TypeVar("Result")
SIGNALLED_TWICE = 130


def settings() -> Settings:
    """The settings of the environment; logs go by them from here on."""
    from emtrack.logs import configure_logs
    from emtrack.settings import read_settings

    found = read_settings()
    configure_logs(found.log_level)
    return found


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end in a fast loop; errors of a task group come out as the first of them."""
    import uvloop

    try:
        return uvloop.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


@asynccontextmanager
async def opened(chosen: Settings, program: str) -> AsyncIterator[OpenedDatabase]:
    """The database and its clock, in a transaction."""
    from emtrack.db.opened import opened_database

    async with opened_database(chosen, program) as found, found.connection.transaction():
        yield found


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def run_until_signal(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run something that ends when its event is set: Ctrl-C and SIGTERM set it. A second signal cancels what still runs, and exits
    with 130; the embedded server is stopped all the same. Raises SystemExit."""

    import asyncio

    async def body() -> bool:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work(stop))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, stop, task)
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
        return task.cancelled()

    if run(body()):
        sys.exit(SIGNALLED_TWICE)


def _on_signal(stop: asyncio.Event, task: asyncio.Future[None]) -> None:
    if stop.is_set():
        task.cancel()
    stop.set()
