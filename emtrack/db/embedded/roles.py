"""Who and what is in the cluster: its superuser, our role, and our database, made where missing."""

from __future__ import annotations

from typing import Final

import asyncpg

from emtrack.db.embedded.errors import EmbeddedServerError

DATABASE: Final = "emtrack"
ROLE: Final = "emtrack"
SUPERUSER: Final = "postgres"


async def make_database(admin_dsn: str) -> bool:
    """Makes our role and database where missing. False: the server does not take connections now."""
    try:
        connection = await asyncpg.connect(admin_dsn, timeout=10)
        try:
            await _make_role_and_database(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.OperatorInterventionError, asyncpg.ConnectionDoesNotExistError):
        return False
    except asyncpg.PostgresError as error:
        raise EmbeddedServerError(
            f"PostgreSQL at {admin_dsn} runs, but refused to make ready our database: {error}. "
            f"Put that right, then start again."
        ) from error
    return True


async def _make_role_and_database(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE):
        await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
