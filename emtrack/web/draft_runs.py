"""Trials of drafts that go on while their page is shown: one of an account at a time, one slice of all of them at a time, so that
other readers and what is live are served in between. What they would change in detail is kept in memory for an hour; who tried what,
and the counts that came of it, are on record for good. Nothing of them is entered into orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import msgspec

from emtrack.logs import origin_of
from emtrack.reading.apart import Judges, Patience, TookTooLong, TooManyQuestions
from emtrack.reading.drafts import (
    LEAST_PEOPLE,
    Outcome,
    Slice,
    Trial,
    UnfitTrial,
    ZoneCheck,
    refuse_few,
    slice_outcomes,
    total_of,
    zone_check,
)
from emtrack.record.draft_runs import Ended, Tried, end_draft_run, store_draft_run
from emtrack.web.guard import identity_of, log_fault
from emtrack.web.wording import draft_words

if TYPE_CHECKING:
    from emtrack.people.looks import Looker
    from emtrack.people.roles import Caller

Answer = TypeVar("Answer")
KEPT_MS = 3_600_000
MOST_KEPT = 200
MOST_OF_ONE = 4
"""An account that tries more loses its oldest: nobody fills the places of the others."""
WAIT_S = 0.5
"""Before a slice is asked for again, where too many others ask."""


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass
class DraftRun:
    """`done`: slices. `outcomes`: of those; `check`: of a drafted zone and one person."""

    run_no: int
    caller: Caller
    looker: Looker
    trial: Trial
    slices: list[Slice]
    began_ms: int
    state: RunState = RunState.RUNNING
    done: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    check: ZoneCheck | None = None
    trouble: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def share(self) -> float:
        """How far it is: 0 to 1, by days that are judged."""
        days = sum(one.days for one in self.slices)
        return sum(one.days for one in self.slices[: self.done]) / days if days else 1.0


class DraftRuns:
    """All of them. `pool`: of who asks. `stop`: the service ends. `basemap`: the file whose roads a drafted zone may lie on."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        judges: Judges,
        now_ms: Callable[[], int],
        stop: asyncio.Event,
        basemap: Path | None = None,
    ) -> None:
        self._basemap = basemap
        self._pool = pool
        self._judges = judges
        self._now_ms = now_ms
        self._stop = stop
        self._runs: dict[int, DraftRun] = {}
        self._turn = asyncio.Lock()

    def refuse_another(self, caller: Caller) -> None:
        """Raises UnfitTrial while one of this account is running, or too many are kept."""
        self._forget_old()
        if any(run.caller.name == caller.name and run.state is RunState.RUNNING for run in self._runs.values()):
            raise UnfitTrial("What you tried before is still being judged. Wait for it, or cancel it.")
        for run in self.last_of(caller)[MOST_OF_ONE - 1 :]:
            del self._runs[run.run_no]
        if len(self._runs) >= MOST_KEPT:
            raise UnfitTrial("Very many trials are kept just now. Try again in some minutes.")

    async def begin(self, caller: Caller, looker: Looker, trial: Trial, slices: list[Slice]) -> DraftRun:
        """After the look; it is on record before anything is judged. Raises UnfitTrial."""
        self.refuse_another(caller)
        now_ms = self._now_ms()
        async with self._pool.acquire() as connection:
            number = await store_draft_run(connection, looker, tried_of(trial), now_ms)
        run = DraftRun(number, caller, looker, trial, slices, now_ms)
        self._runs[number] = run
        run.task = asyncio.create_task(self._work(run), name=f"draft run {run.run_no}")
        return run

    def of(self, caller: Caller, run_no: int) -> DraftRun | None:
        """Of who began it; nobody else has it."""
        self._forget_old()
        run = self._runs.get(run_no)
        return run if run is not None and run.caller.name == caller.name else None

    def last_of(self, caller: Caller) -> list[DraftRun]:
        """The newest first."""
        self._forget_old()
        return [run for run in reversed(self._runs.values()) if run.caller.name == caller.name]

    def cancel(self, run: DraftRun) -> None:
        """The slice that is being judged is the last one."""
        if run.state is RunState.RUNNING:
            run.state = RunState.CANCELLED
            run.outcomes = []

    def _forget_old(self) -> None:
        oldest_ms = self._now_ms() - KEPT_MS
        for number in [
            n for n, run in self._runs.items() if run.began_ms < oldest_ms and run.state is not RunState.RUNNING
        ]:
            del self._runs[number]

    async def _work(self, run: DraftRun) -> None:
        """Never raises: what went wrong stands in the run."""
        try:
            if run.trial.wearer_no is not None and run.trial.draft.zone is not None and run.slices:
                run.check = await self._asked(run, run.slices[0], zone_check, self._basemap)
            for part in run.slices:
                if run.state is not RunState.RUNNING:
                    return
                found = await self._asked(run, part, slice_outcomes)
                if run.state is RunState.RUNNING:
                    run.outcomes += found
                    run.done += 1
            if run.state is RunState.RUNNING:
                refuse_few(run.trial, run.outcomes)
                run.state = RunState.DONE
        except (UnfitTrial, TookTooLong) as error:
            run.state, run.trouble = RunState.FAILED, str(error)
        except (OSError, RuntimeError) as error:
            log_fault(error, f"a trial of a draft, {origin_of(error).line}")
            run.state, run.trouble = (
                RunState.FAILED,
                "It could not be judged. Try again; the log of the service says where it ended.",
            )
        finally:
            if run.state is not RunState.DONE:
                run.outcomes = []
            await self._put_on_record(run)

    async def _put_on_record(self, run: DraftRun) -> None:
        """How it ended. A database that says nothing leaves it without an end, as one that the service did not outlive."""
        try:
            async with self._pool.acquire() as connection:
                await end_draft_run(connection, run.run_no, ended_of(run), self._now_ms())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log_fault(error, f"the end of a trial of a draft, {origin_of(error).line}")

    async def _asked(self, run: DraftRun, part: Slice, work: Callable[..., Awaitable[Answer]], *more: Any) -> Answer:
        while True:
            if self._stop.is_set():
                raise UnfitTrial("The service ends. Try again when it runs.")
            async with self._turn:
                with suppress(TooManyQuestions):
                    return await self._judges.ask(
                        identity_of(run.caller), Patience.PAGE, work, run.trial, part, self._now_ms(), *more
                    )
            await asyncio.sleep(WAIT_S)


def tried_of(trial: Trial) -> Tried:
    """As it goes on record."""
    draft = msgspec.to_builtins(trial.draft)
    return Tried(trial.window, trial.wearer_no, trial.cohort, draft_words(trial.draft), draft)


def ended_of(run: DraftRun) -> Ended:
    """Of one that was not judged to its end no counts."""
    if run.state is not RunState.DONE:
        return Ended(str(run.state), run.trouble or None)
    return counted(run.trial, run.outcomes)


def counted(trial: Trial, outcomes: list[Outcome]) -> Ended:
    """The counts as they are shown."""
    is_one = trial.wearer_no is not None
    total = total_of(outcomes, is_one_person=is_one)
    people = total.people if total.people >= (1 if is_one else LEAST_PEOPLE) else None
    return Ended(str(RunState.DONE), None, people, total.positions, [row._asdict() for row in total.rows])
