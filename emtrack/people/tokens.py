"""Tokens of programs that read and act over HTTP: made once, kept as hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from emtrack.errors import MendableError
from emtrack.people.roles import Caller, Role
from emtrack.people.secrets import new_secret, secret_hash
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

TOKEN = "SELECT name, role, agency FROM tokens WHERE token_hash = $1 AND revoked_at IS NULL"
NEW_TOKEN = "INSERT INTO tokens (token_hash, name, role, added_at, added_by, agency) VALUES ($1, $2, $3, $4, $5, $6)"


class TokenExists(MendableError):
    """Names of tokens stand in the record of who did what: each is used once."""


async def add_token(
    connection: Connection,
    name: str,
    role: Role,
    agency: str | None = None,
    *,
    who: str,
    now_ms: int,
    token: str | None = None,
) -> str:
    """A new token (or the one that is given), to be shown once: only its hash is kept. Raises TokenExists."""
    token = token or new_secret()
    try:
        await connection.execute(NEW_TOKEN, secret_hash(token), name, str(role), datetime_of(now_ms), who, agency)
    except asyncpg.UniqueViolationError as error:
        raise TokenExists(f"a token {name!r} exists; choose another name") from error
    return token


async def caller_by_token(connection: Connection, token: str) -> Caller | None:
    """Whose token it is, if it holds."""
    row = await connection.fetchrow(TOKEN, secret_hash(token))
    return None if row is None else Caller(row["name"], Role(row["role"]), agency=row["agency"])
