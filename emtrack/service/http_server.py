"""The HTTP server in the loop of the service."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette

from emtrack.service.connections import Connection, Places, end_late_ones, most_connections
from emtrack.settings import Settings, SettingsError


@asynccontextmanager
async def listening(application: Starlette, settings: Settings, stop: asyncio.Event) -> AsyncIterator[str]:
    """Serve HTTP in this loop; yields the address. Ends when `stop` is set, once open requests are answered."""
    listener = _bound_socket(settings)
    places = Places(
        most_connections(settings.connections),
        settings.connections_of_one,
        settings.proxies,
        time.monotonic,
    )
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
        host, port = listener.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
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


def _bound_socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(1024)  # from here on nobody is turned away, although the server answers a little later
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {settings.listen}: {error.strerror}. Another program may use the port; "
            "end it, or set EMTRACK_LISTEN to another."
        ) from error
    return listener
