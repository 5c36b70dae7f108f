"""Sessions of people: a random cookie, kept as a hash.

A session ends when its owner logs out or ends it, when an administrator does, after `IDLE_S` without a request, and `LONGEST_S`
after its login. Sessions are timed by the machine's clock, not by the service's: an emulated hour guards nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.events import Subject, record_event
from emtrack.people.looks import Looker, What, enter_look
from emtrack.people.roles import Caller, Needs, Role
from emtrack.people.secrets import new_secret, secret_hash
from geofence import datetime_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

IDLE_S = 3_600
LONGEST_S = 12 * 3_600
"""A shift."""
CODE_WITHIN_S = 600
"""Between the password and the code of the second factor."""
LONGEST_TOLD = 200

NEW_SESSION = """
INSERT INTO sessions (session_hash, user_no, form_key, began_at, seen_at, begun_from, browser, needs)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7)
"""
# Looked at with every request; written at most once a minute.
SESSION = """
SELECT s.session_hash, s.form_key, s.began_at, s.seen_at, s.needs, s.purpose, s.reference, u.user_no, u.name, u.role,
       u.agency, u.expires_at
FROM sessions s JOIN users u USING (user_no)
WHERE s.session_hash = $1 AND s.seen_at > $2 AND s.began_at > $3 AND u.disabled_at IS NULL
  AND (u.expires_at IS NULL OR u.expires_at > $4)
"""
SEEN = "UPDATE sessions SET seen_at = $2 WHERE session_hash = $1 AND seen_at < $2"
WORKS_FOR = "UPDATE sessions SET purpose = $2, reference = $3 WHERE session_hash = $1"
END_SESSION = "DELETE FROM sessions WHERE session_hash = $1"
END_SESSIONS = "DELETE FROM sessions WHERE user_no = $1"
NEEDS_NOTHING = "UPDATE sessions SET needs = NULL WHERE session_hash = $1"
END_OTHERS = "DELETE FROM sessions WHERE user_no = $1 AND session_hash <> $2"
END_OLD_SESSIONS = "DELETE FROM sessions WHERE seen_at <= $1 OR began_at <= $2"
END_NUMBERED = """
DELETE FROM sessions s USING users u
WHERE s.user_no = u.user_no AND s.session_no = $1 AND ($2::text IS NULL OR u.name = $2) RETURNING u.name, s.session_no
"""
END_OF_NAME = (
    "DELETE FROM sessions s USING users u WHERE s.user_no = u.user_no AND u.name = $1 RETURNING s.session_no"
)
SESSIONS = """
SELECT s.session_no, s.session_hash, u.name, s.begun_from, s.browser, s.began_at, s.seen_at
FROM sessions s JOIN users u USING (user_no)
WHERE ($1::text IS NULL OR u.name = $1) AND s.seen_at > $2 AND s.began_at > $3 AND s.needs IS DISTINCT FROM 'code'
ORDER BY s.began_at DESC, s.session_no DESC
"""


class NoSession(MendableError, LookupError):
    """There is no such session, or it has ended."""


class Origin(NamedTuple):
    """Where a login comes from: the address, and what the browser says it is."""

    address: str
    browser: str


NOT_RECORDED = Origin("not recorded", "not recorded")


class ListedSession(NamedTuple):
    """A session that has not ended. `session_no`: what it is called."""

    session_no: int
    session_hash: bytes
    name: str
    begun_from: str
    browser: str
    began_at: datetime
    seen_at: datetime


async def begin_session(connection: Connection, user_no: int, origin: Origin, needs: Needs | None) -> str:
    """The cookie of a new session, to hand out once."""
    cookie, now = new_secret(), _now()
    await connection.execute(END_OLD_SESSIONS, *_limits(now))
    address, browser = origin.address[:LONGEST_TOLD], _printable(origin.browser)
    await connection.execute(
        NEW_SESSION, secret_hash(cookie), user_no, new_secret(), now, address, browser, needs and str(needs)
    )
    return cookie


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_TOLD])


async def session_of(connection: Connection, cookie: str, *, is_used: bool = True) -> Caller | None:
    """Whose session it is, if it has not ended. Where somebody uses it, it stays alive for another while; what a page asks by itself
    does not keep it alive."""
    now = _now()
    row = await connection.fetchrow(SESSION, secret_hash(cookie), *_limits(now), now)
    if row is None or _until(row) <= now:
        return None
    if is_used and row["seen_at"] < now - timedelta(minutes=1):
        await connection.execute(SEEN, row["session_hash"], now)
    needs = None if row["needs"] is None else Needs(row["needs"])
    return Caller(
        row["name"], Role(row["role"]), row["form_key"], row["session_hash"], needs, row["purpose"], row["reference"],
        row["agency"],
    )  # fmt: skip


async def begin_work(connection: Connection, cookie: str, looker: Looker, now_ms: int) -> None:
    """The session works for a purpose from now on; that is on record with the service's time."""
    async with connection.transaction():
        await connection.execute(WORKS_FOR, secret_hash(cookie), looker.purpose, looker.reference)
        await enter_look(connection, looker, What.SHIFT, None, now_ms=now_ms)


