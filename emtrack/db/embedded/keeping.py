"""The server of a long-running program, which starts it again when it ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from emtrack.db.embedded.directories import told_clearly
from emtrack.db.embedded.errors import EmbeddedServerError, StillRecovering
from emtrack.db.embedded.locks import transition
from emtrack.db.embedded.server import START_PATIENCE_S, ServerShare, joined_server

LOOK_S: Final = 1.0
MOST_STARTS: Final = 5
WITHIN_S: Final = 600.0
"""A server that has to be started more often within this time has a fault that no start mends."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def kept_server(data_dir: Path, *, program: str, look_s: float = LOOK_S) -> AsyncIterator[str]:
    """As `embedded_server` for the one long-running program; looks every `look_s` seconds, and starts the server again when it ended.

    Raises what `embedded_server` raises, and an EmbeddedServerError (in a group) when the server cannot be kept.
    """
    async with joined_server(data_dir, program=program, exclusive=True) as server, asyncio.TaskGroup() as group:
        keeping = group.create_task(_keep(server, look_s))
        try:
            yield server.dsn
        finally:
            keeping.cancel()


async def _keep(server: ServerShare, look_s: float) -> None:
    starts: deque[float] = deque(maxlen=MOST_STARTS)
    while True:
        await asyncio.sleep(look_s)
        if server.is_alive():
            continue
        _refuse_too_often(server, starts)
        starts.append(time.monotonic())
        log.error("postgres_ended_under_us", log_directory=str(server.directory.log), starts=len(starts))
        await _start_again(server)


async def _start_again(server: ServerShare) -> None:
    try:
        with told_clearly(server.directory):
            async with transition(server.directory, START_PATIENCE_S):
                await server.start_again(START_PATIENCE_S)
    except StillRecovering as error:
        log.warning("postgres_recovering", what=str(error))  # it is alive, and the worker asks until it answers
    else:
        log.info("postgres_started_again")


def _refuse_too_often(server: ServerShare, starts: deque[float]) -> None:
    if len(starts) == MOST_STARTS and time.monotonic() - starts[0] < WITHIN_S:
        raise EmbeddedServerError(
            f"PostgreSQL on {server.directory.data} ended and was started again {MOST_STARTS} times within "
            f"{WITHIN_S / 60:.0f} minutes, and ended again. See the newest file in {server.directory.log}, put right what it "
            "names, then start emtrack again."
        )
