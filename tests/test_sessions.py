"""What a connection of ours asks the server beside what it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest import mock

import asyncpg

from emtrack.db import session as module
from emtrack.db.connect import connect
from emtrack.db.session import Session

RANGE = "SELECT tstzrange($1, NULL) AS during, $2::bigint[] AS numbers"
AT = datetime(2026, 3, 2, tzinfo=UTC)


async def asked(session: Session) -> tuple[Any, list[int]]:
    """The answer, and of how many types the server was asked for it."""
    told: list[int] = []
    ask = asyncpg.Connection._introspect_types

    async def counted(self: Any, typeoids: Any, timeout: Any) -> Any:
        told.extend(typeoids)
        return await ask(self, typeoids, timeout)

    with mock.patch.object(asyncpg.Connection, "_introspect_types", counted):
        return await session.fetchrow(RANGE, AT, [1, 2]), told


async def test_what_arrays_and_ranges_are_made_of_is_asked_once_a_process(database_url: str) -> None:
    with mock.patch.object(module, "_own_types", {}):
        answers = []
        for _ in range(2):
            session = await connect(database_url)
            answers.append(await asked(session))
            await session.close()
    (first, of_some), (second, of_none) = answers
    assert (first["during"], first["numbers"]) == (asyncpg.Range(AT, None), [1, 2])
    assert first == second
    assert (len(of_some) > 0, of_none) == (True, [])


async def test_a_type_that_somebody_made_is_asked_for_on_each_connection(database_url: str) -> None:
    """Its number may be another's on another server."""
    session = await connect(database_url)
    await session.execute("CREATE TYPE mood AS ENUM ('calm')")
    assert await session.fetchval("SELECT ARRAY['calm'::mood]") == ["calm"]
    await session.execute("DROP TYPE mood; CREATE TYPE mood AS (number int)")
    again = await connect(database_url)
    assert await again.fetchval("SELECT ARRAY[row(3)::mood]") == [(3,)]
    for each in (session, again):
        await each.close()
