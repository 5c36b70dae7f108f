"""Who looked at where somebody was, or at what was found about somebody, and why: on record, committed, before the first row.

A look at positions has a time that it is for. Whoever works the queue, or opens the pages of people, said at the beginning for which
purpose; that purpose is put on record once for each person and `AGAIN_MS`, so that the record stays readable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from emtrack.db.connect import Connection

AGAIN_MS = 15 * 60_000
"""Who looks at the same of the same person for the same purpose within so long has looked once."""
LONGEST_REFERENCE = 1_000

ALERT = "ALERT"
MONITORING = "MONITORING"
ORDER = "ORDER"
SERVICE = "SERVICE"
CHOSEN = {
    "COMPLIANCE": "To review how the person keeps to the order",
    "SUPERVISION": "To prepare an appointment or a change of the order",
    "SAFEGUARDING": "To keep somebody safe",
    "INVESTIGATION": "To investigate an offence",
    "COURT": "To prepare evidence for a court",
    "EQUIPMENT": "To find out about a device",
}
"""Purposes that a person chooses among."""
PURPOSES = {
    ALERT: "An alert of this person",
    MONITORING: "To watch alerts in the monitoring centre",
    ORDER: "To enter an order for a time that is past",
    SERVICE: "To run the service itself",
    **CHOSEN,
}
"""Why somebody may learn where a person was. The first four are never chosen: a place of work gives them."""


class What(StrEnum):
    """What was looked at. A shift is the beginning of work with a purpose."""

    SHIFT = "shift"
    QUEUE = "queue"
    FINDINGS = "findings"
    POSITIONS = "positions"
    PAST_ORDER = "past order"
    EXPORT = "export"
    RESTRICTED_RECORD = "restricted record"
    DETAILS = "details"
    IOM_RECORD = "IOM record"
    NEAR = "near"
    WHAT_IF = "what if"


class Door(StrEnum):
    PAGE = "page"
    PROGRAM = "program"
    COMMAND = "command"


class Looker(NamedTuple):
    """Who looks, through which door, and why. `reference`: what the purpose refers to, such as the number of a case."""

    name: str
    role: str
    door: Door
    purpose: str
    reference: str | None = None


def commander(who: str, purpose: str = SERVICE, reference: str | None = None) -> Looker:
    """Who looks from a command line: an account of the machine that the service runs on."""
    return Looker(who, "command line", Door.COMMAND, purpose, reference)


class Look(NamedTuple):
    """A look that is on record. `wearer_no` None: at everybody. `during`: the time that was looked at, if one was;
    it may lie where no clock of ours can show it."""

    look_no: int
    looked_ms: int
    looked_by: str
    role: str
    door: str
    what: str
    purpose: str
    reference: str | None
    alert_no: int | None
    wearer_no: int | None
    during: tuple[datetime, datetime] | None


class Lookers(NamedTuple):
    """All looks of one account at one person, in a line."""

    looked_by: str
    role: str
    looks: int
    last_ms: int
    purposes: list[str]


RECORD = """
INSERT INTO looks (looked_at, looked_by, role, door, what, wearer_no, during, purpose, reference, alert_no)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING look_no
"""
RECORD_EACH = """
INSERT INTO looks (looked_at, looked_by, role, door, what, wearer_no, during, purpose, reference)
SELECT $1, $2, $3, $4, $5, w.wearer_no, $6, $7, $8 FROM unnest($9::bigint[]) AS w (wearer_no)
"""
RECORD_PEOPLE = """
INSERT INTO looks (looked_at, looked_by, role, door, what, wearer_no, purpose, reference)
SELECT $1, $2, $3, $4, $5, w.wearer_no, $6, $7 FROM unnest($8::bigint[]) AS w (wearer_no)
WHERE NOT EXISTS (SELECT FROM looks l WHERE l.looked_by = $2 AND l.wearer_no = w.wearer_no AND l.what = $5 AND l.purpose = $6
                  AND l.reference IS NOT DISTINCT FROM $7 AND l.looked_at > $9)
