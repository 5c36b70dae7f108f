"""The process that judges for readers: questions come in, answers go out, until nothing comes any more."""

from __future__ import annotations

import os
import resource
from typing import Any

import asyncpg

from emtrack.db.connect import connect
from emtrack.db.identity import identify_as
from emtrack.db.session import Limits
from emtrack.logs import origin_of
from emtrack.processes import answer_questions
from emtrack.reading.apart import ANSWER_WITHIN_S, Failed, Question
from emtrack.record.zone_sets import ZoneSetCache

NICER = 3
"""What is live goes first, and what is judged beside the turns goes after."""
ADDRESS_SPACE_BYTES = 8 << 30
LIMITS = Limits(statement_s=ANSWER_WITHIN_S, lock_s=5.0, answer_s=ANSWER_WITHIN_S + 5)
"""When nobody waits for the answer any more, the database does not work on it either."""


def main() -> None:
    os.nice(NICER)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    sets: dict[object, ZoneSetCache] = {}

    async def answer(question: Question) -> Any:
        return await _answered(question, sets.setdefault(question.sets_dir, ZoneSetCache(question.sets_dir)))

    answer_questions(answer)


async def _answered(question: Question, sets: ZoneSetCache) -> Any:
    try:
        connection = await connect(question.dsn, name="emtrack judges for readers")
        try:
            await connection.set_limits(LIMITS)
            await identify_as(connection, question.identity)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await question.work(connection, sets, *question.arguments, **question.named)
        finally:
            await connection.close(timeout=5)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return Failed(f"{type(error).__name__} at {origin_of(error).line}", is_database=True)
    except Exception as error:
        return Failed(f"{type(error).__name__} at {origin_of(error).line}", is_database=False)


if __name__ == "__main__":
    main()
