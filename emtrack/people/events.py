"""What was done to credentials, and by whom: appended in the transaction that does it, never changed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from emtrack.clock import machine_ms
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

    from emtrack.db.connect import Connection

MOST_EVENTS = 1_000
"""Of the newest, in a history."""

NEW_EVENT = """
INSERT INTO credential_events (happened_at, subject, name, what, detail, done_by) VALUES ($1, $2, $3, $4, $5, $6)
"""
# Both logs as one, the newest first: what was done to credentials, and who logged in or could not.
HISTORY = """
SELECT happened_at, subject, name, what, coalesce(detail, '') AS detail, done_by, coalesce(source, '') AS source FROM (
    SELECT happened_at, subject, name, what, detail, done_by, NULL AS source FROM credential_events WHERE subject = $1
    UNION ALL
    SELECT happened_at, 'account', name, what, NULL, done_by, source FROM account_events WHERE $1 = 'account'
) AS e
WHERE $2::text IS NULL OR name = $2 ORDER BY happened_at DESC LIMIT $3
"""


class Subject(StrEnum):
    """Whose credential it is."""

    ACCOUNT = "account"
    TOKEN = "token"
    DEVICE = "device"


class CredentialEvent(NamedTuple):
    """A line of the history. `source`: the address of a login or failure (of IPv6 its network); empty: a command, or not recorded."""

    happened_at: datetime
    subject: str
    name: str
    what: str
    detail: str
    done_by: str
    source: str


async def record_event(
    connection: Connection, subject: Subject, name: str, what: str, who: str, detail: str | None = None
) -> None:
    """Inside the transaction of what was done."""
    await connection.execute(NEW_EVENT, datetime_of(machine_ms()), str(subject), name, what, detail, who)


async def history_of(connection: Connection, subject: Subject, name: str | None) -> list[CredentialEvent]:
    """What was done to one, or to all of a kind: the newest first."""
    rows = await connection.fetch(HISTORY, str(subject), name, MOST_EVENTS)
    return [CredentialEvent(*row) for row in rows]
