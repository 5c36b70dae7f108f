"""Logins by an identity provider: whom its subject stands for here.

At the first login a claim names an account; from then on the subject does, because names at a provider may be given to somebody else.
Nobody gets an account by logging in, unless the deployment says which role such an account has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.clock import machine_ms
from emtrack.people.accounts import EVENT, Login, LoginRefused
from emtrack.people.events import Subject, record_event
from emtrack.people.guesses import source_of_address
from emtrack.people.roles import Role
from emtrack.people.sessions import Origin, begin_session
from geofence import datetime_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

NO_PASSWORD = "none: logs in by the identity provider"
"""In the place of a hash; no password has it."""

BY_SUBJECT = """
SELECT u.user_no, u.name, u.disabled_at IS NULL AND (u.expires_at IS NULL OR u.expires_at > now()) AS is_good
FROM provider_identities i JOIN users u USING (user_no) WHERE i.issuer = $1 AND i.subject = $2
"""
# An account that is bound to another subject of this issuer is nobody else's.
BY_NAME = """
SELECT u.user_no, u.name, u.disabled_at IS NULL AND (u.expires_at IS NULL OR u.expires_at > now()) AS is_good
FROM users u
WHERE u.name = $2 AND NOT EXISTS (SELECT FROM provider_identities i WHERE i.user_no = u.user_no AND i.issuer = $1)
"""
BIND = "INSERT INTO provider_identities (issuer, subject, user_no, bound_at) VALUES ($1, $2, $3, $4)"
NEW_USER = """
INSERT INTO users (name, role, password_hash, added_at, added_by)
SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM tokens WHERE name = $1)
ON CONFLICT (name) DO NOTHING RETURNING user_no, name, true AS is_good
"""


class Identity(NamedTuple):
    """Who somebody is by the provider: `subject` for good, `name` by the claim of the deployment."""

    issuer: str
    subject: str
    name: str


async def log_in_by_provider(
    connection: Connection, identity: Identity, origin: Origin, new_role: Role | None, now_ms: int
) -> Login:
    """A new session. `new_role`: of an account that is made for somebody who has none; None: none is made. Inside a transaction.
    Raises LoginRefused."""
    row = await connection.fetchrow(BY_SUBJECT, identity.issuer, identity.subject)
    if row is None:
        row = await _bound(connection, identity, new_role, now_ms)
    if not row["is_good"]:
        raise LoginRefused("This account can no longer log in. Contact your administrator")
    cookie = await begin_session(connection, row["user_no"], origin, None)
    who, source = f"{row['name']} (provider)", source_of_address(origin.address)
    await connection.execute(EVENT, datetime_of(machine_ms()), row["name"], "logged in", who, source)
    return Login(cookie, row["name"])


async def _bound(connection: Connection, identity: Identity, new_role: Role | None, now_ms: int) -> asyncpg.Record:
    row = await connection.fetchrow(BY_NAME, identity.issuer, identity.name)
    if row is None and new_role is not None:
        who = f"provider {identity.issuer}"
        row = await connection.fetchrow(NEW_USER, identity.name, str(new_role), NO_PASSWORD, datetime_of(now_ms), who)
        if row is not None:
            await record_event(connection, Subject.ACCOUNT, identity.name, "added", who, str(new_role))
    if row is None:
        raise LoginRefused("There is no account here for you. Contact your administrator")
    await connection.execute(BIND, identity.issuer, identity.subject, row["user_no"], datetime_of(machine_ms()))
    detail = f"{identity.issuer} {identity.subject}"
    await record_event(connection, Subject.ACCOUNT, row["name"], "identity bound", row["name"], detail)
    return row
