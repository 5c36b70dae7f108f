"""An outside witness: a command of the deployment that is given each new head of the log on its standard input.

What another keeps of the heads, nobody here can change. The witness may be slow or dead: heads do not wait for it, and of those that
come while it works only the newest is given to it next.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from emtrack.metrics import Metrics

PATIENCE_S: Final = 10.0

log = structlog.get_logger()


class Witness:
    """`command`: with its arguments; empty: there is none."""

    def __init__(self, command: Sequence[str], metrics: Metrics, patience_s: float = PATIENCE_S) -> None:
        self._command = command
        self._metrics = metrics
        self._patience_s = patience_s
        self._newest: str | None = None
        self._told = asyncio.Event()

    def tell(self, note: str) -> None:
        """Never waits."""
        self._newest = note
        self._told.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while self._command:
            await self._told.wait()
            self._told.clear()
            if self._newest is not None:
                await self.give(self._newest)

    async def give(self, note: str) -> None:
        """One head. A failure is logged and counted, and nothing else."""
        try:
            code = await self._status_of(note)
        except (OSError, TimeoutError) as error:
            self._failed(type(error).__name__)
        else:
            if code != 0:
                self._failed(f"exit code {code}")

    def _failed(self, how: str) -> None:
        self._metrics.witness_failures.inc()
        log.warning("the witness did not take a head", how=how)

    async def _status_of(self, note: str) -> int | None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.defpath},
        )
        try:
            async with asyncio.timeout(self._patience_s):
                await process.communicate(note.encode())
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return process.returncode
