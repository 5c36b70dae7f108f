"""Who and what is in the cluster: its superuser, our roles, and our database, made where missing.

Nobody needs the superuser afterwards, so nobody can be it: the map of logins has it only while the server makes itself ready.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from emtrack.db.embedded.errors import EmbeddedServerError

DATABASE: Final = "emtrack"
ROLE: Final = "emtrack"
SUPERUSER: Final = "postgres"
ROLES: Final = {
    ROLE: "LOGIN",
    # Policies go by the rows of people, and the worker writes everybody's: COPY is refused where policies hold.
    "emtrack_worker": "LOGIN BYPASSRLS",
    "emtrack_pages": "LOGIN",
    "emtrack_gateway": "LOGIN",
    "emtrack_backup": "LOGIN REPLICATION",
}
"""Ours, with what each may. The first owns the database and migrates; emtrack/db/rights.py says what the next three may do."""

HAS_ROLE: Final = "SELECT count(*) FROM pg_roles WHERE rolname = $1"
REREAD: Final = "SELECT pg_reload_conf()"
HAS_DATABASE: Final = "SELECT count(*) FROM pg_database WHERE datname = $1"
CREATE_ROLE: Final = "CREATE ROLE {} {}"
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


async def is_made(dsn: str) -> bool:
    """Whether the server takes connections of our role to our database. False: not now, or they are not made yet."""
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def reread_logins(admin_dsn: str) -> None:
    """The server goes by the files of logins as they are now. Who is connected stays so."""
    connection = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        await connection.execute(REREAD)
    finally:
        await connection.close()


async def _make_role_and_database(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for name, rights in ROLES.items():
        if not await connection.fetchval(HAS_ROLE, name):
            await connection.execute(CREATE_ROLE.format(name, rights))
    if not await connection.fetchval(HAS_DATABASE, DATABASE):
        await connection.execute(CREATE_DATABASE)
