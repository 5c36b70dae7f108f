"""The process that judges for readers: questions come in, answers go out, until nothing comes any more."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from emtrack.db.connect import connect
from emtrack.db.identity import Identity, identify_as
from emtrack.db.session import Limits, Session
from emtrack.logs import origin_of
from emtrack.processes import answer_questions
from emtrack.reading.apart import ANSWER_WITHIN_S, Answered, Elsewhere, Failed, Question
from emtrack.reading.standby import NotThere, replayed
from emtrack.record.zone_sets import ZoneSetCache

NICER = 3
"""What is live goes first, and what is judged beside the turns goes after."""
ADDRESS_SPACE_BYTES = 8 << 30
LIMITS = Limits(statement_s=ANSWER_WITHIN_S, lock_s=5.0, answer_s=ANSWER_WITHIN_S + 5)
"""When nobody waits for the answer any more, the database does not work on it either."""
CONNECTED_WITHIN_S = 2.0
"""A standby that is away must leave time for the primary."""


def main() -> None:
    os.nice(NICER)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    sets: dict[object, ZoneSetCache] = {}

    async def answer(question: Question) -> Any:
        return await _answered(question, sets.setdefault(question.sets_dir, ZoneSetCache(question.sets_dir)))

    answer_questions(answer)


async def _answered(question: Question, sets: ZoneSetCache) -> Answered | Failed:
    try:
        if question.standby is not None:
            with suppress(NotThere, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                return Answered(await _on_standby(question.standby, question, sets), by_standby=True)
        async with _connected(question.dsn, question.identity) as connection:
            return Answered(await _worked_out(connection, question, sets), by_standby=False)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return Failed(f"{type(error).__name__} at {origin_of(error).line}", is_database=True)
    except Exception as error:
        return Failed(f"{type(error).__name__} at {origin_of(error).line}", is_database=False)


async def _on_standby(standby: Elsewhere, question: Question, sets: ZoneSetCache) -> Any:
    """What goes wrong there the primary answers as if there were no standby: it is away or behind, or the log that it replays took
    away what the question read."""
    async with (
        asyncio.timeout(CONNECTED_WITHIN_S) as patience,
        _connected(standby.dsn, question.identity) as connection,
    ):
        await replayed(connection, standby.position)
        patience.reschedule(None)
        return await _worked_out(connection, question, sets)


async def _worked_out(connection: Session, question: Question, sets: ZoneSetCache) -> Any:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await question.work(connection, sets, *question.arguments, **question.named)


@asynccontextmanager
async def _connected(dsn: str, identity: Identity) -> AsyncIterator[Session]:
    connection = await connect(dsn, name="emtrack judges for readers")
    try:
        await connection.set_limits(LIMITS)
        await identify_as(connection, identity)
        yield connection
    finally:
        await connection.close(timeout=5)


if __name__ == "__main__":
    main()
