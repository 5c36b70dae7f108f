"""Accounts of people: names, roles, passwords, sessions. Tokens of programs are in `tokens.py`.

A session is a random cookie, kept as a hash. It ends when its owner logs out, after `IDLE_S` without a request, and
`LONGEST_S` after its login. Sessions and failures are timed by the machine's clock, not by the service's: an emulated hour
guards nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.looks import Looker, What, enter_look
from emtrack.people.roles import Caller, Role
from emtrack.people.secrets import new_secret, secret_hash
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from emtrack.db.connect import Connection

IDLE_S = 3_600
LONGEST_S = 12 * 3_600
"""A shift."""
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
MOST_FAILURES = 5
FAILURES_S = 900
EVERY_AGENCY = "(every agency)"
"""How the reach of an account of the programme itself is listed."""
"""After `MOST_FAILURES` in so many seconds a name waits, whether it exists or not."""

# A name stands for one person or one program in the record of who did what.
NEW_USER = """
INSERT INTO users (name, role, password_hash, added_at, added_by, agency)
SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM tokens WHERE name = $1)
ON CONFLICT (name) DO NOTHING RETURNING user_no
"""
USER = "SELECT user_no, name, role, password_hash FROM users WHERE name = $1 AND disabled_at IS NULL"
SET_PASSWORD = "UPDATE users SET password_hash = $2 WHERE user_no = $1"
DISABLE = "UPDATE users SET disabled_at = $2 WHERE name = $1 AND disabled_at IS NULL RETURNING user_no"
END_SESSIONS = "DELETE FROM sessions WHERE user_no = $1"
USERS = "SELECT name, role, agency, added_at, disabled_at FROM users ORDER BY name"
EVENT = "INSERT INTO account_events (happened_at, name, what, done_by) VALUES ($1, $2, $3, $4)"
FAILURES = """
SELECT count(*) FROM account_events
WHERE name = $1 AND what = 'failed' AND happened_at > $2
  AND happened_at > coalesce((SELECT max(happened_at) FROM account_events WHERE name = $1 AND what <> 'failed'), '-infinity')
