"""How commands run what is asynchronous."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from emtrack.settings import Settings

Result = TypeVar("Result")


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


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def run_until_signal(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run something that ends when its event is set: Ctrl-C and SIGTERM set it; a second one ends at once."""

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, stop)
        await work(stop)

    run(body())


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()
