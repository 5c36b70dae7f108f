"""Reading from the database's standby, where there is one: what is worked out for readers then costs the primary nothing.

Two things must hold there as they hold on the primary. That somebody looks is on record before the first row is read, and a right
that was taken back is gone. Both are commits, and so is what a reader expects to see: each question therefore says how far the
primary's log was when it was put, which is after its look was committed. The standby answers only when it has replayed the log to
there, within a second; else the primary does. A standby that is not on the primary's timeline (it follows one that was replaced, or
was promoted itself) shows another past, and is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

REPLAYED_WITHIN_S = 1.0
LOOK_AGAIN_S = 0.01

POSITION = """
SELECT pg_current_wal_lsn()::text AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline
"""
# The timeline of a standby is that of its last checkpoint: after a promotion elsewhere it is known to follow some minutes later.
HOW_FAR = """
SELECT pg_is_in_recovery() AND (SELECT timeline_id FROM pg_control_checkpoint()) = $2::int AS follows,
       coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) AS is_there
"""


class Position(NamedTuple):
    """How far the log of the primary is. `timeline`: counted up at every promotion."""

    lsn: str
    timeline: int


class Standby(NamedTuple):
    """`dsn`: of the role of the pages there. `position`: asks the primary how far it is."""

    dsn: str
    position: Callable[[], Awaitable[Position]]


class NotThere(Exception):
    """The standby has not replayed the log that far, or does not follow this primary."""


async def position_of(connection: Connection) -> Position:
    """Of the primary, after whatever this program has committed."""
    row = await connection.fetchrow(POSITION)
    assert row is not None, "a SELECT without a table has one row"
    return Position(row["lsn"], row["timeline"])


async def replayed(connection: Connection, position: Position) -> None:
    """Until the standby is as far as the primary was. Raises NotThere after a second."""
    try:
        async with asyncio.timeout(REPLAYED_WITHIN_S):
            while not await _is_there(connection, position):  # noqa: ASYNC110  another server
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise NotThere from None


async def _is_there(connection: Connection, position: Position) -> bool:
    row = await connection.fetchrow(HOW_FAR, position.lsn, position.timeline)
    assert row is not None, "a SELECT without a table has one row"
    if not row["follows"]:
        raise NotThere
    is_there: bool = row["is_there"]
    return is_there
