"""Judgements that cost too much for a turn, in a process of their own, one after the other: beside them the turns go on.

The process reads what is committed and writes nothing; the worker takes over what comes back. One that ends is started anew, and does
again what it had not done. It ends with the program: nothing comes in any more.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from emtrack import processes
from emtrack.service.activations import Waiting
from emtrack.service.rebuilding import Rebuild, Rebuilt

log = structlog.get_logger()

RETRY_S = 1.0
MOST_TRIES = 3
"""A judgement at which the process ended so often is a fault of its activation."""


class Failed(NamedTuple):
    """A judgement that could not be made, and where."""

    where: str


class Unreachable(NamedTuple):
    """The database did not answer."""

    error: str


class Order(NamedTuple):
    """What the process is told: of which database, with which folder of zone sets."""

    dsn: str
    sets_dir: Path | None
    rebuild: Rebuild


class Rebuilder:
    """Takes what waits, and gives it back done."""

    def __init__(self, dsn: str, sets_dir: Path | None) -> None:
        self._dsn = dsn
        self._sets_dir = sets_dir
        self._queue: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, waiting: Waiting) -> None:
        first, *others = self._queue or [waiting]
        self._queue = deque([first, *(one for one in others if one.is_wanted)])
        if waiting is not first:
            self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    def forget(self) -> None:
        """Nobody waits for what was submitted: the worker begins anew."""
        self._queue.clear()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._end_process()

    async def _work(self) -> None:
        ended = Counter[Waiting]()
        while self._queue:
            waiting = self._queue[0]
            done: Rebuilt | Failed | None = None
            if waiting.is_wanted:
                done = await self._tried(waiting, ended)
                if done is None:
                    await asyncio.sleep(RETRY_S)
                    continue
            if self._queue and self._queue[0] is waiting:
                self._queue.popleft()
            if isinstance(done, Failed):
                waiting.failed = done.where
            elif done is not None:
                waiting.rebuilt = done

    async def _tried(self, waiting: Waiting, ended: Counter[Waiting]) -> Rebuilt | Failed | None:
        """None: to be tried again. `ended`: how often the process ended at each; a database that does not answer is not its fault."""
        try:
            answer = await self._ask(Order(self._dsn, self._sets_dir, waiting.rebuild))
        except Exception as error:  # whatever it is, those who come after it must not wait for it
            await self._end_process()
            ended[waiting] += 1
            log.warning("the process that judges again ended", times=ended[waiting], error=type(error).__name__)
            return Failed("the process that judges again ended") if ended[waiting] >= MOST_TRIES else None
        return None if isinstance(answer, Unreachable) else answer

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await processes.ended(process)

    async def _ask(self, order: Order) -> Rebuilt | Failed | Unreachable:
        answer: Rebuilt | Failed | Unreachable = await processes.exchanged(await self._started(), order)
        return answer

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await processes.started("emtrack.service.rebuild_process")
        return self._process
