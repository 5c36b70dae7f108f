"""Accounts of people: names, roles, passwords, logins. Sessions are in `sessions.py`, tokens of programs in `tokens.py`.

Failures are timed by the machine's clock, not by the service's: an emulated hour guards nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.events import Subject, record_event
from emtrack.people.expiry import told_expiry
from emtrack.people.guesses import OF_ALL, WITHIN_S, Failure, Guesses, source_of_address
from emtrack.people.hashing import hashed, is_password
from emtrack.people.passwords import LONGEST_PASSWORD, UnfitPassword, require_fit
from emtrack.people.roles import Caller, Needs, Role
from emtrack.people.sealed_secrets import SecretBox
from emtrack.people.second_factor import check_code, has_second_factor, remove_second_factor
from emtrack.people.sessions import END_SESSIONS, NOT_RECORDED, Origin, begin_session, end_session
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from emtrack.db.connect import Connection

EVERY_AGENCY = "(every agency)"
"""How the reach of an account of the programme itself is listed."""
LONGEST_NAME = 200
KNOWN_FOR_DAYS = 30
"""Who logged in from a source so lately is known there."""
NO_ACCOUNT = "(no account)"
"""What is typed as a name and is none is not kept: it may be a password."""

# A name stands for one person or one program in the record of who did what.
NEW_USER = """
INSERT INTO users (name, role, password_hash, added_at, added_by, agency)
SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM tokens WHERE name = $1)
ON CONFLICT (name) DO NOTHING RETURNING user_no
"""
USER = """
SELECT user_no, name, role, password_hash, must_change FROM users
WHERE name = $1 AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
ACCOUNT = "SELECT user_no FROM users WHERE name = $1"
SET_PASSWORD = "UPDATE users SET password_hash = $2, must_change = $3 WHERE user_no = $1"
MUST_CHANGE = "UPDATE users SET must_change = $2 WHERE name = $1"
DISABLE = "UPDATE users SET disabled_at = $2 WHERE name = $1 AND disabled_at IS NULL RETURNING user_no"
ENABLE = "UPDATE users SET disabled_at = NULL WHERE name = $1 AND disabled_at IS NOT NULL RETURNING user_no"
EXPIRE = "UPDATE users SET expires_at = $2 WHERE name = $1 RETURNING user_no"
SET_ROLE = "UPDATE users SET role = $2 WHERE name = $1 AND role <> $2 RETURNING user_no"
USERS = """
SELECT u.name, u.role, u.agency, u.added_at, u.disabled_at, u.expires_at, f.set_at IS NOT NULL AS has_factor
FROM users u LEFT JOIN second_factors f USING (user_no) ORDER BY u.name
"""
EVENT = "INSERT INTO account_events (happened_at, name, what, done_by, source) VALUES ($1, $2, $3, $4, $5)"
# The newest that can count: budgets of all hold no more.
FAILURES = """
SELECT * FROM (
    SELECT event_no, source, nullif(name, $2) AS name, extract(epoch FROM $1 - happened_at)::float8 AS ago_s FROM account_events
    WHERE what = 'failed' AND source IS NOT NULL AND happened_at > $1 - $3 * interval '1 s' AND happened_at <= $1
    ORDER BY happened_at DESC LIMIT $4) AS newest
ORDER BY event_no
"""
IS_KNOWN = """
SELECT EXISTS (SELECT FROM account_events WHERE name = $1 AND happened_at > $3 AND what = 'logged in' AND source = $2)
"""


class UserExists(MendableError):
    """The name is taken; a name stands for one person in the record of who did what."""


class NoUser(MendableError, LookupError):
    """There is no such account."""


class LoginRefused(Exception):
    """The message says what to do, and not whether the name exists."""


class Guess(NamedTuple):
    """What somebody says who wants to log in, and from where (`guesses.source_of_address`)."""

    name: str
    password: str
    source: str


class Login(msgspec.Struct, frozen=True):
    """A new session: the cookie to hand out, once. `needs`: what its owner does before anything else."""

    cookie: str
    name: str
    needs: Needs | None = None


