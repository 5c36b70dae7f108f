"""Tokens of programs that read and act over HTTP: made once, kept as hashes. They expire, are rotated, and are revoked.

A token is looked up with every request, so that whatever happens to it is in force with the next one. Times are of the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.events import Subject, record_event
from emtrack.people.expiry import told_expiry
from emtrack.people.roles import Caller, Role
from emtrack.people.secrets import new_secret, secret_hash
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

# Until when a token holds, if it does; the one before a rotation until its own time.
TOKEN = """
SELECT name, role, agency, least(expires_at, CASE WHEN former_hash = $1 THEN former_until END) AS until FROM tokens
WHERE (token_hash = $1 OR former_hash = $1 AND former_until > $2) AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > $2)
"""
NEW_TOKEN = """
INSERT INTO tokens (token_hash, name, role, added_at, added_by, agency, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
TOKENS = "SELECT name, role, added_at, added_by, expires_at, revoked_at FROM tokens ORDER BY name"
REVOKE = "UPDATE tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING name"
ROTATE = """
UPDATE tokens SET former_hash = token_hash, former_until = $3, token_hash = $2, expires_at = $4
WHERE name = $1 AND revoked_at IS NULL RETURNING name
"""
EXPIRE = "UPDATE tokens SET expires_at = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING name"

ALWAYS = datetime.max.replace(tzinfo=UTC)


class TokenExists(MendableError):
    """Names of tokens stand in the record of who did what: each is used once."""


class NoToken(MendableError, LookupError):
    """There is no such token, or it is revoked."""


class ListedToken(NamedTuple):
    """A token as it is listed; never what it is."""

    name: str
    role: str
    added: str
    added_by: str
    expires: str
    state: str


async def add_token(
    connection: Connection,
    name: str,
    role: Role,
    agency: str | None = None,
    *,
    who: str,
    now_ms: int,
    token: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """A new token (or the one that is given), to be shown once: only its hash is kept. `expires_at` None: it does not. Inside a
    transaction. Raises TokenExists."""
    token = token or new_secret()
    try:
        await connection.execute(
            NEW_TOKEN, secret_hash(token), name, str(role), datetime_of(now_ms), who, agency, expires_at
        )
    except asyncpg.UniqueViolationError as error:
        raise TokenExists(f"a token {name!r} exists; choose another name") from error
    await record_event(connection, Subject.TOKEN, name, "added", who, f"{role}, expires {told_expiry(expires_at)}")
    return token


async def revoke_token(connection: Connection, name: str, *, who: str) -> None:
    """It is good no longer, nor is the one before it. Inside a transaction. Raises NoToken."""
    _require(await connection.fetchval(REVOKE, name, _now()), name)
    await record_event(connection, Subject.TOKEN, name, "revoked", who)


async def rotate_token(
    connection: Connection, name: str, *, who: str, keep_until: datetime, expires_at: datetime | None
) -> str:
    """A new secret under the same name, to be shown once; the one of now is good until `keep_until`, and the one before that no
    longer. Inside a transaction. Raises NoToken."""
    token = new_secret()
    found = await connection.fetchval(ROTATE, name, secret_hash(token), keep_until, expires_at)
    _require(found, name)
    detail = f"the one before until {told_expiry(keep_until)}, expires {told_expiry(expires_at)}"
    await record_event(connection, Subject.TOKEN, name, "rotated", who, detail)
    return token


async def expire_token(connection: Connection, name: str, expires_at: datetime | None, *, who: str) -> None:
    """Inside a transaction. Raises NoToken."""
    _require(await connection.fetchval(EXPIRE, name, expires_at), name)
    await record_event(connection, Subject.TOKEN, name, "expiry set", who, told_expiry(expires_at))


def _require(found: str | None, name: str) -> None:
    if found is None:
        raise NoToken(f"there is no token {name!r} that is good; `emtrack tokens list` shows those there are")


async def list_tokens(connection: Connection) -> list[ListedToken]:
    """All that there ever were, by name."""
    now = _now()
    return [
        ListedToken(
            row["name"], row["role"], f"{row['added_at']:%Y-%m-%d}", row["added_by"], told_expiry(row["expires_at"]),
            state_of(row["revoked_at"], row["expires_at"], now),
        )
        for row in await connection.fetch(TOKENS)
    ]  # fmt: skip


def state_of(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> str:
    """Of a token or key, in a word."""
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= now else "good"


async def caller_by_token(connection: Connection, token: str) -> Caller | None:
    """Whose token it is, if it holds."""
    hashed = secret_hash(token)
    row = await connection.fetchrow(TOKEN, hashed, _now())
    return None if row is None else Caller(row["name"], Role(row["role"]), credential=hashed, agency=row["agency"])


async def token_holds_until(connection: Connection, token_hash: bytes) -> datetime | None:
    """None: no longer."""
    row = await connection.fetchrow(TOKEN, token_hash, _now())
    return None if row is None else row["until"] or ALWAYS


def _now() -> datetime:
    return datetime_of(machine_ms())