"""
NEW_SESSION = """
INSERT INTO sessions (session_hash, user_no, form_key, began_at, seen_at) VALUES ($1, $2, $3, $4, $4)
"""
# Looked at with every request; written at most once a minute.
SESSION = """
SELECT s.session_hash, s.form_key, s.seen_at, s.purpose, s.reference, u.user_no, u.name, u.role, u.agency
FROM sessions s JOIN users u USING (user_no)
WHERE s.session_hash = $1 AND s.seen_at > $2 AND s.began_at > $3 AND u.disabled_at IS NULL
"""
SEEN = "UPDATE sessions SET seen_at = $2 WHERE session_hash = $1 AND seen_at < $2"
WORKS_FOR = "UPDATE sessions SET purpose = $2, reference = $3 WHERE session_hash = $1"
END_SESSION = "DELETE FROM sessions WHERE session_hash = $1"
END_OLD_SESSIONS = "DELETE FROM sessions WHERE seen_at <= $1 OR began_at <= $2"

_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_urlsafe())  # a name that does not exist costs as much time as one that does


class UserExists(MendableError):
    """The name is taken; a name stands for one person in the record of who did what."""


class NoUser(MendableError, LookupError):
    """There is no such account."""


class UnfitPassword(ValueError):
    """A password that cannot be taken. The message says why."""


class LoginRefused(Exception):
    """The message says what to do, and not whether the name exists."""


class Login(msgspec.Struct, frozen=True):
    """A new session: the cookie to hand out, once."""

    cookie: str
    name: str


def _now() -> datetime:
    return datetime_of(machine_ms())


async def add_user(
    connection: Connection, name: str, role: Role, agency: str | None = None, *, who: str, now_ms: int
) -> str:
    """A new account; its random password, to be shown once. Raises UserExists."""
    password = secrets.token_urlsafe(12)
    digest = await asyncio.to_thread(_hasher.hash, password)
    if await connection.fetchval(NEW_USER, name, str(role), digest, datetime_of(now_ms), who, agency) is None:
        raise UserExists(
            f"there is an account or a token {name!r}; choose another name, or give the account a new password with "
            f"`emtrack users password`"
        )
    await connection.execute(EVENT, _now(), name, "added", who)
    return password


async def new_password(connection: Connection, name: str, *, who: str) -> str:
    """A new random password, to be shown once; every session of the account ends. Raises NoUser."""
    password = secrets.token_urlsafe(12)
    await _set_password(connection, name, password, who)
    return password


async def change_password(connection: Connection, name: str, old: str, new: str) -> None:
    """A person chooses a password; every session of theirs ends. Raises LoginRefused or UnfitPassword."""
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        raise UnfitPassword(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if new in (old, name):
        raise UnfitPassword("choose a password that is neither the old one nor your name")
    await _refuse_wrong(connection, name, old)
    await _set_password(connection, name, new, name)


async def _set_password(connection: Connection, name: str, password: str, who: str) -> None:
    row = await connection.fetchrow(USER, name)
    if row is None:
        raise NoUser(f"there is no account {name!r}; `emtrack users list` shows those there are")
    await connection.execute(SET_PASSWORD, row["user_no"], await asyncio.to_thread(_hasher.hash, password))
    await connection.execute(END_SESSIONS, row["user_no"])
    await connection.execute(EVENT, _now(), name, "new password", who)


async def disable_user(connection: Connection, name: str, *, who: str) -> None:
    """The account can no longer log in, and its sessions end. What it did stays on record. Raises NoUser."""
    number = await connection.fetchval(DISABLE, name, _now())
    if number is None:
        raise NoUser(f"there is no account {name!r} that could be disabled")
    await connection.execute(END_SESSIONS, number)
    await connection.execute(EVENT, _now(), name, "disabled", who)


async def log_in(connection: Connection, name: str, password: str) -> Login:
    """A new session. Raises LoginRefused. Not inside a transaction: a failure is recorded although it fails."""
    row = await _refuse_wrong(connection, name, password)
    cookie = new_secret()
    now = _now()
    await connection.execute(END_OLD_SESSIONS, *_limits(now))
    await connection.execute(NEW_SESSION, secret_hash(cookie), row["user_no"], new_secret(), now)
    await connection.execute(EVENT, now, row["name"], "logged in", row["name"])
    return Login(cookie, row["name"])


async def _refuse_wrong(connection: Connection, name: str, password: str) -> asyncpg.Record:
    name = name[:200]
    since = _now() - timedelta(seconds=FAILURES_S)
    if await connection.fetchval(FAILURES, name, since) >= MOST_FAILURES:
        raise LoginRefused(
            f"Too many failed logins with this name. Wait {FAILURES_S // 60} minutes, or ask for a new password."
        )
    row = await connection.fetchrow(USER, name)
    digest = _NOBODY if row is None else row["password_hash"]
    if not await asyncio.to_thread(_verified, digest, password[: LONGEST_PASSWORD + 1]) or row is None:
        await connection.execute(EVENT, _now(), name, "failed", "unknown")
        raise LoginRefused("Name and password do not belong together. Check both and try again.")
    return row


def _verified(digest: str, password: str) -> bool:
    try:
        return _hasher.verify(digest, password)
    except (VerificationError, InvalidHashError):
        return False


def _limits(now: datetime) -> tuple[datetime, datetime]:
    return now - timedelta(seconds=IDLE_S), now - timedelta(seconds=LONGEST_S)


async def session_of(connection: Connection, cookie: str) -> Caller | None:
    """Whose session it is, if it has not ended; it stays alive for another while."""
    now = _now()
    row = await connection.fetchrow(SESSION, secret_hash(cookie), *_limits(now))
    if row is None:
        return None
    if row["seen_at"] < now - timedelta(minutes=1):
        await connection.execute(SEEN, row["session_hash"], now)
    return Caller(row["name"], Role(row["role"]), row["form_key"], row["purpose"], row["reference"], row["agency"])


async def begin_work(connection: Connection, cookie: str, looker: Looker, now_ms: int) -> None:
    """The session works for a purpose from now on; that is on record with the service's time."""
    async with connection.transaction():
        await connection.execute(WORKS_FOR, secret_hash(cookie), looker.purpose, looker.reference)
        await enter_look(connection, looker, What.SHIFT, None, now_ms=now_ms)


async def log_out(connection: Connection, cookie: str, name: str) -> None:
    await connection.execute(END_SESSION, secret_hash(cookie))
    await connection.execute(EVENT, _now(), name, "logged out", name)


class ListedUser(NamedTuple):
    """An account; days as YYYY-MM-DD."""

    name: str
    role: str
    agency: str
    added: str
    disabled: str | None


async def list_users(connection: Connection) -> list[ListedUser]:
    """All accounts, by name."""
    return [
        ListedUser(
            row["name"],
            row["role"],
            row["agency"] or EVERY_AGENCY,
            f"{row['added_at']:%Y-%m-%d}",
            None if row["disabled_at"] is None else f"{row['disabled_at']:%Y-%m-%d}",
        )
        for row in await connection.fetch(USERS)
    ]