def _now() -> datetime:
    return datetime_of(machine_ms())


async def add_user(
    connection: Connection, name: str, role: Role, agency: str | None = None, *, who: str, now_ms: int
) -> str:
    """A new account; its random password, to be shown once: its owner chooses another at the first login. Inside a
    transaction. Raises UserExists."""
    password = secrets.token_urlsafe(16)
    digest = await hashed(password)
    if await connection.fetchval(NEW_USER, name, str(role), digest, datetime_of(now_ms), who, agency) is None:
        raise UserExists(
            f"there is an account or a token {name!r}; choose another name, or give the account a new password with "
            f"`emtrack users password`"
        )
    await connection.execute(MUST_CHANGE, name, True)
    await connection.execute(EVENT, _now(), name, "added", who, None)
    return password


async def let_password_stay(connection: Connection, name: str) -> None:
    """For accounts of a demonstration: whoever logs in need not choose another password first."""
    await connection.execute(MUST_CHANGE, name, False)


async def new_password(connection: Connection, name: str, *, who: str) -> str:
    """A new random password, to be shown once; every session of the account ends, and its owner chooses another password at the next
    login. Raises NoUser."""
    password = secrets.token_urlsafe(16)
    await _set_password(connection, name, await hashed(password), who, None)
    await connection.execute(MUST_CHANGE, name, True)
    return password


async def change_password(pool: asyncpg.Pool[Any], guesses: Guesses, guess: Guess, new: str) -> None:
    """A person chooses a password, and gives the old one as a guess; every session of theirs ends. Raises UnfitPassword, or what
    `log_in` raises."""
    await asyncio.to_thread(require_fit, new, guess.name)
    if new == guess.password:
        raise UnfitPassword("New password must be different from the current one")
    await _refuse_wrong(pool, guesses, guess)
    digest = await hashed(new)
    async with pool.acquire() as connection, connection.transaction():
        await _set_password(connection, guess.name, digest, guess.name, guess.source)


async def _set_password(connection: Connection, name: str, digest: str, who: str, source: str | None) -> None:
    row = await connection.fetchrow(USER, name)
    if row is None:
        raise NoUser(f"there is no account {name!r}; `emtrack users list` shows those there are")
    await connection.execute(SET_PASSWORD, row["user_no"], digest, False)
    await connection.execute(END_SESSIONS, row["user_no"])
    await connection.execute(EVENT, _now(), name, "new password", who, source)


async def disable_user(connection: Connection, name: str, *, who: str) -> None:
    """The account can no longer log in, and its sessions end. What it did stays on record. Raises NoUser."""
    number = await connection.fetchval(DISABLE, name, _now())
    if number is None:
        raise NoUser(f"there is no account {name!r} that could be disabled")
    await connection.execute(END_SESSIONS, number)
    await connection.execute(EVENT, _now(), name, "disabled", who, None)


async def enable_user(connection: Connection, name: str, *, who: str) -> None:
    """Undoes `disable_user`. Inside a transaction. Raises NoUser."""
    if await connection.fetchval(ENABLE, name) is None:
        raise NoUser(f"there is no account {name!r} that is disabled")
    await record_event(connection, Subject.ACCOUNT, name, "enabled", who)


async def expire_user(connection: Connection, name: str, expires_at: datetime | None, *, who: str) -> None:
    """From then on the account cannot log in, and its sessions have ended. None: it does not expire. Inside a transaction. Raises
    NoUser."""
    if await connection.fetchval(EXPIRE, name, expires_at) is None:
        raise _no_user(name)
    await record_event(connection, Subject.ACCOUNT, name, "expiry set", who, told_expiry(expires_at))


async def set_role(connection: Connection, name: str, role: Role, *, who: str) -> None:
    """What the account may do from now on; its sessions end, so that no page stays open under the former role. Inside a transaction.
    Raises NoUser."""
    number = await connection.fetchval(SET_ROLE, name, str(role))
    if number is None:
        raise NoUser(f"there is no account {name!r} of another role")
    await connection.execute(END_SESSIONS, number)
    await record_event(connection, Subject.ACCOUNT, name, "role changed", who, f"to {role}")


