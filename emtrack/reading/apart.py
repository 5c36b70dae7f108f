"""What is judged for somebody who reads, in processes of their own: the loop that hears devices does none of it.

A caller's questions go one after the other, and only so many may wait (`Patience`). Each has an end: a process that does not answer
in time is killed. The processes read a snapshot of what is committed, and write nothing; they begin with the first question, stay,
and end with the program. Each question is asked as its caller: the process sees the rows that the caller sees, and no others. That
somebody looks is on record before the question is put: the processes cannot put it there.
"""

from __future__ import annotations

import asyncio
import pickle
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import asyncpg

from emtrack.db.identity import Identity
from emtrack.processes import ended, exchanged, started
from emtrack.reading.standby import Position, Standby

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.record.zone_sets import ZoneSetCache

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Work = Callable[Concatenate["Connection", "ZoneSetCache", Arguments], Awaitable[Answer]]
"""A function of a module, by whose name the process finds it. Its arguments and its answer are pickled."""

PROCESSES = 2
ANSWER_WITHIN_S = 10.0
STANDBY_RESTS_S = 10.0
"""A standby that did not answer is left alone for so long."""
MOST_WAITING = 16
"""Questions of all callers that may wait."""


class Patience(IntEnum):
    """How many questions of one caller may be open. A page asks for its map while it is shown, and people open several; a program
    that asks twice at once is told to wait."""

    PROGRAM = 1
    PAGE = 6


class TooManyQuestions(Exception):
    """The caller, or all of them together, have asked more than can wait. The message says what to do."""


class TookTooLong(Exception):
    """There was no answer in time. The message says what to do."""


class JudgesUnreachable(OSError):
    """The process had no database, or ended."""


class Elsewhere(NamedTuple):
    """A standby that may answer, once it is as far as the primary was when the question was put."""

    dsn: str
    position: Position


class Question(NamedTuple):
    """What the process is told: of which database and as whom, with which folder of zone sets, what to do with which arguments.
    `standby`: asked before the database; None: there is none."""

    dsn: str
    standby: Elsewhere | None
    identity: Identity
    sets_dir: Path | None
    work: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...]
    named: dict[str, Any]


class Answered(NamedTuple):
    """An answer. `by_standby`: not by the primary."""

    answer: Any
    by_standby: bool


class Failed(NamedTuple):
    """What could not be answered. `is_database`: because the database did not answer. `where`: type of the error and its line."""

    where: str
    is_database: bool


class Judges:
    """Asked by whoever answers a reader. `dsn`: of the role of the pages, for which row-level security holds. `standby`: reads are
    done there where it can be. `count`: told of each answer whether the standby gave it."""

    def __init__(
        self,
        dsn: str,
        sets_dir: Path | None,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
        standby: Standby | None = None,
        count: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._sets_dir = sets_dir
        self._answer_within_s = answer_within_s
        self._standby = standby
        self._asks_standby_from_s = 0.0
        self._count = count
        self._idle: list[Process] = []
        self._places = asyncio.Semaphore(PROCESSES)
        self._open = Counter[str]()
        self._turns: dict[str, asyncio.Lock] = {}

    async def ask(
        self,
        caller: Identity,
        patience: Patience,
        work: Work[Arguments, Answer],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """The answer of `work`, from the rows of `caller`. Raises TooManyQuestions, TookTooLong or JudgesUnreachable, and
        RuntimeError for a fault in it."""
        async with self._turn_of(caller.account, patience), self._places:
            standby = await self._elsewhere()
            told = await self._answered(Question(self._dsn, standby, caller, self._sets_dir, work, arguments, named))
        if isinstance(told, Failed):
            raise JudgesUnreachable(told.where) if told.is_database else RuntimeError(told.where)
        if standby is not None and not told.by_standby:  # it is away or behind: nobody else waits for it meanwhile
            self._asks_standby_from_s = asyncio.get_running_loop().time() + STANDBY_RESTS_S
        self._count(told.by_standby)
        found: Answer = told.answer
        return found

    async def _elsewhere(self) -> Elsewhere | None:
        """Asked when the look of the question is committed: what the standby shows is no older than that."""
        if self._standby is None or asyncio.get_running_loop().time() < self._asks_standby_from_s:
            return None
        try:
            return Elsewhere(self._standby.dsn, await self._standby.position())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return None  # the primary says nothing: that is told when it is asked

    async def aclose(self) -> None:
        for process in self._idle:
            await ended(process)
        self._idle = []

    @asynccontextmanager
    async def _turn_of(self, caller: str, patience: Patience) -> AsyncIterator[None]:
        """One question of a caller after the other."""
        if self._open[caller] >= patience:
            raise TooManyQuestions("you asked before, and that is not answered yet; wait for it, then ask again")
        if self._open.total() >= MOST_WAITING:
            raise TooManyQuestions("many others ask just now; ask again in a moment")
        self._open[caller] += 1
        try:
            async with self._turns.setdefault(caller, asyncio.Lock()):
                yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller], self._turns[caller]

    async def _answered(self, question: Question) -> Answered | Failed:
        process = self._idle.pop() if self._idle else await started("emtrack.reading.apart_process")
        is_well = False
        try:
            async with asyncio.timeout(self._answer_within_s):
                answer: Answered | Failed = await exchanged(process, question)
            is_well = True
            return answer
        except TimeoutError:
            raise TookTooLong(
                f"this takes longer than {self._answer_within_s:.0f} s; ask for less, or for a shorter time"
            ) from None
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise JudgesUnreachable("the process that judges for readers ended") from error
        finally:
            if is_well:
                self._idle.append(process)
            else:
                await ended(process)
