"""Accounts of people: names, roles, passwords, sessions. Tokens of programs are in `tokens.py`.

A session is a random cookie, kept as a hash. It ends when its owner logs out, after `IDLE_S` without a request, and
`LONGEST_S` after its login. Sessions and failures are timed by the machine's clock, not by the service's: an emulated hour
guards nothing.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.guesses import Guesses
from emtrack.people.hashing import hashed, is_password
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
LONGEST_NAME = 200
KNOWN_FOR_DAYS = 30
"""Who logged in from a source so lately is known there."""
NO_ACCOUNT = "(no account)"
"""What is typed as a name and is none is not kept: it may be a password."""

# A name stands for one person or one program in the record of who did what.
NEW_USER = """
INSERT INTO users (name, role, password_hash, added_at, added_by)
SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM tokens WHERE name = $1)
ON CONFLICT (name) DO NOTHING RETURNING user_no
"""
USER = "SELECT user_no, name, role, password_hash FROM users WHERE name = $1 AND disabled_at IS NULL"
SET_PASSWORD = "UPDATE users SET password_hash = $2 WHERE user_no = $1"
DISABLE = "UPDATE users SET disabled_at = $2 WHERE name = $1 AND disabled_at IS NULL RETURNING user_no"
END_SESSIONS = "DELETE FROM sessions WHERE user_no = $1"
USERS = "SELECT name, role, added_at, disabled_at FROM users ORDER BY name"
EVENT = "INSERT INTO account_events (happened_at, name, what, done_by, source) VALUES ($1, $2, $3, $4, $5)"
IS_KNOWN = """
SELECT EXISTS (SELECT FROM account_events WHERE name = $1 AND happened_at > $3 AND what = 'logged in' AND source = $2)
"""
NEW_SESSION = """
INSERT INTO sessions (session_hash, user_no, form_key, began_at, seen_at) VALUES ($1, $2, $3, $4, $4)
"""
# Looked at with every request; written at most once a minute.
SESSION = """
SELECT s.session_hash, s.form_key, s.seen_at, u.user_no, u.name, u.role FROM sessions s JOIN users u USING (user_no)
WHERE s.session_hash = $1 AND s.seen_at > $2 AND s.began_at > $3 AND u.disabled_at IS NULL
"""
SEEN = "UPDATE sessions SET seen_at = $2 WHERE session_hash = $1 AND seen_at < $2"
END_SESSION = "DELETE FROM sessions WHERE session_hash = $1"
END_OLD_SESSIONS = "DELETE FROM sessions WHERE seen_at <= $1 OR began_at <= $2"


class UserExists(MendableError):
    """The name is taken; a name stands for one person in the record of who did what."""


class NoUser(MendableError, LookupError):
    """There is no such account."""


class UnfitPassword(ValueError):
    """A password that cannot be taken. The message says why."""


class LoginRefused(Exception):
    """The message says what to do, and not whether the name exists."""


class Guess(NamedTuple):
    """What somebody says who wants to log in, and from where (`guesses.source_of_address`)."""

    name: str
    password: str
    source: str


class Login(msgspec.Struct, frozen=True):
    """A new session: the cookie to hand out, once."""

    cookie: str
    name: str


def _now() -> datetime:
    return datetime_of(machine_ms())


async def add_user(connection: Connection, name: str, role: Role, *, who: str, now_ms: int) -> str:
    """A new account; its random password, to be shown once. Raises UserExists."""
    password = secrets.token_urlsafe(12)
    digest = await hashed(password)
    if await connection.fetchval(NEW_USER, name, str(role), digest, datetime_of(now_ms), who) is None:
        raise UserExists(
            f"there is an account or a token {name!r}; choose another name, or give the account a new password with "
            f"`emtrack users password`"
        )
    await connection.execute(EVENT, _now(), name, "added", who, None)
    return password


async def new_password(connection: Connection, name: str, *, who: str) -> str:
    """A new random password, to be shown once; every session of the account ends. Raises NoUser."""
    password = secrets.token_urlsafe(12)
    await _set_password(connection, name, await hashed(password), who, None)
    return password


async def change_password(pool: asyncpg.Pool[Any], guesses: Guesses, guess: Guess, new: str) -> None:
    """A person chooses a password, and gives the old one as a guess; every session of theirs ends. Raises UnfitPassword, or what
    `log_in` raises."""
    name = guess.name
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        raise UnfitPassword(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if new in (guess.password, name):
        raise UnfitPassword("choose a password that is neither the old one nor your name")
    await _refuse_wrong(pool, guesses, guess)
    digest = await hashed(new)
    async with pool.acquire() as connection, connection.transaction():
        await _set_password(connection, name, digest, name, guess.source)


async def _set_password(connection: Connection, name: str, digest: str, who: str, source: str | None) -> None:
    row = await connection.fetchrow(USER, name)
    if row is None:
        raise NoUser(f"there is no account {name!r}; `emtrack users list` shows those there are")
    await connection.execute(SET_PASSWORD, row["user_no"], digest)
    await connection.execute(END_SESSIONS, row["user_no"])
    await connection.execute(EVENT, _now(), name, "new password", who, source)


async def disable_user(connection: Connection, name: str, *, who: str) -> None:
    """The account can no longer log in, and its sessions end. What it did stays on record. Raises NoUser."""
    number = await connection.fetchval(DISABLE, name, _now())
    if number is None:
        raise NoUser(f"there is no account {name!r} that could be disabled")
    await connection.execute(END_SESSIONS, number)
    await connection.execute(EVENT, _now(), name, "disabled", who, None)


async def log_in(pool: asyncpg.Pool[Any], guesses: Guesses, guess: Guess) -> Login:
    """A new session. Raises LoginRefused, TooManyGuesses or TooManyHashes."""
    row = await _refuse_wrong(pool, guesses, guess)
    cookie = new_secret()
    now = _now()
    async with pool.acquire() as connection:
        await connection.execute(END_OLD_SESSIONS, *_limits(now))
        await connection.execute(NEW_SESSION, secret_hash(cookie), row["user_no"], new_secret(), now)
        await connection.execute(EVENT, now, row["name"], "logged in", row["name"], guess.source)
    return Login(cookie, row["name"])


async def _refuse_wrong(pool: asyncpg.Pool[Any], guesses: Guesses, guess: Guess) -> asyncpg.Record:
    """The account. No connection is held while the password is checked."""
    row, is_known = await _account_of(pool, guess)
    charged = guesses.charge(guess.source, guess.name, is_known=is_known)
    try:
        is_right = await is_password(
            None if row is None else row["password_hash"], guess.password[: LONGEST_PASSWORD + 1]
        )
    except BaseException:
        charged.give_back()  # it was not checked
        raise
    if row is None or not is_right:
        async with pool.acquire() as connection:
            name = NO_ACCOUNT if row is None else row["name"]
            await connection.execute(EVENT, _now(), name, "failed", "unknown", guess.source)
        raise LoginRefused("Name and password do not belong together. Check both and try again.")
    charged.give_back()
    return row


async def _account_of(pool: asyncpg.Pool[Any], guess: Guess) -> tuple[asyncpg.Record | None, bool]:
    """None: there is none of that name; and whether it is known at the source."""
    if not (guess.name.isprintable() and len(guess.name) <= LONGEST_NAME):  # no database keeps some of these
        return None, False
    since = _now() - timedelta(days=KNOWN_FOR_DAYS)
    async with pool.acquire() as connection:
        row = await connection.fetchrow(USER, guess.name)
        return row, row is not None and await connection.fetchval(IS_KNOWN, row["name"], guess.source, since)


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
    return Caller(row["name"], Role(row["role"]), row["form_key"])


async def log_out(connection: Connection, cookie: str, name: str) -> None:
    await connection.execute(END_SESSION, secret_hash(cookie))
    await connection.execute(EVENT, _now(), name, "logged out", name, None)


class ListedUser(NamedTuple):
    """An account; days as YYYY-MM-DD."""

    name: str
    role: str
    added: str
    disabled: str | None


async def list_users(connection: Connection) -> list[ListedUser]:
    """All accounts, by name."""
    return [
        ListedUser(
            row["name"],
            row["role"],
            f"{row['added_at']:%Y-%m-%d}",
            None if row["disabled_at"] is None else f"{row['disabled_at']:%Y-%m-%d}",
        )
        for row in await connection.fetch(USERS)
    ]
