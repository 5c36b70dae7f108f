"""What was handed out of where somebody was: who, to whom, why, and the hash of each file; appended.

The look comes before the first row is read; the disclosure when the file is made, before anybody has it."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from geofence import Interval, datetime_of, instant_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker

LONGEST_RECIPIENT = 200


class Given(StrEnum):
    """What a file holds."""

    POSITIONS = "positions"
    REPORT = "report"


class HandedOut(NamedTuple):
    """A file that is about to be handed out. `positions`: how many are in it."""

    what: Given
    form: str
    wearer_no: int
    window: Interval
    known_ms: int
    recipient: str | None
    positions: int
    content: bytes


class Disclosure(NamedTuple):
    """A file that was handed out, as it is on record."""

    disclosure_no: int
    disclosed_ms: int
    disclosed_by: str
    purpose: str
    reference: str | None
    recipient: str | None
    what: Given
    form: str
    window: Interval
    known_ms: int
    positions: int
    size_bytes: int
    sha256: bytes


STORE = """
INSERT INTO disclosures (disclosed_at, disclosed_by, role, door, purpose, reference, recipient, wearer_no, what, form, during,
                         known_at, positions, size_bytes, sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING disclosure_no
"""
OF_WEARER = """
SELECT disclosure_no, disclosed_at, disclosed_by, purpose, reference, recipient, what, form, lower(during) AS begin_at,
       upper(during) AS end_at, known_at, positions, size_bytes, sha256
FROM disclosures WHERE wearer_no = $1 ORDER BY disclosure_no DESC LIMIT $2
"""


async def record_disclosure(connection: Connection, looker: Looker, handed: HandedOut, now_ms: int) -> int:
    """Its number; on record and committed when this returns, outside of a transaction."""
    window = asyncpg.Range(datetime_of(handed.window.begin_ms), datetime_of(handed.window.end_ms))
    number: int = await connection.fetchval(
        STORE, datetime_of(now_ms), looker.name, looker.role, str(looker.door), looker.purpose, looker.reference,
        handed.recipient, handed.wearer_no, str(handed.what), handed.form, window, datetime_of(handed.known_ms),
        handed.positions, len(handed.content), hashlib.sha256(handed.content).digest(),
    )  # fmt: skip
    return number


async def disclosures_of(connection: Connection, wearer_no: int, most: int) -> list[Disclosure]:
    """Of one person, the newest first."""
    return [_disclosure(row) for row in await connection.fetch(OF_WEARER, wearer_no, most)]


def _disclosure(row: asyncpg.Record) -> Disclosure:
    return Disclosure(
        row["disclosure_no"], instant_of(row["disclosed_at"]), row["disclosed_by"], row["purpose"], row["reference"],
        row["recipient"], Given(row["what"]), row["form"], Interval(instant_of(row["begin_at"]), instant_of(row["end_at"])),
        instant_of(row["known_at"]), row["positions"], row["size_bytes"], row["sha256"],
    )  # fmt: skip
