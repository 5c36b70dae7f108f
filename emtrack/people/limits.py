"""Records that are closed to some: who may not open them, or who alone may.

The database hides what is closed (migration 0020). Staff of the centre work alerts of everybody under the reference, and open a
closed record with a reason when they must: that is a look of its own kind, and overseers are told.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.people.looks import Looker, What, enter_look
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emtrack.db.connect import Connection

OPEN_S = 3_600
"""So long a record stays open to who opened it."""

LIMIT = """
INSERT INTO access_limits (wearer_no, kind, accounts, agencies, reason, recorded, entered_by)
SELECT $1, $2, $3, $4, $5, tstzrange(greatest($6, max(upper(recorded))), NULL), $7
FROM access_limits WHERE wearer_no = $1 AND kind = $2
"""
LIFT = """
UPDATE access_limits SET recorded = tstzrange(lower(recorded), greatest($3, lower(recorded) + interval '1 ms'))
WHERE wearer_no = $1 AND kind = $2 AND upper_inf(recorded) RETURNING limit_no
"""
LIMITS = """
SELECT w.wearer_id, l.kind, l.accounts, l.agencies, l.reason, l.entered_by, lower(l.recorded) AS since
FROM access_limits l JOIN wearers w USING (wearer_no) WHERE upper_inf(l.recorded) ORDER BY w.wearer_id, l.kind
"""
OPENING = "INSERT INTO record_openings (look_no, wearer_no, account, ends_at) VALUES ($1, $2, $3, $4)"
OPENINGS = """
SELECT k.look_no, k.looked_at, k.looked_by, k.role, k.reference, k.wearer_no, p.wearer_id, s.seen_by, s.seen_at
FROM looks k JOIN people p USING (wearer_no) LEFT JOIN restricted_looks_seen s USING (look_no)
WHERE k.what = 'restricted record' ORDER BY s.seen_at IS NOT NULL, k.look_no DESC LIMIT $1
"""
UNSEEN = """
SELECT count(*) FROM looks k WHERE k.what = 'restricted record'
AND NOT EXISTS (SELECT FROM restricted_looks_seen s WHERE s.look_no = k.look_no)
"""
SEE = """
INSERT INTO restricted_looks_seen (look_no, seen_at, seen_by)
SELECT look_no, $2, $3 FROM looks WHERE look_no = $1 AND what = 'restricted record' AND looked_by <> $3
ON CONFLICT (look_no) DO NOTHING
"""


class LimitKind(StrEnum):
    """Named accounts and agencies may not open the record; or nobody else may."""

    EXCLUDED = "excluded"
    RESTRICTED = "restricted"


class NoLimit(MendableError):
    """There is nothing to lift."""


class Limit(NamedTuple):
    """A limit that holds."""

    wearer_id: str
    kind: str
    accounts: list[str]
    agencies: list[str]
    reason: str
    entered_by: str
    since_ms: int


class Opening(NamedTuple):
    """A closed record that was opened. `seen_by`: the overseer who saw it, if one did."""

    look_no: int
    looked_ms: int
    looked_by: str
    role: str
    reason: str
    wearer_no: int
    wearer_id: str
    seen_by: str | None
    seen_ms: int | None


async def limit(
    connection: Connection,
    wearer_no: int,
    kind: LimitKind,
    accounts: Sequence[str],
    agencies: Sequence[str],
    *,
    reason: str,
    who: str,
    now_ms: int,
) -> None:
    """The record is closed from now on; what of this kind was said before no longer holds. Inside a transaction."""
    now = datetime_of(now_ms)
    await connection.fetch(LIFT, wearer_no, str(kind), now)
    await connection.execute(LIMIT, wearer_no, str(kind), list(accounts), list(agencies), reason, now, who)


async def lift(connection: Connection, wearer_no: int, kind: LimitKind, now_ms: int) -> None:
    """Raises NoLimit."""
    if not await connection.fetch(LIFT, wearer_no, str(kind), datetime_of(now_ms)):
        raise NoLimit(f"the record is not {kind}; `emtrack access list` shows what holds")


async def limits_in_force(connection: Connection) -> list[Limit]:
    """By wearer id."""
    return [
        Limit(
            row["wearer_id"], row["kind"], list(row["accounts"]), list(row["agencies"]), row["reason"], row["entered_by"],
            instant_of(row["since"]),
        )
        for row in await connection.fetch(LIMITS)
    ]  # fmt: skip


async def open_record(connection: Connection, wearer_no: int, looker: Looker, now_ms: int) -> None:
    """The account sees the record for a while; the reason is the look's reference, and overseers are told."""
    ends = datetime_of(machine_ms()) + timedelta(seconds=OPEN_S)
    async with connection.transaction():
        look_no = await enter_look(connection, looker, What.RESTRICTED_RECORD, wearer_no, now_ms=now_ms)
        await connection.execute(OPENING, look_no, wearer_no, looker.name, ends)


async def openings(connection: Connection, most: int) -> list[Opening]:
    """Those that no overseer saw first, then the newest first."""
    return [_opening(row) for row in await connection.fetch(OPENINGS, most)]


def _opening(row: asyncpg.Record) -> Opening:
    seen_at = row["seen_at"]
    return Opening(
        row["look_no"], instant_of(row["looked_at"]), row["looked_by"], row["role"], row["reference"] or "", row["wearer_no"],
        row["wearer_id"], row["seen_by"], None if seen_at is None else instant_of(seen_at),
    )  # fmt: skip


async def unseen_openings(connection: Connection) -> int:
    count: int = await connection.fetchval(UNSEEN)
    return count


async def see_opening(connection: Connection, look_no: int, who: str, now_ms: int) -> None:
    """An overseer saw it. One's own is for somebody else to see."""
    await connection.execute(SEE, look_no, datetime_of(now_ms), who)