"""
RECORD_EVERYBODY = """
INSERT INTO looks (looked_at, looked_by, role, door, what, purpose, reference)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE NOT EXISTS (SELECT FROM looks l WHERE l.looked_by = $2 AND l.wearer_no IS NULL AND l.what = $5 AND l.purpose = $6
                  AND l.reference IS NOT DISTINCT FROM $7 AND l.looked_at > $8)
"""
SAME_ALERT = """
SELECT look_no, looked_at, during FROM looks
WHERE looked_by = $1 AND wearer_no = $2 AND alert_no = $3 AND what = 'positions' AND looked_at > $4 AND during @> $5::tstzrange
ORDER BY looked_at DESC LIMIT 1
"""
LOOKS = """
SELECT look_no, looked_at, looked_by, role, door, what, purpose, reference, alert_no, wearer_no,
       lower(during) AS begin_at, upper(during) AS end_at
FROM looks
WHERE (wearer_no = $1 OR wearer_no IS NULL AND what <> 'shift') AND ($2::bigint IS NULL OR look_no < $2)
ORDER BY look_no DESC LIMIT $3
"""
SHIFT = "SELECT max(looked_at) FROM looks WHERE looked_by = $1 AND wearer_no IS NULL AND what = 'shift'"
EVERY_LOOK = """
SELECT look_no, looked_at, looked_by, l.role, door, what, purpose, reference, alert_no, wearer_no, w.wearer_id,
       lower(during) AS begin_at, upper(during) AS end_at