async def session_holds_until(connection: Connection, session_hash: bytes) -> datetime | None:
    """When it ends if nobody uses it. None: it has ended. To ask does not keep it alive."""
    now = _now()
    row = await connection.fetchrow(SESSION, session_hash, *_limits(now), now)
    return None if row is None or row["needs"] is not None else _until(row)


def _until(row: asyncpg.Record) -> datetime:
    ends = [row["seen_at"] + timedelta(seconds=IDLE_S), row["began_at"] + timedelta(seconds=LONGEST_S)]
    if row["expires_at"] is not None:
        ends.append(row["expires_at"])
    if row["needs"] == Needs.CODE:
        ends.append(row["began_at"] + timedelta(seconds=CODE_WITHIN_S))
    earliest: datetime = min(ends)
    return earliest


async def list_sessions(connection: Connection, name: str | None) -> list[ListedSession]:
    """Of one account, or of all: the newest first."""
    return [ListedSession(*row) for row in await connection.fetch(SESSIONS, name, *_limits(_now()))]


async def finish_login(connection: Connection, session_hash: bytes, user_no: int) -> None:
    """What was needed is done: the session is one like others, and it is the only one of its owner that goes on. Inside a
    transaction."""
    await connection.execute(NEEDS_NOTHING, session_hash)
    await connection.execute(END_OTHERS, user_no, session_hash)


async def end_session(connection: Connection, cookie: str) -> None:
    """One that its owner leaves."""
    await connection.execute(END_SESSION, secret_hash(cookie))


async def end_numbered_session(connection: Connection, session_no: int, *, of: str | None, who: str) -> str:
    """Whose it was. `of`: only if it is of this account. Inside a transaction. Raises NoSession."""
    row = await connection.fetchrow(END_NUMBERED, session_no, of)
    if row is None:
        raise NoSession(f"there is no session {session_no} that has not ended")
    await record_event(connection, Subject.ACCOUNT, row["name"], "session ended", who, f"session {session_no}")
    name: str = row["name"]
    return name


async def end_sessions_of(connection: Connection, name: str, *, who: str) -> int:
    """All of an account; how many there were. Inside a transaction."""
    ended = await connection.fetch(END_OF_NAME, name)
    for row in ended:
        await record_event(connection, Subject.ACCOUNT, name, "session ended", who, f"session {row['session_no']}")
    return len(ended)


def _limits(now: datetime) -> tuple[datetime, datetime]:
    return now - timedelta(seconds=IDLE_S), now - timedelta(seconds=LONGEST_S)


def _now() -> datetime:
    return datetime_of(machine_ms())
