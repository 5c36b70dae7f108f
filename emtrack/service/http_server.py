"""The HTTP server in the loop of the service."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette

from emtrack.service.connections import Connection, Places, end_late_ones, most_connections
from emtrack.service.sockets import listening_socket, told_address
from emtrack.settings import Settings


def places_of(settings: Settings) -> Places:
    """For all connections of the service."""
    return Places(
        most_connections(settings.connections),
        settings.connections_of_one,
        settings.proxies,
        time.monotonic,
    )


@asynccontextmanager
async def listening(
    application: Starlette, settings: Settings, places: Places, stop: asyncio.Event
) -> AsyncIterator[str]:
    """Serve HTTP in this loop; yields the address. Ends when `stop` is set, once open requests are answered."""
    listener = listening_socket(settings.host, settings.port, "EMTRACK_LISTEN")
    bounded: Any = functools.partial(Connection, places=places)
    config = uvicorn.Config(
        application, http=bounded, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=10,
        timeout_keep_alive=75, server_header=False, backlog=1024, ws="none",
        proxy_headers=settings.is_secure, forwarded_allow_ips=list(settings.proxies),
    )  # fmt: skip
    server = _HttpServer(config)
    task = asyncio.create_task(server.serve([listener]))
    ending = asyncio.create_task(end_late_ones(places))
    try:
        yield f"http://{told_address(listener)}"
    finally:
        stop.set()
        server.should_exit = True
        await task
        ending.cancel()
        await asyncio.wait([ending])


class _HttpServer(uvicorn.Server):
    """Signals are ours: they end the program in order, the HTTP server first."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()