FROM looks l LEFT JOIN wearers w USING (wearer_no) WHERE $1::bigint IS NULL OR look_no < $1 ORDER BY look_no DESC LIMIT $2
"""
LOOKERS = """
SELECT looked_by, role, count(*) AS looks, max(looked_at) AS last_at, array_agg(DISTINCT purpose ORDER BY purpose) AS purposes
FROM looks WHERE wearer_no = $1 OR wearer_no IS NULL AND what <> 'shift' GROUP BY looked_by, role
ORDER BY max(looked_at) DESC, looked_by LIMIT $2
"""
ALL_LOOKS = "SELECT count(*) FROM looks WHERE wearer_no = $1 OR wearer_no IS NULL AND what <> 'shift'"


def refuse_transaction(connection: Connection) -> None:
    """A look is committed before anything is read, so it is recorded outside of transactions. Raises RuntimeError."""
    if connection.is_in_transaction():
        raise RuntimeError("a look is committed before anything is read: record it outside of transactions")


async def record_look(
    connection: Connection,
    looker: Looker,
    what: What,
    wearer_no: int | None,
    during: tuple[int, int] | None = None,
    *,
    alert_no: int | None = None,
    now_ms: int,
) -> int:
    """Its number; on record and committed when this returns. `wearer_no` None: at everybody. `during` in ms."""
    refuse_transaction(connection)
    return await enter_look(connection, looker, what, wearer_no, during, alert_no=alert_no, now_ms=now_ms)


async def enter_look(
    connection: Connection,
    looker: Looker,
    what: What,
    wearer_no: int | None,
    during: tuple[int, int] | None = None,
    *,
    alert_no: int | None = None,
    now_ms: int,
) -> int:
    """The same inside the transaction that makes the look possible, such as that of an order for the past."""
    span = None if during is None else asyncpg.Range(datetime_of(during[0]), datetime_of(during[1]))
    number: int = await connection.fetchval(
        RECORD, datetime_of(now_ms), looker.name, looker.role, str(looker.door), str(what), wearer_no, span,
        looker.purpose, looker.reference, alert_no,
    )  # fmt: skip
    return number


async def look_at_each(
    connection: Connection,
    looker: Looker,
    wearer_nos: Iterable[int],
    what: What,
    during: tuple[int, int],
    now_ms: int,
) -> None:
    """On record for each of them with the time that is looked at, and committed when this returns."""
    refuse_transaction(connection)
    await enter_look_at_each(connection, looker, wearer_nos, what, during, now_ms)


async def enter_look_at_each(
    connection: Connection,
    looker: Looker,
    wearer_nos: Iterable[int],
    what: What,
    during: tuple[int, int],
    now_ms: int,
) -> None:
    """The same inside a transaction, which is to be committed before anything is shown."""
    span = asyncpg.Range(datetime_of(during[0]), datetime_of(during[1]))
    await connection.execute(
        RECORD_EACH, datetime_of(now_ms), looker.name, looker.role, str(looker.door), str(what), span, looker.purpose,
        looker.reference, sorted(set(wearer_nos)),
    )  # fmt: skip


async def look_at_people(
    connection: Connection, looker: Looker, wearer_nos: Iterable[int], what: What, now_ms: int
) -> None:
    """On record for each of them, once in `AGAIN_MS`, and committed when this returns."""
    refuse_transaction(connection)
    numbers = sorted(set(wearer_nos))
    if not numbers:
        return
    await connection.execute(
        RECORD_PEOPLE, datetime_of(now_ms), looker.name, looker.role, str(looker.door), str(what), looker.purpose,
        looker.reference, numbers, datetime_of(now_ms - AGAIN_MS),
    )  # fmt: skip


async def look_at_everybody(connection: Connection, looker: Looker, what: What, now_ms: int) -> None:
    """The same for everybody whom the account may see. A queue is that too, before it is known who stands in it: a shift."""
    refuse_transaction(connection)
    await connection.execute(
        RECORD_EVERYBODY, datetime_of(now_ms), looker.name, looker.role, str(looker.door), str(what), looker.purpose,
        looker.reference, datetime_of(now_ms - AGAIN_MS),
    )  # fmt: skip


async def look_at_alert_again(
    connection: Connection, looker: Looker, wearer_no: int, alert_no: int, during: tuple[int, int], now_ms: int
) -> Look | None:
    """A look of the last `AGAIN_MS` by the same account at the same alert that covers `during`, if there is one."""
    span = asyncpg.Range(datetime_of(during[0]), datetime_of(during[1]))
    row = await connection.fetchrow(
        SAME_ALERT, looker.name, wearer_no, alert_no, datetime_of(now_ms - AGAIN_MS), span
    )
    if row is None:
        return None
    covered = row["during"].lower, row["during"].upper
    return Look(
        row["look_no"], instant_of(row["looked_at"]), looker.name, looker.role, str(looker.door), str(What.POSITIONS),
        looker.purpose, looker.reference, alert_no, wearer_no, covered,
    )  # fmt: skip


async def looks_at(connection: Connection, wearer_no: int, before: int | None, most: int) -> list[Look]:
    """Looks at a person, and at everybody, the newest first; those before a number, if one is given."""
    return [_look(row) for row in await connection.fetch(LOOKS, wearer_no, before, most)]


def _look(row: asyncpg.Record) -> Look:
    begin, end = row["begin_at"], row["end_at"]
    during = None if begin is None or end is None else (begin, end)
    return Look(
        row["look_no"], instant_of(row["looked_at"]), row["looked_by"], row["role"], row["door"], row["what"],
        row["purpose"], row["reference"], row["alert_no"], row["wearer_no"], during,
    )  # fmt: skip


async def shift_since(connection: Connection, name: str) -> int | None:
    """When an account last began to work; None: never."""
    began = await connection.fetchval(SHIFT, name)
    return None if began is None else instant_of(began)


async def all_looks(connection: Connection, before: int | None, most: int) -> list[tuple[Look, str | None]]:
    """Every look of everybody, the newest first, with the wearer's id."""
    rows = await connection.fetch(EVERY_LOOK, before, most)
    return [(_look(row), row["wearer_id"]) for row in rows]


async def lookers_at(connection: Connection, wearer_no: int, most: int) -> tuple[int, list[Lookers]]:
    """How many looks there are at a person, and whose they are: who looks often hides nobody else."""
    found = [
        Lookers(row["looked_by"], row["role"], row["looks"], instant_of(row["last_at"]), list(row["purposes"]))
        for row in await connection.fetch(LOOKERS, wearer_no, most)
    ]
    return await connection.fetchval(ALL_LOOKS, wearer_no), found