async def user_no_of(connection: Connection, name: str) -> int:
    """Raises NoUser."""
    number: int | None = await connection.fetchval(ACCOUNT, name)
    if number is None:
        raise _no_user(name)
    return number


async def take_second_factor(connection: Connection, name: str, *, who: str) -> None:
    """For somebody who lost it: the account logs in with its password alone, and its sessions end. Inside a transaction. Raises
    NoUser."""
    number = await user_no_of(connection, name)
    if not await remove_second_factor(connection, number, name, who=who):
        raise NoUser(f"the account {name!r} has no second factor")
    await connection.execute(END_SESSIONS, number)


def _no_user(name: str) -> NoUser:
    return NoUser(f"there is no account {name!r}; `emtrack users list` shows those there are")


async def log_in(
    pool: asyncpg.Pool[Any],
    guesses: Guesses,
    guess: Guess,
    origin: Origin = NOT_RECORDED,
    factor_for: frozenset[Role] = frozenset(),
) -> Login:
    """A new session. `factor_for`: roles that must have a second factor. Raises LoginRefused, TooManyGuesses or TooManyHashes."""
    row = await _refuse_wrong(pool, guesses, guess)
    async with pool.acquire() as connection:
        needs = await _needs(connection, row, factor_for)
        cookie = await begin_session(connection, row["user_no"], origin, needs)
        if needs is not Needs.CODE:
            await connection.execute(EVENT, _now(), row["name"], "logged in", row["name"], guess.source)
    return Login(cookie, row["name"], needs)


async def _needs(connection: Connection, row: asyncpg.Record, factor_for: frozenset[Role]) -> Needs | None:
    if await has_second_factor(connection, row["user_no"]):
        return Needs.CODE
    if row["must_change"]:
        return Needs.PASSWORD
    return Needs.SECOND_FACTOR if Role(row["role"]) in factor_for else None


async def log_in_with_code(
    connection: Connection, box: SecretBox, cookie: str, caller: Caller, code: str, origin: Origin
) -> Login:
    """After the password the code: a session with another cookie in the place of the one that waited. Raises WrongCode or
    LoginRefused. Not inside a transaction."""
    row = await connection.fetchrow(USER, caller.name)
    if row is None:
        raise LoginRefused("This account can no longer log in. Contact your administrator.")
    await check_code(connection, box, row["user_no"], caller.name, code)
    await end_session(connection, cookie)
    needs = Needs.PASSWORD if row["must_change"] else None
    fresh = await begin_session(connection, row["user_no"], origin, needs)
    source = source_of_address(origin.address)
    await connection.execute(EVENT, _now(), caller.name, "logged in", caller.name, source)
    return Login(fresh, caller.name, needs)


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
        raise LoginRefused("Enter a correct username and password.")
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


async def remember_failures(connection: Connection, guesses: Guesses) -> None:
    """At the start of the service: a restart gives nobody new guesses."""
    rows = await connection.fetch(FAILURES, _now(), NO_ACCOUNT, WITHIN_S, OF_ALL)
    guesses.remember(Failure(row["source"], row["name"], row["ago_s"]) for row in rows)


async def log_out(connection: Connection, cookie: str, name: str) -> None:
    await end_session(connection, cookie)
    await connection.execute(EVENT, _now(), name, "logged out", name, None)


class ListedUser(NamedTuple):
    """An account; days as YYYY-MM-DD."""

    name: str
    role: str
    agency: str
    added: str
    disabled: str | None
    expires: str
    second_factor: str


async def list_users(connection: Connection) -> list[ListedUser]:
    """All accounts, by name."""
    return [
        ListedUser(
            row["name"],
            row["role"],
            row["agency"] or EVERY_AGENCY,
            f"{row['added_at']:%Y-%m-%d}",
            None if row["disabled_at"] is None else f"{row['disabled_at']:%Y-%m-%d}",
            told_expiry(row["expires_at"]),
            "yes" if row["has_factor"] else "no",
        )
        for row in await connection.fetch(USERS)
    ]
