"""The database for a command: migrated, with its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from emtrack.clock import Clock, clock_of
from emtrack.db.connect import connect, database
from emtrack.db.migrate import migrate, refuse_unmigrated
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.settings import Settings

# So is one that nobody migrated yet.
IS_OURS = """
SELECT coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('schema_migrations')), true)
"""


class OpenedDatabase(NamedTuple):
    """A connection, and the clock of its record."""

    connection: asyncpg.Connection[Any]
    clock: Clock


@asynccontextmanager
async def prepared_database(settings: Settings, *, program: str, exclusive: bool) -> AsyncIterator[str]:
    """The DSN of a database that is migrated: by us, unless it belongs to others."""
    async with database(settings.database_url, settings.data_dir, program=program, exclusive=exclusive) as dsn:
        connection = await connect(dsn)
        try:
            if await connection.fetchval(IS_OURS):
                await migrate(connection)
                await grant_rights(connection)
            else:
                await refuse_unmigrated(connection)
        finally:
            await connection.close()
        yield dsn


@asynccontextmanager
async def opened_database(settings: Settings, program: str) -> AsyncIterator[OpenedDatabase]:
    """For a short command, beside the service or without it, with the rights of the worker: only repairs need more."""
    async with prepared_database(settings, program=program, exclusive=False) as dsn:
        connection = await connect(await run_time_dsn(dsn, RunTime.WORKER))
        try:
            yield OpenedDatabase(connection, await clock_of(connection, settings.clock, adopt=True))
        finally:
            await connection.close()


@asynccontextmanager
async def owned_database(settings: Settings, program: str) -> AsyncIterator[OpenedDatabase]:
    """For a repair: with the rights of the owner, who may change what is stored."""
    async with prepared_database(settings, program=program, exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            yield OpenedDatabase(connection, await clock_of(connection, settings.clock, adopt=True))
        finally:
            await connection.close()


@asynccontextmanager
async def unmigrated_database(settings: Settings, program: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """As it is."""
    async with database(settings.database_url, settings.data_dir, program=program, exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
