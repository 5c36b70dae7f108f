"""Who and what is in the cluster: its superuser, our role, and our database, made where missing."""

from __future__ import annotations

from typing import Final

import asyncpg

from emtrack.db.embedded.errors import EmbeddedServerError

DATABASE: Final = "emtrack"
ROLE: Final = "emtrack"
SUPERUSER: Final = "postgres"

HAS_ROLE: Final = "SELECT count(*) FROM pg_roles WHERE rolname = $1"
CREATE_ROLE: Final = f"CREATE ROLE {ROLE} LOGIN"
HAS_DATABASE: Final = "SELECT count(*) FROM pg_database WHERE datname = $1"
CREATE_DATABASE: Final = f"CREATE DATABASE {DATABASE} OWNER {ROLE}"


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
    if not await connection.fetchval(HAS_ROLE, ROLE):
        await connection.execute(CREATE_ROLE)
    if not await connection.fetchval(HAS_DATABASE, DATABASE):
        await connection.execute(CREATE_DATABASE)
